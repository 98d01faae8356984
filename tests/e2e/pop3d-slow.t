# Five hundred clients that log in and do nothing, on five hundred maildrops, and clients that ask for much and read
# nothing: others are served all the same, and each costs no more than 64 kB. Then two hundred under TLS.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Pop3;
use Test::More;
use Time::HiRes qw(time sleep);

# A perl of our own with more descriptors, where the soft limit is too low.
chomp(my $files = `sh -c 'ulimit -n'`);
if ($files ne 'unlimited' && $files < 900) {
	chomp(my $hard = `sh -c 'ulimit -Hn'`);
	plan(skip_all => "only $hard descriptors may be open here") if $hard ne 'unlimited' && $hard < 900;
	exec('sh', '-c', 'ulimit -n 900 && exec "$@"', 'sh', $^X, $0);
}

my $sessions = $Hosts::sanitized ? 50 : 500;
my $deaf = $Hosts::sanitized ? 20 : 200;
my $net = Hosts->new;
my $a = $net->host('a');
# One password for all, hashed once: what is measured is not the hash.
$a->user('ann');
my ($line) = Hosts::slurp($a->dir . '/users') =~ /^ann:(.*)$/m;
for my $number (1 .. $sessions) {
	my $box = Pop3->maildir($a, "user$number");
	mkdir $_ or die "$_: $!" for $box, map { "$box/$_" } qw(tmp cur new);
	Pop3->fill($a, "user$number", map { "Subject: $_\n\n" . "a line of text, more or less as long as most\n" x 20 } 1 .. 20);
}
Hosts::spew($a->dir . '/users', Hosts::slurp($a->dir . '/users') . join '', map { "user$_:$line\n" } 1 .. $sessions);
Pop3->fill($a, 'ann', ("x" x 70 . "\n") x 50, ('y' x 70 . "\n") x 1, map { ('z' x 70 . "\n") x 60000 } 1 .. 2);
my $pop3d = Pop3->serve($a, listen => {pop3 => '', pop3s => ''}, more => "\tidle = 10m\n");
my ($pop3, $pop3s) = map { $pop3d->port($_) } qw(pop3 pop3s);
my $at_start = $pop3d->memory('RssAnon');
# Shadow memory and red zones are not the daemon's.
my $measured = !$Hosts::sanitized && defined $at_start;

# Logs in as one of the many, and goes as far as NUMBER says: just in, behind LIST, behind some RETR.
sub hold {
	my ($client, $number) = @_;

	return 0 unless ($client->login("user$number", 'password of ann') // '') =~ /^\+OK/;
	$client->list('UIDL') if $number % 3 == 1;
	$client->text($_) for $number % 3 == 2 ? (1 .. 5) : ();
	return 1;
}

# Others fetch; the seconds that it took.
sub others {
	my $begun = time;
	my $client = Pop3::Client->new($pop3, from => '127.0.1.1');
	like($client->login('ann', 'password of ann'), qr/^\+OK/, 'another logs in meanwhile');
	my $good = grep { defined $client->text($_) } 1 .. 50;
	is($good, 50, '... and fetches');
	$client->quit;
	return time - $begun;
}

sub judge_memory {
	my ($count, $most, $what) = @_;
	SKIP: {
		skip('no memory to measure here', 1) unless $measured;
		my $now = $pop3d->memory('RssAnon');
		my $each = ($now - $at_start) / $count;
		note(sprintf '%s: %d kB at the start, %d kB now: %.1f kB for each of %d', $what, $at_start, $now, $each, $count);
		cmp_ok($each, '<=', $most, "$what: at most $most kB for each");
	}
}

note(sprintf 'alone: %.3f s', others());
my @clients;
my $begun = time;
for my $number (1 .. $sessions) {
	my $client = Pop3::Client->new($pop3, from => '127.0.0.' . int(10 + $number / 40)) or last;
	hold($client, $number) or last;
	push @clients, $client;
}
note(sprintf '%.1f s for all logins', time - $begun);
is(scalar(@clients), $sessions, "$sessions sessions at once");
judge_memory($sessions, 16, 'idle');
note(sprintf 'beside them: %.3f s', others());
SKIP: {
	skip('no memory to measure here', 1) unless $measured;
	cmp_ok($pop3d->memory('VmRSS') - $sessions * 64, '<=', 32 * 1024, 'under 32 MB besides');
}
is(scalar(grep { ($_->say('STAT') // '') =~ /^\+OK 20 / } @clients), $sessions, 'and they are all still there');
is(scalar(grep { ($_->quit // '') =~ /^\+OK/ } @clients), $sessions, 'to the end');
@clients = ();

# Clients that ask for all they have, again and again, and read none of it: more than the system holds for them.
my @slow;
for my $number (1 .. $deaf) {
	my $client = Pop3::Client->new($pop3, from => '127.0.0.' . int(10 + $number / 40)) or last;
	($client->login("user$number", 'password of ann') // '') =~ /^\+OK/ or last;
	push @slow, $client;
}
is(scalar(@slow), $deaf, "$deaf more log in");
# What the daemon grew by until now is no longer these clients'.
$at_start = $pop3d->memory('RssAnon');
for my $client (@slow) {
	$client->{socket}->blocking(0);
	my $words = join('', map { "RETR $_\r\n" } 1 .. 20) x 400;
	my $at = 0;
	my $until = time + 0.05;
	while ($at < length $words && time < $until) {
		my $sent = syswrite $client->{socket}, $words, length($words) - $at, $at;
		$at += $sent if defined $sent;
		sleep 0.005 unless defined $sent;
	}
}
sleep 0.5;
judge_memory($deaf, 64, 'who reads nothing');
note(sprintf 'beside them: %.3f s', others());
$_->close for @slow;

SKIP: {
	my $why = Smtp->missing_module('IO::Socket::SSL');
	skip($why, 5) if defined $why;
	# A daemon of its own, whose memory nothing else has grown.
	$pop3d->done;
	$pop3d = Pop3->start($a) or last SKIP;
	($pop3, $pop3s) = map { $pop3d->port($_) } qw(pop3 pop3s);
	$at_start = $pop3d->memory('RssAnon');
	my $secured = $Hosts::sanitized ? 20 : 200;
	for my $number (1 .. $secured) {
		my $client = Pop3::Client->new($pop3s, from => '127.0.0.' . int(10 + $number / 40), tls => 1) or last;
		hold($client, $number) or last;
		push @clients, $client;
	}
	is(scalar(@clients), $secured, "$secured under TLS");
	judge_memory($secured, 64, 'under TLS');
	others();
	$_->close for @clients;
}
$net->done;
