#!/usr/bin/perl
# packetboat-fetch from scripted POP3 servers, good and strange ones: each message comes once, what cannot be had is told and tried
# again, and nothing is deleted there before it is here.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Fetch;
use Pop;
use POSIX ();

my $net = Hosts->new;
my $a = $net->host('a');
my $conf = Hosts::slurp($a->conf);
my $empty = "$net->{dir}.empty";
$a->user($_) for qw(ann bob);
Hosts::copy_tree($a->dir, $empty);

# Begins anew: nothing fetched, nothing delivered, no section.
sub anew {
	Hosts::copy_tree($empty, $a->dir);
}

sub logged {
	my ($pattern, $count, $name) = @_;
	my @lines = grep { /$pattern/ } split /\n/, $a->log_text;
	is(scalar @lines, $count, $name) or diag(substr $a->log_text, -1500);
	return @lines;
}

sub clean_run {
	my ($name, @args) = @_;
	my $run = fetch($a, @args);
	is($run->{code}, 0, $name) or diag($run->{err});
	is($run->{err} . $run->{out}, '', "$name: without a word");
	return $run;
}

my @three = map { message($_) } qw(one two three);

# ---- the ordinary case -----------------------------------------------------------------------------------------

{
	my $pop = Pop->new(messages => \@three);
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $check = $a->packetboat('check');
	is($check->{code}, 1, 'check warns of a box');
	like($check->{out}, qr/^warning: box provider \(ann at 127\.0\.0\.1:\d+\) was not emptied yet/m, '... that nobody has emptied');
	like($check->{out}, qr/^box\s+provider, ann at 127\.0\.0\.1:\d+, for bob$/m, '... and tells how it understood it');
	like($a->packetboat('status')->{out}, qr/box provider .* was not emptied yet/, '... as status does');
	clean_run('three messages are fetched');
	is($a->packetboat('check')->{code}, 0, 'check is content');
	my $later;
	for my $hours (20, 40, 60) {
		my %when = (env => {PACKETBOAT_CLOCK_OFFSET => $hours * 3600});
		$a->pass(\%when);
		$later = $a->packetboat(\%when, 'check');
	}
	like($later->{out}, qr/^warning: box provider .* was not emptied for \d/m, '... for some days') or diag($later->{out});
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'all there');
	is_deeply([$pop->names], [], 'and gone there');
	logged('accepted .*recipient=bob .*box=provider uid=m00000', 3, 'a line for each message');
	logged('^fetch-provider fetched .*messages=3 .*deleted=3 left=0', 1, 'and one for the run');
	my ($mail) = $a->mailbox('bob');
	like($mail->{head}, qr/^Return-Path: <sender\@far\.example>$/m, 'the sender is that of Return-Path');
	is(() = $mail->{bytes} =~ /^Return-Path/mg, 1, 'which is there once');
	like($mail->{head}, qr/^Received: from \[127\.0\.0\.1\]\s.*\n?.*with POP3/m, 'and how it came');
	my $before = $a->log_text;
	clean_run('a second run');
	is($a->log_text, $before, 'has nothing to do and says nothing');
	ok(!grep({ /^(?:LIST|UIDL)\s+\d/ } $pop->commands), 'no message is asked for by itself');
	is($a->packetboat('fsck')->{code}, 0, 'fsck is content');
}

# ---- servers that know less ----------------------------------------------------------------------------------------

for my $kind (['no CAPA', capa => undef], ['no UIDL', capa => ['USER', 'TOP'], uids => undef], ['no TOP', capa => ['USER', 'UIDL'], top => 0],
	['nothing at all', capa => undef, uids => undef, top => 0], ['only AUTH', capa => ['SASL PLAIN', 'UIDL'], say => {USER => '-ERR no'}],
	['lock-step', capa => ['USER', 'UIDL', 'TOP']]) {
	my ($name, @options) = @$kind;
	anew();
	my $pop = Pop->new(messages => \@three, @options);
	box($a, 'provider', $pop->address, 'to = "bob"');
	clean_run($name);
	is_deeply([subjects($a, 'bob')], [qw(one three two)], "$name: all there");
	is_deeply([$pop->names], [], "$name: and gone there");
	clean_run("$name, again");
	is_deeply([subjects($a, 'bob')], [qw(one three two)], "$name: once");
}

# ---- cuts: after every so many octets -------------------------------------------------------------------------------

