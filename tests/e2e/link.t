# The line that the tests of calls use, tests/support/link.c: what it promises about rate, delay, turns, buffers, cuts and
# counting. All in simulated time, so that it is fast. A time is never too short; that it is not too long must be seen once in
# a few tries, since a busy machine may keep everybody waiting.
use strict;
use warnings;
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Link;
use POSIX ();
use Socket qw(SOL_SOCKET SO_SNDBUF SO_RCVBUF SHUT_WR);
use Test::More;
use Time::HiRes qw(sleep time);

$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 50) or die "no port: $!\n";
my $there = '127.0.0.1:' . $server->sockport;

# A new connection through LINK: its near and its far end.
my %begun;

sub ends {
	my ($link) = @_;
	$begun{$link->pid}++;
	my $near = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $link->port) or die "no connection: $!\n";
	my $far = $server->accept or die "no connection: $!\n";
	return ($near, $far);
}

# Sends OCTETS whole, from a process of its own, and then ends that direction if ENDS says so.
sub send_behind {
	my ($socket, $octets, $ends) = @_;
	my $pid = fork // die "cannot fork: $!\n";

	return $pid if $pid;
	my $at = 0;
	while ($at < length $octets) {
		$at += syswrite($socket, $octets, 65536, $at) // POSIX::_exit(1);
	}
	shutdown $socket, SHUT_WR if $ends;
	POSIX::_exit(0);
}

# Reads COUNT octets, or to the end; then what the end was is in $!.
sub get {
	my ($socket, $count) = @_;
	my $octets = '';

	$! = 0;
	while (!defined $count || length $octets < $count) {
		my $got = sysread $socket, $octets, defined $count ? $count - length $octets : 65536, length $octets;
		last unless $got;
		$! = 0;
	}
	return $octets;
}

sub put {
	my ($socket, $octets) = @_;
	return syswrite($socket, $octets) == length $octets;
}

# What can be written without waiting, until nothing more went for a while.
sub pour {
	my ($socket) = @_;
	my $all = 0;

	$socket->blocking(0);
	my $quiet = 0;
	while ($quiet < 10) {
		my $put = syswrite $socket, 'x' x 4096;
		$all += $put // 0;
		$quiet = $put ? 0 : $quiet + 1;
		sleep 0.01 unless $put;
	}
	$socket->blocking(1);
	return $all;
}

# The processor's time that PID has had, in hundredths of a second.
sub processor {
	my ($pid) = @_;
	my @fields = split ' ', Hosts::slurp("/proc/$pid/stat");
	return $fields[13] + $fields[14];
}

sub octets { return join '', map { chr(33 + $_ * 7 % 90) } 1 .. $_[0] }

# Closes both ends; the report on the connection, which is the newest of LINK.
sub finish {
	my ($link, $near, $far) = @_;
	close $near;
	close $far;
	return $link->report($begun{$link->pid});
}

