# packetboat-pop3d: logging in in every form, one session at a time, deletions at QUIT only, UIDs that stay, reload, systemd,
# inetd style, and strangers who try names and passwords.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use List::Util;
use MIME::Base64 qw(encode_base64);
use Pop3;
use Test::More;
use Time::HiRes qw(time sleep);

my $net = Hosts->new;
my $a = $net->host('a');
$a->user($_) for qw(ann bob carol postmaster);
my $no_tls = Smtp->missing_module('IO::Socket::SSL');
my $pop3d = Pop3->serve($a, listen => {pop3 => '', pop3s => ''}, more => "\terrors = 12\n");
my ($pop3, $pop3s) = map { $pop3d->port($_) } qw(pop3 pop3s);

sub client { return Pop3::Client->new($pop3, @_) }

sub logged_in {
	my ($user, @options) = @_;
	my $client = client(@options);
	like($client->login($user, "password of $user"), qr/^\+OK/, "$user logs in");
	return $client;
}

# A whole session over pipes: inetd style. ENV tells who is at the other end.
sub over_pipes {
	my ($input, %options) = @_;
	my $service = $options{service} ? "=$options{service}" : '';
	return $a->run({in => $input, env => $options{env} // {}}, Hosts::program('packetboat-pop3d'), '-c', $a->conf, "--stdio$service");
}

# The line of the log that SESSION left, soon.
sub logged {
	my ($pattern, $name) = @_;
	my $until = time + 10;

	sleep 0.05 while $pop3d->log_text !~ $pattern && time < $until;
	like($pop3d->log_text, $pattern, $name);
}

subtest 'every form of logging in' => sub {
	my $plain = encode_base64("\0ann\0password of ann", '');
	my %forms = (
		'USER and PASS' => ['USER ann', 'PASS password of ann'],
		'AUTH PLAIN' => ["AUTH PLAIN $plain"],
		'AUTH PLAIN, asked' => ['AUTH PLAIN', $plain],
	);

	for my $way ('in clear', 'STLS', 'implicit TLS') {
		SKIP: {
			skip($no_tls, 1) if defined $no_tls && $way ne 'in clear';
			for my $form (sort keys %forms) {
				my $client = $way eq 'implicit TLS' ? Pop3::Client->new($pop3s, tls => 1) : client();
				my $reply;
				like($client->{greeting}, qr/^\+OK a\.example /, "$form, $way: the greeting");
				like($client->stls, qr/^\+OK/, '... STLS') if $way eq 'STLS';
				$reply = $client->say($_) for @{$forms{$form}};
				like($reply, qr/^\+OK/, '... logged in');
				like($client->quit, qr/^\+OK/, '... QUIT');
			}
		}
	}
};

subtest 'no password in clear from elsewhere' => sub {
	my $words = "CAPA\r\nUSER ann\r\nPASS password of ann\r\nAUTH PLAIN " . encode_base64("\0ann\0password of ann", '') . "\r\nSTAT\r\nQUIT\r\n";
	my $far = over_pipes($words, env => {TCPREMOTEIP => '192.0.2.7'});
	my $near = over_pipes($words);

	is($far->{code}, 0, 'a session for somebody elsewhere') or diag($far->{err});
	like($far->{out}, qr/^STLS\r$/m, '... is offered TLS');
	unlike($far->{out}, qr/^(?:USER|SASL.*)\r$/m, '... and no password in clear');
	is(scalar(() = $far->{out} =~ /^-ERR/mg), 4, '... nor is one taken') or diag($far->{out});
	like($near->{out}, qr/^USER\r$/m, 'somebody here may');
	like($near->{out}, qr/^\+OK 0 0\r$/m, '... and is in');
	my $conf = Hosts::slurp($a->conf);
	Hosts::spew($a->conf, $conf =~ s/(pop3d \{\n)/$1\tclear-passwords = true\n/r);
	$far = over_pipes($words, env => {TCPREMOTEIP => '192.0.2.7'});
	like($far->{out}, qr/^\+OK 0 0\r$/m, 'unless the operator allows it');
	Hosts::spew($a->conf, $conf);
};

subtest 'inetd style' => sub {
	Pop3->fill($a, 'ann', "Subject: piped\n\nHello\n");
	my $login = "USER ann\r\nPASS password of ann\r\n";
	my $result = over_pipes("${login}RETR 1\r\nDELE 1\r\n");

	is($result->{code}, 0, 'without QUIT') or diag($result->{err});
	like($result->{out}, qr/^Subject: piped\r\n\r\nHello\r\n\.\r\n\+OK/m, '... the message');
	is(scalar(Pop3->left($a, 'ann')), 1, '... which stays');
	$result = over_pipes("${login}DELE 1\r\nQUIT\r\n", service => 'pop3');
	is($result->{code}, 0, 'with QUIT');
	is(scalar(Pop3->left($a, 'ann')), 0, '... it goes');
	my @argv = (Hosts::program('packetboat-pop3d'), '-c', $a->conf);
	is($a->run(@argv, '--stdio=smtp')->{code}, 64, 'an unknown service');
	is($a->run(@argv, 'more')->{code}, 64, 'an argument too many');
	like($a->run(@argv, '-V')->{out}, qr/^packetboat-pop3d \d/, 'the version');
};

subtest 'one session at a time' => sub {
	Pop3->fill($a, 'ann', "x\n");
	my $first = logged_in('ann');
	my $second = client();
	like($second->login('ann', 'password of ann'), qr/^-ERR \[IN-USE\]/, 'the second is refused');
	logged(qr/^- login .*user=ann reason=.*another session/m, 'and that is told');
	like(over_pipes("USER ann\r\nPASS password of ann\r\nQUIT\r\n")->{out}, qr/^-ERR \[IN-USE\]/m, 'so is one of another process');
	logged_in('bob')->quit;
	like($first->quit, qr/^\+OK/, 'the first ends');
	like($second->login('ann', 'password of ann'), qr/^\+OK/, 'now the second may, in the same connection');
	# A connection that drops takes its lock along.
	$second->close;
	my $until = time + 10;
	my $reply = '';
	while (time < $until && $reply !~ /^\+OK/) {
		$reply = client()->login('ann', 'password of ann') // '';
	}
	like($reply, qr/^\+OK/, 'a dropped session holds nothing');
};

subtest 'the whole address, and a fetch by TOP' => sub {
	Pop3->fill($a, 'bob', "Subject: x\n\none\ntwo\n");
	my $client = client();
	like($client->login('bob@a.example', 'password of bob'), qr/^\+OK/, 'a name with a domain of this host');
	is_deeply($client->list('TOP 1 1'), ['Subject: x', '', 'one'], 'TOP, not all');
	$client->quit;
	unlike($pop3d->log_text, qr/^- fetched .*user=bob/m, '... is no fetch');
	$client = client();
	like(client()->login('bob@b.example', 'password of bob'), qr/^-ERR \[AUTH\]/, 'one of another is nobody');
	$client->login('bob@A.EXAMPLE', 'password of bob');
	is_deeply($client->list('TOP 1 99999999'), ['Subject: x', '', 'one', 'two'], 'TOP of more than there is');
	$client->say('DELE 1');
	$client->quit;
	logged(qr/^- fetched .*user=bob messages=1 octets=24 deleted=1$/m, '... has fetched it');
};

subtest 'deletions at QUIT only' => sub {
	Pop3->fill($a, 'bob', map { "number $_\n" } 1 .. 3);
	my $client = logged_in('bob');
	like($client->say("DELE $_"), qr/^\+OK/, "DELE $_") for 1, 2;
	$client->close;
	logged(qr/^- fetched .*user=bob messages=0 octets=0 deleted=0 kept=2 reason=/m, 'dropped: what is not deleted is told');
	is(scalar(Pop3->left($a, 'bob')), 3, '... and all are there');
	$client = logged_in('bob');
	is($client->text(2), "number 2\r\n", 'RETR');
	$client->say('DELE 2');
	$client->say('DELE 3');
	$client->say('RSET');
	$client->say('DELE 2');
	is(scalar(Pop3->left($a, 'bob')), 3, 'nothing is deleted before QUIT');
	like($client->quit, qr/^\+OK/, 'QUIT');
	is(scalar(Pop3->left($a, 'bob')), 2, 'one is deleted by it');
	logged(qr/^- fetched .*user=bob messages=1 octets=10 deleted=1$/m, 'and told');
	my $log = $pop3d->log_text;
	logged_in('bob')->quit;
	sleep 0.2;
	is($pop3d->log_text, $log, 'a session that changed nothing is not worth a line');
};

subtest 'mail that arrives during a session waits' => sub {
	my $client = logged_in('bob');
	my $before = $client->say('STAT');
	is($a->mail('bob@a.example', "Subject: late\n\nHello\n")->{code}, 0, 'mail');
	is($a->pass->{code}, 0, 'is delivered');
	is($client->say('STAT'), $before, 'but not in this session');
	$client->say("DELE $_") for 1, 2;
	$client->quit;
	$client = logged_in('bob');
	like($client->say('STAT'), qr/^\+OK 1 /, 'the next sees it alone');
	$client->close;
};

subtest 'what was deleted, by whom' => sub {
	is($a->mail('bob@a.example', "Subject: where is it\n\nHello\n")->{code}, 0, 'mail');
	my $id = (Hosts::slurp($a->spool('log')) =~ /^(\S+) accepted /mg)[-1];
	is($a->pass->{code}, 0, 'is delivered');
	Hosts::spew(Pop3->maildir($a, 'bob') . '/new/1.of another program', "x\n");
	my $client = logged_in('bob');
	my $count = keys %{$client->uids};
	$client->say("DELE $_") for 1 .. $count;
	like($a->packetboat('trace', $id)->{out}, qr/bob\@a\.example: delivered here$/m, 'until QUIT it is there');
	like($client->quit, qr/^\+OK/, 'QUIT');
	my $log = $pop3d->log_text;
	like($log, qr/^\Q$id\E deleted at=\S+ index=0 client=127\.0\.0\.1 user=bob$/m, 'the log has its id');
	like($log, qr{^- deleted at=\S+ file="new/1\.of another program" client=127\.0\.0\.1 user=bob$}m, '... and the file of another program');
	like($a->packetboat('trace', $id)->{out}, qr/^now:\n  bob\@a\.example: delivered here, and deleted from the mailbox by user bob at 127\.0\.0\.1$/m, 'trace tells it');
};

subtest 'UIDs' => sub {
	Pop3->fill($a, 'carol', map { "number $_\n" } 1 .. 4);
	my $box = Pop3->maildir($a, 'carol');
	my ($one, $two, $three, $four) = Hosts::names("$box/new");
	my $client = logged_in('carol');
	my $uids = $client->uids;
	is(scalar(keys %{{reverse %$uids}}), 4, 'each has its own');
	$client->say('DELE 2');
	$client->quit;
	# Another program reads them.
	rename "$box/new/$three", "$box/cur/$three:2,S" or die;
	$client = logged_in('carol');
	is_deeply([@{$client->uids}{1 .. 3}], [@$uids{1, 3, 4}], 'after a deletion, and a move to cur');
	$client->quit;
	is($pop3d->stop, 0, 'the daemon stops');
	Hosts::copy_tree($box, "$box-backup");
	Hosts::copy_tree("$box-backup", $box);
	$pop3d = Pop3->start($a) or return;
	($pop3, $pop3s) = map { $pop3d->port($_) } qw(pop3 pop3s);
	$client = logged_in('carol');
	is_deeply([@{$client->uids}{1 .. 3}], [@$uids{1, 3, 4}], 'after a restart and a restore');
	rename "$box/cur/$three:2,S", "$box/cur/$three:2,RS" or die;
	is($client->text(2), "number 3\r\n", 'a message that is moved during the session is found');
	unlink "$box/new/$four" or die;
	is($client->text(3), undef, 'one that is removed is not');
	like($client->{refused}, qr/^-ERR .*another program has removed it/, '... and the client is told');
	logged(qr/^- trouble .*user=carol reason="\S+\/new\/\Q$four\E is gone: another program has removed it"$/m, '... and the log, which one');
	is(scalar(keys %{$client->uids}), 3, '... though it is still listed');
	$client->say("DELE $_") for 1 .. 3;
	like($client->quit, qr/^\+OK/, 'deleting what is gone is no mistake');
	is(scalar(Pop3->left($a, 'carol')), 0, 'all is gone');
};

subtest 'strangers' => sub {
	my @times;
	my @replies;

	for my $user ('ann', 'nobody', 'postmaster', 'eve', '../ann', 'ann/../ann', '/etc', '.', '..', '.ann', "\xc3\xa4nn", 'a' x 200) {
		my $client = client(from => '127.0.2.' . (1 + @times));
		my $begun = time;
		push @replies, $client->login($user, 'wrong') // 'nothing';
		push @times, time - $begun;
		is($client->say('STAT') =~ /^-ERR/ ? 1 : 0, 1, 'and is not in');
		$client->close;
	}
	is_deeply(\@replies, [('-ERR [AUTH] wrong user name or password') x @replies], 'a wrong password is answered in the same words, whoever it was');
	my ($least, $most) = (List::Util::min(@times), List::Util::max(@times));
	cmp_ok($least, '>=', 1.5, 'slowly');
	cmp_ok($most - $least, '<', 1.5 * ($Hosts::sanitized ? 5 : 1), 'and as slowly') or diag("@times");
	my $client = client(from => '127.0.3.1');
	my $reply;
	$reply = $client->login('ann', 'wrong') for 1 .. 3;
	ok($client->closed, 'the third ends the session');
	for (1 .. 3) {
		$client = client(from => '127.0.3.1');
		$reply = $client->login('ann', 'wrong');
		$client->close;
	}
	like($reply, qr/^-ERR \[AUTH\] .*(?:too many|wait|later|again)/i, 'who goes on is not listened to for a while');
	$client = client(from => '127.0.3.1');
	like($client->login('ann', 'password of ann'), qr/^-ERR/, '... not even with the right one');
	$client = client(from => '127.0.3.2');
	like($client->login('ann', 'password of ann'), qr/^\+OK/, 'others are');
	$client->close;

	# Guesses that come together are no more than those that come one by one.
	my @guesses = map { client(from => '127.0.3.3') } 1 .. 20;
	$_->send("USER ann\r\nPASS wrong\r\n") for @guesses;
	$client = client(from => '127.0.3.4');
	like($client->login('bob', 'password of bob'), qr/^\+OK/, 'somebody else is let in while many guess at once');
	$client->close;
	my %answers;
	for my $guess (@guesses) {
		$guess->reply;
		($reply = $guess->reply // 'nothing') =~ s/\d+ seconds/some seconds/;
		$answers{$reply}++;
		$guess->close;
	}
	is_deeply(\%answers, {
		'-ERR [AUTH] wrong user name or password' => 5,
		'-ERR [AUTH] too many wrong passwords from your address; try again in some seconds' => 15,
	}, '... of whom five are looked at');
	logged(qr/^- login .*client=127\.0\.3\.3 .*reason="too many wrong passwords from your address/m, '... and that is told');
};

subtest 'what is wrong with a maildrop' => sub {
	my $box = Pop3->maildir($a, 'carol');
	rename $box, "$box-away" or die;
	my $client = client();
	like($client->login('carol', 'password of carol'), qr/^-ERR \[SYS\/PERM\]/, 'a user without a Maildir');
	logged(qr/^- login .*user=carol reason=/m, '... is told');
	like($client->login('ann', 'password of ann'), qr/^\+OK/, '... and another may log in');
	$client->quit;
	# When postmaster has none either, the disk is not mounted.
	my $post = Pop3->maildir($a, 'postmaster');
	rename $post, "$post-away" or die;
	like(client()->login('carol', 'password of carol'), qr/^-ERR \[SYS\/TEMP\]/, 'no Maildir at all');
	rename "$post-away", $post or die;
	mkdir $box or die;
	like(client()->login('carol', 'password of carol'), qr/^-ERR \[SYS\//, 'a Maildir without its parts');
	rmdir $box or unlink(glob "$box/*") && rmdir $box or die "rmdir: $!";
	rename "$box-away", $box or die;
	Pop3->fill($a, 'carol', "x\n", "y\n", "z\n");
	$client = logged_in('carol');
	rename $box, "$box-away" or die;
	is($client->text(1), "x\r\n", 'a Maildir that moves meanwhile is still the one that was opened');
	rename "$box-away", $box or die;
	# By the time of another answer the next message is in memory.
	$client->say('NOOP');
	unlink glob "$box/new/*";
	rmdir "$box/new" or die;
	is($client->text(2), "y\r\n", 'a Maildir that is removed meanwhile: what was read ahead is there');
	is($client->text(3), undef, '... and nothing else');
	$client->say('DELE 2');
	like($client->quit, qr/^\+OK/, '... has nothing left to delete');
	mkdir "$box/new" or die;
	# Root may read everything: elsewhere this is worth a try.
	SKIP: {
		skip('root may read everything', 1) if $> == 0;
		chmod 0, "$box/new";
		like(client()->login('carol', 'password of carol'), qr/^-ERR \[SYS\/TEMP\]/, 'a Maildir that cannot be read');
		chmod 0700, "$box/new";
	}
};

subtest 'limits' => sub {
	my $client = client();
	my $reply;
	$reply = $client->say('NONSENSE') for 1 .. 12;
	ok($client->closed, 'too many bad commands end the session');
	logged(qr/^- session .*reason="too many errors"$/m, 'and that is told');
	$client = client();
	$client->send("USER ann\nPASS x\r\n");
	like($client->reply, qr/^-ERR/, 'LF alone ends no command');
	$client->close;
};

subtest 'connections, silence, and the length of a session' => sub {
	my $b = $net->host('b');
	$b->user('ann');
	my $other = Pop3->serve($b, more => "\tconnections = 3\n\tidle = 2s\n") or return;
	Pop3->fill($b, 'ann', "x\n");
	my @clients = map { Pop3::Client->new($other->port('pop3')) } 1 .. 4;
	is(scalar(grep { $_->{greeting} =~ /^\+OK/ } @clients), 3, 'as many as may be');
	like($clients[3]->{greeting}, qr/^-ERR \[SYS\/TEMP\] too many connections/, 'one more is turned away');
	like($other->log_text, qr/^- refused .*client=127\.0\.0\.1 reason="too many connections"$/m, '... and that is told');
	like($clients[0]->login('ann', 'password of ann'), qr/^\+OK/, 'one logs in');
	$clients[0]->say('DELE 1');
	my $begun = time;
	is($clients[0]->line, undef, 'who is silent hears nothing');
	ok($clients[0]->closed, '... but the end');
	cmp_ok(time - $begun, '>=', 1.5, '... after a while');
	is(scalar(Pop3->left($b, 'ann')), 1, 'and nothing is deleted');
	my $until = time + 10;
	sleep 0.05 while $other->log_text !~ / kept=1 / && time < $until;
	like($other->log_text, qr/^- fetched .*user=ann messages=0 octets=0 deleted=0 kept=1 reason=".* sent nothing for 2 seconds"$/m, '... which is told');
	# The limit of a whole session holds whatever the client does.
	Hosts::spew($b->conf, Hosts::slurp($b->conf) =~ s/idle = 2s/idle = 1m\n\tsession = 1s/r);
	$other->signal('HUP');
	ok($other->told('READY=1'), 'a session may last a second');
	my $client = Pop3::Client->new($other->port('pop3'));
	$client->login('ann', 'password of ann');
	$until = time + 30;
	my $reply = '';
	while (time < $until && $reply =~ /^(?:\+OK.*|)\z/) {
		$reply = $client->say('NOOP') // 'nothing';
		sleep 0.05;
	}
	is($reply, '-ERR [SYS/TEMP] the session has lasted too long', '... and ends with a word');
};

subtest 'reload' => sub {
	my $client = logged_in('ann');
	my $conf = Hosts::slurp($a->conf);
	Hosts::spew($a->conf, $conf =~ s/(listen = \{)/$1 "127.0.0.2:0",/r =~ s/(pop3d \{\n)/$1\tname = "other.example"\n/r);
	$pop3d->signal('HUP');
	ok($pop3d->told('READY=1'), 'the configuration is read again');
	logged(qr/^pop3d listening .*address=127\.0\.0\.2:\d+ service=pop3$/m, 'and a place more listened at');
	like($client->say('STAT'), qr/^\+OK/, 'a session goes on');
	like(client()->{greeting}, qr/^\+OK other\.example /, 'the next has the new name');
	Hosts::spew($a->conf, "$conf\nnonsense\n");
	$pop3d->signal('HUP');
	ok($pop3d->told('READY=1'), 'a configuration that is wrong');
	logged(qr/^pop3d trouble .*stays the one of before/m, '... is told');
	like(client()->{greeting}, qr/^\+OK other\.example /, '... and changes nothing');
	Hosts::spew($a->conf, $conf);
	like($client->quit, qr/^\+OK/, 'the session ends');
};

subtest 'stopping' => sub {
	my $client = logged_in('ann');
	$client->say('DELE 1');
	$pop3d->signal('TERM');
	like($client->reply, qr/^-ERR \[SYS\/TEMP\]/, 'a session is told');
	is($pop3d->wait, 0, 'the daemon ends');
	logged(qr/^pop3d ended \S+ reason="signal SIGTERM"$/m, '... and the log says why');
	is(scalar(Pop3->left($a, 'ann')), 1, 'nothing was deleted');
};

subtest 'sockets of systemd' => sub {
	my $script = q{use IO::Socket::INET; use Fcntl; use POSIX ();
		my @s = map { IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1', Proto => 'tcp') or die } 1, 2;
		my @far = map { fcntl($_, F_DUPFD, 20) } @s; POSIX::dup2($far[$_], 3 + $_) for 0, 1;
		$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 2; $ENV{LISTEN_FDNAMES} = 'pop3:pop3s'; exec @ARGV;};
	Hosts::spew($a->conf, Hosts::slurp($a->conf) =~ s/pop3d \{.*?\n\}\n//sr);
	$pop3d = Hosts::Daemon->begin($a, {}, $^X, '-e', $script, Hosts::program('packetboat-pop3d'), '--foreground', '-c', $a->conf);
	ok($pop3d->told('READY=1'), 'ready, with nothing to listen at in the configuration') or return diag($pop3d->err);
	bless $pop3d, 'Smtp::Daemon';
	($pop3, $pop3s) = map { $pop3d->port($_) } qw(pop3 pop3s);
	logged_in('ann')->quit;
	SKIP: {
		skip($no_tls, 1) if defined $no_tls;
		like(Pop3::Client->new($pop3s, tls => 1)->{greeting}, qr/^\+OK/, 'implicit TLS by name');
	}
};

# The certificate is made once, for both servers.
is_deeply([grep { /tls/ } Hosts::names($a->dir . '/keys')], ['tls-certificate.pem', 'tls-key.pem', 'tls.lock'], 'the certificate');
$net->done;
