# Servers that are never silent and never done: after ten timeouts they are given up, the operator is told, and what is behind them
# goes on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Courier;
use Fetch;
use Hosts;
use Pop;
use Sink;
use Test::More;
use Time::HiRes qw(sleep time);

my $net = Hosts->new;
my $a = $net->host('a');
$a->user('bob');

# An octet now and then until the peer has had enough.
sub drip {
	my ($peer) = @_;

	$SIG{PIPE} = 'IGNORE';
	sleep 0.7 while syswrite $peer, 'x';
	POSIX::_exit(0);
}

# The mail servers have their time while the boxes are emptied.
my %sinks = (
	drips => Sink->new(say => {MAIL => sub { my ($s) = @_; drip($s->{peer}) }}),
	patient => Sink->new(offers => ['8BITMIME'], say => {RCPT => {after => 1.3, say => '250 ok'}}),
	good => Sink->new,
);
$a->configure("smtp { poll = 1s timeout = 2s }\nretry-min = 60s\n" . join '', map { sprintf qq{route "$_.example" { via = "smtp:%s" }\n}, $sinks{$_}->address } sort keys %sinks);
my $text = "Subject: x\n\nhello\n";
$a->mail("bob\@$_.example", $text) for qw(drips good);
is($a->run({in => $text}, Hosts::program('packetboat-sendmail'), '-c', $a->conf, '-f', 'bob@a.example', map { "u$_\@patient.example" } 1 .. 18)->{code}, 0, 'mail to many');
my $courier = Courier->start($a);

subtest 'a POP3 server' => sub {
	my $text = message('steadily', "a line of the text\n" x 16);
	my $slow = Pop->new(messages => [message('never')], say => {LIST => sub { my ($s) = @_; Pop::put($s, "+OK\r\n"); drip($s->{peer}) }});
	# As over a line of 300 bit/s that others use, too.
	my $steady = Pop->new(messages => [$text], say => {RETR => sub {
		my ($s) = @_;
		my $answer = "+OK\r\n" . $text =~ s/\n/\r\n/gr . ".\r\n";
		while (length $answer) { Pop::put($s, substr $answer, 0, 6, ''); sleep 0.4 }
		return 'drop';
	}});
	my $good = Pop->new(messages => [message('here')]);
	box($a, 'slow', $slow->address, 'to = "bob"', 'timeout = "2s"');
	box($a, 'steady', $steady->address, 'to = "bob"', 'timeout = "2s"');
	box($a, 'good', $good->address, 'to = "bob"');
	my $begun = time;
	my $run = fetch($a);
	is($run->{code}, 75, 'the run ends');
	cmp_ok(time - $begun, '>=', 20, '... not before its time');
	like($run->{err}, qr/^packetboat-fetch: slow: .*is too slow: \d+ octets in 2\d seconds/m, '... and says why');
	like(Hosts::slurp($a->spool('log')), qr/^fetch-slow trouble .*too slow/m, '... the log too');
	unlike($run->{err}, qr/steady: .*too slow/, 'one that is slow and goes on is not given up');
	is_deeply([subjects($a, 'bob')], ['here', 'steadily'], '... and emptied as the others are');
};

subtest 'mail servers' => sub {
	ok($sinks{good}->wait(1), 'the others are served');
	eventually { scalar $sinks{patient}->taken } 'one that answers each command in its time is not given up';
	eventually { $a->packetboat('list')->{out} =~ /\@drips\.example.*too slow/ } 'one that drips is, and the operator sees why', 60;
	$courier->stop;
};

$net->done;
