#!/usr/bin/perl
# packetboat-fetch is killed, or meets a full disk, at every change that it makes: each message comes exactly once, and so does the
# notice about the one that is too large. With UIDs and without.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fetch;
use Hosts;
use Pop;
use Sweep;
use Test::More;

# Forty share two commits, the last is too large.
my @texts = ((map { message("m$_") } 1 .. 40), message('large', "lines and lines\n" x 2000));
my @wanted = ('Too large to be fetched:', map { "m$_" } 1 .. 40);

sub sweep {
	my ($kind, @options) = @_;
	my $net = Hosts->new;
	my $a = $net->host('a');
	my $pop = Pop->new(messages => \@texts, @options);
	my $name = @options ? 'without UIDs' : 'with UIDs';
	my $kept = "$net->{dir}.kept";

	$a->user('bob');
	box($a, 'provider', $pop->address, 'to = "bob"', 'max-size = "10k"');
	Hosts::copy_tree($net->{dir}, $kept);
	my $restore = sub {
		Hosts::copy_tree($kept, $net->{dir});
		$pop->reset;
	};
	my $run = sub { fetch($a, {env => {PACKETBOAT_FAULT => $_[0]}}) };
	my $last = Sweep::changes($restore, $run);
	cmp_ok($last, '>', 100, "a run $name makes $last changes");
	for my $at (Sweep::positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		my $struck = $run->($fault);
		# What is here is delivered before the box is looked at again.
		my @before = subjects($a, 'bob');
		my $second = fetch($a);
		my @found = subjects($a, 'bob');
		my @bad = once_each(\@wanted, @found);
		my @left = $pop->names;
		my $fsck = $a->packetboat('fsck');
		next if ok(!@bad && "@left" eq 'm000041' && $second->{code} == 0 && $fsck->{code} == 0,
			"$name, $fault: " . @before . ' at once, ' . @found . ' in the end');
		diag("not exactly once: @bad; left: @left", $struck->{err}, $second->{err}, $fsck->{out});
		last;
	}
	system('rm', '-rf', $kept);
}

$Sweep::sample = 10 unless $ENV{SAMPLE};
$Sweep::stride = 4;
sweep($_) for 'kill:%d', 'fail:%d:28';
sweep($_, uids => undef) for 'kill:%d', 'fail:%d:28';
done_testing;
