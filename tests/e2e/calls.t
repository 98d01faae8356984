# Calls: two hosts talk over a program's standard input and output, and over TCP; the line breaks, a side is killed, strangers
# call; windows, caps and pauses.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Cut;
use Hosts;
use IO::Socket::INET;
use JSON::PP;
use Link;
use Test::More;
use Time::Local;

my $relay = Hosts::program('packetboat-relay');

sub status { my ($host, $options) = @_; return decode_json((split /\n/, $host->packetboat($options // {}, 'status', '--json')->{out})[0]) }

sub seconds { my @t = $_[0] =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z$/; return timegm(@t[5, 4, 3, 2], $t[1] - 1, $t[0]) }

subtest 'over the standard input and output of a program' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call);

	is(call($a)->{code}, 0, 'a call with nothing to say');
	cmp_ok(octets($a), '<', 170, 'is short');
	$a->mail('bob@b.example', text('there'));
	$b->sendmail(text('back'), '-i', '-f', 'bob@b.example', '--', 'ann@a.example');
	is(call($a)->{code}, 0, 'a call with mail both ways');
	arrives($b, 'bob', 'there', 'it came there');
	is(subjects($a, 'ann'), 'back', 'and back');
	is(scalar($a->waiting) + scalar($b->waiting), 0, 'nothing waits');
	is(scalar(Hosts::files($a->spool('out'))) + scalar(Hosts::files($b->spool('out'))), 0, 'all is acknowledged');
	$a->mail('bob@b.example', text('by itself'));
	is($a->pass->{code}, 0, 'a relay pass calls');
	arrives($b, 'bob', 'by itself there', 'and what waited is there');
	$net->fsck;
};

# What a super-server is: a socket at standard input and output.
sub inetd {
	my ($host) = @_;
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no socket: $!";
	my $pid = fork // die "fork: $!";

	return ($pid, $socket->sockport) if $pid;
	my $client = $socket->accept;
	open STDIN, '<&', $client or die;
	open STDOUT, '>&', $client or die;
	exec Hosts::program('packetboat-relay'), '-c', $host->conf, 'answer' or die;
}

subtest 'the log tells who called, where that can be told' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call);
	my $last = sub { ($b->log_text =~ /^a answered at=\S+ line=("[^"]*"|\S+)/mg)[-1] };

	delete local @ENV{qw(SSH_CONNECTION TCPREMOTEIP SOCAT_PEERADDR REMOTE_HOST)};
	is(call($a)->{code}, 0, 'a program');
	is($last->(), '"standard input"', 'a pipe tells nothing');
	for (['SSH_CONNECTION', '192.0.2.7 40000 192.0.2.1 22'], ['TCPREMOTEIP', '192.0.2.7']) {
		local $ENV{$_->[0]} = $_->[1];
		is(call($a)->{code}, 0, $_->[0]);
		is($last->(), '192.0.2.7', 'the environment does');
	}
	my ($pid, $port) = inetd($b);
	calls_at($a, "tcp:127.0.0.1:$port");
	is(call($a)->{code}, 0, 'a super-server');
	waitpid $pid, 0;
	is($last->(), '127.0.0.1', 'a socket does');
};

subtest 'half-duplex, and in the clear' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call, more => "\tturn = 60s\n\tseal = false\n", more_b => "\tseal = false\n");

	$a->mail('bob@b.example', text("m$_", noise(3000))) for 1 .. 3;
	$b->sendmail(text('back'), '-i', '-f', 'bob@b.example', '--', 'ann@a.example');
	is(call($a)->{code}, 0, 'a call');
	arrives($b, 'bob', 'm1 m2 m3', 'there');
	is(subjects($a, 'ann'), 'back', 'and back');
	$net->fsck;
};

