# Sweep: stops a program at the N-th change it makes to the file system (PACKETBOAT_FAULT, see lib/file.h), lets
# everything recover and looks whether each message arrived exactly once. A sample of the positions in `make check`;
# FULL=1 visits one of three (or of so many as the test says), by chance which; FULL=2 every one. FROM=N begins at N.
package Sweep;

use strict;
use warnings;
use Hosts;
use Test::More;
use Time::HiRes qw(sleep);

our $sample = $ENV{SAMPLE} || 16;
our $stride = 3;

sub text {
	my ($subject) = @_;
	return "From: someone\@a.example\nSubject: $subject\nDate: Mon, 23 Nov 2026 02:51:19 +0000\n"
	    . "Message-ID: <$subject\@x.example>\n\nThis is $subject.\n" . ("It has some lines.\n" x 20);
}

sub hand_in {
	my ($host, $subject, @recipients) = @_;
	my $result = $host->sendmail(text($subject), '-i', '-f', "$subject\@$host->{domain}", '--', @recipients);
	is($result->{code}, 0, "$host->{name} takes $subject") or diag($result->{err});
}

# Three hosts that all have something to do: at A a batch, an acknowledgement and new mail; at C the same and an unknown
# recipient, of whom a report is made; at B, after passes of the two, batches from both sides.
sub prepare {
	my ($net, $stage) = @_;
	my ($a, $b, $c) = $net->three(more => "\tresend = \"1s\"\n");

	# The senders have mailboxes too: reports go there.
	$a->user($_) for qw(m1 m3);
	$c->user($_) for qw(m2 m4);
	hand_in($a, 'm1', 'carol@c.example', 'bob@b.example', 'nobody@c.example');
	hand_in($c, 'm2', 'ann@a.example');
	$net->passes($a, $c, $b, 1);
	hand_in($a, 'm3', 'carol@c.example');
	hand_in($c, 'm4', 'ann@a.example', 'bob@b.example');
	$net->passes($a, $c, 1) if $stage eq 'b';
	return ($a, $b, $c);
}

our @expected = ('a/ann/m2', 'a/ann/m4', 'a/m1/report', 'b/bob/m1', 'b/bob/m4', 'c/carol/m1', 'c/carol/m3');

