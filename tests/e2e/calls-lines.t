# Lines that programs make: what they say and leave, a terminal with somebody at it, and the examples of packetboat-relay(8), as printed,
# with socat(1) and chat(8) where they are installed.
use strict;
use warnings;
no warnings 'exec';
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $relay = Hosts::program('packetboat-relay');
my $net = Hosts->new;
my ($a, $b) = pair($net, \&exec_call);

sub installed { return grep { -x "$_/$_[0]" } split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin' }

sub script {
	my ($name, $text) = @_;
	my $path = $net->dir . "/$name";

	Hosts::spew($path, $text);
	chmod 0755, $path;
	return $path;
}

# Processes whose arguments have TEXT in them.
sub running { my ($text) = @_; return grep { (Hosts::slurp($_) // '') =~ /\Q$text\E/ } glob '/proc/[0-9]*/cmdline' }

sub waits_for {
	my ($that) = @_;
	my $until = time + 60;

	sleep 0.02 while !$that->() && time < $until;
	return $that->();
}

subtest 'a program' => sub {
	my $naps = "98765.$$";

	calls_at($a, 'exec:' . script('dial', <<"END"));
#!/bin/sh
echo "dialling the city" >&2
sleep $naps &
$relay -c @{[$b->conf]} answer
echo "hung up" >&2
END
	$a->mail('bob@b.example', text('one'));
	is(call($a)->{code}, 0, 'a call');
	arrives($b, 'bob', 'one', 'brings mail');
	like($a->log_text, qr{^b said .*program=exec:\S+/dial text="dialling the city"$}m, 'what it says is in the log');
	is(scalar(running($naps)), 0, 'what it has started ends with the call');
	calls_at($a, 'exec:' . script('busy', "#!/bin/sh\necho BUSY >&2\nexit 1\n"));
	isnt(call($a)->{code}, 0, 'a line that does not come about');
	like($a->log_text, qr{^b said .*program=exec:\S+/busy text=BUSY$}m, 'the log says why');
};

subtest 'somebody at a terminal' => sub {
	plan(skip_all => 'there is no script(1)') unless installed('script');
	my $link = Link->pipe(to => [$relay, '-c', $b->conf, 'answer'], rate => 1_600_000);
	my $big = text('big', noise(600_000));

	calls_at($a, $link->call);
	$a->mail('bob@b.example', $big);
	my $typed = $net->dir . '/typed';
	POSIX::mkfifo($typed, 0600) or die;
	my $pid = fork // die;
	if ($pid == 0) {
		open my $keys, '>', $typed or die;
		waits_for(sub { grep { -s > 250_000 } Hosts::files($b->spool('in')) });
		syswrite $keys, "\x03";
		sleep 30;
		POSIX::_exit(0);
	}
	my $seen = $a->run({in => \$typed}, 'script', '-q', '-e', '-c', "exec $relay -c @{[$a->conf]} call b", '/dev/null');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	like($seen->{out}, qr{\rb: \S+/s  sending batch \d+: \S+ of \S+}, 'progress is shown, under the name of the neighbour');
	unlike($seen->{out}, qr/\r[^\r\n]{80}/, 'on one line');
	like($seen->{out}, qr/\rb: the call is being ended; once more ends it at once\r\n/, '^C ends it');
	like($seen->{out}, qr/packetboat-relay: ended by a signal; the next call goes on where this one ended\r\n\z/, 'with a word');
	is($seen->{code}, 75, 'to be tried again');
	is(call($a)->{code}, 0, 'the next call');
	arrives($b, 'bob', 'big one', 'brings it');
	my @last = (calls_logged($a, 'called'))[-2, -1];
	cmp_ok($last[0]{sent} + $last[1]{sent}, '<', 620_000, 'and goes on where that ended');
};

# Two terminals that are one line.
sub line {
	my @ends = map { $net->dir . "/tty$_" } qw(A B);
	my $pid = fork // die;

	if ($pid == 0) {
		exec 'socat', map { "pty,raw,echo=0,link=$_" } @ends;
		POSIX::_exit(127);
	}
	ok(waits_for(sub { -e $ends[0] && -e $ends[1] }), 'a line');
	return ($pid, @ends);
}

sub over {
	kill 'TERM', @_;
	waitpid $_, 0 for @_;
}

my $manual = Hosts::slurp("$Hosts::top/relay/packetboat-relay.8") =~ s/\\e/\\/gr;

subtest 'a serial line, as in the manual' => sub {
	plan(skip_all => 'there is no socat(1)') unless installed('socat');
	my ($example) = $manual =~ /^call = \{ "(exec:socat .*)" \}$/m;
	my ($pid, $near, $far) = line();
	my $there = fork // die;

	if ($there == 0) {
		exec 'socat', "$far,b9600,raw,echo=0", "exec:$relay -c @{[$b->conf]} answer";
		POSIX::_exit(127);
	}
	calls_at($a, $example =~ s{/dev/ttyUSB0}{$near}r);
	$a->mail('bob@b.example', text('serial'));
	is(call($a)->{code}, 0, 'a call');
	arrives($b, 'bob', 'big one serial', 'brings mail');
	over($pid, $there);
};

subtest 'a modem, as in the manual' => sub {
	plan(skip_all => 'there is no socat(1) or chat(8)') unless installed('socat') && installed('chat');
	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/sbin";
	my ($example) = $manual =~ /^(#!\/bin\/sh\n.*?)^\.Ed/ms;
	my ($pid, $near, $far) = line();
	my $modem = fork // die;

	if ($modem == 0) {
		open my $tty, '+<', $far or die;
		my $line = '';
		while (sysread $tty, my $octet, 1) {
			$line .= $octet;
			syswrite $tty, "\r\nOK\r\n" if $line =~ s/ATZ\r\z//;
			last if $line =~ /ATDT\d+\r\z/;
		}
		sleep 0.2;
		syswrite $tty, "\r\nCONNECT 19200/ARQ\r\n";
		open STDIN, '<&', $tty;
		open STDOUT, '>&', $tty;
		exec $relay, '-c', $b->conf, 'answer';
		POSIX::_exit(127);
	}
	calls_at($a, 'exec:' . script('dial-city', $example =~ s{/dev/ttyS0}{$near}gr));
	$a->mail('bob@b.example', text('modem'));
	my $begun = time;
	is(call($a)->{code}, 0, 'a call');
	cmp_ok(time - $begun, '<', $Hosts::sanitized ? 60 : 9, 'ends when all is said');
	arrives($b, 'bob', 'big modem one serial', 'brings mail');
	is(scalar(running('dial-city')), 0, 'nothing of it is left');
	over($pid, $modem);
};

$net->fsck;
done_testing;