subtest 'over TCP, on a line that breaks' => sub {
	my $net = Hosts->new;
	my $line;
	my ($a, $b) = pair($net, undef);

	my ($daemon, $port) = listens($b);
	ok($daemon, 'b listens') or return;
	$line = Cut->new($port, $net->dir);
	calls_at($a, 'tcp:127.0.0.1:' . $line->port);

	my $big = text('big', noise(300_000));
	$a->mail('bob@b.example', $big);
	is(call($a)->{code}, 0, 'a clean call');
	my $clean = $line->octets;
	$a->mail('bob@b.example', $big =~ s/big/again/r);
	my $before = $line->octets;
	my $calls = 0;
	for (1 .. 200) {
		$line->after(1500 + $_ * 7919 % 9000);
		$calls++;
		last if call($a)->{code} == 0;
	}
	cmp_ok($calls, '>', 20, 'cut again and again');
	arrives($b, 'bob', 'again big', 'each message once');
	my ($mail) = grep { $_->{head} =~ /^Subject: again$/m } $b->mailbox('bob');
	ok($a && $b->same_content($mail, $big =~ s/big/again/r, 1), 'as it was');
	my $more = $line->octets - $before - $clean;
	cmp_ok($more, '<', $calls * 300, "$calls calls cost $more octets more: handshakes, and next to nothing sent again");

	$line->after(0);
	$a->mail('bob@b.example', text('killed', noise(2_000_000)));
	for (1 .. 4) {
		call($a, {kill_after => 0.15 * $_});
	}
	# Who answered the last may still be at it.
	my $code = 75;
	for (1 .. 50) {
		$code = call($a)->{code};
		last if $code != 75;
		select undef, undef, undef, 0.2;
	}
	is($code, 0, 'after the caller was killed again and again');
	arrives($b, 'bob', 'again big killed', 'once more each message once');

	subtest 'strangers' => sub {
		my $knock = sub {
			my ($bytes) = @_;
			my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10) or return 'no connection';
			syswrite $s, $bytes;
			my $heard = '';
			while (IO::Select->new($s)->can_read(20)) { sysread($s, $heard, 1000, length $heard) or last }
			return $heard;
		};
		is($knock->("GET / HTTP/1.0\r\n\r\n"), '', 'a browser hears nothing');
		is($knock->('PBC' . chr(1) . 'x' x 40 . chr(0) . 'y' x 16), '', 'nor who speaks the protocol without a key');
		is($knock->('PBC' . chr(9) . 'x' x 80), '', 'nor a later version');
		my $c = $net->host('c');
		link_up($c, $b, "tcp:127.0.0.1:$port");
		isnt(call($c, {to => 'b'})->{code}, 0, 'nor a host that is no neighbour');
		is(call($a)->{code}, 0, 'while a neighbour is served');
		like($b->log_text, qr/^- answered .* reason="a stranger called"$/m, 'b tells of them');
	};
	$daemon->stop;
	$net->fsck;
};

subtest 'what keeps a pass from calling' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call, more => qq{\tcall-when = { "64k", "2h" }\n\tcap-day = 100k\n});

	$a->mail('bob@b.example', text('small'));
	is($a->pass->{code}, 0, 'a pass');
	is(subjects($b, 'bob'), '', 'a small message is not worth a call');
	is($a->pass({env => {PACKETBOAT_CLOCK_OFFSET => 3 * 3600}})->{code}, 0, 'a pass three hours later');
	arrives($b, 'bob', 'small', 'an old one is');
	$a->mail('bob@b.example', text('large', noise(300_000)));
	call($a) for 1 .. 3;
	is(subjects($b, 'bob'), 'small', 'the cap of the day is kept');
	like($a->log_text, qr/^b called .* reason="[^"]*limit|^b trouble .*cap-day/m, 'and told of');
	my $status = status($a);
	like($status->{call_waits}, qr/cap-day/, 'status says what the next call waits for');
	my @midnight = localtime seconds($status->{next_call});
	is("@midnight[2, 1, 0]", '0 0 0', 'and until when');
	my ($before) = Hosts::slurp($a->spool('state/b/calls')) =~ /^day-octets (\d+)$/m;
	is($status->{today}{octets}, $before, 'and what calls took');
	my ($used) = Hosts::slurp($a->spool('state/b/calls')) =~ /^day-octets (\d+)$/m;
	cmp_ok($used, '<', 300_000, 'the ledger says how much it was');
	is(call($a, {env => {PACKETBOAT_CLOCK_OFFSET => ($_ + 1) * 86400}})->{code}, 0, "day $_ later") for 1 .. 4;
	arrives($b, 'bob', 'large small', 'within some days it is there');
	$net->fsck;
};

subtest 'a window, and an address that does not answer' => sub {
	my $net = Hosts->new;
	my $now = time;
	my @closed = map { sprintf '%02d:%02d', (localtime $now + $_)[2, 1] } 3600, 7200;
	my ($a, $b) = pair($net, \&exec_call, more => qq{\twindow = { "$closed[0]-$closed[1]" }\n});

	$a->mail('bob@b.example', text('early'));
	$a->pass;
	is(subjects($b, 'bob'), '', 'not outside the window');
	is(call($a)->{code}, 0, 'but by hand');
	arrives($b, 'bob', 'early', 'it goes');
	my ($c, $d) = pair(Hosts->new, 'exec:/bin/false');
	$c->mail('bob@b.example', text('lost?'));
	my $first = $c->pass;
	isnt($first->{code}, 0, 'a call that fails is told of');
	is($c->pass->{code}, 0, 'once');
	is(scalar(() = $c->log_text =~ /^b called /mg), 1, 'and not tried again at once');
	is(scalar($c->waiting), 1, 'the mail waits');
	my $status = status($c);
	like($status->{call_waits}, qr/^it could not be reached/, 'status says why');
	cmp_ok(seconds($status->{next_call}), '>', time, 'and that it is tried again');
	like($c->packetboat('status')->{out}, qr/; next call in \S+: it could not be reached/, 'in words, too');
	$net->fsck;
};

