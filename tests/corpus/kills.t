# The corpus is carried while relay passes on all three hosts are killed with SIGKILL at random moments, KILLS (200)
# times; afterwards everything is delivered exactly once and `fsck` is content.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Carry;
use Hosts;
use Test::More;
use Time::HiRes qw(time);

my @files = Carry::messages();
my $kills = $ENV{KILLS} || 200;
my $seed = $ENV{SEED} || int(time * 1000) % 1_000_000;
srand $seed;
diag("SEED=$seed KILLS=$kills");

my $net = Hosts->new(disk => 1);
my ($a, $b, $c) = my @hosts = $net->three(more => "\tresend = \"1s\"\n");
my (%known, %refused, %usual);
my $number = 0;
my $killed = 0;
my $each = 1 + int(@files / $kills);

# Until all is handed in and all kills are done: some mail, then a pass somewhere that is killed at a moment between its
# start and the time that an undisturbed pass there took last.
for my $attempt (1 .. 20 * $kills) {
	for (1 .. $each) {
		Carry::hand_in($a, ++$number, shift @files, \%known, \%refused) if @files;
	}
	last if $killed >= $kills && !@files;
	my $host = $hosts[rand @hosts];
	my $begun = time;
	if ($killed < $kills && defined $usual{$host}) {
		my $pass = $host->pass({kill_after => rand($usual{$host})});
		$killed++ if $pass->{late};
		next if $pass->{late};
	} else {
		$host->pass;
	}
	$usual{$host} = time - $begun;
}
is($killed, $kills, "$kills passes were killed");
is(scalar(@files), 0, "all $number messages were handed in");
Carry::judge_refused(\%refused);
for my $round (1 .. 10) {
	sleep 2 if $round > 1;
	$net->passes(@hosts, 1);
	last if $round > 2 && !grep { $_->packetboat('list')->{out} ne '' } @hosts;
}
Carry::judge_arrived($c, \%known);
is(scalar($_->waiting), 0, 'nothing waits at ' . $_->name) for @hosts;
$net->done;