for my $kind (['UIDL'], ['no UIDL', uids => undef], ['no CAPA, no UIDL', capa => undef, uids => undef], ['one UID for all', uids => sub { 'same' }]) {
	my ($name, @options) = @$kind;
	my @wrong;
	my $cut = "$net->{dir}/cut";
	my $runs = 0;
	for (my $at = 1; $at < 3000; $at += $ENV{FULL} ? 1 : 97) {
		anew();
		Hosts::spew($cut, $at);
		# Two of them have the same text.
		my $pop = Pop->new(messages => [@three, $three[0]], cut_file => $cut, @options);
		box($a, 'provider', $pop->address, 'to = "bob"');
		my $first = fetch($a);
		unlink $cut;
		my $second = fetch($a);
		my @found = subjects($a, 'bob');
		push @wrong, "cut at $at: @found; left @{[$pop->names]}; $first->{err}; $second->{err}"
		    if "@found" ne 'one one three two' || $pop->names || $second->{code};
		$runs++;
		last if $first->{code} == 0;
	}
	is_deeply(\@wrong, [], "$name: cut at $runs places, each message comes once");
	cmp_ok($runs, '>', 5, "$name: there were cuts");
}

{
	anew();
	my $pop = Pop->new(messages => \@three, uids => undef, say => {QUIT => sub { $_[0]{number} == 1 ? 'commit drop' : undef }});
	box($a, 'provider', $pop->address, 'to = "bob"');
	is(fetch($a)->{code}, 75, 'an unanswered QUIT is to be looked at again');
	is_deeply([$pop->names], [], 'though it was carried out');
	$pop->add($_) for @three;
	clean_run('what comes then');
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'was known, texts being all there is') or diag($a->log_text);
}

# ---- failures ---------------------------------------------------------------------------------------------------------

{
	anew();
	my $good = Pop->new(messages => \@three);
	my $locked = Pop->new(messages => \@three, login => ['ann', 'other']);
	my $silent = IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1);
	my $nobody = IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1);
	my $dead = '127.0.0.1:' . $nobody->sockport;
	close $nobody;
	my $strange = Pop->new(say => {GREETING => "220 mail.example ESMTP"});
	box($a, 'locked', $locked->address, 'to = "bob"');
	box($a, 'dead', $dead, 'to = "bob"');
	box($a, 'silent', '127.0.0.1:' . $silent->sockport, 'to = "bob"', 'connect = "1s"');
	box($a, 'strange', $strange->address, 'to = "bob"');
	box($a, 'good', $good->address, 'to = "bob"');
	my $begun = time;
	my $run = fetch($a);
	is($run->{code}, 75, 'what fails is to be tried again');
	cmp_ok(time - $begun, '<', 100, 'the first words of a server are not waited for as long as a session may be silent');
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'the others go on');
	like($run->{err}, qr/^packetboat-fetch: $_: /m, "$_ is told of") for qw(locked dead silent strange);
	unlike($run->{err}, qr/secret/, 'the password is not');
	fetch($a, 'locked');
	$run = fetch($a, 'locked');
	like($run->{err}, qr/\(3 times in a row, since 20/, 'what goes on failing is told with how often and since when');
	logged('^fetch-locked trouble .*times=3 since=20', 1, 'the log says it too');
	like($a->packetboat('status')->{out}, qr/box locked could not be emptied 3 times in a row/, 'and status');
	is(scalar(my @names = $locked->names), 3, 'its mail is still there');
	$locked->stop;
	my $other = Pop->new(messages => \@three, port => $locked->port);
	clean_run('the password is right again', 'locked');
	logged('^fetch-locked recovered', 1, 'the log says so');
	unlike($a->packetboat('status')->{out}, qr/box locked/, 'status is quiet');
	is(fetch($a, 'nonsense')->{code}, 64, 'a section that is not there');
	chmod 0644, $a->dir . '/password';
	$run = fetch($a, 'good');
	is($run->{code}, 78, 'a password that all can read');
	like($run->{err}, qr/chmod 600/, 'with advice');
	like($a->packetboat('check')->{out}, qr/fetch "good".*password/, 'check tells of it');
	chmod 0600, $a->dir . '/password';
}

