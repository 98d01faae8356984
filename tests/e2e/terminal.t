#!/usr/bin/perl
# A password is asked for at a terminal unseen; whatever ends the program, what is typed afterwards is seen again.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(O_RDWR O_NOCTTY);
use Hosts;
use POSIX ();
use Time::HiRes qw(sleep);

# A terminal of its own, its two ends; IO::Pty may be missing.
sub terminal {
	my ($number, $locked) = map { pack 'i', $_ } 0, 0;
	sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY) or return;
	ioctl($master, 0x40045431, $locked) or return; # TIOCSPTLCK
	ioctl($master, 0x80045430, $number) or return; # TIOCGPTN
	sysopen(my $slave, '/dev/pts/' . unpack('i', $number), O_RDWR | O_NOCTTY) or return;
	return ($master, $slave);
}

sub seen {
	my ($slave) = @_;
	my $settings = POSIX::Termios->new;
	$settings->getattr(fileno $slave);
	return $settings->getlflag & POSIX::ECHO() ? 1 : 0;
}

sub until_seen {
	my ($slave, $wanted) = @_;
	for (1 .. 500) {
		return 1 if seen($slave) == $wanted;
		sleep 0.01;
	}
	return 0;
}

# `packetboat user add NAME` at HOST with SLAVE for its input; its process id.
sub ask {
	my ($host, $slave, $name, %ignored) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	# Whatever started this test, perhaps nohup(1).
	$SIG{$_} = $ignored{$_} ? 'IGNORE' : 'DEFAULT' for qw(INT TERM HUP QUIT);
	open(STDIN, '<&', $slave) && open(STDOUT, '>', '/dev/null') && open(STDERR, '>', '/dev/null') or POSIX::_exit(1);
	exec(Hosts::program('packetboat'), '-c', $host->conf, 'user', 'add', $name) or POSIX::_exit(1);
}

$SIG{ALRM} = sub { die "a program that should have ended has not\n" };
alarm 120;
my ($master, $slave) = terminal();
plan skip_all => 'no terminal can be made here' unless $slave;
my $net = Hosts->new;
my $a = $net->host('a');

for my $signal (qw(INT TERM HUP QUIT)) {
	my $pid = ask($a, $slave, 'ann');
	ok(until_seen($slave, 0), "$signal: what is typed is not seen");
	sleep 0.1; # until it reads
	kill $signal, $pid;
	waitpid $pid, 0;
	is($? & 127, POSIX->can("SIG$signal")->(), '... the signal ends it') or diag("status $?");
	ok(seen($slave), '... and what is typed then is seen again') or until_restored($slave);
	unlike($a->packetboat('user', 'list')->{out}, qr/^ann\b/m, '... nobody was added');
}

# Under nohup(1) the terminal may go, and the program goes on.
my $pid = ask($a, $slave, 'bob', HUP => 1);
ok(until_seen($slave, 0), 'a signal that is ignored');
sleep 0.1;
kill 'HUP', $pid;
for (1, 2) {
	until_seen($slave, 0);
	sleep 0.1; # what came before is thrown away
	syswrite $master, "secret\n";
	sleep 0.1;
}
waitpid $pid, 0;
is($?, 0, '... does not end it');
like($a->packetboat('user', 'list')->{out}, qr/^bob\b/m, '... and it does what was asked for');
$net->done;

# For the tests that follow a failure.
sub until_restored {
	my $settings = POSIX::Termios->new;
	$settings->getattr(fileno $_[0]);
	$settings->setlflag($settings->getlflag | POSIX::ECHO());
	$settings->setattr(fileno $_[0], POSIX::TCSANOW());
	return;
}
