# Real mail programs hand in, each in the ways that it has: in clear, with STARTTLS and AUTH, with TLS from the first octet,
# over LMTP, over pipes. Each mail is in the right Maildir after a relay pass, octet for octet, and its Received line says
# how it came (RFC 5321 4.4, RFC 3848). A program that is not installed is skipped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(make_path);
use Hosts;
use Smtp;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
my $dir = $net->dir . '/clients';
make_path($dir);
$a->user('ann');
$a->user('bob');
my $smtpd = Smtp->serve($a, listen => {map { $_ => '' } qw(smtp submission submissions lmtp)});
my ($smtp, $submission, $submissions, $lmtp) = map { $smtpd->port($_) } qw(smtp submission submissions lmtp);
my $password = 'password of ann';
my $certificate = $a->dir . '/keys/tls-certificate.pem';
my %sent;     # by subject: {text, protocol, helo, to, body}

# A message that mail programs may send as it is: dots, octets above 127, a long line, trailing blanks, "From ".
sub text {
	my ($subject) = @_;
	return "From: Ann <ann\@a.example>\nTo: bob\@a.example\nSubject: $subject\nDate: Mon, 23 Nov 2026 02:51:19 +0000\n"
	    . "Message-ID: <" . ($subject =~ s/\W+/./gr) . "\@client.example>\nMIME-Version: 1.0\n"
	    . "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
	    . "Hello,\n.\n..two dots\n.one\nFrom here on \xc3\xa9\xc3\xa8\n\n" . ('long ' x 150) . "\nblanks  \t\n-- \nAnn\n";
}

# A file with that message; with "\r\n" as line ends when CRLF is set.
sub file {
	my ($subject, $crlf) = @_;
	my $path = "$dir/" . ($subject =~ s/\W+/-/gr) . ($crlf ? '.crlf' : '.eml');
	my $text = text($subject);

	$text =~ s/\n/\r\n/g if $crlf;
	Hosts::spew($path, $text);
	return $path;
}

# SUBJECT is to arrive as it was sent, over PROTOCOL; HELO and CLIENT are patterns for the Received line.
sub expect {
	my ($subject, $protocol, %more) = @_;
	$sent{$subject} = {text => text($subject), protocol => $protocol, to => 'bob', helo => 'client\.example',
		client => '\[127\.0\.0\.1\]', %more};
}