sub between {
	my ($value, $least, $most, $name) = @_;
	ok(defined $value && $value >= $least && $value <= $most, $name) or diag(($value // 'nothing') . " is not from $least to $most");
}

# Measures, a few times if need be, until it is no longer than MOST. A machine that has other work is late, however often one
# tries: LINK_EXACT=1 is for one that has none.
sub within {
	my ($least, $most, $name, $measure) = @_;
	my $value;

	$most *= 2 unless $ENV{LINK_EXACT};

	for (1 .. 5) {
		$value = $measure->();
		last if defined $value && $value <= $most;
	}
	between($value, $least, $most, $name);
}

# The report of a connection through LINK on which OCTETS went one way: from its near end, or BACK.
sub carry {
	my ($link, $octets, $back) = @_;
	my ($near, $far) = ends($link);
	my $writer = send_behind($back ? $far : $near, $octets);
	my $got = get($back ? $near : $far, length $octets);

	waitpid $writer, 0;
	my $report = finish($link, $near, $far);
	$report->{whole} = $got eq $octets;
	return $report;
}

# ---- rate --------------------------------------------------------------------------------------------------

for my $case ([2400, 2400, 40], [300, 2400, 200], [64_000, 9600, 10], [8_000_000, 8_000_000, 1]) {
	my ($rate, $back, $speed) = @$case;
	my $link = Link->new(to => $there, rate => $rate, $back == $rate ? () : (rate_back => $back), speed => $speed);

	for my $way (['forth', $rate, 0], ['back', $back, 1]) {
		my ($name, $bits, $is_back) = @$way;
		# Three tenths of a second, in real time.
		my $count = int($bits / 8 * $speed * 0.3);
		my $octets = octets($count);
		my $report;
		within($count * 8 / $bits * 0.999, $count * 8 / $bits * 1.02, "$bits bit/s $name within 2 %", sub {
			$report = carry($link, $octets, $is_back);
			return $report->{seconds};
		});
		ok($report->{whole}, 'all arrives as it was sent');
		is($report->{delivered}{$name}, $count, 'counted');
		is($report->{turns}, 0, 'one side alone makes no turn');
	}
}

{
	my $link = Link->new(to => $there, rate => 2400, speed => 20);
	my $octets = octets(1500);
	my $report;
	within(5 * 0.999, 6, 'both directions at once, each at the whole rate', sub {
		my ($near, $far) = ends($link);
		send_behind($near, $octets, 1);
		send_behind($far, $octets, 1);
		ok(get($near) eq $octets && get($far) eq $octets, 'both get all, and the end');
		$report = finish($link, $near, $far);
		return $report->{seconds};
	});
	between($report->{seconds} / $report->{real}, 19.9, 20.1, 'simulated and real time differ by the speed');
	is($report->{end}, 'closed', 'closed by both');
}

{
	# The line's buffer is 32 ms long, the simulator sleeps for 100: what waited in the kernel meanwhile was carried meanwhile.
	my $link = Link->new(to => $there, rate => 64_000, buffer => 256, delay => 200);
	within(1.199, 1.3, 'the line does not stand still while the simulator sleeps', sub {
		my ($near, $far) = ends($link);
		my $writer = send_behind($near, 'x' x 8000);
		for (1 .. 4) {
			get($far, 1000);
			kill 'STOP', $link->pid;
			sleep 0.1;
			kill 'CONT', $link->pid;
		}
		get($far, 4000);
		waitpid $writer, 0;
		return finish($link, $near, $far)->{seconds};
	});
}

{
	my $link = Link->new(to => $there);
	my ($near, $far) = ends($link);
	my $count = 50_000_000;
	my $octets = 'abcdefg' x ($count / 7 + 1);
	substr($octets, $count) = '';
	send_behind($near, $octets, 1);
	ok(Hosts::digest(get($far)) eq Hosts::digest($octets), 'without a rate: 50 MB arrive as they were sent');
	my $report = finish($link, $near, $far);
	is($report->{delivered}{forth}, $count, 'and are counted');
	diag(sprintf 'without a rate: %.0f MB/s', $count / 1e6 / $report->{seconds});
}

# ---- delay and turn-arounds --------------------------------------------------------------------------------

{
	my $link = Link->new(to => $there, delay => 3000, speed => 10);
	my $report;
	within(15, 16, 'five times the delay from the first octet to the last', sub {
		my ($near, $far) = ends($link);
		my $begun = time;
		put($near, 'hello');
		get($far, 5);
		ok((time - $begun) * 10 >= 3, 'one way takes the delay');
		for (1 .. 2) {
			put($far, 'answer');
			get($near, 6);
			put($near, 'again');
			get($far, 5);
		}
		shutdown $near, SHUT_WR;
		is(get($far), '', 'the end comes too');
		ok((time - $begun) * 10 >= 18, 'and takes the delay');
		$report = finish($link, $near, $far);
		return $report->{seconds};
	});
	is($report->{turns}, 4, 'four answers, four turn-arounds');
	is($report->{line_turns}, 0, 'the line itself is not turned');
	is_deeply([@{$report->{delivered}}{qw(forth back)}], [15, 12], 'octets of both directions');
}

{
	# Acknowledgements of what is still going on are no turns, and neither is going on.
	my $link = Link->new(to => $there, rate => 8000, speed => 10);
	my ($near, $far) = ends($link);
	put($near, 'x' x 2000);
	get($far, 500);
	put($far, 'ack');
	get($near, 3);
	put($near, 'y' x 100);
	get($far, 1600);
	my $report = finish($link, $near, $far);
	is($report->{turns}, 0, 'what overlaps is no turn-around');
}

# ---- half-duplex -------------------------------------------------------------------------------------------

my %radio = (rate => 2400, half_duplex => 1, turn => 3000, speed => 30);
{
	my $link = Link->new(to => $there, %radio, quiet => 0, log => 1);
	my $report;
	within(3 + 2 * 3, (3 + 2 * 3) * 1.05, 'half-duplex: each turn costs the turn time', sub {
		my ($near, $far) = ends($link);
		for ([$near, $far], [$far, $near], [$near, $far]) {
			put($_->[0], 'x' x 300);
			get($_->[1], 300);
		}
		$report = finish($link, $near, $far);
		return $report->{seconds};
	});
	is($report->{line_turns}, 2, 'the line was turned twice');
	is($report->{turns}, 2, 'as often as somebody answered');
	like($link->log_text, qr/^[0-9.]+ 1 back turned 0 1\n/m, 'the log tells of it');
}

{
	# The near end sends ten seconds long; the far end waits with what it has, and then gets its turn.
	my $link = Link->new(to => $there, %radio, quiet => 500, buffer => 1000);
	my $report;
	# 300 octets are a second. What the near end still has to send when the far end writes is 9.5 seconds long or less.
	within(10 + 0.5 + 3 + 1, 10 + 0.5 + 3 + 1.2, 'quiet, turn, and then the other side', sub {
		my ($near, $far) = ends($link);
		my $writer = send_behind($near, 'x' x 3000);
		get($far, 100);
		put($far, 'y' x 300);
		get($far, 2900);
		get($near, 300);
		waitpid $writer, 0;
		$report = finish($link, $near, $far);
		return $report->{seconds};
	});
	is($report->{line_turns}, 1, 'the line stayed with who had something to send');
	is($report->{waited}{back}, 300, 'what waited is counted');
	is($report->{waited}{forth}, 0, 'for either side');
}

{
	# Twenty seconds from either side at the same time: one side keeps the line, unless it may only hold it for so long.
	my $link = Link->new(to => $there, %radio, quiet => 0, hold => 5000, turn => 1000, speed => 50);
	my $report;
	within(40 + 7, (40 + 7) * 1.03, 'with a hold time the line is turned each time it is over', sub {
		my ($near, $far) = ends($link);
		my @others = (send_behind($near, 'x' x 6000, 1), send_behind($far, 'y' x 6000, 1));
		push @others, fork // die "cannot fork: $!\n";
		if ($others[2] == 0) {
			get($near);
			POSIX::_exit(0);
		}
		get($far);
		waitpid $_, 0 for @others;
		$report = finish($link, $near, $far);
		return $report->{seconds};
	});
	is($report->{delivered}{$_}, 6000, 'and both sides get through') for qw(forth back);
	between($report->{line_turns}, 7, 8, 'in turns');
}

# ---- back-pressure -----------------------------------------------------------------------------------------

{
	my $link = Link->new(to => $there, rate => 300, buffer => 500);
	my ($near, $far) = ends($link);
	setsockopt $near, SOL_SOCKET, SO_SNDBUF, 1;
	my $own = unpack 'i', getsockopt($near, SOL_SOCKET, SO_SNDBUF);
	my $poured = pour($near);
	my $report = finish($link, $near, $far);
	my $carried = 300 / 8 * $report->{real_whole} + 1;
	between($poured, 500, 500 + $report->{kernel}{near} + $own + $carried,
		'TCP: a writer is ahead by no more than the buffer and what the kernels hold');
	between($report->{ahead}{forth}, 500, 500 + 66, 'the line itself by no more than its buffer');
	between($report->{kernel}{near}, 1, 2304, 'the kernel holds as little as can be');

	($near, $far) = ends($link);
	between(pour($near), 500, 100_000, 'and a TCP writer who did not ask for a small buffer gets no large one');
	finish($link, $near, $far);
}

{
	my $pipe = Link->pipe(to => $there, rate => 300, buffer => 500);
	pipe(my $from, my $to);
	my $pid = fork // die "cannot fork: $!\n";
	if ($pid == 0) {
		open STDIN, '<&', $from;
		close $to;
		exec $pipe->command;
	}
	close $from;
	my $far = $server->accept;
	my $poured = pour($to);
	close $to;
	my $before = processor($pid);
	sleep 0.5;
	between(processor($pid) - $before, 0, 2, 'a writer that left before its octets were read costs no time of the processor');
	close $far;
	my $report = $pipe->report;
	between($poured, 500 + 1, 500 + 4096 + 300 / 8 * $report->{real_whole} + 1, 'a pipe: by no more than the buffer and a page');
	is($report->{kernel}{near}, 4096, 'the page is told');
	waitpid $pid, 0;
}

# ---- cuts --------------------------------------------------------------------------------------------------

for my $with (qw(rst fin)) {
	my $link = Link->new(to => $there, rate => 64_000, cut_after => 'forth:1234', cut_with => $with);
	my ($near, $far) = ends($link);
	my $octets = octets(5000);
	put($far, 'z' x 40);
	get($near, 40);
	send_behind($near, $octets);
	is(get($far), substr($octets, 0, 1234), "cut by $with: exactly so many octets arrive");
	my $how = $! + 0;
	is(get($near), '', 'the other end sees it');
	is($how, $with eq 'rst' ? POSIX::ECONNRESET : 0, $with eq 'rst' ? 'as a reset' : 'as an end');
	my $report = $link->report;
	is($report->{end}, 'cut', 'reported as a cut');
	is_deeply([@{$report->{delivered}}{qw(forth back)}], [1234, 40], 'with the octets delivered');
	is($report->{lost}{forth}, $report->{accepted}{forth} - 1234, 'and those lost');
	ok($report->{lost}{forth} > 0, 'which there are');
	close $_ for $near, $far;
}

{
	my $link = Link->new(to => $there, rate => 64_000, cut_after => 100);
	my ($near, $far) = ends($link);
	put($near, 'x' x 60);
	get($far, 60);
	put($far, 'y' x 60);
	is(length get($near), 40, 'the octets of both directions together');
	is($link->report->{end}, 'cut', 'make it a cut');
	($near, $far) = ends($link);
	put($near, 'x' x 500);
	is(length get($far), 100, 'and again for the next connection');

	$link = Link->new(to => $there, rate => 2400, speed => 10, cut_after => 100, keep_tail => 1, cut_with => 'fin');
	($near, $far) = ends($link);
	put($near, 'x' x 200);
	is(length get($far), 200, 'the tail is kept when asked for');
	is($link->report->{end}, 'cut', 'before the cut');

	$link = Link->new(to => $there, rate => 2400, speed => 10, cut_time => 5000);
	my $report;
	within(5, 5.1, 'a cut by time', sub {
		($near, $far) = ends($link);
		send_behind($near, 'x' x 6000);
		get($far);
		$report = finish($link, $near, $far);
		return $report->{seconds_whole};
	});
	between($report->{delivered}{forth}, 1400, 1530, 'after what went until then');
}

{
	my @lengths;
	for my $seed (5, 5, 6) {
		my $link = Link->new(to => $there, rate => 8_000_000, cut_random => "$seed,1000", cut_with => 'fin');
		for (1 .. 40) {
			my ($near, $far) = ends($link);
			put($near, 'x' x 3000);
			push @{$lengths[$seed]}, length get($far);
			close $_ for $near, $far;
		}
	}
	my @five = @{$lengths[5]};
	is_deeply([@five[0 .. 39]], [@five[40 .. 79]], 'the same seed cuts at the same octets');
	isnt("@five[0 .. 39]", "@{$lengths[6]}", 'another at others');
	my ($sum, %seen) = (0);
	$sum += $_ for @five[0 .. 39];
	$seen{$_} = 1 for @five[0 .. 39];
	between($sum / 40, 700, 1300, 'their mean is what was asked for');
	between(scalar keys %seen, 35, 40, 'and they differ');
}

{
	my $link = Link->new(to => $there, corrupt => 'back:7');
	my ($near, $far) = ends($link);
	put($near, 'x' x 20);
	is(get($far, 20), 'x' x 20, 'the other direction is as it was');
	put($far, 'abcd');
	put($far, 'efghij');
	my $got = get($near, 10);
	is(substr($got, 0, 6) . substr($got, 7), 'abcdefhij', 'all but one octet arrive as they were sent');
	is(unpack('%32b*', substr($got, 6, 1) ^ 'g'), 1, 'and of that one a bit is changed');
	finish($link, $near, $far);
}

{
	my $link = Link->new(to => $there, rate => 64_000, stall_after => 50);
	my ($near, $far) = ends($link);
	put($near, 'x' x 100);
	is(length get($far, 50), 50, 'before the line stalls');
	my $in = '';
	vec($in, fileno $far, 1) = 1;
	put($far, 'y');
	close $near;
	is(scalar select($in, undef, undef, 0.2), 0, 'nothing more comes, not even an end');
	is(scalar $link->reports, 0, 'the connection stays');
	close $far;
	my $report = $link->report;
	is($report->{end}, 'stalled', 'until both ends are gone');
	is($report->{delivered}{forth}, 50, 'it carried no more');
}

# ---- ends, forms, many at once -----------------------------------------------------------------------------

{
	my $link = Link->new(to => $there, rate => 8000);
	my ($near, $far) = ends($link);
	setsockopt $near, SOL_SOCKET, Socket::SO_LINGER(), pack('ii', 1, 0);
	close $near;
	get($far);
	is($! + 0, POSIX::ECONNRESET, 'a reset goes on to the other end');
	is($link->report->{end}, 'reset-near', 'and is reported');
	close $far;

	my $nowhere = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1);
	my $port = $nowhere->sockport;
	close $nowhere;
	$link = Link->new(to => "127.0.0.1:$port");
	$near = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $link->port);
	get($near);
	is($link->report->{end}, 'reset-far', 'nobody at the far end');
}

