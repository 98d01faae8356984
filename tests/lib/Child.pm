# Child: a part of a test that runs in a process of its own and ends with the test, for servers that play what they are told.
#
#	my $child = Child->new('sink', sub { ... });   what it dies of is said with that name; it should not return
#	$child->stop                                   ends it and what it forked; also when $child goes, or the test
package Child;

use strict;
use warnings;
use POSIX ();

my $owner = $$;
my %running;

sub new {
	my ($class, $name, $code) = @_;
	my $pid = fork // die "cannot fork: $!\n";

	if ($pid == 0) {
		setpgrp(0, 0);
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		$SIG{$_} = 'IGNORE' for qw(CHLD PIPE);
		eval { $code->() };
		print STDERR "# $name: $@" if $@;
		POSIX::_exit(1);
	}
	$running{$pid} = 1;
	return bless {pid => $pid}, $class;
}

# A process that the child forked must not end it.
sub finish {
	my ($pid) = @_;
	local $?;

	return unless $$ == $owner && delete $running{$pid};
	kill 'KILL', -$pid, $pid;
	waitpid $pid, 0;
}

sub stop { finish($_[0]{pid}) }
sub DESTROY { $_[0]->stop }

END { finish($_) for keys %running }

1;
