# Bench: programs and peers for the measurements of tests/bench, all in one directory on a real disk.
#
#	my $bench = Bench->new('smtp');               the directory; results also go to build/bench/smtp.txt
#	$bench->say(...), $bench->raw(...)            both; only the file, one line with tabs
#	my $pid = $bench->begin('log', 'smtp-sink', ...);   stopped by $bench->end($pid), at the latest when all ends
#	my ($seconds, $trouble) = $bench->timed('log', 60, 'smtp-source', ...);
#	my ($seconds, $trouble) = $bench->timed_all('log', 60, ['smtp-source', ...], [...]);   at once
#	my $postfix = $bench->postfix($relay_port);   a private Postfix; undef, and the reason told, if there is none
#
# Only what was started here is ever signalled, by its id.
package Bench;

use strict;
use warnings;
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use Hosts;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time sleep);

$ENV{PATH} .= ':/usr/sbin:/sbin';
$ENV{BUILD} = $Hosts::build;

my $owner = $$;
my @all;

sub new {
	my ($class, $name) = @_;
	my $dir = tempdir("packetboat-bench-XXXXXX", DIR => $ENV{TMPDIR} || '/var/tmp');
	my $self = bless {dir => $dir, running => {}, begun => time, file => "$Hosts::top/build/bench/$name.txt"}, $class;

	# Postfix's processes are another user's.
	chmod 0755, $dir;
	make_path("$Hosts::top/build/bench");
	open $self->{raw}, '>', $self->{file} or die "$self->{file}: $!\n";
	$self->{raw}->autoflush;
	STDOUT->autoflush;
	push @all, $self;
	return $self;
}

sub dir { return $_[0]{dir} }
sub elapsed { return time - $_[0]{begun} }

sub say {
	my ($self, @text) = @_;
	print @text, "\n";
	print {$self->{raw}} (map { s/^/# /mgr } join '', @text), "\n";
}

sub raw {
	my ($self, @fields) = @_;
	print {$self->{raw}} join("\t", @fields), "\n";
}

# Something went wrong: told, and the measurement ends with status 1.
sub failed {
	my ($self, @text) = @_;
	$self->say('failed: ', @text);
	$self->{failures}++;
}

sub status { return $_[0]{failures} ? 1 : 0 }

# ---- programs ----------------------------------------------------------------------------------------------

sub found {
	my ($name) = @_;
	return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH};
}

sub begin {
	my ($self, $log, @argv) = @_;
	my $pid = fork // die "cannot fork: $!\n";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$self->{dir}/$log.out";
		open STDERR, '>', "$self->{dir}/$log.err";
		no warnings 'exec';
		exec { $argv[0] } @argv;
		print STDERR "cannot run $argv[0]: $!\n";
		POSIX::_exit(127);
	}
	$self->{running}{$pid} = 1;
	return $pid;
}

sub ended {
	my ($self, $pid) = @_;
	return 1 if !$self->{running}{$pid};
	return 0 if waitpid($pid, WNOHANG) == 0;
	delete $self->{running}{$pid};
	return 1;
}

sub end {
	my ($self, $pid, $signal) = @_;
	my $until = time + 20;

	return if $self->ended($pid);
	kill $signal // 'TERM', $pid;
	sleep 0.01 while !$self->ended($pid) && time < $until;
	return if $self->ended($pid);
	$self->failed("process $pid did not obey and was killed");
	kill 'KILL', $pid;
	waitpid $pid, 0;
	delete $self->{running}{$pid};
}

# Runs ARGV for at most LIMIT seconds: the seconds it took, and what went wrong (undef: nothing).
sub timed {
	my ($self, $log, $limit, @argv) = @_;
	return $self->timed_all($log, $limit, \@argv);
}

# The same of several at once: until the last of them is over.
sub timed_all {
	my ($self, $log, $limit, @commands) = @_;
	my $begun = time;
	my $late = 0;
	my @logs = @commands == 1 ? ($log) : map { "$log.$_" } 0 .. $#commands;
	my @pids;
	local $SIG{ALRM} = sub { $late = 1; kill 'KILL', @pids };
	my @trouble;

	push @pids, $self->begin($logs[$_], @{$commands[$_]}) for 0 .. $#commands;
	alarm $limit;
	for my $number (0 .. $#commands) {
		1 while waitpid($pids[$number], 0) < 0 && $!{EINTR};
		push @trouble, "@{$commands[$number]}: status " . ($? >> 8) . ' ' . (Hosts::slurp("$self->{dir}/$logs[$number].err") // '') if $?;
		delete $self->{running}{$pids[$number]};
	}
	my $seconds = time - $begun;
	alarm 0;
	return ($seconds, "still running after $limit s: @{$commands[0]}") if $late;
	return ($seconds, @trouble ? join('; ', @trouble) : undef);
}

# True when SUB is within LIMIT seconds; looked at every PAUSE seconds.
sub await {
	my ($self, $limit, $pause, $sub) = @_;
	my $until = time + $limit;

	until ($sub->()) {
		return 0 if time >= $until;
		sleep $pause;
	}
	return 1;
}

# A port of 127.0.0.1 that nobody listens on.
sub port {
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1) or die "no port: $!\n";
	return $socket->sockport;
}