# Runs ARGV, which is to hand in SUBJECT.
sub client {
	my ($subject, $options, @argv) = @_;
	my $result = $a->run({env => {HOME => $dir, EMAIL => undef, %{delete $options->{env} // {}}}, dir => $dir, %$options}, @argv);
	is($result->{code}, 0, $subject) or diag($result->{out}, $result->{err});
	return $result;
}

subtest swaks => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('swaks');
	my @same = ('swaks', '--from', 'ann@a.example', '--to', 'bob@a.example', '--ehlo', 'client.example', '--hide-all');
	my @user = ('--auth-user', 'ann', '--auth-password', $password);
	my @place = ('--server', '127.0.0.1', '--port');
	my %ways = (
		'swaks, smtp' => ['ESMTP', @place, $smtp], 'swaks, HELO' => ['SMTP', @place, $smtp, '--protocol', 'SMTP'],
		'swaks, lmtp' => ['LMTP', '--socket', $lmtp, '--protocol', 'LMTP'],
	);

	$ways{'swaks, pipe'} = ['ESMTP', '--pipe', Hosts::program('packetboat-smtpd') . ' -c ' . $a->conf . ' --stdio'];
	if (!defined Smtp->missing_module('Net::SSLeay')) {
		$ways{'swaks, starttls'} = ['ESMTPS', @place, $smtp, '-tls'];
		$ways{"swaks, submission, $_"} = ['ESMTPSA', @place, $submission, '-tls', '--auth', $_, @user] for qw(PLAIN LOGIN);
		$ways{'swaks, submissions'} = ['ESMTPSA', @place, $submissions, '--tls-on-connect', '--auth', 'PLAIN', @user];
	}
	for my $name (sort keys %ways) {
		my ($protocol, @argv) = @{$ways{$name}};
		expect($name, $protocol, $name =~ /lmtp|pipe/ ? (client => 'local') : ());
		# It ends the text with an end of line of its own.
		client($name, {}, @same, @argv, '--data', text($name) =~ s/\n\z//r);
	}
	my $refused = $a->run((grep { $_ ne '--hide-all' } @same), @place, $submission, '--data', "Subject: x\n\nx");
	isnt($refused->{code}, 0, 'without TLS and AUTH');
	like($refused->{out}, qr/530 5\.7\.0/, '... refused') or diag($refused->{out}, $refused->{err});
};

subtest msmtp => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('msmtp');
	my $login = "auth on\nuser ann\npasswordeval echo '$password'\ntls on\ntls_trust_file $certificate\ntls_host_override a.example\n";
	my %ways = (
		'msmtp, smtp' => ['ESMTP', "port $smtp\n"],
		'msmtp, submission' => ['ESMTPSA', "port $submission\n$login"],
		'msmtp, submission, login' => ['ESMTPSA', "port $submission\n$login" . "auth login\n"],
		'msmtp, submissions' => ['ESMTPSA', "port $submissions\n$login" . "tls_starttls off\n"],
	);

	for my $name (sort keys %ways) {
		my ($protocol, $lines) = @{$ways{$name}};
		my $rc = "$dir/msmtprc";
		Hosts::spew($rc, "defaults\nhost 127.0.0.1\nfrom ann\@a.example\ndomain client.example\n$lines\naccount default\n");
		chmod 0600, $rc;
		expect($name, $protocol);
		client($name, {in => text($name)}, 'msmtp', '-C', $rc, 'bob@a.example');
	}
};

subtest curl => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('curl');
	my @user = ('--ssl-reqd', '--cacert', $certificate, '--user', "ann:$password");
	my @there = map { ('--resolve', "a.example:$_:127.0.0.1") } $submission, $submissions;
	my %ways = (
		'curl, smtp' => ['ESMTP', "smtp://127.0.0.1:$smtp/client.example"],
		'curl, submission' => ['ESMTPSA', "smtp://a.example:$submission/client.example", @user, @there],
		'curl, submissions' => ['ESMTPSA', "smtps://a.example:$submissions/client.example", @user, @there],
	);

	for my $name (sort keys %ways) {
		my ($protocol, @argv) = @{$ways{$name}};
		expect($name, $protocol);
		client($name, {}, 'curl', '-sS', '--mail-from', 'ann@a.example', '--mail-rcpt', 'bob@a.example', '-T', file($name, 1), @argv);
	}
};

subtest python3 => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('python3');
	my $script = "$dir/send.py";
	my $begin = "import smtplib, ssl, sys\ntext = sys.stdin.buffer.read().replace(b'\\n', b'\\r\\n')\nmail = ('ann\@a.example', ['bob\@a.example'], text)\n"
	    . "context = ssl.create_default_context(cafile='$certificate')\n";
	my $login = "s.ehlo()\ns.login('ann', '$password')\n";
	my %ways = (
		'python3, smtp' => ['ESMTP', "s = smtplib.SMTP('127.0.0.1', $smtp, 'client.example')\n"],
		'python3, submission' => ['ESMTPSA', "s = smtplib.SMTP('127.0.0.1', $submission, 'client.example')\n"
			. "s._host = 'a.example'\ns.starttls(context=context)\n$login"],
		'python3, submissions' => ['ESMTPSA', "context.check_hostname = False\n"
			. "s = smtplib.SMTP_SSL('127.0.0.1', $submissions, 'client.example', context=context)\n$login"],
		'python3, lmtp' => ['LMTP', "s = smtplib.LMTP('$lmtp', local_hostname='client.example')\n"],
	);

	for my $name (sort keys %ways) {
		my ($protocol, $lines) = @{$ways{$name}};
		Hosts::spew($script, "$begin$lines" . "s.sendmail(*mail, ['BODY=8BITMIME'])\ns.quit()\n");
		expect($name, $protocol, $name =~ /lmtp/ ? (client => 'local') : ());
		client($name, {in => text($name)}, 'python3', $script);
	}
};

# Programs that make the message themselves: the body is what counts.
my $body = "Hello,\n.\n..two dots\nFrom here on\n-- \nAnn\n";

subtest 's-nail' => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('s-nail');
	my @same = ('s-nail', '-:', '/', '-S', 'v15-compat', '-S', 'sendwait', '-S', 'from=ann@a.example', '-S', 'hostname=client.example',
		'-S', 'mime-encoding=8b', '-S', 'tls-verify=ignore');
	(my $url = $password) =~ s/ /%20/g;
	my %ways = (
		's-nail, smtp' => ['E?SMTP', '-S', 'smtp-auth=none', '-S', "mta=smtp://127.0.0.1:$smtp"],
		's-nail, submission' => ['ESMTPSA', '-S', 'smtp-auth=plain', '-S', 'smtp-use-starttls',
			'-S', "mta=smtp://ann:$url\@127.0.0.1:$submission"],
		's-nail, submissions' => ['ESMTPSA', '-S', 'smtp-auth=login', '-S', "mta=smtps://ann:$url\@127.0.0.1:$submissions"],
	);

	for my $name (sort keys %ways) {
		my ($protocol, @argv) = @{$ways{$name}};
		expect($name, $protocol, body => $body, helo => '\S+');
		client($name, {in => $body}, @same, @argv, '-s', $name, 'bob@a.example');
	}
};

