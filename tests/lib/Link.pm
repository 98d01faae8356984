# Link: the line of tests/support/link.c between two byte streams, for the tests under `prove`. See there for what each option
# means and what a report holds.
#
#	my $link = Link->new(to => $address, rate => 2400, delay => 500, half_duplex => 1, speed => 20);
#	... $link->address ...                       "127.0.0.1:PORT" or the path: where it listens
#	$link->port
#	my $report = $link->report(3);               of the third connection to end; waits for it; undef when it takes too long
#	my @reports = $link->reports;                of all that have ended
#	$link->stop                                  ends what is left of it ("stopped"); also at the end of the test
#
# Options are those of the program with "_" for "-"; a value of 1 for those that take none (half_duplex, keep_tail,
# one_at_a_time); undef leaves one out. Besides:
#
#	to => 'HOST:PORT' or a path, or [PROGRAM, ARG...] for exec:
#	listen => a path; default: a free port of loopback
#	log => 1                                     keeps the line for each piece: $link->log_text
#
# As a pipe, with nothing running until somebody calls it; each run appends its report:
#
#	my $pipe = Link->pipe(to => $address, rate => 2400);
#	... $pipe->call ...                          "exec:PROGRAM ARG...", as in `call = { "exec:..." }`
#	... $pipe->command ...                       the same as a list
package Link;

use strict;
use warnings;
use File::Temp ();
use Hosts;
use JSON::PP ();
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my $owner = $$;
my %running;
my %flags = map { $_ => 1 } qw(half_duplex drop_tail keep_tail one_at_a_time);

sub prepare {
	my ($class, $near, %options) = @_;
	my $self = bless {dir => File::Temp->newdir('packetboat-link-XXXXXX', DIR => Hosts::place())}, $class;
	my $to = delete $options{to} // die "a link leads to somewhere\n";
	my @argv = (Hosts::support('link'), '--report', "$self->{dir}/report");

	push @argv, '--log', "$self->{dir}/log" if delete $options{log};
	for my $name (sort grep { defined $options{$_} } keys %options) {
		(my $option = "--$name") =~ tr/_/-/;
		push @argv, $flags{$name} ? ($options{$name} ? $option : ()) : ($option, $options{$name});
	}
	my @program = ref $to ? @$to : ();
	$self->{command} = [@argv, $near, @program ? ("exec:$program[0]", @program[1 .. $#program]) : $to];
	return $self;
}

sub new {
	my ($class, %options) = @_;
	my $self = $class->prepare(delete $options{listen} // 0, %options);

	pipe(my $said, my $says) or die "no pipe: $!\n";
	$self->{pid} = fork // die "cannot fork: $!\n";
	if ($self->{pid} == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>&', $says;
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		no warnings 'exec';
		exec { $self->{command}[0] } @{$self->{command}};
		POSIX::_exit(127);
	}
	$running{$self->{pid}} = 1;
	close $says;
	chomp($self->{address} = <$said> // die "the link does not start\n");
	return $self;
}

sub pipe {
	my ($class, %options) = @_;
	return $class->prepare('-', %options);
}

sub address { return $_[0]{address} }
sub port { return $_[0]{address} =~ /:(\d+)\z/ ? $1 : undef }
sub pid { return $_[0]{pid} }
sub command { return @{$_[0]{command}} }
sub call { return 'exec:' . join ' ', $_[0]->command }
sub log_text { return Hosts::slurp("$_[0]{dir}/log") // '' }

sub reports {
	my ($self) = @_;
	return map { JSON::PP::decode_json($_) } split /^/, Hosts::slurp("$self->{dir}/report") // '';
}

sub report {
	my ($self, $number, $seconds) = @_;
	my $limit = time + ($seconds // 30) * ($Hosts::sanitized ? 4 : 1);

	$number //= 1;
	while (1) {
		my @reports = $self->reports;
		return $reports[$number - 1] if @reports >= $number;
		return undef if time >= $limit;
		sleep 0.01;
	}
}

# Its exit status; 128 + signal when a signal ended it, undef when it was not running.
sub stop {
	my ($self) = @_;
	my $pid = delete $self->{pid};

	return undef unless $pid && $$ == $owner && delete $running{$pid};
	local $?;
	my $limit = time + 10;
	kill 'TERM', $pid;
	while (waitpid($pid, WNOHANG) == 0) {
		kill 'KILL', $pid if time >= $limit;
		sleep 0.005;
	}
	return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

sub DESTROY { $_[0]->stop }

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
