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
	sleep 0.3 while syswrite $peer, 'x';
	POSIX::_exit(0);
}

subtest 'a POP3 server' => sub {
	my $slow = Pop->new(messages => [message('never')], say => {LIST => sub { my ($s) = @_; Pop::put($s, "+OK\r\n"); drip($s->{peer}) }});
	my $good = Pop->new(messages => [message('here')]);
	box($a, 'slow', $slow->address, 'to = "bob"', 'timeout = "1s"');
	box($a, 'good', $good->address, 'to = "bob"');
	my $begun = time;
	my $run = fetch($a);
	is($run->{code}, 75, 'the run ends');
	cmp_ok(time - $begun, '>=', 10, '... not before its time');
	like($run->{err}, qr/^packetboat-fetch: slow: .*is too slow: \d+ octets in 1\d seconds/m, '... and says why');
	like(Hosts::slurp($a->spool('log')), qr/^fetch-slow trouble .*too slow/m, '... the log too');
	is_deeply([subjects($a, 'bob')], ['here'], 'the other box is emptied');
};

subtest 'a mail server' => sub {
	my $slow = Sink->new(say => {MAIL => sub { my ($s) = @_; drip($s->{peer}) }});
	my $good = Sink->new;
	$a->configure(sprintf qq{smtp { poll = 1s timeout = 1s }\nretry-min = 60s\nroute "slow.example" { via = "smtp:%s" }\nroute "good.example" { via = "smtp:%s" }\n}, $slow->address, $good->address);
	$a->mail("bob\@$_.example", "Subject: x\n\nhello\n") for qw(slow good);
	my $courier = Courier->start($a);
	ok($good->wait(1), 'the other is served');
	ok(eventually { $a->packetboat('list')->{out} =~ /too slow/ } 'it is given up, and the operator sees why') or diag($a->packetboat('list')->{out});
	$courier->stop;
};

$net->done;