{
	anew();
	my $pop = Pop->new(messages => \@three, say => {GREETING => {after => 3, say => '+OK'}});
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $pid = fork // die;
	if ($pid == 0) {
		exec(Hosts::program('packetboat-fetch'), '-c', $a->conf) or POSIX::_exit(127);
	}
	sleep 1;
	my $run = fetch($a);
	is($run->{code}, 0, 'a second run beside the first');
	like($run->{err}, qr/another run/, 'leaves the box alone and says so');
	waitpid $pid, 0;
	is($?, 0, 'the first goes on');
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'and has it all');
}

{
	anew();
	my $pop = Pop->new(messages => \@three);
	box($a, 'provider', $pop->address, 'to = "nobody"');
	box($a, 'again', $pop->address, 'to = "bob"');
	like($a->packetboat('check')->{out}, qr/"again" is the same box as "provider"/, 'check sees a box that is there twice');
	my $run = fetch($a, 'provider');
	is($run->{code}, 78, 'an owner who is not there');
	is(scalar(my @names = $pop->names), 3, 'nothing is fetched for him');
	is($a->packetboat('check')->{code}, 2, 'check tells');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, say => {RETR => sub { $_[1] =~ / 2$/ ? '-ERR it is broken' : undef }});
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $run = fetch($a);
	is($run->{code}, 75, 'one message cannot be had');
	like($run->{err}, qr/message 2: .*it is broken/, 'in the words of the server');
	is_deeply([subjects($a, 'bob')], [qw(one three)], 'the others can');
	is_deeply([$pop->names], ['m000002'], 'and it stays there');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, say => {RETR => sub { $_[1] =~ / 2$/ ? "+OK\r\n." : undef }});
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $run = fetch($a);
	is($run->{code}, 75, 'one message comes empty');
	like($run->{err}, qr/lists message 2 with \d+ octets, and gives 0 of them: it stays there/, '... which is told');
	is_deeply([subjects($a, 'bob')], [qw(one three)], 'the others are taken');
	is_deeply([$pop->names], ['m000002'], 'and it is not deleted');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, say => {LIST => "+OK\r\n-1 100\r\none hundred\r\n."});
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $run = fetch($a);
	is($run->{code}, 75, 'a listing that says nothing');
	like($run->{err}, qr/has 3 messages, as it says, and lists none/, '... is no empty box');
}

{
	anew();
	my $pop = Pop->new(messages => [@three, message('loop', 'x', ('Received: by somewhere') x 120)]);
	box($a, 'provider', $pop->address, 'to = "bob"');
	fetch($a);
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'what goes round in a loop is not taken');
	is_deeply([subjects($a, 'postmaster')], ['Not fetched:'], 'the postmaster hears of it');
	is(scalar(my @names = $pop->names), 1, 'and it stays there');
	fetch($a);
	is_deeply([subjects($a, 'postmaster')], ['Not fetched:'], 'once');
}

# ---- left at the server ------------------------------------------------------------------------------------------------

{
	anew();
	my $pop = Pop->new(messages => \@three);
	box($a, 'provider', $pop->address, 'to = "bob"', 'leave-on-server = "2d"');
	clean_run('mail is left there');
	is(scalar(my @names = $pop->names), 3, 'all of it');
	my $day = 86400;
	my $later = sub {
		my ($days) = @_;
		my $run = fetch($a, {env => {PACKETBOAT_CLOCK_OFFSET => $days * $day}});
		is($run->{code}, 0, "with the clock $days days on") or diag($run->{err});
		return scalar(my @names = $pop->names);
	};
	is($later->(-9000), 3, 'a clock in the past deletes nothing');
	is($later->(9000), 3, 'one that jumps decades ahead nothing either');
	my @found = subjects($a, 'bob');
	is_deeply(\@found, [qw(one three two)], 'each is here once');
	is($later->(9001), 0, 'after two days by our own clock they go');
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'and are here once');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, uids => undef);
	box($a, 'provider', $pop->address, 'to = "bob"', 'leave-on-server = "2d"');
	my $run = fetch($a);
	is($run->{code}, 78, 'without UIDs nothing can be left');
	like($run->{err}, qr/no UIDs.*leave-on-server/, 'the operator hears why');
	is(scalar(my @names = $pop->names), 3, 'nothing is fetched');
	is_deeply([subjects($a, 'bob')], [], 'really');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, uids => sub { $_[1] == 3 ? 'three' : 'same' });
	box($a, 'provider', $pop->address, 'to = "bob"', 'leave-on-server = "1d"');
	for (1 .. 2) {
		my $run = fetch($a);
		is($run->{code}, 0, 'two messages with one UID');
		like($run->{err}, qr/2 messages .* UID/, 'are told of');
	}
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'and come once');
}

