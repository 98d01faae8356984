# Courier: packetboat-smtp and other long-running programs of a host, for the tests under `prove`.
#
#	my $once = deliver($host);                   `packetboat-smtp --once`: {code, out, err, ...}
#	my $daemon = Courier->start($host);          packetboat-smtp --foreground; others: start($host, 'packetboat-smtpd', ARG...)
#	$daemon->signal('HUP'); $daemon->alive; $daemon->err
#	my $code = $daemon->stop;                    TERM; or stop('KILL'); its exit status, 128 + signal
#	eventually { ... } 'what is waited for';     a test that becomes true within half a minute
#	my $port = free_port;
package Courier;

use strict;
use warnings;
use Exporter qw(import);
use Hosts;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(deliver eventually free_port);
my $owner = $$;
my %running;
my $count = 0;

# What is lost in libraries is not ours to mend.
$ENV{LSAN_OPTIONS} //= "suppressions=$Hosts::top/tests/lsan.supp:print_suppressions=0" if $Hosts::sanitized;

sub deliver {
	my ($host, $options, @more) = @_;
	return $host->run($options // {}, Hosts::program('packetboat-smtp'), '-c', $host->conf, '--once', @more);
}

sub eventually(&$;$) {
	my ($test, $name, $seconds) = @_;
	my $limit = time + ($seconds // 30) * ($Hosts::sanitized ? 4 : 1);

	while (time < $limit) {
		return ok(1, $name) if $test->();
		sleep 0.05;
	}
	return ok(0, "$name (in time)");
}

sub free_port {
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "no port: $!\n";
	return $socket->sockport;
}

sub start {
	my ($class, $host, $program, @argv) = @_;
	my $base = $host->{net}->dir . "/daemon-$$-" . ++$count;
	my $options = ref $program eq 'HASH' ? $program : {};
	$program = 'packetboat-smtp' if !defined $program || ref $program;
	# Closed by exec: a signal that is sent before would meet perl instead of the program.
	pipe(my $begun, my $begins) or die "no pipe: $!\n";
	my $pid = fork // die "cannot fork: $!\n";

	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$base.out";
		open STDERR, '>', "$base.err";
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		$ENV{$_} = $host->{env}{$_} for keys %{$host->{env}};
		$ENV{$_} = $options->{env}{$_} for keys %{$options->{env} // {}};
		{
			no warnings 'exec';
			exec(Hosts::program($program), '-c', $host->conf, '--foreground', @argv);
		}
		POSIX::_exit(127);
	}
	$running{$pid} = 1;
	close $begins;
	sysread $begun, my $nothing, 1;
	return bless {pid => $pid, base => $base}, $class;
}

sub pid { return $_[0]{pid} }
sub err { return Hosts::slurp("$_[0]{base}.err") // '' }

sub signal {
	my ($self, $signal) = @_;
	kill $signal, $self->{pid} if $self->{pid};
}

# The exit status of one that has ended, undef while it runs.
sub ended {
	my ($self) = @_;
	return $self->{code} if defined $self->{code};
	return undef if waitpid($self->{pid}, WNOHANG) == 0;
	delete $running{$self->{pid}};
	return $self->{code} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

sub alive { return !defined $_[0]->ended }

sub stop {
	my ($self, $signal) = @_;
	my $limit = time + 30 * ($Hosts::sanitized ? 4 : 1);

	$self->signal($signal // 'TERM') if $self->alive;
	while ($self->alive) {
		if (time > $limit) {
			diag('does not stop: ' . $self->err);
			$self->signal('KILL');
		}
		sleep 0.01;
	}
	return $self->{code};
}

END {
	if ($$ == $owner) {
		my $status = $?;
		for my $pid (keys %running) {
			kill 'KILL', $pid;
			waitpid $pid, 0;
		}
		$? = $status;
	}
}

1;
