# Batches that must not be believed: a neighbour's name with another key, a host nobody knows, a batch for somebody
# else under a name that is ours, a replay after a restore. All refused and logged, nothing delivered.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(make_path);
use Hosts;
use Test::More;

sub text {
	return "From: x\@a.example\nSubject: $_[0]\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$_[0]\@x.example>\n\nHello\n";
}

# What C knows about it: its log, what it said, and the reasons in corrupt/.
sub said {
	my ($host, $pass) = @_;
	return $host->log_text . $pass->{err} . CORE::join('', map { Hosts::slurp($_) // '' } Hosts::files($host->spool('corrupt')));
}

# A host of the same name as $victim with keys of its own, that writes to $to.
sub impostor {
	my ($net, $victim, $to, $stick) = @_;
	my $host = $net->host($victim->name . '2');

	remove($host->dir);
	my $made = $host->run(Hosts::program('packetboat'), 'init', $host->dir, '--host', $victim->name, '--domain', $victim->{domain});
	is($made->{code}, 0, 'an impostor of ' . $victim->name) or diag($made->{err});
	$host->configure(sprintf(qq{neighbour "%s" {\n\tkey = "%s"\n\tcall = { "dir:%s" }\n}\nroute "*" { via = "neighbour:%s" }\n},
		$to->name, $to->key, $stick, $to->name));
	return $host;
}

sub remove {
	system('rm', '-rf', $_[0]);
}

subtest 'a wrong key' => sub {
	my $net = Hosts->new;
	my ($a, $b) = map { $net->host($_) } qw(a b);
	my ($stick, $evil) = ("$net->{dir}/stick", "$net->{dir}/evil");

	$net->neighbours($a, $b, shared => $stick);
	$a->configure(qq{route "*" { via = "neighbour:b" }\n});
	$b->user('bob');
	make_path($evil);
	my $eve = impostor($net, $a, $b, $evil);
	is($eve->sendmail(text('forged'), '-i', '-f', 'ann@a.example', 'bob@b.example')->{code}, 0, 'it writes as A');
	is($eve->pass->{code}, 0, '... a stick for B');
	Hosts::copy_tree($evil, $stick);
	isnt(scalar(Hosts::batches("$stick/b")), 0, '... with a batch on it');
	my $pass = $b->pass;
	is(scalar($b->mailbox('bob')), 0, 'B delivers nothing');
	is(scalar($b->waiting), 0, '... and takes nothing');
	like(said($b, $pass), qr/signature|key/i, '... and says why');
	remove($_) for Hosts::files($stick);
	$a->mail('bob@b.example', text('true'));
	$net->passes($a, $b, $a, 2);
	is(scalar($b->mailbox('bob')), 1, 'the true A is still believed');
	is(scalar($a->waiting), 0, '... and acknowledged');
	$net->fsck;
};

subtest 'nobody knows it' => sub {
	my $net = Hosts->new;
	my ($a, $b, $eve) = map { $net->host($_) } qw(a b eve);
	my ($stick, $evil) = ("$net->{dir}/stick", "$net->{dir}/evil");

	$net->neighbours($a, $b, shared => $stick);
	$b->user('bob');
	make_path($evil);
	$eve->configure(sprintf(qq{neighbour "b" {\n\tkey = "%s"\n\tcall = { "dir:%s" }\n}\nroute "*" { via = "neighbour:b" }\n},
		$b->key, $evil));
	is($eve->sendmail(text('hello'), '-i', '-f', 'eve@eve.example', 'bob@b.example')->{code}, 0, 'eve writes');
	is($eve->pass->{code}, 0, '... a stick for B');
	Hosts::copy_tree($evil, $stick);
	my @batches = Hosts::batches("$stick/b");
	isnt(scalar(@batches), 0, '... with a batch on it');
	my $pass = $b->pass;
	is(scalar($b->mailbox('bob')), 0, 'B delivers nothing');
	is(scalar($b->waiting), 0, '... and takes nothing');
	like(said($b, $pass), qr/\beve\b/, '... and names who it was');

	# Under the name of somebody B knows, it is still eve's.
	for my $batch (Hosts::batches("$evil/b")) {
		my $bytes = Hosts::slurp($batch);
		(my $name = $batch) =~ s{^.*/eve}{$stick/b/a};
		Hosts::spew($name, $bytes);
	}
	$b->pass;
	is(scalar($b->mailbox('bob')), 0, 'a neighbour\'s file name does not help it');
	is(scalar($b->waiting), 0, '... B takes nothing');
	$net->fsck;
};

subtest 'for somebody else' => sub {
	my $net = Hosts->new;
	my ($a, $b, $c) = $net->three;
	my $between = "$net->{dir}/between-a-b";

	$a->mail('bob@b.example', text('private'));
	is($a->pass->{code}, 0, 'A writes for B');
	make_path("$net->{dir}/between-b-c/c");
	for my $batch (Hosts::batches("$between/b")) {
		(my $name = $batch) =~ s{^.*/}{$net->{dir}/between-b-c/c/};
		Hosts::spew($name, Hosts::slurp($batch));
	}
	isnt(scalar(Hosts::batches("$net->{dir}/between-b-c/c")), 0, 'it comes to C instead');
	my $pass = $c->pass;
	is(scalar($c->waiting), 0, 'C takes nothing');
	is(scalar($c->mailbox('postmaster')), 0, '... delivers nothing');
	isnt(said($c, $pass), '', '... and says something');
	like(said($c, $pass), qr/no neighbour|not a neighbour|unknown|for b\b|somebody else|"b"|\bto=b\b/i, '... which is why');
	$net->passes($b, $a, 2);
	is(scalar($b->mailbox('bob')), 1, 'B has its own');
	$net->fsck;
};

subtest 'a replay, and a host that came back from a backup' => sub {
	my $net = Hosts->new;
	my ($a, $b) = map { $net->host($_) } qw(a b);
	my $stick = $net->neighbours($a, $b);

	$a->configure(qq{route "*" { via = "neighbour:b" }\n});
	$b->configure(qq{route "*" { via = "neighbour:a" }\n});
	$a->user('ann');
	$b->user('bob');
	$a->mail('bob@b.example', text('first'));
	is($a->pass->{code}, 0, 'A writes');
	Hosts::copy_tree($stick, "$net->{dir}/recorded");
	Hosts::copy_tree($a->dir, "$net->{dir}/backup");
	$net->passes($b, $a, 2);
	is(scalar($b->mailbox('bob')), 1, 'delivered once');
	for my $time (1 .. 3) {
		system('cp', '-a', "$net->{dir}/recorded/.", $stick);
		$net->passes($b, 1);
	}
	is(scalar($b->mailbox('bob')), 1, 'the replay brings nothing');
	is(scalar($b->waiting), 0, '... and nothing waits at B');

	# More mail, so that the backup is behind; then A is the backup.
	$a->mail('bob@b.example', text("more$_")) for 1 .. 2;
	$net->passes($a, $b, $a, 1);
	is(scalar($b->mailbox('bob')), 3, 'more mail');
	Hosts::copy_tree("$net->{dir}/backup", $a->dir);
	is($b->sendmail(text('reply'), '-i', '-f', 'bob@b.example', 'ann@a.example')->{code}, 0, 'B writes');
	$net->passes($b, $a, 3);
	$a->mail('bob@b.example', text("after$_")) for 1 .. 3;
	$net->passes($a, $b, 4);
	my %subjects;
	$subjects{$_->{head} =~ /^Subject: (.*)$/m ? $1 : '?'}++ for $b->mailbox('bob');
	is_deeply(\%subjects, {map { $_ => 1 } qw(first more1 more2 after1 after2 after3)}, 'every message exactly once');
	is(scalar($a->mailbox('ann')), 1, 'the reply arrives at the restored A');
	is(scalar($_->waiting), 0, 'nothing waits at ' . $_->name) for ($a, $b);
	$net->fsck;
};
done_testing;