# ---- too large ------------------------------------------------------------------------------------------------------------

my $large = message('large', join '', map { "line $_ of many that are too much\n" } 1 .. 500);
for my $kind (['UIDL and TOP'], ['no TOP', top => 0], ['no UIDL', uids => undef], ['neither', uids => undef, top => 0, capa => undef],
	['TOP that gives all of it', say => {TOP => sub {
		my $text = $large x 70;
		$text =~ s/\n/\r\n/g;
		return "+OK\r\n$text.";
	}}],
	['a listing that lies', octets => sub { 100 }], ['a listing that lies, no UIDL', uids => undef, octets => sub { 100 }]) {
	my ($name, @options) = @$kind;
	anew();
	my $pop = Pop->new(messages => [$three[0], $large, @three[1, 2]], @options);
	box($a, 'provider', $pop->address, 'to = "bob"', 'max-size = "5k"');
	fetch($a) for 1 .. 3;
	my @found = subjects($a, 'bob');
	my $subject = 'Too large to be fetched' . ($name =~ /no TOP|neither|gives all/ ? '' : ':');
	is_deeply(\@found, [$subject, qw(one three two)], "$name: the others, and one notice");
	is_deeply([$pop->names], ['m000002'], "$name: it stays there");
	my ($notice) = grep { $_->{head} =~ /Too large/ } $a->mailbox('bob');
	like($notice->{head}, qr/^Auto-Submitted: auto-generated$/m, "$name: the notice says what it is");
	like($notice->{head}, qr/^Return-Path: <>$/m, "$name: from nobody");
	like($notice->{body}, qr/Mailbox: provider \(ann at 127\.0\.0\.1\)/, "$name: and where it lies");
	like($notice->{body}, qr/Sender <sender\@far\.example>/, "$name: with its sender") unless $name =~ /no TOP|neither|gives all/;
}

{
	anew();
	my $pop = Pop->new(messages => [@three, $large], uids => undef, top => 0, octets => sub { 100 });
	box($a, 'provider', $pop->address, 'to = "bob"', 'max-size = "5k"');
	my $run;
	$run = fetch($a) for 1 .. 3;
	is_deeply([subjects($a, 'bob')], ['Too large to be fetched:', qw(one three two)], 'no UIDs, no TOP, a listing that lies: all once');
	is($run->{code}, 75, 'but there is no way past it');
	like($run->{err}, qr/lists a message with less than it has.*3 times/, 'as the operator is told');
}