subtest mutt => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('mutt');
	my $same = "set from = ann\@a.example\nset hostname = client.example\nset copy = no\nset ssl_verify_host = no\n"
	    . "set certificate_file = $certificate\nset smtp_pass = \"$password\"\nset folder = $dir\nset allow_8bit\n";
	my %ways = (
		'mutt, smtp' => ['ESMTPS?', "set smtp_url = smtp://127.0.0.1:$smtp/\nset ssl_starttls = no\n"],
		'mutt, submission' => ['ESMTPSA', "set smtp_url = smtp://ann\@127.0.0.1:$submission/\nset ssl_starttls = yes\n"],
		'mutt, submissions' => ['ESMTPSA', "set smtp_url = smtps://ann\@127.0.0.1:$submissions/\n"],
	);

	for my $name (sort keys %ways) {
		my ($protocol, $lines) = @{$ways{$name}};
		Hosts::spew("$dir/muttrc", $same . $lines);
		expect($name, $protocol, body => $body, helo => '\S+');
		client($name, {in => $body, env => {TERM => 'dumb'}}, 'mutt', '-n', '-F', "$dir/muttrc", '-s', $name, 'bob@a.example');
	}
};

subtest 'git send-email' => sub {
	plan(skip_all => 'git send-email is not installed (.ci/peers installs it)')
	    unless grep { -e "$_/git-send-email" } map { chomp; $_ } `git --exec-path 2>/dev/null`;
	plan(skip_all => $_) for grep { defined } Smtp->missing_module('Mail::Address');
	my @git = ('git', '-c', 'user.name=Ann', '-c', 'user.email=ann@a.example', '-c', 'init.defaultBranch=main');
	my @same = (@git, 'send-email', '--quiet', '--from', 'Ann <ann@a.example>', '--to', 'bob@a.example', '--suppress-cc=all', '--confirm=never',
		'--smtp-server', '127.0.0.1', '--smtp-domain', 'client.example');
	my @user = ('--smtp-user', 'ann', '--smtp-pass', $password, '--smtp-ssl-cert-path', '');
	my %ways = ('git, smtp' => ['ESMTP', '--smtp-server-port', $smtp]);
	my %env = (GIT_CONFIG_NOSYSTEM => 1, GIT_CONFIG_GLOBAL => '/dev/null');

	if (!defined Smtp->missing_module('IO::Socket::SSL') && !defined Smtp->missing_module('Authen::SASL')) {
		$ways{'git, submission'} = ['ESMTPSA', '--smtp-server-port', $submission, '--smtp-encryption', 'tls', @user];
		$ways{'git, submissions'} = ['ESMTPSA', '--smtp-server-port', $submissions, '--smtp-encryption', 'ssl', @user]
		    unless defined Smtp->missing_module('Net::SMTP::SSL') && !eval { require Net::SMTP; Net::SMTP->can('can_ssl') };
	}
	client('a repository', {env => {%env}}, @git, 'init', '-q', "$dir/repository");
	for my $name (sort keys %ways) {
		my ($protocol, @argv) = @{$ways{$name}};
		my @there = (dir => "$dir/repository", env => {%env});
		Hosts::spew("$dir/repository/file", "$name\n.\n..\n \xc3\xa9\n");
		client("$name: commit", {dir => "$dir/repository", env => {%env}}, @git, 'add', 'file');
		client("$name: commit", {dir => "$dir/repository", env => {%env}}, @git, 'commit', '-q', '-m', $name);
		my $patch = client("$name: patch", {dir => "$dir/repository", env => {%env}}, @git, 'format-patch', '-1', '--stdout')->{out};
		Hosts::spew("$dir/git.patch", $patch);
		expect("[PATCH] $name", $protocol, body => $patch =~ s/.*?\n\n//sr);
		client($name, {@there}, @same, @argv, "$dir/git.patch");
	}
};

# Postfix, as a server that has mail for us: a private instance, whose relayhost we are.
subtest Postfix => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('postfix', 'postdrop');
	plan(skip_all => 'only root can start a Postfix of his own') if $> != 0;
	my $own = "$dir/postfix";
	my $conf = "$own/conf";
	my ($uid, $gid) = (getpwnam('postfix'))[2, 3];

	make_path($conf, "$own/queue", "$own/data");
	chown $uid, $gid, "$own/data";
	# Its unprivileged parts must come through.
	chmod 0755, $net->dir, $dir, $own, $conf, "$own/queue";
	Hosts::spew("$conf/main.cf", <<"END");
compatibility_level = 3.6
queue_directory = $own/queue
data_directory = $own/data
myhostname = client.example
mydestination =
relayhost = [127.0.0.1]:$smtp
inet_interfaces = loopback-only
inet_protocols = ipv4
smtp_tls_security_level = may
smtp_tls_session_cache_database =
alias_maps =
local_recipient_maps =
default_database_type = hash
multi_instance_enable = no
syslog_name = postfix-packetboat
maillog_file = $own/log
maillog_file_prefixes = $own
disable_dns_lookups = yes
smtp_host_lookup = native
END
	Hosts::spew("$conf/master.cf", join '', map { "$_\n" }
	    'pickup unix n - n 1 1 pickup', 'cleanup unix n - n - 0 cleanup', 'qmgr unix n - n 300 1 qmgr',
	    'tlsmgr unix - - n 1000? 1 tlsmgr', 'rewrite unix - - n - - trivial-rewrite', 'bounce unix - - n - 0 bounce',
	    'defer unix - - n - 0 bounce', 'trace unix - - n - 0 bounce', 'flush unix n - n 1000? 0 flush',
	    'proxymap unix - - n - - proxymap', 'smtp unix - - n - - smtp', 'relay unix - - n - - smtp',
	    'showq unix n - n - - showq', 'error unix - - n - - error', 'retry unix - - n - - error',
	    'scache unix - - n - 1 scache', 'postlog unix-dgram n - n - 1 postlogd');
	my $start = $a->run('/usr/sbin/postfix', '-c', $conf, 'start');
	if ($start->{code} != 0) {
		# Somebody else's instance of the same name, a system without syslog: not what is tested here.
		note($start->{out}, $start->{err});
		plan(skip_all => 'Postfix does not start here');
	}
	for my $number (1 .. 5) {
		my $name = "Postfix, $number";
		expect($name, 'ESMTPS');
		client($name, {in => text($name)}, '/usr/sbin/sendmail', '-C', $conf, '-f', 'ann@a.example', '-i', 'bob@a.example');
	}
	my $until = time + $Hosts::deadline;
	my $left = sub { scalar(map { Hosts::files("$own/queue/$_") } qw(maildrop incoming active deferred)) };
	select undef, undef, undef, 0.1 while time < $until && $left->();
	is($left->(), 0, 'Postfix got rid of all') or diag(Hosts::slurp("$own/log"));
	is($a->run('/usr/sbin/postfix', '-c', $conf, 'stop')->{code}, 0, 'Postfix stopped');
};

