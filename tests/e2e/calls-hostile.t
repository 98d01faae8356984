# Whoever should not be served, at `packetboat-relay listen`: strangers, wrong keys, what was recorded, garbage, the slow, the deaf,
# and a neighbour that lies (tests/support/liar.c). Each is refused or timed out, hears nothing, and harms nobody else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use IO::Select;
use IO::Socket::INET;
use Tap;
use Test::More;
use Time::HiRes qw(sleep time);

my $proof = 4;
# On a busy machine, beside a limit of some seconds.
my $patience = 60;
my $answer = 32 + 1 + 1 + 16;

my $net = Hosts->new;
my ($a, $b) = pair($net, undef, more_b => "\ttimeout = 60s\n");
my $c = $net->host('c');
link_up($b, $c, undef, "\ttimeout = 4s\n");
link_up($c, $b, undef);
my ($daemon, $port) = listens($b, "\tproof = ${proof}s\n\tconnections-each = 4\n");
my $tap = Tap->new($port);
calls_at($a, 'tcp:127.0.0.1:' . $tap->port);

# From another address than a's.
sub knock { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, LocalAddr => '127.0.0.2', Timeout => 10) }

# What b says until it closes, or undef when it does not.
sub hears {
	my ($socket) = @_;
	my $until = time + $patience;
	my $heard = '';

	while (time < $until) {
		IO::Select->new($socket)->can_read(1) or next;
		sysread($socket, $heard, 4096, length $heard) or return $heard;
	}
	return undef;
}

sub says {
	my ($bytes) = @_;
	my $socket = knock() or return 'no connection';

	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $bytes;
	return hears($socket);
}

my $good = 0;
sub others_unharmed {
	my ($name) = @_;
	my $begun = time;

	$a->mail('bob@b.example', text('m' . ++$good));
	is(call($a)->{code}, 0, "$name: a neighbour is served");
	cmp_ok(time - $begun, '<', $patience, 'at once');
	arrives($b, 'bob', join(' ', sort map { "m$_" } 1 .. $good), 'its mail comes, once');
}

sub told { return scalar(() = $b->log_text =~ /^\S+ answered .*reason=.*$_[0]/mg) }

sub liar { return $c->run({deadline => $patience}, Hosts::support('liar'), $c->conf, 'b', $port, @_) }

others_unharmed('before');
my $recorded = $tap->bytes(1, 'forth');
my $recorded_back = $tap->bytes(1, 'back');

subtest 'garbage' => sub {
	srand 1;
	my $noise = join '', map { chr int rand 256 } 1 .. 300_000;

	is(says(''), '', 'nothing at all, until it is late');
	is(says($noise), '', 'noise');
	is(says("PBC\1" . substr $noise, 0, 300), '', 'noise behind a good beginning');
	is(says("PBC\1" . 'x' x 40 . "\xff" . 'y' x 300), '', 'a payload that is too long');
	is(says(substr($recorded, 0, 12) . substr $noise, 0, 300), '', 'the hint of a neighbour, and noise');
	is(says(substr($recorded, 0, 61) . chr(ord(substr $recorded, 61, 1) ^ 1) . substr $recorded, 62), '', 'a hello with a wrong tag');
	cmp_ok(told('what came is no call'), '>=', 3, 'the log says so');
	others_unharmed('afterwards');
};

subtest 'a wrong key' => sub {
	my $other = Hosts->new;
	my $false = $other->host('a');

	link_up($false, $b, "tcp:127.0.0.1:$port");
	isnt(call($false, {to => 'b'})->{code}, 0, 'another host of the same name');
	cmp_ok(told('a stranger called'), '>=', 1, 'is a stranger');
	link_up($c, $false, "tcp:127.0.0.1:$port");
	isnt(call($c, {to => 'a'})->{code}, 0, 'who expects another host there');
	unlike($b->log_text, qr/^c (?:answered|called)/m, 'has not talked with b');
	others_unharmed('afterwards');
};

subtest 'what was recorded' => sub {
	my $before = subjects($b, 'bob');

	is(length(says($recorded)), $answer, 'a call is repeated: an answer, which is new, and no more');
	is(length(says(substr $recorded, 0, 62)), $answer, 'its hello only: the same, until it is late');
	cmp_ok(told('did not prove'), '>=', 1, 'the log says so');
	is(subjects($b, 'bob'), $before, 'no mail comes of it');
	my @held = map { knock() } 1 .. 3;
	syswrite $_, substr $recorded, 0, 62 for @held;
	sleep 0.2;
	others_unharmed('while three such calls are held');
	is(length hears($_), $answer, 'which end') for @held;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
	my $pid = fork // die;
	if ($pid == 0) {
		my $near = $listen->accept;
		syswrite $near, $recorded_back;
		my $heard = '';
		1 while sysread $near, $heard, 4096, length $heard;
		Hosts::spew($net->dir . '/heard', $heard);
		POSIX::_exit(0);
	}
	calls_at($a, 'tcp:127.0.0.1:' . $listen->sockport);
	isnt(call($a)->{code}, 0, 'who repeats the words of b is not b');
	waitpid $pid, 0;
	is(length Hosts::slurp($net->dir . '/heard'), 62, 'and hears a hello');
	calls_at($a, 'tcp:127.0.0.1:' . $tap->port);
	others_unharmed('afterwards');
};

