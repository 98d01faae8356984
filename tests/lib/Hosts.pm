# Hosts: whole packetboat hosts in temporary directories, for the tests under `prove`.
#
#	use Test::More; use FindBin; use lib "$FindBin::Bin/../lib"; use Hosts;
#
#	my $net = Hosts->new;                        a directory of its own; kept, and its path printed, on failure
#	my $a = $net->host('a');                     `packetboat init`, domain a.example
#	my $b = $net->host('b');
#	$net->neighbours($a, $b);                          keys exchanged, a directory that both see between them
#	$a->configure(qq{route "*" { via = "neighbour:b" }\n});
#	$b->user('bob');
#	$a->mail('bob@b.example', \"Subject: x\n\nHello\n");
#	$net->passes($a, $b);
#	my @mail = $b->mailbox('bob');               {name, path, bytes, head, body} each
#	$net->done;                                  fsck everywhere, done_testing
#
# Programs run without a shell and with a deadline. Nothing outside the directory is written; only processes that the
# test started itself are ever signalled.
package Hosts;

use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA;
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(time sleep);

our $top = abs_path(dirname(__FILE__) . '/../..');
our $build = $ENV{BUILD} || "$top/build/" . dirname(readlink("$top/build/bin") || 'release/bin');
our $deadline = 60;                 # seconds for one program; more under a sanitizer
our $sanitized = ($ENV{SAN} // '') ne '';
$deadline *= 4 if $sanitized;

my $owner = $$;                     # forked children must not clean up
my %running;                        # processes started and not yet waited for
my @nets;

delete @ENV{grep { /^PACKETBOAT_/ } keys %ENV};
$ENV{LC_ALL} = 'C';
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub program { return "$build/bin/$_[0]" }
sub support { return "$build/support/$_[0]" }

# Where hosts are made: in memory, where syncing costs nothing, if there is such a place with room; tests of large or of
# many messages ask for the disk.
sub place {
	my ($disk) = @_;
	return $ENV{TMPDIR} || '/tmp' if $disk || $ENV{TMPDIR} || !-w '/dev/shm';
	my ($free) = `df -Pk /dev/shm 2>/dev/null` =~ /\n\S+\s+\d+\s+\d+\s+(\d+)/;
	return ($free // 0) >= 200_000 ? '/dev/shm' : '/tmp';
}

# A directory for hosts. Options: disk => 1.
sub new {
	my ($class, %options) = @_;
	die "the programs are not built: there is no $build/bin/packetboat\n" unless -x program('packetboat');
	my $self = bless {dir => tempdir('packetboat-XXXXXX', DIR => place($options{disk})), hosts => [], count => 0}, $class;

	$self->{dir} = abs_path($self->{dir});
	push @nets, $self;
	return $self;
}

sub dir { return $_[0]{dir} }

# Makes the host NAME. Options: domain => 'a.example', env => {...} for every program that runs there.
sub host {
	my ($self, $name, %options) = @_;
	my $host = bless {
		net => $self, name => $name, dir => "$self->{dir}/$name",
		domain => $options{domain} // "$name.example", env => $options{env} // {},
	}, 'Hosts::Host';

	push @{$self->{hosts}}, $host;
	my $made = $host->run(program('packetboat'), 'init', $host->{dir}, '--host', $name, '--domain', $host->{domain});
	is($made->{code}, 0, "init $name") or die "init failed: $made->{err}\n";
	return $host;
}

# Makes A and B neighbours over a directory that both see. Options: seal => 0 (sign-only), relay => 1 (each may send
# through the other), more => further lines of the neighbour's section, shared => the directory, or separate ones:
# call_a => where A puts and looks, call_b => where B does.
sub neighbours {
	my ($self, $a, $b, %options) = @_;
	my $shared = $options{shared} // "$self->{dir}/between-$a->{name}-$b->{name}";

	for my $pair ([$a, $b, 'call_a'], [$b, $a, 'call_b']) {
		my ($here, $there, $call) = @$pair;
		my $place = $options{$call} // $shared;

		make_path($place);
		$here->configure(sprintf(qq{neighbour "%s" {\n\tkey = "%s"\n\tcall = { "dir:%s" }\n\tseal = %s\n\trelay = %s\n%s}\n},
			$there->{name}, $there->key, $place, ($options{seal} // 1) ? 'true' : 'false',
			$options{relay} ? 'true' : 'false', $options{more} // ''));
	}
	return $shared;
}

# The usual line of three: A - B - C, everything that is not at home goes along the line; users ann, bob, carol.
sub three {
	my ($self, %options) = @_;
	my ($a, $b, $c) = map { $self->host($_, env => $options{env}{$_}) } qw(a b c);

	$self->neighbours($a, $b, relay => 1, %options);
	$self->neighbours($b, $c, relay => 1, %options);
	$a->configure(qq{route "*" { via = "neighbour:b" }\n});
	$b->configure(qq{route "a.example" { via = "neighbour:a" }\nroute "c.example" { via = "neighbour:c" }\n});
	$c->configure(qq{route "*" { via = "neighbour:b" }\n});
	$a->user('ann');
	$b->user('bob');
	$c->user('carol');
	return ($a, $b, $c);
}

# Relay passes on HOSTS in turn, COUNT rounds (default 4: there and back over three hosts); each must succeed.
sub passes {
	my ($self, @hosts) = @_;
	my $rounds = @hosts && !ref $hosts[-1] ? pop @hosts : 4;

	for my $round (1 .. $rounds) {
		for my $host (@hosts) {
			my $pass = $host->pass;
			next if $pass->{code} == 0;
			fail("pass on $host->{name} in round $round");
			diag("status $pass->{code}: $pass->{err}");
			return 0;
		}
	}
	return 1;
}

# `fsck` on every host must be content.
sub fsck {
	my ($self, $name) = @_;

	for my $host (@{$self->{hosts}}) {
		my $fsck = $host->packetboat('fsck');
		is($fsck->{code}, 0, ($name // 'fsck content') . " on $host->{name}") or diag($fsck->{out}, $fsck->{err});
	}
}

# Ends the daemons that are still there, holds every spool against the rules, and closes the test.
sub done {
	my ($self) = @_;

	for my $host (@{$self->{hosts}}) {
		$_->done for @{$host->{daemons} // []};
	}
	$self->fsck('fsck content at the end');
	done_testing();
}

END {
	my $status = $?;
	if ($$ == $owner) {
		kill('KILL', keys %running) if %running;
		my $passing = $status == 0 && Test::More->builder->is_passing;
		for my $net (@nets) {
			if ($passing && !$ENV{KEEP}) {
				remove_tree($net->{dir}, {safe => 0});
				remove_tree("$net->{dir}.kept", {safe => 0});
			} else {
				print STDERR "# kept: $net->{dir}\n";
			}
		}
	}
	$? = $status;
}

# ---- files -------------------------------------------------------------------------------------------------

sub slurp {
	my ($path) = @_;
	open my $in, '<:raw', $path or return undef;
	local $/;
	my $bytes = <$in>;
	return $bytes // '';
}

sub spew {
	my ($path, $bytes) = @_;
	open my $out, '>:raw', $path or die "cannot write $path: $!\n";
	print $out $bytes;
	close $out or die "cannot write $path: $!\n";
}

sub names {
	my ($dir) = @_;
	opendir my $in, $dir or return ();
	return sort grep { !/^\.\.?$/ } readdir $in;
}

# All regular files below DIR, as paths.
sub files {
	my ($dir) = @_;
	my @found;
	for my $name (names($dir)) {
		my $path = "$dir/$name";
		push @found, -l $path ? () : -d $path ? files($path) : $path;
	}
	return @found;
}

# The batch files in a directory between hosts.
sub batches {
	return grep { /\.pb$/ } files($_[0]);
}

# A copy of the tree FROM in the place of TO, which is removed first; times and modes are kept.
sub copy_tree {
	my ($from, $to) = @_;
	remove_tree($to, {safe => 0});
	system('cp', '-a', $from, $to) == 0 or die "cannot copy $from to $to\n";
}

sub digest {
	my ($bytes) = @_;
	return Digest::SHA::sha256_hex($bytes);
}

# What a Maildir holds for a message handed in as BYTES: LF line ends; text with CRLF line ends (told by the first)
# loses one CR at each, everything else stays.
sub unix_form {
	my ($bytes) = @_;
	my $first = index($bytes, "\n");
	$bytes =~ s/\r\n/\n/g if $first > 0 && substr($bytes, $first - 1, 1) eq "\r";
	return $bytes;
}

# ---- processes ---------------------------------------------------------------------------------------------

# Runs a program: {in => bytes or \path, env => {}, dir => path, deadline => seconds, kill_after => seconds,
# as => uid}. Gives
# {code, signal, out, err, late}; code is 128 + signal when a signal ended it.
sub execute {
	my ($options, @argv) = @_;
	my $base = $options->{scratch};
	my $in = '/dev/null';

	if (ref $options->{in}) {
		$in = ${$options->{in}};
	} elsif (defined $options->{in}) {
		spew($in = "$base.in", $options->{in});
	}
	my $pid = fork // die "cannot fork: $!\n";
	if ($pid == 0) {
		eval {
			open STDIN, '<', $in or die "$in: $!\n";
			open STDOUT, '>', "$base.out" or die "$base.out: $!\n";
			open STDERR, '>', "$base.err" or die "$base.err: $!\n";
			$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
			for my $name (keys %{$options->{env}}) {
				if (defined $options->{env}{$name}) {
					$ENV{$name} = $options->{env}{$name};
				} else {
					delete $ENV{$name};
				}
			}
			chdir $options->{dir} or die "$options->{dir}: $!\n" if $options->{dir};
			($(, $)) = ($options->{as}, "$options->{as} $options->{as}") if $options->{as};
			($<, $>) = ($options->{as}, $options->{as}) if $options->{as};
			no warnings 'exec';
			exec { $argv[0] } @argv;
		};
		print STDERR "cannot run $argv[0]: $! $@\n";
		POSIX::_exit(127);
	}
	$running{$pid} = 1;
	my $late = 0;
	my $limit = time + ($options->{kill_after} // $options->{deadline} // $deadline);
	my $pause = 0.0005;
	while (waitpid($pid, WNOHANG) == 0) {
		if (time >= $limit) {
			$late = 1;
			kill 'KILL', $pid;
			waitpid($pid, 0);
			last;
		}
		sleep($pause);
		$pause = $pause < 0.01 ? $pause * 1.5 : 0.01;
	}
	my $status = $?;
	delete $running{$pid};
	my $result = {
		code => $status & 127 ? 128 + ($status & 127) : $status >> 8, signal => $status & 127, late => $late,
		out => slurp("$base.out") // '', err => slurp("$base.err") // '', argv => [@argv],
	};
	diag("deadline passed: @argv") if $late && !defined $options->{kill_after};
	unlink "$base.in", "$base.out", "$base.err";
	return $result;
}

# Runs the given subs at the same time, each in a process of its own, and waits for all; gives the number of those that
# died or returned something false. They must not print test results.
sub together {
	my (@subs) = @_;
	my @children;
	my $failed = 0;

	for my $sub (@subs) {
		my $pid = fork // die "cannot fork: $!\n";
		if ($pid == 0) {
			%running = ();
			srand;
			my $good = eval { $sub->() };
			print STDERR "# $@" if $@;
			POSIX::_exit($good ? 0 : 1);
		}
		$running{$pid} = 1;
		push @children, $pid;
	}
	for my $pid (@children) {
		waitpid($pid, 0);
		$failed++ if $? != 0;
		delete $running{$pid};
	}
	return $failed;
}

# ---- daemons -----------------------------------------------------------------------------------------------

# A program that stays: it is ready when it tells systemd so (sd_notify(3)), and is gone after stop, whatever happens.
package Hosts::Daemon;

use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h);
use Socket qw(SOCK_DGRAM);
use Test::More import => [qw(is diag)];
use Time::HiRes qw(time sleep);

# Starts ARGV at HOST. Options: env => {}, files => soft limit of descriptors, under => program and arguments before it.
# Gives undef when it does not become ready; then {code} and {err} of the second result tell why.
sub begin {
	my ($class, $host, $options, @argv) = @_;
	my $base = "$host->{net}{dir}/daemon-$$-" . ++$host->{net}{count};
	my $self = bless {host => $host, name => $argv[0], base => $base, log_at => length $host->log_text}, $class;

	$self->{notify} = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$base.notify") or die "cannot make $base.notify: $!\n";
	chmod 0666, "$base.notify"; # the daemon may become another user
	my $pid = fork // die "cannot fork: $!\n";
	if ($pid == 0) {
		eval {
			open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";
			open STDOUT, '>', "$base.out" or die "$base.out: $!\n";
			open STDERR, '>', "$base.err" or die "$base.err: $!\n";
			$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
			my %env = (%{$host->{env}}, NOTIFY_SOCKET => "$base.notify", %{$options->{env} // {}});
			$ENV{$_} = $env{$_} for keys %env;
			no warnings 'exec';
			exec { $argv[0] } @argv;
		};
		print STDERR "cannot run $argv[0]: $! $@\n";
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{$pid} = 1;
	push @{$host->{daemons}}, $self;
	return $self;
}

sub pid { return $_[0]{pid} }
sub err { return Hosts::slurp("$_[0]{base}.err") // '' }
# What it and others wrote to the host's log since the start.
sub log_text { return substr($_[0]{host}->log_text, $_[0]{log_at}) }

# Waits for a message like "READY=1"; false when the daemon ends first, or after the deadline.
sub told {
	my ($self, $wanted) = @_;
	my $until = time + $Hosts::deadline;

	while (time < $until) {
		if (IO::Select->new($self->{notify})->can_read(0.05)) {
			my $text = '';
			$self->{notify}->recv($text, 4096);
			return 1 if index("$text\n", $wanted) >= 0;
		} elsif ($self->ended) {
			return 0;
		}
	}
	diag("$self->{name} never said $wanted");
	return 0;
}

# Has it ended? Then {code} is its status, 128 + signal when a signal ended it.
sub ended {
	my ($self) = @_;

	return 1 if defined $self->{code};
	return 0 if waitpid($self->{pid}, WNOHANG) == 0;
	$self->{code} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
	delete $running{$self->{pid}};
	return 1;
}

sub signal {
	my ($self, $signal) = @_;
	kill($signal, $self->{pid}) unless $self->ended;
}

# Waits for its end, at most SECONDS; the exit status, or undef when it is still there.
sub wait {
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // $Hosts::deadline);

	sleep 0.01 while !$self->ended && time < $until;
	return $self->{code};
}

# The end by SIGNAL (TERM), by KILL if it does not obey; the exit status.
sub stop {
	my ($self, $signal) = @_;

	$self->signal($signal // 'TERM');
	return $self->wait if defined $self->wait;
	diag("$self->{name} does not end");
	$self->signal('KILL');
	return $self->wait;
}

# Stops it; it must leave with 0, which under a sanitizer says that nothing leaked.
sub done {
	my ($self) = @_;

	return if defined $self->{code};
	is($self->stop, 0, "$self->{name} at $self->{host}{name} ends") or diag($self->err);
}

# All threads together, in kB: a line of /proc/PID/status ("VmRSS", "RssAnon").
sub memory {
	my ($self, $line) = @_;
	return (Hosts::slurp("/proc/$self->{pid}/status") // '') =~ /^$line:\s+(\d+) kB/m ? $1 : undef;
}

package Hosts::Host;

use strict;
use warnings;
use JSON::PP ();
use Test::More import => [qw(is diag)];

sub name { return $_[0]{name} }
sub dir { return $_[0]{dir} }
sub conf { return "$_[0]{dir}/packetboat.conf" }
sub spool { return "$_[0]{dir}/spool" . (defined $_[1] ? "/$_[1]" : '') }

# Runs any program in the environment of this host. A leading hash may hold in, env, dir, deadline, kill_after.
sub run {
	my ($self, @argv) = @_;
	my %options = ref $argv[0] eq 'HASH' ? %{shift @argv} : ();

	$self->{net}{count}++;
	$options{scratch} = "$self->{net}{dir}/run-$$-$self->{net}{count}";
	$options{env} = {%{$self->{env}}, %{$options{env} // {}}};
	return Hosts::execute(\%options, @argv);
}

# packetboat -c CONF ARG...
sub packetboat {
	my ($self, @argv) = @_;
	my @options = ref $argv[0] eq 'HASH' ? (shift @argv) : ();
	return $self->run(@options, Hosts::program('packetboat'), '-c', $self->conf, @argv);
}

# One relay pass; options as for run.
sub pass {
	my ($self, $options) = @_;
	return $self->run($options // {}, Hosts::program('packetboat-relay'), '-c', $self->conf, 'run');
}

# packetboat-sendmail with the message (bytes, or \path of a file) on standard input.
sub sendmail {
	my ($self, $message, @argv) = @_;
	my %options = ref $argv[0] eq 'HASH' ? %{shift @argv} : ();
	$options{env} = {PACKETBOAT_CONF => $self->conf, %{$options{env} // {}}};
	return $self->run({%options, in => $message}, Hosts::program('packetboat-sendmail'), @argv);
}

# Hands in MESSAGE from ann at this host to RECIPIENTS; it must be taken.
sub mail {
	my ($self, $recipients, $message) = @_;
	my @to = ref $recipients ? @$recipients : ($recipients);
	my $result = $self->sendmail($message, '-i', '-f', "ann\@$self->{domain}", '--', @to);

	is($result->{code}, 0, "$self->{name} takes mail for @to") or diag($result->{err});
	return $result;
}

sub key {
	my ($self) = @_;
	my $result = $self->packetboat('key');
	my ($line) = $result->{out} =~ /^(\S+)$/m;

	die("no key line from $self->{name}: $result->{err}") unless defined $line;
	return $line;
}

# Adds TEXT to the main configuration file.
sub configure {
	my ($self, $text) = @_;
	open my $out, '>>', $self->conf or die $self->conf . ": $!\n";
	print $out $text;
	close $out or die $self->conf . ": $!\n";
}

sub user {
	my ($self, $name) = @_;
	my $result = $self->packetboat({in => "password of $name\n"}, 'user', 'add', $name);
	is($result->{code}, 0, "user $name at $self->{name}") or diag($result->{err});
}

# The messages in USER's Maildir, in order of name.
sub mailbox {
	my ($self, $user) = @_;
	my @mail;

	for my $part (qw(new cur)) {
		my $dir = $self->spool("mail/$user/$part");
		for my $name (Hosts::names($dir)) {
			my $bytes = Hosts::slurp("$dir/$name");
			my ($head, $body) = split /\n\n/, $bytes, 2;
			push @mail, {name => $name, path => "$dir/$name", bytes => $bytes, head => "$head\n", body => $body // ''};
		}
	}
	return @mail;
}

# Is MAIL (of mailbox) the message that was handed in as BYTES, behind nothing but header fields of the edge? With
# "additions", From, Date and Message-ID may have been put before it too, as sendmail does where they are missing; a
# message that begins with no field at all then has them and an empty line in front.
sub same_content {
	my ($self, $mail, $bytes, $additions) = @_;
	my $wanted = Hosts::unix_form($bytes);
	my $edge = length($mail->{bytes}) - length($wanted);
	my $fields = 'Return-Path|Delivered-To|Received' . ($additions ? '|(?:Resent-)?(?:From|Date|Message-ID)' : '');

	return 0 if $edge <= 0 || substr($mail->{bytes}, $edge) ne $wanted;
	my $front = substr($mail->{bytes}, 0, $edge);
	chomp $front if $additions && $wanted !~ /\A[!-9;-~]+[ \t]*:/ && $front =~ /\n\n\z/;
	return $front =~ /\A(?:(?:$fields):[^\n]*\n(?:[ \t][^\n]*\n)*)+\z/;
}

# What waits here, one hash for each record of `list --json`.
sub waiting {
	my ($self, @argv) = @_;
	my $result = $self->packetboat('list', '--json', @argv);

	is($result->{code}, 0, "list at $self->{name}") or diag($result->{err});
	return map { JSON::PP::decode_json($_) } split /\n/, $result->{out};
}

# Starts a daemon of this host (a program of packetboat) and waits until it is ready; undef if it does not become so, and
# the reason is told. A leading hash may hold env.
sub start {
	my ($self, @argv) = @_;
	my $options = ref $argv[0] eq 'HASH' ? shift @argv : {};
	my $name = shift @argv;
	my $daemon = Hosts::Daemon->begin($self, $options, Hosts::program($name), '-c', $self->conf, @argv);

	$daemon->{name} = $name;
	return $daemon if $daemon->told('READY=1');
	diag("$name does not start: " . $daemon->err);
	return undef;
}

sub log_text { return Hosts::slurp($_[0]->spool('log')) // '' }

# The files in spool/corrupt that are not reasons.
sub corrupt {
	my ($self) = @_;
	return grep { !/\.why$/ } Hosts::files($self->spool('corrupt'));
}

1;