# "host/user/subject" of every message in every mailbox.
sub delivered {
	my @found;
	for my $host (@_) {
		for my $user (Hosts::names($host->spool('mail'))) {
			for my $mail ($host->mailbox($user)) {
				my ($from) = $mail->{head} =~ /^Return-Path: <(.*)>$/m;
				my ($subject) = $mail->{head} =~ /^Subject: (.*)$/m;
				push @found, "$host->{name}/$user/" . (($from // '?') eq '' ? 'report' : $subject // '?');
			}
		}
	}
	return sort @found;
}

sub idle {
	for my $host (@_) {
		return 0 if $host->packetboat('list')->{out} ne '';
	}
	return 1;
}

# Passes until nothing waits; true when that point was reached.
sub recover {
	my @hosts = @_;
	for my $round (1 .. 8) {
		sleep 1.1 if $round > 3; # by now only what is sent again can move
		$_->pass for @hosts;
		return 1 if $round >= 3 && idle(@hosts);
	}
	return 0;
}

# The positions to visit: 1 .. $last, all or a sample that always has the first and the last.
sub positions {
	my ($last) = @_;
	my $every = ($ENV{FULL} // 0) eq '1' ? $stride : 1;
	my $rest = int rand $every;
	return grep { $_ % $every == $rest || $_ == $last } ($ENV{FROM} || 1) .. $last if $ENV{FULL};
	my %chosen = (1 => 1, $last => 1);
	my $step = $last / $sample;
	$chosen{1 + int(($_ + rand) * $step)} = 1 for 0 .. $sample - 1;
	return sort { $a <=> $b } grep { $_ <= $last } keys %chosen;
}

# The number of changes that a run of $run makes from the state kept in $kept.
sub changes {
	my ($restore, $run) = @_;
	my $struck = sub {
		$restore->();
		return $run->("kill:$_[0]")->{signal} == 9;
	};
	my ($low, $high) = (0, 64);

	($low, $high) = ($high, $high * 2) while $high < 100000 && $struck->($high);
	while ($high - $low > 1) {
		my $middle = int(($low + $high) / 2);
		if ($struck->($middle)) {
			$low = $middle;
		} else {
			$high = $middle;
		}
	}
	return $low;
}

# Sweeps relay passes at host $victim (a, b or c) with faults of $kind: "kill:%d" or "fail:%d:28".
sub relay {
	my ($victim, $kind) = @_;
	my $net = Hosts->new;
	my @hosts = prepare($net, $victim);
	my ($host) = grep { $_->name eq $victim } @hosts;
	my $kept = "$net->{dir}.kept";
	my $restore = sub { Hosts::copy_tree($kept, $net->{dir}) };
	my $run = sub { $host->pass({env => {PACKETBOAT_FAULT => $_[0]}}) };

	Hosts::copy_tree($net->{dir}, $kept);
	my $last = changes($restore, $run);
	cmp_ok($last, '>', 10, "a pass at $victim makes $last changes");
	for my $at (positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		$run->($fault);
		my $settled = recover(@hosts);
		my @found = delivered(@hosts);
		my @bad = grep { $_->packetboat('fsck')->{code} != 0 } @hosts;
		my $good = ok($settled && "@found" eq "@expected" && !@bad, "$victim, $fault");
		next if $good;
		diag('still waits: ' . CORE::join(' ', map { $_->packetboat('list')->{out} } @hosts)) if !$settled;
		is_deeply(\@found, \@expected, 'each exactly once');
		diag("fsck at $_->{name}: " . $_->packetboat('fsck')->{out}) for @bad;
		last;
	}
	system('rm', '-rf', $kept);
}

# Sweeps handing in: what was taken arrives once, what was not taken may not arrive twice.
sub sendmail {
	my ($kind) = @_;
	my $net = Hosts->new;
	my @hosts = $net->three(more => "\tresend = \"1s\"\n");
	my ($host) = @hosts;
	my $kept = "$net->{dir}.kept";
	my $restore = sub { Hosts::copy_tree($kept, $net->{dir}) };
	my $run = sub {
		$host->sendmail(text('m1'), {env => {PACKETBOAT_FAULT => $_[0]}}, '-i', '-f', 'ann@a.example', 'carol@c.example');
	};

	Hosts::copy_tree($net->{dir}, $kept);
	my $last = changes($restore, $run);
	cmp_ok($last, '>', 2, "sendmail makes $last changes");
	for my $at (positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		my $result = $run->($fault);
		my $settled = recover(@hosts);
		my $count = grep { $_ eq 'c/carol/m1' } delivered(@hosts);
		my @bad = grep { $_->packetboat('fsck')->{code} != 0 } @hosts;
		my $right = $result->{code} == 0 ? $count == 1 : $count <= 1;
		next if ok($settled && $right && !@bad, "sendmail, $fault: status $result->{code}, $count delivered");
		diag($result->{err});
		diag("fsck at $_->{name}: " . $_->packetboat('fsck')->{out}) for @bad;
		last;
	}
	system('rm', '-rf', $kept);
}

# Sweeps the arrival log (tests/support/arrive.c): what was answered arrives once, what was not may arrive, but not twice.
sub arrivals {
	my ($kind) = @_;
	my $net = Hosts->new;
	my $host = $net->host('a');
	my $kept = "$net->{dir}.kept";
	my $restore = sub { Hosts::copy_tree($kept, $net->{dir}) };
	my $run = sub {
		return $host->run({env => {PACKETBOAT_FAULT => $_[0]}}, Hosts::support('arrive'), $host->spool, 'a', 'ann@a.example',
			14, 300, 2);
	};

	$host->user('ann');
	Hosts::copy_tree($net->{dir}, $kept);
	my $last = changes($restore, $run);
	cmp_ok($last, '>', 60, "taking 14 messages makes $last changes");
	for my $at (positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		my $result = $run->($fault);
		my @answered = map { "a/ann/$_" } split /\n/, $result->{out};
		my $before = $host->packetboat('fsck');
		$host->pass for 1 .. 2;
		my %found;
		$found{$_}++ for delivered($host);
		my @wrong = grep { ($found{$_} // 0) != 1 } @answered;
		push @wrong, grep { $found{$_} > 1 } keys %found;
		my $after = $host->packetboat('fsck');
		my @left = (Hosts::names($host->spool('arrivals')), $host->corrupt);
		next if ok(!@wrong && !@left && $before->{code} == 0 && $after->{code} == 0,
			"arrivals, $fault: status $result->{code}, " . @answered . ' answered, ' . keys(%found) . ' delivered');
		diag("not exactly once: @wrong; left: @left");
		diag($result->{err}, $before->{out}, $after->{out});
		last;
	}
	system('rm', '-rf', $kept);
}

1;