subtest 'the slow, and too many' => sub {
	my @slow = map { knock() } 1 .. 4;
	my $begun = time;

	local $SIG{PIPE} = 'IGNORE';
	sleep 0.2;
	is(says('x'), '', 'a fifth connection from there');
	like($b->log_text, qr/^relay refused .*client=127\.0\.0\.2.* reason="too many connections from this address"/m, 'is refused');
	others_unharmed('meanwhile');
	my $at = 0;
	my %open = map { $_ => $_ } @slow;
	while (%open && time < $begun + $patience) {
		for my $socket (values %open) {
			syswrite $socket, substr $recorded, $at, 1 if $at < 60;
			delete $open{$socket} if IO::Select->new($socket)->can_read(0);
		}
		$at++;
		sleep 0.3;
	}
	is(scalar(keys %open), 0, 'an octet now and then does not keep a connection');
	cmp_ok(time - $begun, '>=', $proof - 1, 'though they had their time');
	others_unharmed('afterwards');
};

subtest 'a neighbour that lies' => sub {
	my $news = '060400000001';
	my $huge = '80808080808080808001';
	my $heard = sub { my ($result) = @_; return $result->{out} =~ /^heard (\d+)/m ? $1 : "nothing: $result->{err}" };
	my $answers = sub { $b->log_text =~ /^c answered .*$/mg };

	cmp_ok($heard->(liar('hello', 'say', "${news}0800", 'say', '0a00', 'hear')), '<', 400, 'it can behave');
	is(scalar($answers->()), 1, 'and is known');
	is($heard->(liar('hello', 'raw', 'ffffffffffffffff7f', 'hear')), 0, 'a record of 2^63 octets');
	is($heard->(liar('hello', 'forge', $news, 'hear')), 0, 'a record that does not verify');
	cmp_ok($heard->(liar('hello', 'say', "06$huge", 'hear')), '<', 300, 'news of 2^63 octets');
	cmp_ok($heard->(liar('hello', 'say', $news, 'say', '030101ffffffffffffffffff01' . $huge, 'hear')), '<', 300, 'a batch that begins beyond all');
	cmp_ok($heard->(liar('hello', 'say', $news, 'say', join('', map { sprintf '03%02x01c09a0c00', $_ } 1 .. 65), 'hear')), '<', 2000,
		'more batches at once than may be');
	cmp_ok($heard->(liar('hello', 'say', $news, 'say', "63", 'hear')), '<', 300, 'a frame that there is not');
	my $before = $answers->();
	my $told = liar('hello', 'say', $news, 'say', "030101${huge}00", 'say', '0101' . '00' x 1000, 'say', '0a00', 'hear');
	cmp_ok($heard->($told), '<', 400, 'a batch of 2^63 octets');
	like($b->log_text, qr/^c trouble .*a batch of 9223372036854775808 octets is offered/m, 'is told of');
	is(scalar(grep { /\.part$/ } Hosts::files($b->spool('in'))), 0, 'nothing of it is kept') or diag(join ' ', Hosts::files($b->spool('in')));
	others_unharmed('afterwards');
};

subtest 'a neighbour that stops reading' => sub {
	$b->configure(qq{route "c.example" { via = "neighbour:c" }\n});
	$b->sendmail(text('large', noise(12_000_000)), '-i', '-f', 'bob@b.example', '--', 'carol@c.example');
	$c->user('carol');
	my $before = told('nothing moved');
	my $deaf = sub { liar('hello', 'say', '060400000001', 'wait', 12_000) };
	my $failed = Hosts::together($deaf, sub { sleep 1; call($a)->{code} == 0 });
	is($failed, 0, 'others are served meanwhile');
	for (1 .. 200) {
		last if told('nothing moved') > $before;
		sleep 0.1;
	}
	is(told('nothing moved'), $before + 1, 'it is waited for only so long');
	calls_at($c, "tcp:127.0.0.1:$port");
	is(call($c, {to => 'b'})->{code}, 0, 'it may call again');
	arrives($c, 'carol', 'large', 'and has its mail');
	others_unharmed('afterwards');
};

# What is kept of a call that was cut is the neighbour's; whoever else calls meanwhile has nothing to do with it.
subtest 'a stranger while a part lies here' => sub {
	my $before = calls_logged($b, 'answered');
	is(liar('hello', 'say', '060400000002' . '030101c09a0c00', 'say', '0101' . '00' x 3000, 'wait', 500)->{code}, 0, 'a call that is cut');
	ok(ended($b, 'answered', $before + 1), 'ends');
	is(scalar(grep { /\.part$/ } Hosts::files($b->spool('in/c'))), 1, 'and leaves a part');
	my @held = map { knock() } 1 .. 2;
	sleep 0.5;
	is(call($c, {to => 'b'})->{code}, 0, 'the neighbour calls while strangers are there');
	is(hears($_), '', 'they go') for @held;
	is(scalar(grep { /\.part$/ } Hosts::files($b->spool('in/c'))), 0, 'what is of an incarnation that is no more has gone');
};

$daemon->done;
$net->fsck;
done_testing;