subtest 'a plain socket' => sub {
	my $client = Smtp::Client->new($smtp);
	like($client->{greeting}, qr/^220 a\.example ESMTP/, 'greeting');
	my $hello = $client->say('EHLO client.example');
	like($hello, qr/^250.\Q$_\E/m, "offers $_") for qw(PIPELINING SIZE 8BITMIME SMTPUTF8 DSN ENHANCEDSTATUSCODES CHUNKING BINARYMIME STARTTLS ETRN);
	unlike($hello, qr/AUTH/, 'no password in clear');
	expect('socket', 'ESMTP');
	like($client->mail('ann@a.example', ['bob@a.example'], text('socket')), qr/^250 2\.0\.0 .*queued as a\./, 'DATA');

	expect('socket, pipelined', 'ESMTP');
	$client->send("MAIL FROM:<ann\@a.example>\r\nRCPT TO:<bob\@a.example>\r\nDATA\r\n" . Smtp::Client::wire(text('socket, pipelined')) . ".\r\n");
	like($client->reply, $_, 'pipelined') for qr/^250 2\.1\.0/, qr/^250 2\.1\.5/, qr/^354/, qr/^250 2\.0\.0/;

	# In chunks of some odd size, pipelined.
	expect('socket, BDAT', 'ESMTP');
	(my $left = text('socket, BDAT')) =~ s/\n/\r\n/g;
	my $bytes = "MAIL FROM:<ann\@a.example> BODY=8BITMIME\r\nRCPT TO:<bob\@a.example>\r\n";
	my $chunks = 0;
	while (length $left > 0) {
		my $part = substr $left, 0, 117, '';
		$bytes .= 'BDAT ' . length($part) . (length $left ? '' : ' LAST') . "\r\n$part";
		$chunks++;
	}
	$client->send($bytes);
	my @replies = map { $client->reply // '' } 1 .. $chunks + 2;
	is(scalar(grep { /^250/ } @replies), $chunks + 2, 'BDAT') or diag(@replies);

	# Octets of every kind and lines of any length pass by chunks; NUL too.
	my $odd = "Subject: socket, octets\r\n\r\n" . CORE::join('', map { chr } grep { $_ != 10 && $_ != 13 } 0 .. 255) . "\r\n" . ('x' x 100_000) . "\r\n";
	expect('socket, octets', 'ESMTP', text => $odd);
	$client->send("MAIL FROM:<ann\@a.example> BODY=BINARYMIME\r\nRCPT TO:<bob\@a.example>\r\nBDAT " . length($odd) . " LAST\r\n$odd");
	like($client->reply, qr/^250/, 'octets of every kind') for 1 .. 3;
	is($client->quit, '221 2.0.0 Good bye', 'QUIT');

	# One octet at a time.
	expect('socket, slow', 'ESMTP');
	$client = Smtp::Client->new($smtp);
	$client->send($_) for split //, "EHLO client.example\r\nMAIL FROM:<ann\@a.example>\r\nRCPT TO:<bob\@a.example>\r\nDATA\r\n"
	    . Smtp::Client::wire(text('socket, slow')) . ".\r\nQUIT\r\n";
	like($client->reply, $_, 'octet by octet') for qr/^250-/, qr/^250/, qr/^250/, qr/^354/, qr/^250 2\.0\.0/, qr/^221/;
	ok($client->closed, '... and closed');

	# All at once, and our side closed before anything is answered: the answers are owed all the same.
	expect('socket, half closed', 'ESMTP');
	$client = Smtp::Client->new($smtp, quiet => 1);
	$client->send("EHLO client.example\r\nMAIL FROM:<ann\@a.example>\r\nRCPT TO:<bob\@a.example>\r\nDATA\r\n"
	    . Smtp::Client::wire(text('socket, half closed')) . ".\r\n");
	$client->shut;
	like($client->reply, $_, 'half closed') for qr/^220/, qr/^250-/, qr/^250/, qr/^250/, qr/^354/, qr/^250 2\.0\.0/;
	ok($client->closed, '... and closed');

	# Ten thousand commands at once, whose answers nobody reads for a while.
	$client = Smtp::Client->new($smtp);
	my $pid = fork // die;
	if ($pid == 0) {
		$client->send("NOOP\r\n" x 20_000 . "QUIT\r\n");
		POSIX::_exit(0);
	}
	select undef, undef, undef, 0.3;
	my $noops = 0;
	while (defined(my $reply = $client->reply)) {
		$noops++ if $reply eq '250 2.0.0 Ok';
	}
	waitpid $pid, 0;
	is($noops, 20_000, 'as many answers as commands');
};

subtest 'over TLS' => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing_module('IO::Socket::SSL');
	expect('TLS, socket', 'ESMTPS');
	my $client = Smtp::Client->new($smtp);
	my $hello = $client->starttls;
	like($hello, qr/AUTH PLAIN LOGIN/, 'AUTH under TLS');
	unlike($hello, qr/STARTTLS/, '... and no more STARTTLS');
	like($client->mail('ann@a.example', ['bob@a.example'], text('TLS, socket')), qr/^250/, 'in');

	# Submission adds Date and Message-ID where they are missing, and nothing else.
	my $bare = "From: ann\@a.example\nSubject: TLS, bare\n\nHello\n";
	$client = Smtp::Client->new($submissions, tls => 1);
	$client->say('EHLO client.example');
	like($client->mail('ann@a.example', ['bob@a.example'], $bare), qr/^530 5\.7\.0/, 'no mail without AUTH');
	like($client->login('ann', $password), qr/^235 2\.7\.0/, 'AUTH');
	expect('TLS, bare', 'ESMTPSA', text => $bare, added => 1);
	like($client->mail('ann@a.example', ['bob@a.example'], $bare), qr/^250/, 'in');
	# What comes by port 25 is not touched.
	expect('not touched', 'ESMTP', text => "Subject: not touched\n\nHello\n");
	$client = Smtp::Client->new($smtp);
	$client->say('EHLO client.example');
	like($client->mail('eve@far.example', ['bob@a.example'], $sent{'not touched'}{text}), qr/^250/, 'in, without Date');

	# Commands in clear behind STARTTLS (CVE-2011-0411).
	$client = Smtp::Client->new($smtp);
	$client->say('EHLO client.example');
	$client->send("STARTTLS\r\nMAIL FROM:<ann\@a.example>\r\n");
	like($client->reply, qr/^220/, 'STARTTLS with something behind it');
	$client->tls;
	like($client->reply, qr/^554 5\.7\.0 /, '... which is not done');
	ok($client->closed, '... and the session is over');
};

