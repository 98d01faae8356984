# What packetboat-smtpd takes from whom, and what it does when something is in its way: relaying, unknown users, sizes,
# senders, passwords, limits, a configuration that changes or is wrong, signals, ports that are taken, spools that cannot be
# written.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Smtp;
use MIME::Base64 ();
use Test::More;
use Time::HiRes qw(time sleep);

my $have_tls = !defined Smtp->missing_module('IO::Socket::SSL');
my $text = "From: x\@far.example\nSubject: x\n\nHello\n";

sub hello {
	my ($smtpd, $service, %options) = @_;
	my $client = Smtp::Client->new($smtpd->port($service // 'smtp'), %options);

	$client->say('EHLO client.example');
	return $client;
}

# Waits until the daemon's log has PATTERN.
sub logged {
	my ($smtpd, $pattern, $name) = @_;
	my $until = time + $Hosts::deadline;

	sleep 0.05 while $smtpd->log_text !~ $pattern && time < $until;
	like($smtpd->log_text, $pattern, $name);
}

# Reads the configuration again, and waits until that is over.
sub reload {
	my ($smtpd) = @_;
	$smtpd->signal('HUP');
	return $smtpd->told('READY=1');
}

subtest 'strangers' => sub {
	my $net = Hosts->new;
	my ($a, $b) = map { $net->host($_) } qw(a b);

	$net->neighbours($a, $b, more => "\tmax-size = 20k\n\trate = 2400\n");
	Hosts::spew($a->conf, Hosts::slurp($a->conf) =~ s/^domains\b.*$/domains = { "a.example", "second.example" }/mr);
	$a->configure(qq{route "b.example" { via = "neighbour:b" }\n}
	    . qq{route "*" { via = "neighbour:b" }\nalias "far" { to = { "someone\@elsewhere.example" } }\n});
	$a->user('ann');
	my $smtpd = Smtp->serve($a, more => "\terrors = 1000\n", listen => {smtp => ''});
	my $client = hello($smtpd);
	my $rcpt = sub {
		my ($recipient, $sender) = @_;
		$client->say('RSET');
		$client->say('MAIL FROM:<' . ($sender // 'eve@far.example') . '>');
		return $client->say("RCPT TO:$recipient") // '';
	};

	# Ours, in every spelling.
	like($rcpt->($_), qr/^250 2\.1\.5/, "taken: $_") for '<ann@a.example>', '<ANN@A.EXAMPLE>', '<ann@second.example>',
	    '<Postmaster>', '<postmaster@a.example>', '<@a.example,@b.example:ann@a.example>', '<far@a.example>', '<bob@b.example>',
	    '<"ann"@a.example>', '<ann+tag@a.example>';
	like($rcpt->('<no@a.example>'), qr/^550 5\.1\.1 /, 'unknown user');
	# Everything else, whoever it claims to be from.
	for my $sender ('eve@far.example', 'ann@a.example', '', 'root@localhost') {
		for my $recipient ('someone@elsewhere.example', 'someone%elsewhere.example@unknown.example', '"someone@elsewhere.example"@elsewhere.example',
			'elsewhere.example!someone@unknown.example', '@a.example:someone@elsewhere.example', '@a.example,@far.example:someone@elsewhere.example',
			'someone@[127.0.0.1]', 'someone@[IPv6:::1]', 'someone@a.example.elsewhere.example', 'someone@localhost', 'someone@127.0.0.1') {
			like($rcpt->("<$recipient>", $sender), qr/^55[0-9] 5\.(?:7\.1|1\.[123]) /, "no relaying: <$sender> to <$recipient>");
		}
		# Parts of our own names that are no user of ours go nowhere either.
		for my $recipient ('someone%elsewhere.example@a.example', 'elsewhere.example!someone@a.example', '"someone@elsewhere.example"@a.example',
			'elsewhere.example!someone', 'someone%elsewhere.example', '"someone%elsewhere.example"@a.example') {
			like($rcpt->("<$recipient>", $sender), qr/^55[0-9] 5\./, "no relaying: <$sender> to <$recipient>");
		}
	}
	like($rcpt->('<someone@elsewhere.example>'), qr/^550 5\.7\.1 <someone\@elsewhere\.example>: relaying is not permitted/, 'the reason');
	like($client->say('DATA'), qr/^554 5\.5\.1/, 'no recipient, no text');
	is(scalar($a->waiting), 0, 'nothing waits');

	# The narrowest link on the way.
	$client->say('RSET');
	like($client->say('MAIL FROM:<eve@far.example> SIZE=30000'), qr/^250/, 'a large message');
	my $reply = $client->say('RCPT TO:<bob@b.example>');
	like($reply, qr/^552 5\.3\.4 .*takes 20k at most; at 2400 bit\/s it would have taken/, 'too large for that link') or diag($reply);
	like($client->say('RCPT TO:<ann@a.example>'), qr/^250/, '... but not for us');
	$client->say('RSET');
	$reply = $client->mail('eve@far.example', ['bob@b.example'], $text . "0123456789\n" x 3000);
	like($reply, qr/^552 5\.3\.4 .*this message has .*takes 20k at most/, 'too large, by what came') or diag($reply);
	$reply = $client->mail('eve@far.example', ['bob@b.example', 'ann@a.example'], $text . "0123456789\n" x 3000);
	like($reply, qr/^250/, 'one of two can take it');
	like($client->mail('eve@far.example', ['bob@b.example'], $text), qr/^250/, 'small enough');
	like($client->say('ETRN b.example'), qr/^459 4\.7\.1/, 'strangers begin no call');
	like($client->say('ETRN @b.example'), qr/^459 4\.7\.1/, '... of no kind');
	$client->quit;
	is($a->pass->{code}, 0, 'a pass');
	is(scalar($a->mailbox('ann')), 1, 'ann has hers');
	like($a->log_text, qr/^- refused at=\S+ client=127\.0\.0\.1 helo=client\.example sender=eve\@far\.example recipient=someone\@elsewhere\.example status=5\.7\.1/m, 'refusals are told');
	$smtpd->done;
	$net->fsck;
};

subtest 'networks, ETRN' => sub {
	my $net = Hosts->new;
	my ($a, $b) = map { $net->host($_) } qw(a b);
	my $shared = $net->neighbours($a, $b);

	$a->configure(qq{route "b.example" { via = "neighbour:b" }\nroute "*" { via = "neighbour:b" }\n});
	$b->user('bob');
	my $smtpd = Smtp->serve($a, more => qq{\tnetworks = { "127.0.0.2" }\n});
	my $client = hello($smtpd, 'smtp', from => '127.0.0.2');
	like($client->mail('eve@far.example', ['someone@elsewhere.example'], $text), qr/^250/, 'a listed network relays');
	like($client->mail('eve@far.example', ['bob@b.example'], $text), qr/^250/, '... home too');
	like($client->say('ETRN nobody.invalid.'), qr/^(?:459|501) /, 'ETRN of nobody');
	is(scalar(Hosts::batches($shared)), 0, 'no batch yet');
	like($client->say('ETRN b.example'), qr/^250 2\.0\.0 /, 'ETRN');
	my $until = time + $Hosts::deadline;
	sleep 0.05 while !Hosts::batches($shared) && time < $until;
	isnt(scalar(Hosts::batches($shared)), 0, 'a pass was begun');
	logged($smtpd, qr/ called .*neighbour=b$/m, '... and told');
	like(hello($smtpd)->mail('eve@far.example', ['someone@elsewhere.example'], $text), qr/^550 5\.7\.1/, 'others do not relay');
	# The pass is not ours to wait for: another one waits for the same locks.
	$net->passes($a, $b, 2);
	is(scalar($b->mailbox('bob')), 1, 'there');
	$smtpd->done;
	$net->fsck;
};

subtest 'users' => sub {
	plan(skip_all => 'no TLS in this perl (.ci/peers installs it)') unless $have_tls;
	my $net = Hosts->new;
	my $a = $net->host('a');
	$a->user($_) for qw(ann bob);
	$a->configure(qq{route "*" { via = "smtp" }\n});
	my $smtpd = Smtp->serve($a, listen => {submissions => '', smtp => '', submission => ''});
	my $enter = sub {
		my $client = hello($smtpd, 'submissions', tls => 1);
		return ($client, $client->login(@_));
	};
	my $from = sub { my ($client, $sender) = @_; $client->say('RSET'); return $client->say("MAIL FROM:<$sender>") };

	my ($client, $reply) = $enter->('ann', 'password of ann');
	like($reply, qr/^235/, 'ann is in');
	like($from->($client, $_), qr/^250/, "she may send as <$_>") for 'ann@a.example', 'ann+list@a.example', '';
	like($from->($client, $_), qr/^550 5\.7\.1 /, "... not as <$_>") for 'bob@a.example', 'ann@far.example', 'postmaster@a.example';
	is($a->packetboat('user', 'senders', 'ann', '*@far.example')->{code}, 0, 'user senders');
	like($from->($client, 'sales@far.example'), qr/^250/, 'in effect at once');
	like($from->($client, 'bob@a.example'), qr/^550 5\.7\.1/, '... for these only');
	like($client->mail('ann@a.example', ['someone@elsewhere.example'], $text), qr/^250/, 'users relay');
	$client->quit;

	my $begun = time;
	($client, $reply) = $enter->('ann', 'wrong');
	like($reply, qr/^535 5\.7\.8/, 'a wrong password');
	cmp_ok(time - $begun, '>=', 2, '... is answered slowly');
	like($client->login('nobody', 'wrong'), qr/^535 5\.7\.8/, 'nobody');
	like($client->login('ann', "\xff"), qr/^421 4\.7\.0/, 'the third ends the session');
	ok($client->closed, '... closed');
	logged($smtpd, qr/^- login .*client=127\.0\.0\.1/m, '... and told');

	is($a->packetboat({in => "another\n"}, 'user', 'password', 'ann')->{code}, 0, 'a new password');
	like(($enter->('ann', 'another'))[1], qr/^235/, '... is in effect at once');
	like(($enter->('ann', 'password of ann'))[1], qr/^535/, '... and the old one is gone');

	# No password in clear, nor mail without it.
	$client = hello($smtpd);
	like($client->login('ann', 'another'), qr/^538 5\.7\.11/, 'not in clear, on the smtp service');
	$client = hello($smtpd, 'submission');
	like($client->login('ann', 'another'), qr/^538 5\.7\.11|^530/, 'not in clear, on submission');
	like($client->say('MAIL FROM:<ann@a.example>'), qr/^530 5\.7\.0/, 'no mail without TLS');
	like($client->starttls, qr/AUTH PLAIN LOGIN/, 'STARTTLS');
	like($client->say('MAIL FROM:<ann@a.example>'), qr/^530 5\.7\.0/, 'no mail without AUTH');
	like($client->login('ann@a.example', 'another'), qr/^235/, 'AUTH, by the whole address');
	like($client->mail('ann@a.example', ['bob@a.example'], $text), qr/^250/, 'in');
	$smtpd->done;
	$net->fsck;
};

subtest 'the configuration changes' => sub {
	my $net = Hosts->new;
	my $a = $net->host('a');
	my $before = Hosts::slurp($a->conf);
	my $section = sub { Hosts::spew($a->conf, $before . Smtp->section($a, @_)) };

	$a->user('ann');
	$section->(more => "\trecipients = 1000\n");
	my $smtpd = Smtp->start($a) or return;
	my $client = hello($smtpd);
	my $idle = hello($smtpd);

	# A socket that cannot be had: all stays as it was.
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die;
	$section->(more => "\tname = \"other.example\"\n", listen => {smtp => '', submission => '', submissions => '127.0.0.1:' . $taken->sockport});
	ok(reload($smtpd), 'a port that is taken');
	logged($smtpd, qr/^smtpd trouble .*another program/m, '... is told');
	like(Smtp::Client->new($smtpd->port('smtp'))->{greeting}, qr/^220 a\.example /, '... and changes nothing');
	is(() = $smtpd->log_text =~ /^smtpd listening/mg, 1, '... and opens nothing');

	$client->say('MAIL FROM:<eve@far.example>');
	$client->say('RCPT TO:<ann@a.example>');
	$client->say('DATA');
	$client->send("Subject: old\r\n\r\nhalf");
	$section->(more => "\trecipients = 200\n\tname = \"other.example\"\n", listen => {smtp => '', lmtp => ''});
	ok(reload($smtpd), 'SIGHUP in the midst of DATA');
	logged($smtpd, qr/^smtpd reloaded /m, '... told');
	$client->send(" and half\r\n.\r\n");
	like($client->reply, qr/^250 2\.0\.0/, 'the session goes on');
	like($client->say('EHLO client.example'), qr/^250-a\.example\n.*RCPTMAX=1000/s, '... by the old configuration');
	like($idle->say('EHLO client.example'), qr/^250-a\.example\n/, '... another one too');
	my $new = Smtp::Client->new($smtpd->port('smtp'));
	like($new->{greeting}, qr/^220 other\.example /, 'a new session by the new one');
	like($new->say('EHLO client.example'), qr/RCPTMAX=200/, '... limits too');
	like(Smtp::Client->new($smtpd->port('lmtp'))->{greeting}, qr/^220 other\.example LMTP/, 'a new listener');

	Hosts::spew($a->conf, Hosts::slurp($a->conf) . "nonsense = 1\nsmtpd { listen = { \"127.0.0.1:0\", \"gopher:1\" } }\n");
	ok(reload($smtpd), 'a mistake');
	logged($smtpd, qr/^smtpd trouble .*nonsense.*in use/sm, '... is told');
	is(() = $smtpd->log_text =~ /^smtpd listening/mg, 2, '... and opens no socket');
	like(Smtp::Client->new($smtpd->port('smtp'))->{greeting}, qr/^220 other\.example /, '... and changes nothing');
	like($new->mail('eve@far.example', ['ann@a.example'], $text), qr/^250/, '... nor ends anything');

	my $lmtp = $smtpd->port('lmtp');
	$section->(listen => {smtp => ''});
	ok(reload($smtpd), 'a listener is taken away');
	is(Smtp::Client->new($lmtp), undef, '... gone');
	ok(Smtp::Client->new($smtpd->port('smtp')), '... the other is not');
	$smtpd->done;
	is($a->pass->{code}, 0, 'a pass');
	is(scalar($a->mailbox('ann')), 2, 'all there');
	$net->fsck;
};

subtest 'SIGTERM in the midst of DATA' => sub {
	my $net = Hosts->new;
	my $a = $net->host('a');
	$a->user('ann');
	my $smtpd = Smtp->serve($a);
	my ($client, $other, $fresh) = (hello($smtpd), hello($smtpd), Smtp::Client->new($smtpd->port('smtp')));
	$client->say('MAIL FROM:<eve@far.example>');
	$client->say('RCPT TO:<ann@a.example>');
	$client->say('DATA');
	$client->send("Subject: half\r\n\r\nhalf\r\n");
	like($other->mail('eve@far.example', ['ann@a.example'], $text), qr/^250/, 'one was taken');
	sleep 0.2;
	$smtpd->signal('TERM');
	like($_->reply, qr/^421 4\.3\.2 /, 'told to come again') for $client, $other, $fresh;
	ok($_->closed, 'closed') for $client, $other, $fresh;
	is($smtpd->wait, 0, 'it ends with 0') or diag($smtpd->err);
	is($a->pass->{code}, 0, 'a pass');
	is(scalar($a->mailbox('ann')), 1, 'what was taken is there, and nothing by halves');
	is_deeply([Hosts::files($a->spool('tmp'))], [], 'nothing is left under construction');
	$net->fsck;
};

subtest 'starts that fail' => sub {
	my $net = Hosts->new;
	my $a = $net->host('a');
	my $before = Hosts::slurp($a->conf);
	my $fails = sub {
		my ($name, $code, $pattern, %options) = @_;
		my $result = $a->run({%options, deadline => 30}, Hosts::program('packetboat-smtpd'), '-c', $a->conf, '--foreground');
		is($result->{code}, $code, $name) or diag($result->{err});
		like($result->{err}, $pattern, '... says why');
		is(scalar(split /\n/, $result->{err}), 1, '... in a line') or diag($result->{err});
	};

	$fails->('no section smtpd', 78, qr/says nowhere to listen/);
	my $smtpd = Smtp->serve($a);
	my $port = $smtpd->port('smtp');
	Hosts::spew($a->conf, $before . qq{smtpd { listen = { "127.0.0.1:$port" } }\n});
	$fails->('a second daemon at the same port', 75, qr/cannot listen at 127\.0\.0\.1:$port: another program does already/);
	like(Smtp::Client->new($port)->{greeting}, qr/^220/, '... and the first serves on');
	Hosts::spew($a->conf, $before . qq{smtpd { listen = { "127.0.0.1:0" } listne = { "x" } }\n});
	$fails->('a mistake in the configuration', 78, qr/packetboat\.conf:\d+: .*listne/);
	Hosts::spew($a->conf, $before . qq{smtpd { listen = { "127.0.0.1:0" } certificate = "nowhere.pem" }\n});
	$fails->('a certificate that is not there', 78, qr/nowhere\.pem/);
	Hosts::spew($a->conf, $before . qq{smtpd { listen = { "127.0.0.1:0" } user = "no-such-user" }\n});
	$fails->('an unknown user', 78, qr/no-such-user/);
	Hosts::spew($a->conf, $before . qq{smtpd { listen = { "127.0.0.1:0" } }\n});
	SKIP: {
		skip('only somebody who is not root is refused by a directory\'s mode', 3) if $> != 0;
		my $result = $a->run({as => 65534, deadline => 30}, Hosts::program('packetboat-smtpd'), '-c', $a->conf, '--foreground');
		isnt($result->{code}, 0, 'a spool that cannot be written');
		isnt($result->{err}, '', '... says why');
		unlike($result->{err}, qr/Sanitizer/, '... and frees all');
	}
	$smtpd->done;
};

subtest 'guessing' => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing_module('IO::Socket::SSL');
	my $net = Hosts->new;
	my $a = $net->host('a');
	$a->user('ann');
	my $smtpd = Smtp->serve($a, listen => {submission => ''});
	my $open = sub {
		my $client = Smtp::Client->new($smtpd->port('submission'), from => "127.0.0.$_[0]");
		$client->starttls;
		return $client;
	};
	my $login = sub { return 'AUTH PLAIN ' . MIME::Base64::encode_base64("\0ann\0$_[0]", '') };
	my @guesses = map { $open->(66) } 1 .. 12;

	$_->send($login->('wrong') . "\r\n") for @guesses;
	my @replies = map { $_->reply // 'nothing' } @guesses;
	is(scalar(grep { /^535 5\.7\.8/ } @replies), 5, 'of wrong passwords that come together five are looked at');
	is(scalar(grep { /^454 4\.7\.0 too many wrong passwords/ } @replies), 7, '... and the others not') or diag("@replies");
	like($guesses[0]->say($login->('password of ann')), qr/^454 4\.7\.0 too many wrong passwords/, 'the next is not looked at, be it right');
	like($open->(67)->say($login->('password of ann')), qr/^235/, 'others log in');
	$_->close for @guesses;
	$smtpd->done;
};

subtest 'limits' => sub {
	my $net = Hosts->new;
	my $a = $net->host('a');
	$a->user('ann');
	my $smtpd = Smtp->serve($a, listen => {smtp => '', submission => ''}, more => qq{\tconnections = 8\n\tconnections-each = 2\n\terrors = 5\n\trecipients = 100\n\tmessages = 3\n\tidle = 4s\n\tmin-rate = 1000\n});
	my $port = $smtpd->port('smtp');

	# The clock's part first: they wait while the rest is done.
	my $idle = Smtp::Client->new($port, from => '127.0.0.9');
	my $slow = Smtp::Client->new($port, from => '127.0.0.9');
	$slow->say($_) for 'EHLO client.example', 'MAIL FROM:<eve@far.example>', 'RCPT TO:<ann@a.example>', 'DATA';
	my $drip = fork // die;
	if ($drip == 0) {
		sleep 1 while $slow->send("x\r\n");
		POSIX::_exit(0);
	}

	my @clients = map { Smtp::Client->new($port, from => "127.0.0.$_") } 2, 2, 3, 3;
	like($_->{greeting}, qr/^220/, 'welcome') for @clients;
	like(Smtp::Client->new($port, from => '127.0.0.4')->{greeting}, qr/^421 4\.7\.0 too many connections/, 'too many strangers in all');
	like(Smtp::Client->new($smtpd->port('submission'), from => '127.0.0.5')->{greeting}, qr/^220/, '... users find a place');
	(pop @clients)->quit for 1 .. 2;
	my $one = Smtp::Client->new($port, from => '127.0.0.2');
	like($one->{greeting}, qr/^421 4\.7\.0 too many connections from your address/, 'too many from one address');
	ok($one->closed, '... and closed');
	like(Smtp::Client->new($port, from => '127.0.0.3')->{greeting}, qr/^220/, '... others are welcome');

	my $client = shift @clients;
	$client->say('EHLO client.example');
	like($client->say('FROB'), qr/^500 5\.5\.1/, 'a bad command') for 1 .. 4;
	like($client->say('FROB'), qr/^500 5\.5\.1/, '... the last');
	like($client->reply, qr/^421 4\.7\.0/, '... ends the session');
	ok($client->closed, '... closed');

	$client = shift @clients;
	$client->say('EHLO client.example');
	$client->say('MAIL FROM:<eve@far.example>');
	like($client->say('RCPT TO:<ann@a.example>'), qr/^250/, "recipient $_") for 1 .. 100;
	like($client->say('RCPT TO:<ann@a.example>'), qr/^452 4\.5\.3/, 'one too many');
	$client->say('RSET');
	like($client->mail('eve@far.example', ['ann@a.example'], $text), qr/^250/, 'messages') for 1 .. 2;
	like($client->say('MAIL FROM:<eve@far.example>'), qr/^421 4\.5\.3/, 'one too many');

	like($idle->reply // '', qr/^421 4\.4\.2 /, 'the idle one is told');
	ok($idle->closed, '... and gone');
	like($slow->reply // '', qr/^421 4\.4\.2 .*too slowly/, 'a text that comes too slowly');
	ok($slow->closed, '... is ended');
	kill 'KILL', $drip;
	waitpid $drip, 0;
	logged($smtpd, qr/^- session .*client=127\.0\.0\.9 .*too slowly/m, '... and told');
	logged($smtpd, qr/^- session .*client=127\.0\.0\.9 .*reason="nothing has come/m, '... the idle one too');
	$smtpd->done;
	is($a->pass->{code}, 0, 'a pass');
	is(scalar($a->mailbox('ann')), 2, 'what was taken is there');
	$net->fsck;
};
done_testing;
