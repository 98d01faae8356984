# packetboat-fetch from servers that do not do what they say: nothing is lost, nothing comes twice, no run goes on for ever, and the
# operator is told.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fetch;
use Hosts;
use Pop;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
my $empty = "$net->{dir}.empty";
$a->user('bob');
Hosts::copy_tree($a->dir, $empty);

my @three = map { message($_) } qw(one two three);

# A box at POP that begins anew.
sub box_of {
	my ($pop, @options) = @_;
	Hosts::copy_tree($empty, $a->dir);
	box($a, 'provider', $pop->address, 'to = "bob"', @options);
}

sub run_is {
	my ($code, $why, $name) = @_;
	my $run = fetch($a);
	is($run->{code}, $code, $name) or diag($run->{err});
	defined $why ? like($run->{err}, $why, '... and says why') : is($run->{err}, '', '... without a word');
}

sub once {
	my ($wanted, $name) = @_;
	is_deeply([once_each($wanted, subjects($a, 'bob'))], [], $name);
}

subtest 'a server that deletes nothing' => sub {
	my $pop = Pop->new(messages => \@three, keep => 1);
	box_of($pop);
	run_is(0, undef, 'the first run');
	run_is(75, qr/goes on listing messages \(3 so far\) of which it said that they were deleted/, "run $_") for 2, 3;
	once([qw(one two three)], 'all once');
	$pop->remove($_) for $pop->names;
	run_is(0, undef, 'when they are gone');
	unlike($a->packetboat('status')->{out}, qr/provider/, '... nothing is left to tell');
};

subtest 'one that gives no UIDs either' => sub {
	my @names = map { "m$_" } 1 .. 70;
	my $pop = Pop->new(messages => [map { message($_) } @names], keep => 1, uids => undef);
	box_of($pop);
	run_is(75, qr/goes on listing/, 'a run ends');
	cmp_ok($pop->sessions, '<=', 3, '... after few sessions');
	run_is(75, qr/goes on listing messages \(70 so far\)/, 'the next too');
	once(\@names, 'all once');
};

subtest 'a UID that is used again' => sub {
	my $pop = Pop->new(messages => [message('one', 'the first')], uids => sub { 'same' });
	box_of($pop);
	run_is(0, undef, 'the first');
	$pop->add(message('two', 'the other'));
	run_is(0, undef, 'another of the same size and name');
	once([qw(one two)], 'both are here');
	is_deeply([$pop->names], [], 'and gone there');
};

subtest 'new UIDs at each session' => sub {
	my $pop = Pop->new(messages => \@three, uids => sub { "$_[0]-$$" });
	box_of($pop, 'leave-on-server = "30d"');
	run_is(0, undef, "run $_") for 1 .. 3;
	once([qw(one two three)], 'all once');
};

for (['one of three', 'LIST' => "+OK\r\n1 45\r\n."], ['nothing, and says so', 'STAT' => '+OK 0 0', 'LIST' => "+OK\r\n.", 'UIDL' => "+OK\r\n."],
	['one without its UID', 'UIDL' => "+OK\r\n1 m000001\r\n3 m000003\r\n."]) {
	my ($name, %say) = @$_;
	subtest "a server that once lists $name" => sub {
		my $pop = Pop->new(messages => \@three, say => {map { my $said = $say{$_}; ($_ => sub { $_[0]{number} == 2 ? $said : undef }) } keys %say});
		box_of($pop, 'leave-on-server = "30d"');
		run_is(0, undef, 'a good session');
		fetch($a);
		run_is(0, undef, 'another good one');
		once([qw(one two three)], 'all once');
	};
}

subtest 'mail that stays, with one UID for all' => sub {
	my @names = map { "m$_" } 1 .. 100;
	my $pop = Pop->new(messages => [map { message($_) } @names], uids => sub { 'same' });
	box_of($pop, 'leave-on-server = "30d"');
	run_is(0, qr/100 messages at .* have a UID that another has too/, 'a run takes all');
	once(\@names, '... once');
	fetch($a);
	once(\@names, '... and so it stays');
};

subtest 'large mail that is listed small, under new names' => sub {
	my $pop = Pop->new(messages => [message('large', "A line of it.\n" x 1000)], uids => sub { "$_[0]-$$" }, octets => sub { 100 });
	box_of($pop, 'max-size = "5k"');
	run_is(75, qr/lists a message with less than it has/, 'a run ends');
	cmp_ok($pop->sessions, '<=', 21, '... after some sessions');
	fetch($a);
	is(scalar(my @notices = subjects($a, 'bob')), 1, 'its owner is told once');
};

