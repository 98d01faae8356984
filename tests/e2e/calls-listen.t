# `packetboat-relay listen`: more places than there is room for, and its end in the midst of calls.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use Test::More;
use Time::HiRes qw(sleep time);

my $relay = Hosts::program('packetboat-relay');

subtest 'more places than there is room for' => sub {
	my $net = Hosts->new;
	my $host = $net->host('b');
	my @listen = ($relay, '-c', $host->conf, 'listen', '--foreground');
	my $conf = Hosts::slurp($host->conf);

	for (['a path', map { $net->dir . "/socket$_" } 1 .. 40], ['an address', ('127.0.0.1:0') x 33]) {
		my ($what, @places) = @$_;
		Hosts::spew($host->conf, $conf . sprintf "relay {\n\tlisten = { %s }\n}\n", join ', ', map { qq{"$_"} } @places);
		my $result = $host->run({kill_after => 20}, @listen);
		is($result->{code}, 78, "$what too many is a mistake");
		like($result->{err}, qr{cannot listen at \Q$places[32]\E: too many places}, 'which is told');
	}
	Hosts::spew($host->conf, $conf);
	my $script = q{use POSIX (); POSIX::dup2(0, $_) for 3 .. 35;
		$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 33; exec @ARGV;};
	my $result = $host->run({kill_after => 20}, $^X, '-e', $script, @listen);
	is($result->{code}, 78, 'a socket too many of systemd, too');
	like($result->{err}, qr{systemd hands over 33 sockets; at most 32}, 'is told');
	$net->done;
};

subtest 'nothing at the path of the spool' => sub {
	my $net = Hosts->new;
	my $host = $net->host('b');
	my $conf = Hosts::slurp($host->conf);

	Hosts::spew($host->conf, $conf . "relay {\n\tlisten = { \"127.0.0.1:0\" }\n}\nspool = \"elsewhere\"\n");
	my $result = $host->run({kill_after => 20}, $relay, '-c', $host->conf, 'listen', '--foreground');
	is($result->{code}, 78, 'is a mistake');
	like($result->{err}, qr{there is no spool at \S+/elsewhere \(is the path right, and its disk mounted\?}, 'of which the path may be wrong');
	Hosts::spew($host->conf, $conf);
	$net->done;
};

subtest 'a log that is rotated while nobody calls' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, undef);
	my ($daemon) = listens($b);
	my $log = $b->spool('log');
	my $until = time + 20;

	rename $log, "$log.1" or die;
	sleep 0.1 while !-e $log && time < $until;
	ok(-e $log, 'is begun anew within seconds');
	$daemon->stop('INT');
	like(Hosts::slurp($log), qr/^relay ended \S+ reason="signal SIGINT"$/m, 'in which its end is told');
	$net->done;
};

# A begins a call over a line that needs a minute for it; gives its process once some of it has gone.
sub long_call {
	my ($a, $b, $line) = @_;
	my $pid = fork // die;

	if ($pid == 0) {
		open STDERR, '>', '/dev/null';
		exec $relay, '-c', $a->conf, 'call', 'b';
	}
	my $until = time + 30;
	my $partly = sub { grep { /\.part$/ && -s } map { Hosts::files($_->spool('in')) } $a, $b };
	sleep 0.01 while !$partly->() && time < $until;
	ok(scalar($partly->()), 'some of a batch has come');
	return $pid;
}

for my $to (qw(a b)) {
	subtest "its end in a call that brings mail to $to" => sub {
		my $net = Hosts->new;
		my ($a, $b) = pair($net, undef);
		my ($daemon, $port) = listens($b);
		my $line = Link->new(to => "127.0.0.1:$port", rate => 400_000);
		my ($from, $user) = $to eq 'b' ? ($a, 'bob') : ($b, 'ann');

		calls_at($a, 'tcp:' . $line->address);
		$from->sendmail(text('long', noise(3_000_000)), '-i', '-f', 'x@' . $from->name . '.example', '--', "$user\@$to.example");
		my $pid = long_call($a, $b);
		my $begun = time;
		is($daemon->stop, 0, 'a signal ends the listener');
		cmp_ok(time - $begun, '<', 20, 'and the call');
		waitpid $pid, 0;
		my ($call) = calls_logged($b, 'answered');
		like($call->{reason}, qr/ended by a signal/, 'which is told');
		($daemon, $port) = listens($b);
		calls_at($a, "tcp:127.0.0.1:$port");
		is(call($a)->{code}, 0, 'the next call');
		arrives($to eq 'a' ? $a : $b, $user, 'long', 'brings the rest');
		cmp_ok($call->{received} + $call->{sent} + octets($a), '<', 3_050_000, 'and nothing again');
		$daemon->done;
		$net->fsck;
	};
}

done_testing;