{
	anew();
	my $pop = Pop->new(messages => [$large]);
	box($a, 'provider', $pop->address, 'to = "bob"', 'max-size = "5k"');
	fetch($a);
	logged('^fetch-provider fetched .*messages=0 .*deleted=0 left=1 notices=1', 1, 'what is too large is left');
	like($a->packetboat('status')->{out}, qr/1 message of box provider stays there, too large/, '... which status tells');
	is($a->packetboat('check')->{code}, 0, '... and is nothing to worry about');
	Hosts::spew($a->conf, Hosts::slurp($a->conf) =~ s/max-size = "5k"//r);
	clean_run('the limit is raised');
	unlike($a->packetboat('status')->{out}, qr/stays there/, 'status tells of nothing');
	is_deeply([subjects($a, 'bob')], ['Too large to be fetched:', 'large'], 'and it comes');
	is(scalar(my @gone = $pop->names), 0, 'and goes there');
}

# ---- many owners ------------------------------------------------------------------------------------------------------------

{
	anew();
	my $pop = Pop->new(messages => [
		message('for-bob', 'x', 'Delivered-To: box-bob@provider.example', 'Delivered-To: ann@a.example'),
		message('for-ann', 'x', 'delivered-to: BOX-ann@provider.example'),
		message('for-nobody', 'x', 'Delivered-To: box-nobody@provider.example'),
		message('untold', 'x', 'To: bob@a.example')]);
	box($a, 'provider', $pop->address, 'to = "postmaster"', 'multidrop = "Delivered-To"', 'prefix = "box-"', 'domain = "a.example"');
	clean_run('a box of many owners');
	is_deeply([subjects($a, 'bob')], ['for-bob'], 'bob has his');
	is_deeply([subjects($a, 'ann')], ['for-ann'], 'ann has hers');
	is_deeply([subjects($a, 'postmaster')], ['for-nobody', 'untold'], 'the rest is where it can be looked at');
	logged('untold .*box=provider recipient=postmaster reason=', 2, 'and the log says why');
}

{
	anew();
	my $pop = Pop->new(messages => [message('relay', 'x', 'Delivered-To: victim@elsewhere.example')]);
	$a->configure(qq{route "*" { via = "smtp:127.0.0.1:9" }\n});
	box($a, 'provider', $pop->address, 'to = "bob"', 'multidrop = "Delivered-To"');
	clean_run('a header that would have us relay');
	is_deeply([subjects($a, 'bob')], ['relay'], 'does not');
	is_deeply([$a->waiting], [], 'nothing waits for elsewhere');
}

{
	anew();
	my $pop = Pop->new(messages => [
		message('small', 'x', 'X-To: far@far.example'), message('much', $large, 'X-To: far@far.example'),
		message('near', $large x 5, 'X-To: bob@a.example'), message('much-too-far', $large x 5, 'X-To: far@far.example')]);
	$a->configure(qq{route "far.example" { via = "smtp:127.0.0.1:9" max-size = "9k" public = true }\n});
	box($a, 'provider', $pop->address, 'to = "bob"', 'multidrop = "X-To"');
	clean_run('a way that takes little');
	my @mail = subjects($a, 'bob');
	is_deeply(\@mail, ['near'], 'who is near gets all of it');
	my @waits = $a->waiting;
	is_deeply([map { $_->{recipients}[0]{address} // '?' } @waits], [('far@far.example') x 3], 'who is far gets what the way takes, and notices')
	    or diag(explain(\@waits));
	is_deeply([$pop->names], ['m000002', 'm000004'], 'the rest stays there');
	ok(!grep({ $_ eq 'm000004' } $pop->retrieved), 'what is very large was not even received');
}

# ---- the run ---------------------------------------------------------------------------------------------------------------------

{
	anew();
	my $pop = Pop->new(messages => \@three);
	$a->configure(qq{min-free = "900000G"\n});
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $run = fetch($a);
	is($run->{code}, 75, 'a full disk');
	like($run->{err}, qr/disk|free/, 'is told of');
	is(scalar(my @names = $pop->names), 3, 'and nothing is deleted');
	Hosts::spew($a->conf, Hosts::slurp($a->conf) =~ s/min-free.*//r);
	clean_run('there is room again');
	is_deeply([subjects($a, 'bob')], [qw(one three two)], 'and all comes');
}

{
	anew();
	my $pop = Pop->new(messages => \@three, say => {RETR => sub { $_[1] =~ / 3$/ ? {after => 20, say => '-ERR late'} : undef }}, capa => ['UIDL', 'USER']);
	box($a, 'provider', $pop->address, 'to = "bob"');
	my $pid = fork // die;
	if ($pid == 0) {
		open STDERR, '>', "$net->{dir}/stopped";
		exec(Hosts::program('packetboat-fetch'), '-v', '-c', $a->conf) or POSIX::_exit(127);
	}
	for (1 .. 100) {
		last if $pop->retrieved == 2;
		select undef, undef, undef, 0.1;
	}
	select undef, undef, undef, 0.3;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	is($? >> 8, 75, 'a run that is stopped');
	my $told = Hosts::slurp("$net->{dir}/stopped");
	like($told, qr/provider: 3 messages/, 'said with -v what there was');
	like($told, qr/stopped/, 'and that it was stopped');
	is_deeply([subjects($a, 'bob')], [qw(one two)], 'what was whole is kept');
	is(scalar(my @names = $pop->names), 3, 'nothing is deleted without QUIT');
	is($a->packetboat('fsck')->{code}, 0, 'and fsck is content');
}

# ---- state that is gone or damaged ---------------------------------------------------------------------------------------------

{
	anew();
	my $pop = Pop->new(messages => \@three);
	box($a, 'provider', $pop->address, 'to = "bob"', 'leave-on-server = "9d"');
	fetch($a);
	Hosts::spew($a->conf, Hosts::slurp($empty . '/packetboat.conf'));
	my $status = $a->packetboat('check');
	like($status->{out}, qr/3 messages in a box that no section fetch names any more/, 'the state of a section that is gone is told of');
	is($a->packetboat('fsck')->{code}, 0, 'and is no damage');
}

system('rm', '-rf', $empty);
$net->done;