subtest 'a message of which next to nothing comes' => sub {
	my $pop = Pop->new(messages => \@three, say => {RETR => sub { $_[1] =~ / 2$/ ? "+OK\r\nx\r\n." : undef }},
		octets => sub { $_[1] eq 'm000002' ? 5_000_000 : 2 * ($_[0] =~ tr/\n//) + length($_[0]) - ($_[0] =~ tr/\n//) });
	box_of($pop);
	run_is(75, qr/lists message 2 with 5000000 octets, and gives 3 of them: it stays there/, 'the operator is told');
	once([qw(one three)], 'the others are here');
	is_deeply([$pop->names], ['m000002'], 'it stays there');
};

# A lone dot within a text ends it too early where dots are not doubled, and what follows would be answers.
my $forged = message('dot', "before\n.\n+OK\nReturn-Path: <boss\@village.example>\nSubject: forged\n\nSend money.");
for (['by one at a time', [qw(TOP UIDL USER)]], ['with pipelining', [qw(TOP UIDL USER PIPELINING)]]) {
	my ($name, $capa) = @$_;
	subtest "a server that does not double dots, $name" => sub {
		my $pop = Pop->new(messages => [$three[0], $forged, @three[1, 2]], stuff => 0, capa => $capa);
		box_of($pop);
		run_is(75, qr/provider: 127\.0\.0\.1: the server's answers do not fit the questions.*\(at message \d of \d, with \d+ octets\)/, "run $_") for 1, 2;
		once([qw(one two three)], 'the others are here, and nothing forged');
		is_deeply([map { $pop->text_of($_) } $pop->names], [$forged], 'it stays there, whole');
	};
}

subtest 'the same where it is the only one' => sub {
	my $pop = Pop->new(messages => [$forged], stuff => 0);
	box_of($pop);
	run_is(75, qr/do not fit the questions/, 'a run');
	once([], 'nothing is here');
	is(scalar(my @left = $pop->names), 1, 'it stays there');
};

subtest 'a server that counts octets as it likes' => sub {
	my @names = map { "m$_" } 1 .. 20;
	my $pop = Pop->new(messages => [map { message($_) } @names], octets => sub { 37 + length $_[0] });
	box_of($pop);
	run_is(0, undef, 'takes a little longer');
	once(\@names, 'all here');
	is_deeply([$pop->names], [], 'and gone there');
	is(scalar(grep { /^RETR/ } $pop->commands), 20, 'none was received twice');
	is($pop->sessions, 1, 'nor was a second session needed');
};

for (['', {}], [', without UIDs', {uids => undef}]) {
	my ($name, $options) = @$_;
	subtest "a server that counts some octets as it likes$name" => sub {
		my @names = map { "m$_" } 1 .. 20;
		my $pop = Pop->new(messages => [map { message($_) } @names], %$options, octets => sub {
			my ($text, $file) = @_;
			return length($text) + ($text =~ tr/\n//) + ($file =~ /[37]$/ ? 30 : 0) });
		box_of($pop);
		run_is(0, undef, 'takes a little longer');
		once(\@names, 'all here');
		is_deeply([$pop->names], [], 'and gone there');
		is($pop->sessions, 2, 'a second session was enough');
	};
}

subtest 'a message at which the connection is lost' => sub {
	my $pop = Pop->new(messages => \@three, say => {RETR => sub { $_[1] =~ / 1$/ ? 'drop' : undef }});
	box_of($pop);
	run_is(75, qr/\(at message 1 of \d, with \d+ octets\)/, 'is told');
	once([qw(two three)], 'the others are here');
	run_is(75, qr/\(at message 1 of 1, with/, 'so it is in the next run');
	is_deeply([$pop->names], ['m000001'], 'and stays there');
};

for (['out of order', 0, undef, "3 SIZE\r\n1 SIZE\r\n2 SIZE"], ['with tabs', 0, undef, "1\tSIZE\r\n 2  SIZE\r\n3 SIZE"],
	['with a line that is none', 75, qr/other messages than the 2 that its listing tells of/, "1 SIZE\r\n2\r\n3 SIZE"],
	['without one', 75, qr/other messages than the 2 that its listing tells of/, "1 SIZE\r\n3 SIZE"]) {
	my ($name, $code, $why, $lines) = @$_;
	subtest "a listing $name" => sub {
		my @same = map { message("m-$_") } 1 .. 3;
		my $size = length($same[0]) + ($same[0] =~ tr/\n//);
		my $pop = Pop->new(messages => \@same, say => {LIST => sub { $_[0]{number} == 1 && $_[1] eq 'LIST' ? "+OK\r\n" . $lines =~ s/SIZE/$size/gr . "\r\n." : undef }});
		box_of($pop);
		run_is($code, $why, 'the first run');
		run_is(0, undef, 'the second');
		once([qw(m-1 m-2 m-3)], 'all here');
		is_deeply([$pop->names], [], 'and gone there');
	};
}

subtest 'a slow line' => sub {
	my $pop = Pop->new(messages => \@three, say => {RETR => sub {
		my ($s, $line) = @_;
		return if $line !~ / 2$/;
		Pop::put($s, "+OK\r\nSubject: two\r\n\r\none\r\n");
		sleep 6;
		Pop::put($s, "two\r\n");
		sleep 2;
		return '-ERR but it does not end';
	}});
	box_of($pop);
	my $fetch = Hosts::Daemon->begin($a, {}, Hosts::program('packetboat-fetch'), '-c', $a->conf);
	my $waits = 0;
	for (1 .. 140) {
		last if $waits = grep { /\.\d+$/ } Hosts::names($a->spool('queue/new'));
		select undef, undef, undef, 0.05;
	}
	is($waits, 1, 'what is here does not wait for what comes');
	kill 'KILL', $fetch->pid;
	$fetch->wait;
	once(['one'], '... whatever comes of it');
};

$net->done;
