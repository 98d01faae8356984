# What a dying daemon, or a failing disk, leaves of a maildrop: nothing is removed without QUIT, what was marked goes or stays
# message by message, and the client is told when not all could go. The next session has the same UIDs for what is left, and the
# log tells of each that went.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Pop3;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
my @texts = map { "number $_\n" } 1 .. 6;
my %uids;
$a->user('ann');
$a->configure(Pop3->section($a));

# Fresh messages; their UIDs by name.
sub refill {
	unlink map { Pop3->maildir($a, 'ann') . "/$_" } map { my $place = $_; map { "$place/$_" } Hosts::names(Pop3->maildir($a, 'ann') . "/$place") } qw(new cur);
	$a->{pop3_filled} = 0;
	return Pop3->fill($a, 'ann', @texts);
}

# A session that deletes messages 1 to 5 of 6; the answer to QUIT.
sub empty {
	my ($pop3d) = @_;
	my $client = Pop3::Client->new($pop3d->port('pop3')) or return undef;

	return undef unless ($client->login('ann', 'password of ann') // '') =~ /^\+OK/;
	my $now = $client->uids;
	$uids{$_} //= $now->{$_} for keys %$now;
	is_deeply($now, \%uids, 'the UIDs are those of ever');
	$client->say("DELE $_") for 1 .. 5;
	return $client->say('QUIT');
}

# Messages that the log says were deleted.
sub deleted { return scalar(() = ($a->log_text // '') =~ /^a\.\S+ deleted .* user=ann$/mg) }

# The daemon with a fault to come; nothing when that came before it was ready.
sub faulty {
	my ($fault) = @_;
	my $pop3d = Hosts::Daemon->begin($a, {env => {PACKETBOAT_FAULT => $fault}}, Hosts::program('packetboat-pop3d'), '-c', $a->conf, '--foreground');
	my $ready;

	{
		local *Hosts::Daemon::diag = sub { };
		$ready = $pop3d->told('READY=1');
	}
	return $ready ? bless($pop3d, 'Smtp::Daemon') : undef;
}

# What comes of it when the change NUMBER to the file system fails.
sub fails {
	my ($number, $errnum) = @_;
	my @names = refill();
	my $pop3d = faulty("fail:$number:$errnum") or return;
	my $reply = empty($pop3d);
	$pop3d->stop;
	return ($reply, [Pop3->left($a, 'ann')], \@names);
}

my %seen;
for my $number (1 .. 18) {
	my ($reply, $left, $names) = fails($number, 28);
	next unless defined $reply;
	if ($reply =~ /^\+OK/) {
		is_deeply($left, [$names->[5]], "change $number fails, and does no harm: five are gone");
		$seen{harmless}++;
	} else {
		like($reply, qr/^-ERR \[SYS\/TEMP\] /, "change $number fails: the client is told");
		is(scalar(grep { $_ eq $names->[5] } @$left), 1, '... what was not marked is there');
		cmp_ok(scalar(@$left), '<=', 2, '... and all that could be removed is');
		like($a->log_text, qr/^- trouble .*user=ann reason=/m, '... and the log says why');
		$seen{scalar(@$left) > 1 ? 'not removed' : 'not synced'}++;
	}
}
ok($seen{$_}, "there were cases: $_") for 'not removed', 'not synced';

# Killed at the same places.
my %killed;
for my $number (1 .. 18) {
	my @names = refill();
	my $told = deleted();
	my $pop3d = faulty("kill:$number") or next;
	my $reply = empty($pop3d);
	my $dead = !defined $reply;
	$pop3d->stop;
	my @left = Pop3->left($a, 'ann');
	is(scalar(grep { $_ eq $names[5] } @left), 1, "killed before change $number: what was not marked is there");
	is_deeply([@names[6 - @left .. 5]], \@left, '... and what is gone went in order') or diag("@left");
	# It may die between a message and the line about it.
	my $gone = 6 - @left;
	$told = deleted() - $told;
	ok($told == $gone || $dead && $told == $gone - 1, '... and the log tells of it') or diag("$told of $gone");
	$killed{$dead ? scalar @left : 'not'}++;
	# The lock has died with the daemon, and the names are the UIDs still.
	my $next = Pop3->start($a) or next;
	my $client = Pop3::Client->new($next->port('pop3'));
	like($client->login('ann', 'password of ann'), qr/^\+OK/, '... the maildrop is free');
	my $now = $client->uids;
	is_deeply([map { $now->{$_} } 1 .. @left], [map { $uids{$_} } 7 - @left .. 6], '... with the same UIDs');
	$next->stop;
}
cmp_ok(scalar(grep { /^[2-5]$/ } keys %killed), '>=', 3, 'it was killed between removals') or diag(join ' ', %killed);
$net->done;
