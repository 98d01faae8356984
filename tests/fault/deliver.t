# A program that delivers to live servers (tests/support/deliver.c stands for it), killed, or out of disk, at every change
# it makes to the file system: nothing is lost, and nothing is handed to a server twice but what it had in hand.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Sweep;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
my $b = $net->host('b');
my $server = "$net->{dir}/server";
my $kept = "$net->{dir}.kept";
my @recipients = ('good@far.example', 'bad@far.example', 'full@far.example', 'good@near.example');

$net->neighbours($a, $b, relay => 1);
$a->configure(qq{route "b.example" { via = "neighbour:b" }\nroute "*" { via = "smtp" }\n});
$b->configure(qq{route "*" { via = "neighbour:a" }\n});
$a->user('ann');
$b->user('bob');
for my $i (1 .. 2) {
	is($a->sendmail(Sweep::text("m$i"), '-i', '-f', 'ann@a.example', '--', @recipients)->{code}, 0, 'handed in');
	is($b->sendmail(Sweep::text("n$i"), '-i', '-f', 'bob@b.example', '--', @recipients)->{code}, 0, '... and at b');
}
$net->passes($b, $a, 1);

sub deliver {
	my ($fault) = @_;
	my $options = defined $fault ? {env => {PACKETBOAT_FAULT => $fault}} : {};
	return $a->run($options, Hosts::support('deliver'), $a->conf, 'smtp', $server);
}

# How often each recipient of each message reached the server.
sub served {
	my %count;
	$count{$_}++ for split /\n/, Hosts::slurp($server) // '';
	return %count;
}

# Hours pass, so that everything put off becomes due.
sub recover {
	for my $round (1 .. 3) {
		$a->{env}{PACKETBOAT_CLOCK_OFFSET} = $round * 7200;
		$net->passes($b, $a, 1);
		my $result = deliver();
		diag($result->{err}) if $result->{code} != 0;
	}
	$net->passes($a, $b, 2);
	delete $a->{env}{PACKETBOAT_CLOCK_OFFSET};
}

sub sweep {
	my ($kind, $twice) = @_;
	my $restore = sub { Hosts::copy_tree($kept, $net->{dir}) };
	my $last = Sweep::changes($restore, sub { deliver($_[0]) });

	cmp_ok($last, '>', 30, "delivering makes $last changes");
	for my $at (Sweep::positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		deliver($fault);
		recover();
		my %served = served();
		my @often = grep { $served{$_} > 1 } keys %served;
		my @reports = grep { $_->{head} =~ /^Return-Path: <>$/m } $a->mailbox('ann'), $b->mailbox('bob');
		my @wrong = grep { $_->packetboat('fsck')->{code} != 0 } $a, $b;
		my @waits = map { $_->packetboat('list')->{out} } $a, $b;
		next if ok(keys %served == 12 && @often <= $twice && @reports == 4 && !@wrong && "@waits" =~ /^\s*$/, "deliver, $fault");
		diag(scalar(keys %served) . ' reached the server, more than once ' . scalar(@often) . ', reports ' . scalar(@reports));
		diag("still waits: @waits");
		diag("fsck at $_->{name}: " . $_->packetboat('fsck')->{out}) for @wrong;
		last;
	}
}

Hosts::copy_tree($net->{dir}, $kept);
sweep('kill:%d', 4 * 2);
sweep('fail:%d:28', 0);
done_testing;
