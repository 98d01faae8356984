# A thousand clients that hold their connections and do next to nothing: others are served all the same, and each costs no
# more than 64 kB. Then two hundred under TLS.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Smtp;
use Test::More;
use Time::HiRes qw(time sleep);

# A perl of our own with more descriptors, where the soft limit is too low.
chomp(my $files = `sh -c 'ulimit -n'`);
if ($files ne 'unlimited' && $files < 1200) {
	chomp(my $hard = `sh -c 'ulimit -Hn'`);
	plan(skip_all => "only $hard descriptors may be open here") if $hard ne 'unlimited' && $hard < 1200;
	exec('sh', '-c', 'ulimit -n 1200 && exec "$@"', 'sh', $^X, $0);
}

my $net = Hosts->new;
my $a = $net->host('a');
$a->user('ann');
my $smtpd = Smtp->serve($a, listen => {smtp => '', submissions => ''}, more => "\tidle = 10m\n");
my ($smtp, $submissions) = map { $smtpd->port($_) } qw(smtp submissions);
my $at_start = $smtpd->memory('RssAnon');
# Shadow memory and red zones are not the daemon's.
my $measured = !$Hosts::sanitized && defined $at_start;

# Brings a client as far as NUMBER says: half just connected, a quarter behind EHLO, a quarter in the midst of DATA.
sub hold {
	my ($client, $number) = @_;

	return if $number % 4 < 2;
	$client->say('EHLO slow.example');
	return if $number % 4 == 2;
	$client->say($_) for 'MAIL FROM:<eve@far.example>', 'RCPT TO:<ann@a.example>', 'DATA';
	$client->send("Subject: never ends\r\n\r\n" . 'slowly ' x 600);
}

# Others deliver COUNT messages; the seconds that it took.
sub others {
	my ($count) = @_;
	my $begun = time;
	my $good = 0;

	for my $number (1 .. $count) {
		my $client = Smtp::Client->new($smtp, from => '127.0.1.1') or next;
		$client->say('EHLO quick.example');
		$good++ if $client->mail('bob@b.example', ['ann@a.example'], "Subject: quick\n\nHello $number\n") =~ /^250/;
		$client->quit;
	}
	is($good, $count, "$count messages of others are taken meanwhile");
	return time - $begun;
}

sub judge_memory {
	my ($count) = @_;
	SKIP: {
		skip('no memory to measure here', 1) unless $measured;
		# It may free a little at any time; what it settles at counts.
		my $now = $smtpd->memory('RssAnon');
		my $each = ($now - $at_start) / $count;
		note(sprintf '%d kB at the start, %d kB now: %.1f kB for each of %d', $at_start, $now, $each, $count);
		cmp_ok($each, '<=', 64, 'at most 64 kB for each');
	}
}

note(sprintf 'alone: %.3f s', others(50));
my @clients;
for my $number (0 .. 999) {
	my $client = Smtp::Client->new($smtp, from => '127.0.0.' . int(10 + $number / 40)) or last;
	last if ($client->{greeting} // '') !~ /^220/;
	hold($client, $number);
	push @clients, $client;
}
is(scalar(@clients), 1000, 'a thousand connections') or diag($clients[-1] ? $clients[-1]{greeting} : '');
judge_memory(1000);
note(sprintf 'beside a thousand: %.3f s', others(50));
SKIP: {
	skip('no memory to measure here', 1) unless $measured;
	cmp_ok($smtpd->memory('VmRSS') - 1000 * 64, '<=', 32 * 1024, 'under 32 MB besides');
}
# They are still there, and those in the midst of DATA can end it.
my $alive = 0;
for my $number (grep { $_ % 4 == 3 } 0 .. $#clients) {
	$clients[$number]->send(" and ends\r\n.\r\n");
	$alive++ if ($clients[$number]->reply // '') =~ /^250/;
}
is($alive, 250, 'the slow ones come to their end');
$_->close for @clients;
@clients = ();

SKIP: {
	my $why = Smtp->missing_module('IO::Socket::SSL');
	skip($why, 5) if defined $why;
	# A daemon of its own, whose memory nothing else has grown.
	$smtpd->done;
	$smtpd = Smtp->start($a) or last SKIP;
	($smtp, $submissions) = map { $smtpd->port($_) } qw(smtp submissions);
	$at_start = $smtpd->memory('RssAnon');
	for my $number (0 .. 199) {
		my $client = Smtp::Client->new($submissions, from => '127.0.0.' . int(10 + $number / 40), tls => 1) or last;
		last if ($client->{greeting} // '') !~ /^220/;
		$client->say('EHLO slow.example') if $number % 2;
		push @clients, $client;
	}
	is(scalar(@clients), 200, 'two hundred under TLS');
	judge_memory(200);
	others(50);
	$_->close for @clients;
}
is($a->pass->{code}, 0, 'a pass');
cmp_ok(scalar($a->mailbox('ann')), '>=', 350, 'all are delivered');
$net->done;
