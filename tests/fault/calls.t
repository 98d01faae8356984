#!/usr/bin/perl
# Calls that are killed, or run out of disk, at every change that either side makes to the file system, with parts of batches lying at both
# from a call that was cut: a later call completes, and each message arrives exactly once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use Sweep;
use Test::More;
use Time::HiRes qw(sleep);

my $relay = Hosts::program('packetboat-relay');

sub hand_in {
	my ($host, $to, $subject, $octets) = @_;
	my $result = $host->sendmail(text($subject, noise($octets, $subject)), '-i', '-f', 'ann@a.example', '--', $to);
	is($result->{code}, 0, "$subject is taken");
}

# In place: a host knows a copy of its spool by the inode of spool/state, and begins a new incarnation.
sub restore {
	my ($from, $to) = @_;

	system('find', $to, qw(-depth -mindepth 1), (map { ('!', '-path', "$to/$_") } '?', '?/spool', '?/spool/state'), '-delete') == 0
	    && system('cp', '-a', "$from/.", $to) == 0
	    or die "cannot restore $to\n";
}

# A call of one side's may last longer than the other.
sub rests {
	my ($net) = @_;
	my $dir = $net->dir;

	for (1 .. 1000) {
		return if !grep { (Hosts::slurp($_) // '') =~ /\Q$dir\E/ } grep { !m{/$$/} } glob '/proc/[0-9]*/cmdline';
		sleep 0.01;
	}
	fail('all processes end');
}

# Parts at both sides; more mail that is not packed yet; one small batch that is.
sub prepare {
	my ($net) = @_;
	my ($a, $b) = pair($net, undef, more => "\tbatch-size = 10k\n", more_b => "\tbatch-size = 10k\n");

	hand_in($a, 'bob@b.example', 'large-there', 60_000);
	hand_in($b, 'ann@a.example', 'large-back', 60_000);
	my $line = Link->pipe(to => [$relay, '-c', $b->conf, 'answer'], rate => 4_000_000, cut_after => 60_000);
	calls_at($a, $line->call);
	isnt(call($a)->{code}, 0, 'a call that is cut');
	rests($net);
	for my $host ($a, $b) {
		is(scalar(grep { /\.part$/ } Hosts::files($host->spool('in'))), 1, "there is a part at $host->{name}");
	}
	hand_in($a, 'bob@b.example', 'small-there', 500);
	hand_in($b, 'ann@a.example', 'small-back', 500);
	$_->pass for $b;
	hand_in($b, 'ann@a.example', 'last-back', 15_000);
	return ($a, $b);
}

sub recover {
	my ($net, $a) = @_;

	for my $try (1 .. 5) {
		my $code = call($a)->{code};

		rests($net);
		return 1 if $code == 0 && !$net->waits;
	}
	return 0;
}

sub Hosts::waits { return grep { $_->packetboat('list')->{out} ne '' } @{$_[0]{hosts}} }

sub sweep {
	my ($side, $kind) = @_;
	my $net = Hosts->new;
	my ($a, $b) = prepare($net);
	my $kept = $net->dir . '.kept';
	my $restore = sub { restore($kept, $net->dir) };
	# The fault is only one side's.
	my $clean = 'exec:env -u PACKETBOAT_FAULT ' . $relay . ' -c ' . $b->conf . ' answer';
	my $run = sub {
		my ($fault) = @_;
		my $result;

		if ($side eq 'caller') {
			$result = call($a, {env => {PACKETBOAT_FAULT => $fault}});
		} else {
			calls_at($a, "exec:env PACKETBOAT_FAULT=$fault $relay -c " . $b->conf . ' answer');
			$result = call($a);
			calls_at($a, $clean);
		}
		rests($net);
		# An answerer that was killed has not told of the call; of the one that was cut it has.
		$result->{signal} = calls_logged($b, 'answered') < 2 ? 9 : 0 if $side eq 'answerer';
		return $result;
	};

	calls_at($a, $clean);
	Hosts::copy_tree($net->dir, $kept);
	my $last = Sweep::changes($restore, $run);
	cmp_ok($last, '>', 20, "the $side makes $last changes");
	for my $at (Sweep::positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		my $struck = $run->($fault);
		my $settled = recover($net, $a);
		my ($there, $back) = (subjects($b, 'bob'), subjects($a, 'ann'));
		my @parts = grep { /\.part$/ } map { Hosts::files($_->spool('in')) } $a, $b;
		my @bad = grep { $_->packetboat('fsck')->{code} != 0 } $a, $b;
		next if ok($settled && $there eq 'large-there small-there' && $back eq 'large-back last-back small-back' && !@bad && !@parts,
			"$side, $fault: status $struck->{code}");
		diag("settled: $settled; there: $there; back: $back; parts: @parts");
		diag($struck->{err});
		diag("fsck at $_->{name}: " . $_->packetboat('fsck')->{out}) for @bad;
		diag($_->log_text) for $a, $b;
		last;
	}
	system('rm', '-rf', $kept);
}

$Sweep::sample = 5 unless $ENV{SAMPLE};
for my $side ('caller', 'answerer') {
	sweep($side, $_) for 'kill:%d', 'fail:%d:28';
}
done_testing;