subtest '--stdio, and sendmail -bs' => sub {
	my $talk = sub { "EHLO client.example\r\nMAIL FROM:<ann\@a.example>\r\nRCPT TO:<bob\@a.example>\r\nDATA\r\n" . Smtp::Client::wire(text($_[0])) . ".\r\n" };
	my @stdio = (Hosts::program('packetboat-smtpd'), '-c', $a->conf);
	my %ways = (
		'stdio' => [{}, @stdio, '--stdio'], 'stdio, smtp' => [{}, @stdio, '--stdio=smtp'],
		'sendmail -bs' => [{env => {PACKETBOAT_CONF => $a->conf, PATH => "$Hosts::build/bin:$ENV{PATH}"}},
			Hosts::program('packetboat-sendmail'), '-bs'],
	);

	for my $name (sort keys %ways) {
		for my $end ('', "QUIT\r\n") {
			my ($options, @argv) = @{$ways{$name}};
			my $subject = "$name, " . ($end ? 'QUIT' : 'end of file');
			expect($subject, 'ESMTP', client => 'local');
			my $result = $a->run({%$options, in => $talk->($subject) . $end}, @argv);
			is($result->{code}, 0, $subject) or diag($result->{err});
			like($result->{out}, qr/^250 2\.0\.0 Ok: queued/m, '... answered') or diag($result->{out});
			is($result->{out} =~ /^221 /m ? 1 : 0, $end ? 1 : 0, '... QUIT');
		}
	}
	my $result = $a->run({in => "LHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<bob\@a.example>\r\nRCPT TO:<no\@a.example>\r\nRCPT TO:<bob\@a.example>\r\n"
	    . "DATA\r\n" . Smtp::Client::wire(text('stdio, lmtp')) . ".\r\n"}, @stdio, '--stdio=lmtp');
	expect('stdio, lmtp', 'LMTP', client => 'local');
	like($result->{out}, qr/^354[^\n]*\n250 2\.0\.0[^\n]*\n250 2\.0\.0[^\n]*\n\z/m, 'one answer for each recipient that was taken');
	is($a->run(@stdio, '--stdio=pop3')->{code}, 64, 'an unknown service');
	is($a->run(@stdio, 'more')->{code}, 64, 'an argument too many');
};

