# kill -9 under load, KILLS times (8): what was answered 250 is delivered, once; what was not is there once or not at all.
# Every try has a Message-ID of its own. Relay passes go on meanwhile, as cron would have it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Smtp;
use Test::More;
use Time::HiRes qw(time sleep);

my $kills = $ENV{KILLS} || 8;
my $sessions = 8;
my $net = Hosts->new(disk => 1);
my $a = $net->host('a');
my ($port_file, $stop_file) = map { $net->dir . "/$_" } qw(port stop);

$a->user('ann');
$a->configure(Smtp->section($a, more => "\tconnections-each = 1000\n"));

# The daemon, anew; the clients find its port in a file.
sub begin {
	my $smtpd = $a->start('packetboat-smtpd', '--foreground') or return undef;
	bless $smtpd, 'Smtp::Daemon';
	Hosts::spew("$port_file.new", $smtpd->port('smtp'));
	rename "$port_file.new", $port_file or die;
	return $smtpd;
}

# Waits for the moment at which all sessions begin again.
sub until_burst {
	my $now = time;
	sleep 0.4 - ($now - 0.4 * int($now / 0.4));
}

# Hands in one message after another until it is told to stop; notes what it sends, and what was answered 250.
sub load {
	my ($number) = @_;
	my $tried = 0;
	my $client;
	open my $notes, '>', $net->dir . "/notes-$number" or die;
	$notes->autoflush(1);
	while (!-e $stop_file) {
		$client = undef if !$client || $client->{over} || rand() < 0.1;
		$client //= Smtp::Client->new(Hosts::slurp($port_file), quiet => 1);
		if (!$client) {
			sleep 0.01;
			next;
		}
		if (!$client->{met}) {
			$client->{greeting} = $client->reply // '';
			$client->say('EHLO client.example');
			$client->{met} = 1;
		}
		# In bursts, all sessions at once, so that messages share syncs; with pauses, for what is taken must be delivered.
		until_burst() if $tried % 5 == 0;
		my $id = "$number." . ++$tried;
		my $size = rand() < 0.1 ? 40_000 + int rand 100_000 : int rand 8_000;
		my $text = "Message-ID: <$id\@load.example>\n\n" . ("all work and no play makes jack a dull boy $id\n" x ($size / 40)) . "end\n";
		print $notes "tried $id\n";
		# All at once, as PIPELINING allows, in most cases.
		my $reply = rand() < 0.7
		    ? do {
			$client->send("MAIL FROM:<eve\@far.example>\r\nRCPT TO:<ann\@a.example>\r\nDATA\r\n");
			(map { $client->reply } 1 .. 3)[2] ? do { $client->send(Smtp::Client::wire($text) . ".\r\n"); $client->reply } : undef;
		    }
		    : $client->mail('eve@far.example', ['ann@a.example'], $text);
		if (($reply // '') =~ /^250 /) {
			print $notes "taken $id\n";
		} else {
			$client->{over} = 1;
		}
	}
	return 1;
}

my $smtpd = begin() or BAIL_OUT('no daemon');
my @children;
for my $number (1 .. $sessions) {
	my $pid = fork // die;
	if ($pid == 0) {
		srand $number;
		my $good = eval { load($number) };
		print STDERR "# $@" if $@;
		POSIX::_exit($good ? 0 : 1);
	}
	push @children, $pid;
}
my $bad_starts = 0;
for my $kill (1 .. $kills) {
	# In the midst of a burst, or at any time.
	if ($kill % 3) {
		until_burst();
		sleep rand 0.06;
	} else {
		sleep 0.05 + rand 0.35;
	}
	$smtpd->signal('KILL');
	$smtpd->wait;
	$bad_starts++ if $smtpd->{code} != 137;
	if ($kill % 4 == 0) {
		my $pass = $a->pass;
		is($pass->{code}, 0, "a pass while the daemon is down, after $kill kills") or diag($pass->{err});
	}
	$smtpd = begin() or last;
	if ($kill % 4 == 2) {
		my $pass = $a->pass;
		is($pass->{code}, 0, "a pass beside the daemon, after $kill kills") or diag($pass->{err});
	}
}
is($bad_starts, 0, 'it died by the signal only');
ok($smtpd, "it started again $kills times");
sleep 0.2;
Hosts::spew($stop_file, '');
my $lame = 0;
for my $pid (@children) {
	waitpid $pid, 0;
	$lame++ if $?;
}
is($lame, 0, 'the clients ended well');
$smtpd->done;
for my $round (1 .. 2) {
	my $pass = $a->pass;
	is($pass->{code}, 0, 'a pass') or diag($pass->{err});
}

my (%tried, %taken, %there);
for my $number (1 .. $sessions) {
	for (split /\n/, Hosts::slurp($net->dir . "/notes-$number")) {
		/^tried (.*)/ ? $tried{$1}++ : /^taken (.*)/ ? $taken{$1}++ : die;
	}
}
my @broken;
for my $mail ($a->mailbox('ann')) {
	my ($id) = $mail->{head} =~ /^Message-ID: <(.*)\@load\.example>$/m;
	$there{$id // '?'}++;
	my $whole = quotemeta('all work and no play makes jack a dull boy ' . ($id // '')) . "\n";
	push @broken, $id // $mail->{path} if $mail->{body} !~ /\A(?:$whole)*end\n\z/;
}
my @lost = grep { !$there{$_} } sort keys %taken;
my @twice = grep { $there{$_} > 1 } sort keys %there;
my @strange = grep { !$tried{$_} } sort keys %there;

note(scalar(keys %tried) . ' sent, ' . scalar(keys %taken) . ' answered 250, ' . scalar(keys %there) . ' there');
cmp_ok(scalar(keys %taken), '>', $kills, 'there was load: ' . scalar(keys %taken) . ' messages were taken');
is(scalar(@lost), 0, 'nothing that was answered 250 is missing') or diag("lost: @lost");
is(scalar(@twice), 0, 'nothing is there twice') or diag("twice: @twice");
is(scalar(@strange), 0, 'nothing else is there') or diag("strange: @strange");
is(scalar(@broken), 0, 'all is whole') or diag("broken: @broken");
is(scalar($a->waiting), 0, 'nothing waits');
is_deeply([Hosts::files($a->spool('arrivals'))], [], 'no arrival log is left');
is(scalar($a->corrupt), 0, 'nothing is corrupt');
$net->done;
