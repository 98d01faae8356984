# Clients of packetboat-smtpd that are gone, half gone, say things twice or are too many: who resets his connection before
# anybody asked who he is, who closes his side before he has heard the answer, who names a recipient twice over LMTP, who
# stands behind a pipe, who asks for many exchanges at once, and who come in masses. A stopped daemon stands for a busy one:
# what was sent meanwhile is found in one piece.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(WUNTRACED);
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR);
use Test::More;
use Time::HiRes qw(sleep time);

my $text = "From: x\@far.example\r\nSubject: s\r\n\r\nHello\r\n";
my ($child, $owner) = (undef, $$);

sub stop_daemon {
	return unless defined $child && $$ == $owner;
	kill 'CONT', $child;
	kill 'TERM', $child;
	waitpid $child, 0;
	undef $child;
}
END { my $status = $?; stop_daemon(); $? = $status }

# The address of the service; the daemon runs until stop_daemon. FILES: open files that it may have.
sub start_daemon {
	my ($host, $files) = @_;
	my @limited = defined $files ? ('sh', '-c', 'ulimit -n "$0" && exec "$@"', $files) : ();
	my $limit = time + $Hosts::deadline;

	$child = fork // die "cannot fork: $!\n";
	if ($child == 0) {
		exec @limited, Hosts::program('packetboat-smtpd'), '-c', $host->conf, '--foreground' or POSIX::_exit(127);
	}
	while (time < $limit) {
		return $1 if $host->log_text =~ /listening .*address=(127\.0\.0\.1:\d+) service=smtp$/m;
		sleep 0.02;
	}
	die "packetboat-smtpd does not listen\n";
}

sub bdat { return 'BDAT ' . length($text) . " LAST\r\n$text" }

# Connects with DIAL and sends BYTES while the daemon rests, and ends as HOW says; then all that it answers.
sub talk {
	my ($dial, $bytes, $how) = @_;
	my $answer = '';

	kill 'STOP', $child;
	waitpid $child, WUNTRACED;
	my $socket = $dial->() // die "cannot connect: $!\n";
	print $socket $bytes;
	$socket->flush;
	if ($how eq 'reset') {
		setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
		close $socket;
	} elsif ($how eq 'half') {
		shutdown $socket, SHUT_WR;
	}
	kill 'CONT', $child;
	return '' if $how eq 'reset';
	local $SIG{ALRM} = sub { die "no end of the answers: $answer\n" };
	alarm $Hosts::deadline;
	while (sysread $socket, my $part, 65536) { $answer .= $part }
	alarm 0;
	return $answer;
}

sub wait_for {
	my ($condition) = @_;
	my $limit = time + $Hosts::deadline;

	sleep 0.02 while !$condition->() && time < $limit;
	return $condition->();
}

my $net = Hosts->new;
my ($a, $b) = map { $net->host($_) } qw(a b);
my $path = "$net->{dir}/lmtp";
$net->neighbours($a, $b);
$a->user('ann');
$a->configure(qq{route "*" { via = "neighbour:b" }\nsmtpd { listen = { "127.0.0.1:0", "lmtp:$path" } }\n});
my $address = start_daemon($a);
my $dial = sub { IO::Socket::INET->new(PeerAddr => $address) };

subtest 'who is gone is not of this machine' => sub {
	talk($dial, "EHLO x\r\nMAIL FROM:<x\@far.example>\r\nRCPT TO:<y\@other.example>\r\n" . bdat(), 'reset');
	ok(wait_for(sub { $a->log_text =~ /recipient=y\@other\.example/ }), 'he is heard') or diag($a->log_text);
	like($a->log_text, qr/ refused .*client=(?:unknown|127\.0\.0\.1) .*recipient=y\@other\.example status=5\.7\.1/, '... and may not relay');
	is(scalar($a->waiting), 0, '... and nothing is taken');
};