is($a->pass->{code}, 0, 'a relay pass');
my %arrived;
push @{$arrived{$_->{head} =~ /^Subject: (.*)$/m ? $1 : '?'}}, $_ for $a->mailbox('bob');
for my $subject (sort keys %sent) {
	my $want = $sent{$subject};
	my @mail = @{delete $arrived{$subject} // []};

	is(scalar(@mail), 1, "$subject: arrived") or next;
	my $mail = $mail[0];
	if (defined $want->{body}) {
		is($mail->{body}, $want->{body}, '... the body is the same');
	} else {
		ok($a->same_content($mail, $want->{text}, $want->{added}), '... not an octet is different') or diag($mail->{bytes});
	}
	like($mail->{head}, qr/^Received: from $want->{helo} \($want->{client}\)\n\tby a with $want->{protocol}\n\tid a\.\S+(?:\n\tfor <bob\@a\.example>)?;\n\t\w{3}, \d+ \w{3} \d{4} [\d:]{8} [+]0000$/m,
	    "... with $want->{protocol}") or diag($mail->{head});
	if ($want->{added}) {
		is(scalar(() = $mail->{head} =~ /^$_:/mg), 1, "... $_ was added") for qw(Date Message-ID);
	}
}
is_deeply([sort keys %arrived], [], 'nothing else arrived');
is(scalar($a->mailbox('ann')), 0, 'and nothing came back');
$net->done;
