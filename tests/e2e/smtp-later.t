#!/usr/bin/perl
# packetboat-smtp and servers that cannot now: refused, silent, slow, dead, dropped amid the text, unlucky with TLS and passwords.
# Nothing is lost, nobody waits for somebody else's server, and the operator sees why.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Sink;
use Time::HiRes qw(time sleep);

my $net = Hosts->new;
my $a = $net->host('a');
my $text = "Subject: x\n\nhello\n";
my %sinks;

$a->user('ann');
$a->configure(qq{smtp { poll = 1s timeout = 20s }\nretry-min = 1s\nretry-max = 1s\n});

sub server {
	my ($name, %options) = @_;
	my $sink = $sinks{$name} = Sink->new(%options);

	$a->configure(sprintf qq{route "%s.example" { via = "smtp:%s" }\n}, $name, $sink->address);
	return $sink;
}

sub reason {
	my ($domain) = @_;
	my $list = $a->packetboat('list', '--json')->{out};
	my ($line) = grep { /\@\Q$domain\E/ } split /\n/, $list;
	return $line // '';
}

# ---- out of reach, or not willing --------------------------------------------------------------------------

my $nowhere = free_port;
$a->configure(qq{route "refused.example" { via = "smtp:127.0.0.1:$nowhere" }\n});
my %cases = (
	busy => [{say => {GREETING => '421 4.3.2 not now'}}, qr/421 .*not now/],
	unwilling => [{say => {GREETING => '554 5.7.1 we do not like you'}}, qr/554 .*do not like you/],
	mute => [{say => {GREETING => 'drop'}}, qr/closed without a greeting/],
	nonsense => [{say => {GREETING => 'hello there'}}, qr/./],
	shut => [{say => {MAIL => '421 4.3.2 shutting down'}}, qr/421 .*shutting down/],
	full => [{say => {DATA => '452 4.3.1 no space'}}, qr/452 .*no space/],
	lost => [{say => {RCPT => 'drop'}}, qr/closed/],
	dot => [{say => {TEXT => 'drop'}}, qr/closed.*may arrive twice/],
	tls => [{offers => ['STARTTLS'], say => {STARTTLS => '454 4.7.0 no certificate'}}, qr/454 .*no certificate/, 'tls = required'],
	notls => [{}, qr/does not offer STARTTLS/, 'tls = required'],
	badtls => [{offers => ['STARTTLS'], say => {STARTTLS => "220 go on\n220 injected"}}, qr/in clear|STARTTLS/, 'tls = required'],
	login => [{offers => ['AUTH PLAIN']}, qr/not sent without TLS/, 'user = "u" password = "password" tls = offered'],
);
Hosts::spew($a->dir . '/password', "secret\n");
chmod 0600, $a->dir . '/password';
for my $name (sort keys %cases) {
	my $sink = server($name, %{$cases{$name}[0]});
	$a->configure(sprintf qq{destination "%s" { %s }\n}, $sink->address, $cases{$name}[2]) if $cases{$name}[2];
	$a->mail("bob\@$name.example", $text);
}
$a->mail('bob@refused.example', $text);
my $begun = time;
my $run = deliver($a);
is($run->{code}, 0, 'all of them at once') or diag($run->{err}, $a->log_text);
cmp_ok(time - $begun, '<', 15 * ($Hosts::sanitized ? 4 : 1), 'and --once ends');
like(reason("$_.example"), $cases{$_}[1], "$_: later, and why") for sort keys %cases;
like(reason('refused.example'), qr/Connection refused/, 'refused: later, and why');
is(scalar $a->waiting, 1 + keys %cases, 'nothing is lost');
is(scalar(grep { $_->taken } values %sinks), 0, 'nothing was taken');
is(scalar $a->mailbox('ann'), 0, 'nobody is told yet');
like($a->log_text, qr/127\.0\.0\.1:$nowhere unreachable .*Connection refused/, 'the log says who is out of reach');
is(scalar($sinks{dot}->messages), 1, 'the text that was cut off is there once');
deliver($a, {env => {PACKETBOAT_CLOCK_OFFSET => 7200}});
is(scalar($sinks{dot}->messages), 2, 'and again');
like($a->packetboat('status')->{out}, qr/smtp/, 'status shows them');
$_->stop for values %sinks;
for my $record ($a->waiting) {
	is($a->packetboat('remove', $record->{id} // $record->{name})->{code}, 0, 'removed');
}
$a->pass;

# ---- slow ones ---------------------------------------------------------------------------------------------

# A listener whose backlog is full, one that never greets, one that takes its time, and one that is quick.
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die;
my @fill = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 8;
$a->configure(sprintf qq{route "full2.example" { via = "smtp:127.0.0.1:%d" }\n}, $full->sockport);
my $silent = server('silent', say => {GREETING => {after => 600}});
my $slow = server('slow', say => {TEXT => {after => 6}});
my $fast = server('fast');
my $daemon = Courier->start($a);
for my $i (1 .. 30) {
	$a->sendmail($text, '-i', '-f', 'ann@a.example', "b$i\@$_.example") for qw(full2 silent slow);
}
eventually { $slow->sessions > 0 && $silent->sessions > 0 } 'the slow ones are at work';
$begun = time;
$a->mail('bob@fast.example', $text);
ok($fast->wait(1, 5), 'the quick one has its mail at once');
diag(sprintf 'the quick one waited %.2f s', time - $begun);
$a->mail('ann@a.example', $text);
eventually { $a->mailbox('ann') == 1 } 'so has a user of this host, without a relay pass', 5;

# What an operator may do to mail that is being delivered.
my $busy;
eventually {
	($busy) = map { $_->{id} // $_->{name} } grep { JSON::PP::encode_json($_) =~ /\@silent/ && JSON::PP::encode_json($_) =~ /deliver|work/i } $a->waiting;
	defined $busy;
} 'list shows what is being delivered' or diag(map { JSON::PP::encode_json($_) . "\n" } ($a->waiting)[0 .. 3]);
if (defined $busy) {
	for my $verb (qw(hold remove)) {
		my $answer = $a->packetboat($verb, $busy);
		isnt($answer->{code}, 0, "$verb: not now");
		like($answer->{err} . $answer->{out}, qr/is being delivered/, 'and why');
	}
}
eventually { $slow->taken >= 1 } 'the slow one takes its time', 20;
$begun = time;
is($daemon->stop, 0, 'it stops when it is told') or diag($daemon->err);
cmp_ok(time - $begun, '<', 15 * ($Hosts::sanitized ? 4 : 1), 'soon');
my $taken = $slow->taken;
is(scalar(grep { JSON::PP::encode_json($_) =~ /\@slow\.example/ } $a->waiting), 30 - $taken, 'what the slow one has not taken waits');
is(scalar(grep { JSON::PP::encode_json($_) =~ /\@silent\.example/ } $a->waiting), 30, 'and all for the silent one');
close $_ for $full, grep { defined } @fill;

$net->done;
