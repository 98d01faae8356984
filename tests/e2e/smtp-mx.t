#!/usr/bin/perl
# packetboat-smtp finds the servers of a domain: mail exchangers in order, the domain itself where there is none, and what
# becomes of mail where the names lead nowhere.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Dns;
use Sink;

my $net = Hosts->new;
my $a = $net->host('a');
my $text = "Subject: x\n\nhello\n";

# All mail exchangers have one port: they differ by their address on loopback.
sub loopback {
	my ($address, %options) = @_;
	return Sink->new(address => $address, %options);
}
my $one = loopback('127.0.0.1');
my $port = $one->port;
my $two = eval { loopback('127.0.0.2', port => $port) };
plan skip_all => 'this system has one loopback address only' unless $two;
my $cold = loopback('127.0.0.3', port => $port, say => {GREETING => '421 4.3.2 not now'});
my $six = eval { loopback('::1', port => $port) };

my $dns = Dns->new(
	'prefers.example' => {mx => [[20, 'two.example'], [10, 'one.example']]},
	'second.example' => {mx => [[10, 'dead.example'], [15, 'cold.example'], [20, 'two.example']]},
	'plain.example' => {a => ['127.0.0.2']},
	'alias.example' => {cname => 'plain.example'},
	'null.example' => {mx => [[0, '']]},
	'broken.example' => 'servfail',
	'lamemx.example' => {mx => [[10, 'broken.example']]},
	'nohost.example' => {mx => [[10, 'gone.example']]},
	'us.example' => {mx => [[10, 'a.example'], [20, 'two.example']]},
	'backup.example' => {mx => [[10, 'two.example'], [20, 'a.example'], [30, 'one.example']]},
	'both.example' => {mx => [[10, 'six.example']]},
	'six.example' => {a => ['127.0.0.2'], aaaa => ['::1']},
	'one.example' => {a => ['127.0.0.1']},
	'two.example' => {a => ['127.0.0.2']},
	'cold.example' => {a => ['127.0.0.3']},
	'dead.example' => {a => ['127.0.0.9']},
);
$a->user('ann');
$a->configure(sprintf qq{smtp { nameservers = "%s" port = %d connect = 5s }\nroute "*" { via = "smtp" }\nretry-min = 1s\n}, $dns->address, $port);
$a->mail("bob\@$_.example", $text)
    for qw(prefers second plain alias null broken lamemx nohost us backup both nowhere), qw(prefers second);
$a->mail('bob@[127.0.0.2]', $text);

my $run = deliver($a);
is($run->{code}, 0, 'delivered') or diag($run->{err}, $a->log_text);
my %to;
for my $pair (['one', $one], ['two', $two], ['six', $six]) {
	next unless $pair->[1];
	$to{$pair->[0]}{$_}++ for map { s/^bob\@//r } map { @{$_->{to}} } $pair->[1]->taken;
}
is($to{one}{'prefers.example'}, 2, 'the preferred exchanger has it');
is($to{two}{'second.example'}, 2, 'the third, where one is dead and one unwilling');
is($to{two}{'plain.example'}, 1, 'without MX the domain itself');
is($to{two}{'alias.example'}, 1, 'also by an alias');
is($to{two}{'[127.0.0.2]'}, 1, 'an address literal');
is($to{two}{'backup.example'}, 1, 'better ones than we are');
is($to{one}{'backup.example'}, undef, 'no worse ones');
SKIP: {
	skip 'no IPv6 here', 1 unless $six;
	is($to{six}{'both.example'}, 1, 'IPv6 first');
}
my $mail = join '', map { $_->{bytes} } $a->mailbox('ann');
for my $case (['null', '5.1.10', qr/takes no mail/], ['nohost', '5.4.4', qr/gone\.example/], ['nowhere', '5.[14].[24]', qr/nowhere\.example/], ['us', '5.4.6', qr/loop/]) {
	my ($name, $status, $why) = @$case;
	like($mail, qr/Final-Recipient: rfc822; ?bob\@$name\.example\n(?:.*\n)*?Status: $status/, "$name: comes back with $status");
	like($mail, $why, "$name: and why");
}
my @waiting = map { JSON::PP::encode_json($_) } $a->waiting;
is(scalar @waiting, 2, 'trouble with names is no verdict');
for my $name (qw(broken lamemx)) {
	ok((grep { /bob\@$name\.example/ && /4\.4\.3/ } @waiting), "$name: later") or diag(@waiting);
}

# Once it has failed, the second is taken at once.
my $connections = $cold->sessions;
cmp_ok($connections, '<=', 2, 'who is unwilling is not asked for each message');

my $conf = Hosts::slurp($a->conf);
$conf =~ s/connect = 5s/connect = 5s ipv6 = false/;
Hosts::spew($a->conf, $conf);
$a->mail('bob@both.example', $text);
deliver($a);
is(scalar(grep { $_ eq 'bob@both.example' } map { @{$_->{to}} } $two->taken), $six ? 1 : 2, 'without IPv6 by IPv4');

# The same domains, once the names are right again.
$dns->stop;
$dns = Dns->new('broken.example' => {a => ['127.0.0.1']}, 'lamemx.example' => {mx => [[10, 'broken.example']]});
$conf =~ s/nameservers = "[^"]*"/sprintf 'nameservers = "%s"', $dns->address/e;
Hosts::spew($a->conf, $conf);
deliver($a, {env => {PACKETBOAT_CLOCK_OFFSET => 7200}});
is(scalar $a->waiting, 0, 'it goes when the names are right again');

$net->done;