{
	# Programs at both ends: cat behind a line, called through a pipe.
	my $dir = File::Temp->newdir('packetboat-link-XXXXXX', TMPDIR => 1);
	my $cat = Link->new(to => ['cat'], rate => 80_000, listen => "$dir/socket");
	my $pipe = Link->pipe(to => $cat->address, delay => 20);
	my $octets = octets(3000);
	my $result = Hosts::execute({in => $octets, scratch => "$dir/scratch"}, $pipe->command);
	ok($result->{out} eq $octets, 'through a pipe, a Unix socket and a program and back');
	is($result->{code}, 0, 'the pipe leaves with 0');
	is($_->report->{end}, 'closed', 'closed by both') for $cat, $pipe;
	is($cat->report->{delivered}{back}, 3000, 'counted on the way back');
	like($pipe->call, qr/^exec:\S+\/link .* - \S+\/socket$/, 'as the address of a call');

	my $short = Link->pipe(to => ['head', '-c', '1000'], rate => 80_000);
	$result = Hosts::execute({in => 'x' x 100_000, scratch => "$dir/scratch"}, $short->command);
	is(length $result->{out}, 1000, 'what a program says before it leaves is carried, though it reads no more');
	ok($short->report->{lost}{forth} > 0, 'and what it did not read is lost');

	my $cut = Link->pipe(to => ['cat'], cut_after => 'back:100');
	$result = Hosts::execute({in => $octets, scratch => "$dir/scratch"}, $cut->command);
	is(length $result->{out}, 100, 'a pipe that is cut');
	is($result->{code}, 1, 'leaves with 1');
	is($cut->report->{end}, 'cut', 'and reports it');
	is($cat->stop, 0, 'a link that is stopped leaves with 0');
}

