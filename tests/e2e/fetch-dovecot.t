#!/usr/bin/perl
# packetboat-fetch from a real server (Dovecot): TLS and its certificates, a login that fails beside others that go on, and 500
# messages over a connection that is cut a hundred times.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Dovecot;
use Hosts;
use Fetch;
use IO::Select;
use IO::Socket::IP;
use POSIX ();

my $cuts = $ENV{SAN} ? 30 : 100;
my $count = $ENV{SAN} ? 150 : 500;

my $dovecot = Dovecot->new(users => {ann => 'secret', bea => 'other', cut => 'secret', late => 'secret', big => 'secret'},
	config => "mail_max_userip_connections = 0\n");
my $net = Hosts->new;
my $a = $net->host('a');
$a->user($_) for qw(ann bob cut);
my $conf = Hosts::slurp($a->conf);
my $plain = 'localhost:' . $dovecot->port;
my $implicit = 'localhost:' . $dovecot->tls_port;
my $trust = sprintf 'authorities = "%s"', $dovecot->authorities;
my $number = 0;

# One message by SERVER with OPTIONS: the run.
sub one_by {
	my ($server, @options) = @_;
	Hosts::spew($a->conf, $conf);
	$dovecot->deliver('ann', message('number-' . ++$number));
	box($a, 'provider', $server, 'to = "bob"', @options);
	return fetch($a);
}

sub came {
	my ($run, $name) = @_;
	is($run->{code}, 0, $name) or diag($run->{err}, $dovecot->log_text);
	ok(scalar(grep { $_ eq "number-$number" } subjects($a, 'bob')), "$name: it is here");
	is(scalar(my @left = $dovecot->mails('ann')), 0, "$name: and gone there");
}

sub stayed {
	my ($run, $why, $name) = @_;
	is($run->{code}, 75, $name) or diag($run->{err});
	like($run->{err}, $why, "$name: told why");
	cmp_ok(scalar(my @left = $dovecot->mails('ann')), '>', 0, "$name: nothing is deleted");
}

# ---- TLS --------------------------------------------------------------------------------------------------------

came(one_by($plain, 'tls = "none"'), 'in clear');
came(one_by($plain), 'within this machine TLS is taken as it is offered');
like($dovecot->log_text, qr/user=<ann>.*TLS/, 'and was taken');
came(one_by($plain, 'tls = "required"'), 'STLS, whatever the certificate');
came(one_by($plain, 'tls = "verified"', $trust), 'STLS with a certificate that is believed');
came(one_by($implicit, 'tls = "implicit"', $trust), 'TLS from the first octet');
came(one_by('[127.0.0.2]:' . $dovecot->tls_port, 'tls = "implicit"', $trust), 'an address in brackets, for which the certificate is');
stayed(one_by($plain, 'tls = "verified"'), qr/certificate/i, 'STLS with a certificate that is not');
stayed(one_by($implicit, 'tls = "implicit"'), qr/certificate/i, 'TLS from the first octet likewise');
stayed(one_by($implicit =~ s/localhost/127.0.0.1/r, 'tls = "implicit"', $trust), qr/mismatch/, 'and with one for another name');
one_by($plain, 'tls = "none"');

# ---- a login that fails, and others ---------------------------------------------------------------------------------

$dovecot->deliver('ann', message('after-all'));
$dovecot->deliver('bea', message('kept'));
Hosts::spew($a->conf, $conf);
box($a, 'bea', $plain, 'to = "bob"', 'user = "bea"');
box($a, 'ann', $plain, 'to = "bob"');
my $run = fetch($a);
is($run->{code}, 75, 'a password that is wrong');
like($run->{err}, qr/^packetboat-fetch: bea: .*\n\z/, 'is told of, and nothing else');
ok(scalar(grep { $_ eq 'after-all' } subjects($a, 'bob')), 'the other box is emptied');
is(scalar(my @kept = $dovecot->mails('bea')), 1, 'hers is not');

# ---- leave-on-server and the size limit -------------------------------------------------------------------------------

Hosts::spew($a->conf, $conf);
$dovecot->deliver('late', message("late-$_")) for 1 .. 3;
$dovecot->deliver('big', message('big', 'x' x 60 . "\n" . "many lines\n" x 10000));
$dovecot->deliver('big', message('small'));
box($a, 'late', $plain, 'to = "bob"', 'user = "late"', 'leave-on-server = "1d"');
box($a, 'big', $plain, 'to = "bob"', 'user = "big"', 'max-size = "10k"');
for (1 .. 2) {
	my $run = fetch($a);
	is($run->{code}, 0, 'mail is left there') or diag($run->{err});
}
my @found = grep { !/^number|^after/ } subjects($a, 'bob');
is_deeply(\@found, ['Too large to be fetched:', 'late-1', 'late-2', 'late-3', 'small'], 'each is here once, and one notice');
is(scalar(my @late = $dovecot->mails('late')), 3, 'what is to be left is there');
is(scalar(my @big = $dovecot->mails('big')), 1, 'and what is too large');
fetch($a, {env => {PACKETBOAT_CLOCK_OFFSET => $_ * 86400}}) for 40, 41;
is(scalar(my @gone = $dovecot->mails('late')), 0, 'a day later it goes');

# ---- cuts -----------------------------------------------------------------------------------------------------------------

# A line between them that is cut after so many octets of both directions, as the file says; no file: never.
my $limit = "$net->{dir}/limit";
my $line = IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 10) or die "$!\n";
my $between = fork // die;
if ($between == 0) {
	$SIG{CHLD} = 'IGNORE';
	while (my $near = $line->accept) {
		next if fork;
		my $left = Hosts::slurp($limit);
		my $far = IO::Socket::IP->new(PeerAddr => '127.0.0.1', PeerPort => $dovecot->port) or POSIX::_exit(1);
		my $both = IO::Select->new($near, $far);
		ALL: while (1) {
			for my $from ($both->can_read) {
				my $want = defined $left && $left < 4096 ? $left : 4096;
				my $got = $want ? sysread $from, my $bytes, $want : 0;
				last ALL unless $got;
				syswrite $from == $near ? $far : $near, $bytes;
				$left -= $got if defined $left;
			}
		}
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

srand($ENV{SEED} // 4);
my @wanted = map { "cut-$_" } 1 .. $count;
$dovecot->deliver('cut', message($_, join '', map { sprintf "%d lines of text, some %s\n", $_, rand } 1 .. 20 + rand 200)) for @wanted;
Hosts::spew($a->conf, $conf);
box($a, 'cut', '127.0.0.1:' . $line->sockport, 'to = "cut"', 'user = "cut"', 'tls = "none"');
my ($cut, $runs) = (0, 0);
while ($cut < $cuts && $runs++ < 3 * $cuts && $dovecot->mails('cut')) {
	Hosts::spew($limit, 1 + int rand 120 * $count);
	my $run = fetch($a);
	$cut++ if $run->{code} == 75 && $run->{err} =~ /closed|reset/;
	$a->pass if $cut % 10 == 0; # what is here is delivered meanwhile
}
unlink $limit;
is($cut, $cuts, "the connection was cut $cuts times");
$run = fetch($a);
is($run->{code}, 0, 'then it stands') or diag($run->{err});
is_deeply([once_each(\@wanted, subjects($a, 'cut'))], [], "$count messages, each exactly once");
is(scalar(my @rest = $dovecot->mails('cut')), 0, 'and none is left there');
my @again = grep { /^fetch-cut fetched .*again=/ } split /\n/, $a->log_text;
is_deeply(\@again, [], 'none was received twice');
kill 'KILL', $between;
waitpid $between, 0;
$net->done;
