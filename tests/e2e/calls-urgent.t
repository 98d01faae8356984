# Urgent mail goes between two chunks of bulk, and bulk goes on beside urgent mail: on a line of RATE bit/s (80000); RATE=2400 takes
# some five minutes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use List::Util qw(sum0);
use Tap;
use Test::More;
use Time::HiRes qw(sleep time);

my $rate = $ENV{RATE} || 80_000;
# So much of bulk mail that the line is busy for as long as urgent mail may take.
my $bulk = $rate / 8 * ($rate < 10_000 ? 130 : 15);
$Hosts::deadline = 900;

sub hand_in {
	my ($host, $class, $subject, $octets) = @_;
	my $result = $host->sendmail(text($subject, noise($octets, $subject)), "--class=$class", '-i', '-f', 'ann@a.example', '--', 'bob@b.example');
	is($result->{code}, 0, "$class mail is taken");
}

# Runs MEANWHILE while A calls B over the line; gives what was seen of batches, in order.
sub in_a_call {
	my ($a, $b, $port, $meanwhile) = @_;
	my $tap = Tap->new($port);
	my $line = Link->new(to => '127.0.0.1:' . $tap->port, rate => $rate, delay => 300);

	calls_at($a, 'tcp:' . $line->address);
	my $pid = fork // die;
	if ($pid == 0) {
		my $code = call($a)->{code};
		POSIX::_exit($code);
	}
	$meanwhile->($tap);
	waitpid $pid, 0;
	is($?, 0, 'the call ends well');
	my ($all, $once) = $tap->batches('forth');
	is($all, $once, 'no octet of a batch went twice');
	return $tap->pieces('forth');
}

sub amount { return sum0 map { $_->{to} - $_->{from} } @_ }

sub waits {
	my ($seconds, $that) = @_;
	my $begun = time;

	sleep 0.02 while !$that->() && time < $begun + $seconds;
	return time - $begun;
}

my $net = Hosts->new;
my $more = "\tseal = false\n";
my ($a, $b) = pair($net, undef, more => $more, more_b => $more);
my ($daemon, $port) = listens($b);

subtest 'an urgent message while bulk moves' => sub {
	hand_in($a, 'bulk', 'bulk', $bulk);
	my $seconds;
	my $rest;
	my @pieces = in_a_call($a, $b, $port, sub {
		my ($tap) = @_;

		# In the midst of it, when the call knows the line.
		waits(60, sub { $tap->octets > $bulk / 10 });
		hand_in($a, 'urgent', 'urgent', 900);
		$seconds = waits(200, sub { subjects($b, 'bob') =~ /urgent/ });
		$rest = $bulk - $tap->octets;
	});
	note(sprintf 'urgent mail took %.1f s at %d bit/s, with %d octets of bulk to come', $seconds, $rate, $rest);
	cmp_ok($seconds, '<', 60, 'is there within a minute');
	cmp_ok($rest, '>', 0, 'and before bulk');
	my @urgent = grep { $pieces[$_]{class} == 0 } 0 .. $#pieces;
	cmp_ok(scalar(@urgent), '>', 0, 'urgent pieces were seen');
	cmp_ok($urgent[-1], '<', $#pieces, 'bulk goes on after it');
	arrives($b, 'bob', 'bulk urgent', 'both are there, once');
};

# Chunks are of 64 kB here, and one in 17 is to be bulk's.
subtest 'bulk while urgent mail goes' => sub {
	$rate = 16_000_000;
	hand_in($a, 'bulk', 'more', 1_000_000);
	hand_in($a, 'urgent', "u$_", 1_000_000) for 1 .. 4;
	my @pieces = in_a_call($a, $b, $port, sub {});
	my ($first, $last) = (grep { $pieces[$_]{class} == 0 } 0 .. $#pieces)[0, -1];
	my @while = @pieces[$first .. $last];
	my ($urgent, $other) = (amount(grep { $_->{class} == 0 } @while), amount(grep { $_->{class} != 0 } @while));
	note("$other octets of bulk beside $urgent urgent ones");
	cmp_ok($urgent, '>', 10 * $other, 'urgent mail gets most of the line');
	cmp_ok($other, '>', $urgent / 40, 'bulk some of it');
	arrives($b, 'bob', 'bulk more u1 u2 u3 u4 urgent', 'all is there, once');
};

$daemon->done;
$net->fsck;
done_testing;