subtest 'who has said all hears all' => sub {
	my $heard = talk($dial, "EHLO x\r\nMAIL FROM:<x\@far.example>\r\nRCPT TO:<ann\@a.example>\r\n" . bdat() . "QUIT\r\n", 'half');

	like($heard, qr/^250 2\.0\.0 Ok: queued as /m, 'the message is answered behind a closed side');
	like($heard, qr/^221 /m, '... and the session ends as it should');
};

subtest 'twice the same recipient over LMTP' => sub {
	my $heard = talk(sub { IO::Socket::UNIX->new(Peer => $path) }, "LHLO x\r\nMAIL FROM:<x\@far.example>\r\n" . "RCPT TO:<ann\@a.example>\r\n" x 2 . bdat() . "QUIT\r\n", '');

	is(scalar(() = $heard =~ /^250 2\.0\.0 Ok: queued as /mg), 2, 'an answer for each');
	ok(wait_for(sub { 0 == (() = Hosts::names($a->spool("arrivals"))) }), 'the arrival log is drained');
	is($a->pass->{code}, 0, 'a pass');
	is(scalar($a->mailbox('ann')), 2, '... and one copy (beside the one of before)');
};

subtest 'a pipe behind which somebody else is' => sub {
	my $words = "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<y\@other.example>\r\nQUIT\r\n";

	for my $case ([{}, 250], [{TCPREMOTEIP => '192.0.2.7'}, 550], [{SOCAT_PEERADDR => '192.0.2.7'}, 550], [{REMOTE_HOST => '192.0.2.7'}, 550],
		[{TCPREMOTEIP => ''}, 550], [{REMOTE_HOST => 'local'}, 550], [{REMOTE_HOST => '192.0.2.7', GATEWAY_INTERFACE => 'CGI/1.1'}, 250]) {
		my ($env, $code) = @$case;
		my $heard = $a->run({in => $words, env => $env}, Hosts::program('packetboat-smtpd'), '-c', $a->conf, '--stdio');
		my ($answer) = $heard->{out} =~ /^250 2\.1\.0 .*\n(\d+)/m;

		is($answer, $code, join(' ', 'relaying with', map { "$_=$env->{$_}" } sort keys %$env));
	}
};

stop_daemon();
Hosts::spew($a->conf, Hosts::slurp($a->conf) =~ s/smtpd \{ listen/smtpd { networks = { "127.0.0.1" } listen/r);
Hosts::spew($a->spool('log'), '');
$address = start_daemon($a);

subtest 'many exchanges at once' => sub {
	my $heard = talk($dial, "EHLO x\r\n" . "ETRN b.example\r\n" x 20 . "QUIT\r\n", '');

	is(scalar(() = $heard =~ /^250 2\.0\.0 the exchange has begun/mg), 4, 'four are begun');
	is(scalar(() = $heard =~ /^458 4\.3\.2 /mg), 16, '... and the others come again');
};

stop_daemon();
Hosts::spew($a->spool('log'), '');
$address = start_daemon($a, 128);

subtest 'more connections than descriptors' => sub {
	my $first = $dial->();
	like(scalar(<$first>), qr/^220 /, 'one is there');
	my @others = map { $dial->() } 1 .. 80;
	my $began = time;
	ok(wait_for(sub { $a->log_text =~ / trouble .*descriptors run out/ }), 'the others are too many, which is said');
	my $heard = talk(sub { $first }, "EHLO x\r\nMAIL FROM:<x\@far.example>\r\nRCPT TO:<ann\@a.example>\r\n" . bdat() . "QUIT\r\n", '');

	like($heard, qr/^250 2\.0\.0 Ok: queued as /m, 'the one is served');
	cmp_ok(time - $began, '<', 30, '... without a long wait');
	close $_ for @others;
	ok(wait_for(sub { my $s = $dial->(); my $line = <$s>; defined $line && $line =~ /^220 / }), 'and others, when those have left');
};

stop_daemon();
$net->done;