# Starts ARGV and waits until PORT answers.
sub serve {
	my ($self, $log, $port, @argv) = @_;
	my $pid = $self->begin($log, @argv);

	return $pid if $self->await(20, 0.02, sub { $self->ended($pid) || IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") })
		&& !$self->ended($pid);
	$self->failed("$argv[0] does not start: ", Hosts::slurp("$self->{dir}/$log.err") // '');
	$self->end($pid);
	return undef;
}

# What one measurement leaves to be written must not be paid by the next.
sub settle {
	my ($self) = @_;
	system 'sync', '-f', $self->{dir};
}

sub median {
	my @sorted = sort { $a <=> $b } @_;
	return undef unless @sorted;
	return @sorted % 2 ? $sorted[@sorted / 2] : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# A line of /proc/PID/status, in kB.
sub memory {
	my ($pid, $line) = @_;
	return (Hosts::slurp("/proc/$pid/status") // '') =~ /^$line:\s+(\d+) kB/m ? $1 : 0;
}

# Is there any file below DIR? Looks no further than the first.
sub any_file {
	my ($dir) = @_;
	opendir my $in, $dir or return 0;
	while (defined(my $name = readdir $in)) {
		next if $name =~ /^\./;
		return 1 if !-d "$dir/$name" || any_file("$dir/$name");
	}
	return 0;
}

# Takes the files out of DIR, which stays; how many they were. They are kept until all ends: ext4 does not use an inode again for
# minutes after it was freed, and looks at every one of those at each creation, which would be paid by the next measurement.
sub clear {
	my ($self, $dir) = @_;
	my $away = "$self->{dir}/away/" . ++$self->{cleared};
	my $count = 0;

	make_path($away);
	opendir my $in, $dir or return 0;
	for my $name (readdir $in) {
		$count++ if $name !~ /^\./ && rename "$dir/$name", "$away/$name";
	}
	return $count;
}

# The system calls that wait for the disk, counted in PROCESSES and all they start, while SUB runs: {name => count}, or undef.
sub syncs {
	my ($self, $processes, $sub) = @_;
	my $out = "$self->{dir}/strace.counts";
	unlink $out;
	my $tracer = $self->begin('strace', 'strace', '-f', '-c', '-e', 'trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync',
		'-o', $out, map { ('-p', $_) } @$processes);
	my $attached = $self->await(10, 0.02, sub {
		$self->ended($tracer) || !grep { (Hosts::slurp("/proc/$_/status") // "TracerPid:\t1\n") !~ /^TracerPid:\s+[1-9]/m } @$processes });

	$sub->() if $attached && !$self->ended($tracer);
	$self->end($tracer, 'INT');
	my $text = Hosts::slurp($out);
	return undef unless defined $text && $attached;
	my %counts;
	/^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/ && $2 ne 'total' and $counts{$2} = $1 for split /\n/, $text;
	return \%counts;
}

# ---- a private Postfix -------------------------------------------------------------------------------------

# Listens on {port}, holds what comes in, and sends everything to RELAY_PORT. Debian's master.cf and default limits, without chroot.
sub postfix {
	my ($self, $relay_port) = @_;
	my ($dir, $port) = ("$self->{dir}/postfix", port());
	my $postfix = bless {bench => $self, etc => "$dir/etc", queue => "$dir/queue", port => $port}, 'Bench::Postfix';
	my ($master) = grep { -r $_ } '/usr/share/postfix/master.cf.dist', '/etc/postfix/master.cf';
	my $uid = getpwnam('postfix');
	my $missing = !found('postfix') || !$master ? 'is not installed' : $> != 0 || !$uid ? 'must be started by root' : undef;

	$self->say("Postfix: $missing; left out") and return undef if $missing;
	make_path("$dir/etc", "$dir/queue", "$dir/data");
	chown $uid, -1, "$dir/data";
	my $services = Hosts::slurp($master) =~ s/^smtp(\s+inet)/127.0.0.1:$port$1/mr;
	Hosts::spew("$dir/etc/master.cf", $services =~ s/^([^#\s]\S*\s+\w[\w-]*\s+\S+\s+\S+\s+)\S+/${1}n/mgr);
	Hosts::spew("$dir/etc/main.cf", <<"END");
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
myhostname = bench.example
mydestination = bench.example
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:$relay_port
smtp_tls_security_level = may
smtpd_client_restrictions = check_client_access static:HOLD
END
	my (undef, $trouble) = $self->timed('postfix', 60, 'postfix', '-c', $postfix->{etc}, 'start');
	$postfix->{started} = 1;
	push @{$self->{postfixes}}, $postfix;
	return $postfix if !$trouble && $self->await(20, 0.05, sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
	$self->failed('Postfix does not start: ', $trouble // 'it does not answer');
	$postfix->stop;
	return undef;
}

package Bench::Postfix;

use strict;
use warnings;

sub master {
	my ($self) = @_;
	my ($pid) = (Hosts::slurp("$self->{queue}/pid/master.pid") // '') =~ /(\d+)/;
	return $pid;
}

# The ids of all its processes.
sub processes {
	my ($self) = @_;
	my $master = $self->master;
	return ($master, (Hosts::slurp("/proc/$master/task/$master/children") // '') =~ /\d+/g);
}

# postsuper, postqueue, ... on this instance; what went wrong.
sub run {
	my ($self, $program, @argv) = @_;
	my (undef, $trouble) = $self->{bench}->timed($program, 60, $program, '-c', $self->{etc}, @argv);
	return $trouble;
}

sub stop {
	my ($self) = @_;
	my $master = $self->master;

	return unless delete $self->{started};
	$self->run('postfix', 'stop');
	$self->{bench}->await(20, 0.05, sub { !$master || !-d "/proc/$master" })
		or $self->{bench}->failed("Postfix (process $master) does not stop");
}

package Bench;

# A second Ctrl-C must not cut this short.
sub leave_nothing {
	local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;
	for my $self (@all) {
		$_->stop for @{$self->{postfixes} // []};
		$self->end($_) for keys %{$self->{running}};
		remove_tree($self->{dir}, {safe => 0});
	}
}

END {
	my $status = $?;
	leave_nothing() if $$ == $owner;
	$? = $status;
}

1;