subtest 'a window that closes, and what status says' => sub {
	my $net = Hosts->new;
	my $at = time;
	# By the clock that the call is given it has some seconds left in its minute.
	my %late = (env => {PACKETBOAT_CLOCK_OFFSET => 52 - $at % 60});
	my @minutes = map { sprintf '%02d:%02d', (localtime $at - $at % 60 + $_)[2, 1] } -3600, 60;
	my $link;
	my $slow = sub {
		my ($here, $there) = @_;
		$link = Link->pipe(to => [$relay, '-c', $there->conf, 'answer'], rate => 1_000_000);
		return $link->call;
	};
	my ($a, $b) = pair($net, $slow, more => qq{\twindow = { "$minutes[0]-$minutes[1]" }\n\trate = 8000\n});

	like($a->packetboat('status')->{out}, qr/^b .*; no call due: nothing waits$/m, 'nothing waits');
	is(status($a)->{rate}, 8000, 'the rate that is configured');
	$a->mail('bob@b.example', text('long', noise(2_500_000)));
	is($a->pass({%late})->{code}, 0, 'a pass calls');
	is(subjects($b, 'bob'), '', 'and ends when the window closes');
	my $status = status($a, {%late});
	is($status->{call_waits}, 'outside its window', 'the rest waits for the next');
	cmp_ok($status->{rate}, '>', 100_000, 'the rate of the link was seen');
	cmp_ok($status->{sending_time}, '<', 60, 'and how long the rest will take');
	is(call($a)->{code}, 0, 'by hand');
	arrives($b, 'bob', 'long', 'the rest goes');
	my @calls = $a->log_text =~ /^b called .* octets=(\d+)/mg;
	cmp_ok($calls[0] + $calls[1], '<', 2_600_000, 'and nothing went twice');
	$net->fsck;
};

subtest 'a stick goes between two calls' => sub {
	my $net = Hosts->new;
	my $link;
	my ($a, $b) = pair($net, sub {
		my ($here, $there) = @_;
		$link = Link->pipe(to => [$relay, '-c', $there->conf, 'answer'], cut_after => 100_000);
		return $link->call;
	});
	my $parts = sub { return scalar grep { /\.part$/ } Hosts::files($b->spool('in/a')) };

	$a->mail('bob@b.example', text('long', noise(300_000)));
	isnt(call($a)->{code}, 0, 'a call that breaks');
	is($parts->(), 1, 'what came is kept');
	mkdir $net->dir . '/stick';
	is($a->packetboat('export', 'b', $net->dir . '/stick')->{code}, 0, 'the batch goes onto a stick');
	is($b->packetboat('import', $net->dir . '/stick')->{code}, 0, 'and comes from it');
	arrives($b, 'bob', 'long', 'it is there');
	is(call($a, {env => {PACKETBOAT_CLOCK_OFFSET => 3 * 86400}})->{code}, 0, 'a call some days later');
	cmp_ok(octets($a), '<', 1000, 'sends no more of it');
	is($parts->(), 0, 'and what was kept is gone');
	is(subjects($b, 'bob'), 'long', 'it is there once');
	is(scalar($a->waiting), 0, 'and acknowledged');
	$net->fsck;
};

subtest 'a reserve without a cap, a cap that is passed over' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call, more => "\treserve = 1M\n");

	$a->mail('bob@b.example', text('plain'));
	is(call($a)->{code}, 0, 'a call');
	arrives($b, 'bob', 'plain', 'without a cap nothing is reserved');
	my ($c, $d) = pair(Hosts->new, \&exec_call, more => "\tcap-day = 20k\n\treserve = 10k\n");
	$c->mail('bob@b.example', text('bulky', noise(50_000)));
	call($c);
	is(subjects($d, 'bob'), '', 'what the cap leaves is not enough');
	cmp_ok(octets($c), '<', 20_000 - 5000, 'and some of it is reserved');
	is($c->run({}, $relay, '-c', $c->conf, 'call', 'b', '--over-caps')->{code}, 64, 'the option stands before the name');
	is($c->packetboat('call', 'b', '--over-caps')->{code}, 0, 'packetboat takes it anywhere');
	arrives($d, 'bob', 'bulky', 'over the caps it goes');
};

subtest 'more neighbours than the soft limit has descriptors for' => sub {
	my $net = Hosts->new;
	my ($hub, @others) = map { $net->host($_) } 'hub', map { "n$_" } 1 .. 12;

	link_up($hub, $_, 'exec:/bin/true') for @others;
	my $result = $hub->run('/bin/sh', '-c', 'ulimit -S -n 40; exec "$@"', 'sh', $relay, '-c', $hub->conf, 'run');
	is($result->{code}, 0, 'a pass has them all open') or diag($result->{err});
	unlike($hub->log_text, qr/ trouble /, 'without trouble');
	$net->fsck;
};

subtest 'an answerer that cannot work on who calls' => sub {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, \&exec_call);

	Hosts::spew($b->spool('in/a'), 'no directory');
	is(call($a)->{code}, 75, 'a call is for later');
	ended($b, 'answered', 1);
	my ($call) = calls_logged($b, 'answered');
	like($call->{reason}, qr{in/a}, 'its log says why');
	unlike($b->log_text, qr/another process/, 'and nothing else');
	unlink $b->spool('in/a');
	is(call($a)->{code}, 0, 'the next finds all in order');
	$net->fsck;
};

done_testing;
