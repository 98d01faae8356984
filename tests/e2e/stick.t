# A stick carried by people: read twice, read at the wrong host, lost and sent again, damaged, cut short. (Every
# position of a damaged batch is visited by the unit tests; here whole hosts meet a sample.)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(make_path);
use Hosts;
use Test::More;

# A and B with a stick each; what the test copies from one to the other is the carrier.
sub pair {
	my (%options) = @_;
	my $net = Hosts->new;
	my ($a, $b) = map { $net->host($_) } qw(a b);
	my ($stick_a, $stick_b) = map { "$net->{dir}/stick-$_" } qw(a b);

	$net->neighbours($a, $b, call_a => $stick_a, call_b => $stick_b, %options);
	$_->configure(qq{route "*" { via = "neighbour:@{[$_->name eq 'a' ? 'b' : 'a']}" }\n}) for ($a, $b);
	$a->user('ann');
	$b->user('bob');
	return ($net, $a, $b, $stick_a, $stick_b);
}

sub subjects {
	my ($host, $user) = @_;
	return [sort map { $_->{head} =~ /^Subject: (.*)$/m ? $1 : '?' } $host->mailbox($user)];
}

sub text {
	return "From: ann\@a.example\nSubject: $_[0]\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$_[0]\@a.example>\n\n"
	    . ($_[1] // 'Hello') . "\n";
}

subtest 'the same stick twice, and an old stick much later' => sub {
	my ($net, $a, $b, $stick_a, $stick_b) = pair();

	$a->mail('bob@b.example', text('once'));
	is($a->pass->{code}, 0, 'A writes its stick');
	Hosts::copy_tree($stick_a, "$net->{dir}/old");
	for my $time (1 .. 3) {
		Hosts::copy_tree("$net->{dir}/old", $stick_b);
		is($b->pass->{code}, 0, "B reads it, time $time");
	}
	is_deeply(subjects($b, 'bob'), ['once'], 'one delivery');
	Hosts::copy_tree($stick_b, $stick_a);
	is($a->pass->{code}, 0, 'A reads the answer');
	is(scalar($a->waiting), 0, 'nothing waits at A');
	is(scalar(Hosts::files($a->spool('out'))), 0, 'the batch is gone from A');
	Hosts::copy_tree("$net->{dir}/old", $stick_b);
	is($b->pass->{code}, 0, 'the old stick again');
	is_deeply(subjects($b, 'bob'), ['once'], 'still one delivery');
	$net->fsck;
};

subtest 'at the wrong host' => sub {
	my ($net, $a, $b, $stick_a) = pair();
	my $c = $net->host('c');
	my $stick_c = "$net->{dir}/stick-c";

	# C knows both, so only the address on the batch speaks against taking it.
	$net->neighbours($c, $a, call_a => $stick_c, call_b => "$net->{dir}/unused");
	$a->mail('bob@b.example', text('not for c'));
	is($a->pass->{code}, 0, 'A writes its stick');
	Hosts::copy_tree($stick_a, $stick_c);
	my @before = Hosts::batches($stick_c);
	is($c->pass->{code}, 0, 'C reads it');
	is_deeply([grep { -e $_ } @before], \@before, 'files for others are left alone');
	is(scalar($c->waiting), 0, 'C takes nothing');
	is(scalar($c->mailbox('postmaster')), 0, '... delivers nothing');

	# Renamed into C's own directory on the stick, it is still B's.
	make_path("$stick_c/c");
	rename $_, "$stick_c/c/" . (split m{/}, $_)[-1] for @before;
	my $pass = $c->pass({env => {}});
	is(scalar($c->waiting), 0, 'C takes nothing that is not for it');
	my $all = $c->log_text . $pass->{err} . CORE::join('', map { Hosts::slurp($_) // '' } Hosts::files($c->spool('corrupt')));
	like($all, qr/\bfor b\b|somebody else|not for|"b"|\bto=b\b/, '... and says why');
	Hosts::copy_tree($stick_a, "$net->{dir}/stick-b");
	is($b->pass->{code}, 0, 'B reads it');
	is_deeply(subjects($b, 'bob'), ['not for c'], 'the right host takes it');
	$net->fsck;
};

subtest 'lost and sent again' => sub {
	my ($net, $a, $b, $stick_a, $stick_b) = pair(more => "\tresend = \"1s\"\n");

	$a->mail('bob@b.example', text('lost'));
	is($a->pass->{code}, 0, 'A writes its stick');
	isnt(scalar(Hosts::batches($stick_a)), 0, '... with something');
	Hosts::copy_tree($stick_a, "$net->{dir}/lost");
	unlink Hosts::batches($stick_a);
	sleep 2;
	is($a->pass->{code}, 0, 'A writes it again');
	isnt(scalar(Hosts::batches($stick_a)), 0, 'what was not acknowledged is on the new stick');
	Hosts::copy_tree($stick_a, $stick_b);
	is($b->pass->{code}, 0, 'B reads the second');
	Hosts::copy_tree("$net->{dir}/lost", $stick_b);
	is($b->pass->{code}, 0, 'B reads the first, found again');
	is_deeply(subjects($b, 'bob'), ['lost'], 'one delivery');
	$net->fsck;
};

subtest 'a missing or full stick is later' => sub {
	my ($net, $a, $b, $stick_a) = pair();

	system('rm', '-rf', $stick_a);
	$a->mail('bob@b.example', text('patient'));
	my $pass = $a->pass;
	ok(!-d $stick_a || !Hosts::batches($stick_a), 'nothing is written where no stick is');
	isnt(scalar($a->waiting), 0, 'the message waits');
	like($a->packetboat('status')->{out}, qr/stick-a/, '`status` names the stick');
	make_path($stick_a);
	is($a->pass->{code}, 0, 'the stick is back');
	Hosts::copy_tree($stick_a, "$net->{dir}/stick-b");
	is($b->pass->{code}, 0, 'B reads it');
	is_deeply(subjects($b, 'bob'), ['patient'], 'delivered');
	$net->fsck;
};

for my $seal (1, 0) {
	subtest(($seal ? 'sealed' : 'sign-only') . ': damaged and cut short' => sub {
		my ($net, $a, $b, $stick_a, $stick_b) = pair(seal => $seal, more => "\tresend = \"1s\"\n");

		$a->mail('bob@b.example', text('damaged', 'x' x 300));
		is($a->pass->{code}, 0, 'A writes its stick');
		my ($file) = Hosts::batches($stick_a);
		die "no batch\n" unless defined $file;
		my ($name) = $file =~ m{^\Q$stick_a\E/(.*)$};
		my $whole = Hosts::slurp($file);
		my $size = length $whole;
		my @tries;
		for (my $at = 0; $at < $size; $at += 1 + int($size / 12)) {
			my $bytes = $whole;
			substr($bytes, $at, 1) = chr(ord(substr($bytes, $at, 1)) ^ (1 << int rand 8));
			push @tries, ["byte $at changed", $bytes];
		}
		for (my $at = 0; $at < $size; $at += 1 + int($size / 6)) {
			push @tries, ["cut at $at", substr($whole, 0, $at)];
		}
		push @tries, ["cut at the last byte", substr($whole, 0, $size - 1)], ['a byte too many', $whole . "\0"];
		Hosts::copy_tree($stick_a, $stick_b);
		for my $try (@tries) {
			my ($what, $bytes) = @$try;
			Hosts::spew("$stick_b/$name", $bytes);
			my $pass = $b->pass;
			is(scalar($b->mailbox('bob')), 0, "$what: no message");
			my @corrupt = $b->corrupt;
			is(scalar(grep { (Hosts::slurp($_) // "") eq $bytes } @corrupt), 1, "... it is in corrupt/");
			is(scalar(grep { !-s "$_.why" } @corrupt), 0, '... with a reason');
		}
		sleep 2;
		is($a->pass->{code}, 0, 'A sends it again');
		Hosts::copy_tree($stick_a, $stick_b);
		is($b->pass->{code}, 0, 'B reads the sound one');
		is_deeply(subjects($b, 'bob'), ['damaged'], 'one delivery');
		Hosts::copy_tree($stick_b, $stick_a);
		is($a->pass->{code}, 0, 'A reads the answer');
		is(scalar($a->waiting), 0, 'nothing waits at A');
		$net->fsck;
	});
}
done_testing;