{
	my $link = Link->new(to => $there, rate => 8000, speed => 4);
	my @all = map { [ends($link)] } 1 .. 20;
	within(0.249, 0.3, 'many at once do not wait for each other', sub {
		my $begun = time;
		put($_->[0], 'x' x 1000) for @all;
		get($_->[1], 1000) for @all;
		return time - $begun;
	});
	# The processor's time: a line with nothing to carry does nothing.
	shutdown $_->[0], SHUT_WR for @all;
	sleep 0.1;
	my $before = processor($link->pid);
	sleep 0.5;
	between(processor($link->pid) - $before, 0, 1, 'a silent line takes no time of the processor');
	$link->stop;
	is(scalar(grep { $_->{end} eq 'stopped' } $link->reports), 20, 'those that were open are reported when it is stopped');
}

{
	my $link = Link->new(to => $there, one_at_a_time => 1);
	my ($near, $far) = ends($link);
	my $second = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $link->port);
	my $in = '';
	vec($in, fileno $server, 1) = 1;
	is(scalar select($in, undef, undef, 0.2), 0, 'one at a time: the second waits');
	close $_ for $near, $far;
	vec($in, fileno $server, 1) = 1;
	is(scalar select($in, undef, undef, 10), 1, 'until the first is over');
}

1 while waitpid(-1, POSIX::WNOHANG) > 0;
done_testing;
