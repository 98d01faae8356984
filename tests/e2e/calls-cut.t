# A line that is cut at random points, and hosts that are killed in calls: each message once, and hardly an octet twice. CUTS cuts
# (25) and as many kills, in so many times 10 kB of mail; CUTS=500 is 5 MB. SEED chooses the points.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use List::Util qw(max sum0);
use Tap;
use Test::More;
use Time::HiRes qw(sleep time);

my $cuts = $ENV{CUTS} || 25;
my $seed = $ENV{SEED} || 20261128;
my $size = $cuts * 10_000;

note("SEED=$seed CUTS=$cuts");
srand $seed;

# A, b, b's daemon, a line between them, and what is counted at either end of it: octets that have reached the receiver's system.
sub begin {
	my ($net, %line) = @_;
	my $more = "\tbatch-size = 64M\n\tseal = false\n";
	my ($a, $b) = pair($net, undef, more => $more, more_b => $more);
	my ($daemon, $port) = listens($b);

	ok($daemon, 'b listens') or BAIL_OUT('no daemon');
	my $far = Tap->new($port);
	my $line = Link->new(to => '127.0.0.1:' . $far->port, %line);
	my $near = Tap->new($line->port);
	calls_at($a, 'tcp:127.0.0.1:' . $near->port);
	return ($a, $b, $daemon, $line, $far, $near);
}

# So much mail in ten messages; gives its subjects.
sub hand_in {
	my ($from, $to, $octets, $name) = @_;
	my @names = map { "$name$_" } 0 .. 9;

	for (@names) {
		my $result = $from->sendmail(text($_, noise($octets / 10, $_)), '-i', '-f', 'ann@a.example', '--', $to);
		fail("$_ is taken") if $result->{code} != 0;
	}
	return join ' ', @names;
}

# What has reached the systems of its receivers: a sender may have given the line much more.
sub arrived { my ($far, $near) = @_; return $far->octets('forth') + $near->octets('back') }

sub batch_octets { return sum0 map { -s } grep { /\.pb$/ } map { Hosts::files($_->spool('out')) } @_ }

# At most one of a hundred octets of batches came twice, or MOST.
sub hardly_twice {
	my ($batches, $far, $near, $most) = @_;
	my @there = $far->batches('forth');
	my @back = $near->batches('back');

	note("batches of $batches octets; $there[0] there and $back[0] back received; @{[$near->octets]} carried in all");
	is($there[1] + $back[1], $batches, 'all octets of the batches came');
	cmp_ok($there[0] + $back[0], '<=', $batches * ($most // 1.01), 'and next to none twice');
}

# Processes that answer calls.
sub answering { return split ' ', Hosts::slurp("/proc/@{[$_[0]->pid]}/task/@{[$_[0]->pid]}/children") // '' }

sub rests {
	my ($daemon) = @_;
	my $until = time + 60;

	sleep 0.005 while answering($daemon) && time < $until;
}

subtest 'a line that is cut' => sub {
	my $net = Hosts->new;
	# 0.7: so that the last of it goes in a call that is not cut.
	my ($a, $b, $daemon, $line, $far, $near) = begin($net, cut_random => "$seed," . int($size / $cuts * 0.7));
	my $there = hand_in($a, 'bob@b.example', $size * 0.8, 'there');
	my $back = hand_in($b, 'ann@a.example', $size * 0.2, 'back');
	my $done = 0;
	my $batches = 0;

	for my $number (1 .. $cuts) {
		$done++ if call($a)->{code} == 0;
		ended($b, 'answered', $number) or last;
		$batches = max($batches, batch_octets($a, $b));
	}
	is($done, 0, "$cuts calls are cut");
	is(scalar($line->reports), $cuts, 'by the line');
	$line->stop;
	my $whole = Link->new(to => '127.0.0.1:' . $far->port, listen => $line->address);
	is(call($a)->{code}, 0, 'a call over a line that is whole');
	arrives($b, 'bob', $there, 'each message once there');
	arrives($a, 'ann', $back, 'each message once back');
	ended($b, 'answered', $cuts + 1);
	hardly_twice($batches, $far, $near);
	$daemon->done;
	$net->fsck;
};

subtest 'a side that is killed' => sub {
	my $net = Hosts->new;
	my ($a, $b, $daemon, $line, $far, $near) = begin($net, rate => 400_000);
	my $done = 0;

	my $there = hand_in($a, 'bob@b.example', $size * 0.8, 'there');
	my $back = hand_in($b, 'ann@a.example', $size * 0.2, 'back');
	my $batches = 0;
	for my $number (1 .. $cuts) {
		my $caller = $number % 2;
		# One in five at any time, the others when so many octets more have come.
		my $at = $number % 5 == 0 ? undef : arrived($far, $near) + rand $size / $cuts;
		my $pause = rand 0.05;
		my $pid = fork // die;
		if ($pid == 0) {
			open STDERR, '>', '/dev/null';
			exec Hosts::program('packetboat-relay'), '-c', $a->conf, 'call', 'b';
		}
		my $begun = time;
		my $over;
		while (time < $begun + 20 && !($over = waitpid $pid, POSIX::WNOHANG())) {
			# Nobody can be killed who has not begun.
			last if defined $at ? arrived($far, $near) >= $at : time > $begun + $pause && ($caller || answering($daemon));
			sleep 0.001;
		}
		# Not at the very moment at which octets come.
		sleep rand 0.01;
		kill 'KILL', $caller ? ($over ? () : $pid) : answering($daemon);
		waitpid $pid, 0 if !$over;
		$done++ if $? == 0;
		# What the system still had of a caller's is not to come after all.
		$line->stop;
		$line = Link->new(to => '127.0.0.1:' . $far->port, listen => $line->address, rate => 400_000);
		rests($daemon);
		$batches = max($batches, batch_octets($a, $b));
	}
	cmp_ok($done, '<', $cuts / 3, "$cuts calls in which a side is killed, but for $done");
	is(call($a)->{code}, 0, 'a call of which nobody is killed');
	arrives($b, 'bob', $there, 'each message once there');
	arrives($a, 'ann', $back, 'each message once back');
	# What the system had for a receiver that is killed is lost to it; where there is little mail chance may make that more.
	hardly_twice($batches, $far, $near, $cuts < 100 ? 1.1 : 1.01);
	$daemon->done;
	$net->fsck;
};

done_testing;
