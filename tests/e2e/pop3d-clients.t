# Real mail programs fetch from packetboat-pop3d: in clear on loopback, with STLS, with TLS from the first octet, the
# certificate checked. What they have then is octet for octet what was delivered; what they were told to leave is there
# still, and what to delete is gone; by the UIDs nothing is fetched twice; a wrong password is told. A program that is not
# installed is skipped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(make_path remove_tree);
use Hosts;
use Pop3;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
my $dir = $net->dir . '/clients';
make_path($dir);
$a->user('ann');
my $password = 'password of ann';
my $pop3d = Pop3->serve($a, listen => {pop3 => '', pop3s => ''});
my %port;
my $certificate = "$dir/certificate.pem";
Hosts::spew($certificate, Hosts::slurp($a->dir . '/keys/tls-certificate.pem'));

my $head = "Return-Path: <bob\@b.example>\nFrom: Bob <bob\@b.example>\nTo: ann\@a.example\nDate: Mon, 23 Nov 2026 02:51:19 +0000\n";
my $number = 0;
my @texts = map { "${head}Message-ID: <" . ++$number . "\@b.example>\nSubject: number $number\n\n$_" }
    "Hello,\n.\n..two dots\n.one\n\n...\n.\n", ('long ' x 180) . "\nblanks  \t\n", '', "\xc3\xa9\xc3\xa8 \xe9 \xff\n",
    join('', map { sprintf "%076x\n", $_ * 2654435761 } 1 .. 14_000);

# A daemon that remembers no wrong passwords: five from one origin are free, and all of these programs are one origin.
sub fresh_daemon {
	$pop3d->done;
	$pop3d = Pop3->start($a);
	%port = map { $_ => $pop3d->port($_) } qw(pop3 pop3s);
}

# The Maildir of ann holds the messages, and nothing else.
sub filled {
	unlink glob(Pop3->maildir($a, 'ann') . "/$_/*") for qw(new cur);
	Pop3->fill($a, 'ann', @texts);
}

sub left { return scalar(Pop3->left($a, 'ann')) }

sub client {
	my ($options, @argv) = @_;
	return $a->run({env => {HOME => $dir, %{delete $options->{env} // {}}}, dir => $dir, %$options}, @argv);
}

sub works {
	my ($name, @argv) = @_;
	my $options = ref $argv[0] ? shift @argv : {};
	my $result = client($options, @argv);
	is($result->{code}, $options->{code} // 0, $name) or diag($result->{out}, $result->{err});
	return $result;
}

# A configuration file that only its owner may read.
sub settings {
	my ($path, $text) = @_;
	Hosts::spew($path, $text);
	chmod 0600, $path;
	return $path;
}

# The files in PLACE are the messages, whatever their order and line ends. ADDED: a pattern for the fields that the program
# puts at the end of the head.
sub fetched {
	my ($name, $place, $added) = @_;
	my @got = sort map { Hosts::slurp($_) =~ s/\r\n/\n/gr } Hosts::files($place);
	@got = sort map { s/\A((?:[^\n]+\n)*?)(?:(?:$added): [^\n]*\n)+\n/$1\n/r } @got if defined $added;
	my @want = sort @texts;

	is(scalar(@got), scalar(@want), "$name: all messages are there");
	is_deeply([map { Hosts::digest($_) } @got], [map { Hosts::digest($_) } @want], "$name: octet for octet")
	    or diag(map { substr($_, 0, 400) . "\n" } @got[0 .. 1]);
}

# A place that is empty.
sub place {
	my ($name) = @_;
	remove_tree("$dir/$name");
	make_path(map { "$dir/$name/$_" } '', qw(new cur tmp));
	return "$dir/$name";
}

subtest "python's poplib" => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('python3');
	fresh_daemon();
	my %begin = (
		'in clear' => "p = poplib.POP3('localhost', $port{pop3})\n",
		STLS => "p = poplib.POP3('localhost', $port{pop3})\np.stls(context)\n",
		TLS => "p = poplib.POP3_SSL('localhost', $port{pop3s}, context=context)\n",
	);

	for my $way (sort keys %begin) {
		filled();
		my $place = place('python');
		my $begin = "import poplib, ssl, sys\npoplib._MAXLINE = 100000\ncontext = ssl.create_default_context(cafile='$certificate')\n"
		    . "$begin{$way}p.user('ann')\n";
		Hosts::spew("$dir/fetch.py", "${begin}p.pass_('$password')\nuids = [u.split()[1] for u in p.uidl()[1]]\n"
			. "assert len(set(uids)) == p.stat()[0] == len(p.list()[1])\nfor n in range(1, len(uids) + 1):\n"
			. "\ttext = b''.join(line + b'\\r\\n' for line in p.retr(n)[1])\n\tassert len(text) == int(p.list(n).split()[2])\n"
			. "\ttop = b''.join(line + b'\\r\\n' for line in p.top(n, 1)[1])\n\tassert text.startswith(top)\n"
			. "\topen('$place/%d' % n, 'wb').write(text)\nif sys.argv[1] == 'drop':\n\tp.dele(1)\n\tp.close()\n\tsys.exit()\n"
			. "if sys.argv[1] == 'delete':\n\tfor n in range(1, 4):\n\t\tp.dele(n)\n\tp.rset()\n\tp.dele(2)\np.quit()\n");
		works("poplib, $way", 'python3', "$dir/fetch.py", 'keep');
		fetched("poplib, $way", $place);
		works('... a connection that drops', 'python3', "$dir/fetch.py", 'drop');
		is(left(), scalar(@texts), '... deletes nothing');
		# The lock is free when the server has seen the end.
		sleep 1;
		works('... DELE, RSET, DELE', 'python3', "$dir/fetch.py", 'delete');
		is(left(), @texts - 1, '... one is gone');
		Hosts::spew("$dir/wrong.py", "${begin}p.pass_('wrong')\n");
		like(client({}, 'python3', "$dir/wrong.py")->{err}, qr/error_proto: .*-ERR \[AUTH\]/, '... a wrong password is told');
	}
};

subtest curl => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('curl');
	fresh_daemon();
	my @same = ('curl', '-sS', '--cacert', $certificate);
	my %ways = (
		'in clear' => ["pop3://localhost:$port{pop3}"], STLS => ["pop3://localhost:$port{pop3}", '--ssl-reqd'],
		TLS => ["pop3s://localhost:$port{pop3s}"],
		'SASL PLAIN' => ["pop3s://localhost:$port{pop3s}", '--login-options', 'AUTH=PLAIN'],
	);

	for my $way (sort keys %ways) {
		my ($url, @options) = @{$ways{$way}};
		my @argv = (@same, @options, '--user', "ann:$password");
		filled();
		my $place = place('curl');
		works("curl, $way, $_", @argv, '-o', "$place/$_", "$url/$_") for 1 .. @texts;
		fetched("curl, $way", $place);
		like(works('... UIDL', @argv, '-X', 'UIDL', "$url/")->{out}, qr/^(?:\d \S{16}\r\n){5}\z/, '... UIDs');
		is(left(), scalar(@texts), '... all are left');
		works('... DELE', @argv, '-I', '-X', 'DELE', "$url/2");
		is(left(), @texts - 1, '... one is gone');
		works('... a wrong password is told', {code => 67}, @same, @options, '--user', 'ann:wrong', "$url/1");
	}
};

# Programs that keep a list of UIDs. RUN (keep or not, the password) runs one and gives the result; NOTHING is its status
# when there is nothing new.
sub keeps_and_deletes {
	my ($name, $place, $run, $nothing) = @_;

	filled();
	my $result = $run->(1, $password);
	is($result->{code}, 0, "$name: fetched and kept") or diag($result->{out}, $result->{err});
	fetched($name, $place);
	is(left(), scalar(@texts), '... all are left');
	is($run->(1, $password)->{code}, $nothing, '... nothing is new');
	is(scalar(Hosts::files($place)), scalar(@texts), '... nothing is fetched twice');
	$result = $run->(1, 'wrong');
	isnt($result->{code}, 0, '... a wrong password');
	like($result->{out} . $result->{err}, qr/auth|password|credential/i, '... is told');
	is(left(), scalar(@texts), '... and nothing is touched');
	# As for one who has not seen any of them.
	filled();
	unlink Hosts::files($place);
	$result = $run->(0, $password);
	is($result->{code}, 0, "$name: fetched and deleted") or diag($result->{out}, $result->{err});
	fetched($name, $place);
	is(left(), 0, '... nothing is left');
}

subtest mpop => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('mpop');
	fresh_daemon();
	my $tls = "tls on\ntls_trust_file $certificate\n";
	my %ways = (
		'in clear' => "port $port{pop3}\ntls off\n",
		STLS => "port $port{pop3}\n${tls}tls_starttls on\n", TLS => "port $port{pop3s}\n${tls}tls_starttls off\n",
	);

	for my $way (sort keys %ways) {
		my $place = place('mpop');
		unlink "$dir/mpop.uidls";
		my $run = sub {
			my ($keep, $secret) = @_;
			my $rc = settings("$dir/mpoprc", "account default\nhost localhost\nuser ann\npasswordeval echo '$secret'\nauth plain\n"
				. "$ways{$way}delivery maildir $place\nreceived_header off\nuidls_file $dir/mpop.uidls\n"
				. 'keep ' . ($keep ? 'on' : 'off') . "\n");
			return client({}, 'mpop', '-C', $rc);
		};
		keeps_and_deletes("mpop, $way", $place, $run, 0);
	}
};

subtest fetchmail => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('fetchmail');
	fresh_daemon();
	my %ways = (
		'in clear' => "port $port{pop3}|sslproto ''", STLS => "port $port{pop3}|sslproto 'TLS1.2+'", TLS => "port $port{pop3s}|ssl",
	);
	my $mda = "$dir/mda";
	Hosts::spew($mda, "#!/bin/sh\nexec cat >\"$dir/fetchmail/\$\$\"\n");
	chmod 0755, $mda;

	for my $way (sort keys %ways) {
		my ($port, $ssl) = split /\|/, $ways{$way};
		my $place = place('fetchmail');
		unlink "$dir/fetchids";
		my $run = sub {
			my ($keep, $secret) = @_;
			my $rc = settings("$dir/fetchmailrc", "set invisible\nset idfile $dir/fetchids\nset pidfile $dir/fetchmail.pid\n"
				. "poll localhost protocol pop3 $port uidl no dns\n user 'ann' password '$secret' is root here\n $ssl"
				. ($way eq 'in clear' ? '' : " sslcertck sslcertfile $certificate") . ($keep ? ' keep' : ' nokeep')
				. " no rewrite\n mda '$mda'\n");
			return client({env => {FETCHMAILHOME => $dir}}, 'fetchmail', '-f', $rc, '--nosyslog');
		};
		keeps_and_deletes("fetchmail, $way", $place, $run, 1);
	}
};

subtest getmail => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('getmail');
	fresh_daemon();
	my @as = $> == 0 ? (as => 65534) : ();
	my %ways = ('in clear' => ['', $port{pop3}], TLS => ['SSL', $port{pop3s}]);

	chmod 0755, $net->dir, $dir if @as;
	for my $way (sort keys %ways) {
		my ($ssl, $port) = @{$ways{$way}};
		my $place = place('getmail');
		my $own = place('getmail-own');
		my $run = sub {
			my ($keep, $secret) = @_;
			my $rc = settings("$own/rc", "[retriever]\ntype = SimplePOP3${ssl}Retriever\nserver = localhost\nport = $port\nusername = ann\n"
				. "password = $secret\n" . ($ssl ? "ca_certs = $certificate\n" : '') . "[destination]\ntype = Maildir\npath = $place/\n"
				. "[options]\nread_all = false\ndelivered_to = false\nreceived = false\ndelete = " . ($keep ? 'false' : 'true') . "\n");
			chown 65534, 65534, $own, $rc, $place, map { "$place/$_" } qw(new cur tmp) if @as;
			my $result;
			# It may miss the end of its own child, and leaves then without QUIT: once more from the beginning.
			for (1 .. 3) {
				$result = client({@as}, 'getmail', '--getmaildir', $own, '--rcfile', 'rc');
				last if $result->{out} . $result->{err} !~ /waiting child pid \d+ timed out/;
				unlink Hosts::files($place), glob "$own/oldmail*";
			}
			return $result;
		};
		keeps_and_deletes("getmail, $way", $place, $run, 0);
	}
};

subtest mutt => sub {
	plan(skip_all => $_) for grep { defined } Smtp->missing('mutt', 'script');
	fresh_daemon();
	my %ways = (
		'in clear' => ["pop://ann\@localhost:$port{pop3}/", 'no'], STLS => ["pop://ann\@localhost:$port{pop3}/", 'yes'],
		TLS => ["pops://ann\@localhost:$port{pop3s}/", 'no'],
	);

	for my $way (sort keys %ways) {
		my ($url, $starttls) = @{$ways{$way}};
		filled();
		my $place = place('mutt');
		my $mutt = sub {
			my ($secret, $keys) = @_;
			Hosts::spew("$dir/muttrc", "set folder = $dir\nset mbox_type = Maildir\nset confirmappend = no\nset confirmcreate = no\n"
				. "set certificate_file = $certificate\nset ssl_starttls = $starttls\nset pop_pass = \"$secret\"\nset pop_delete = no\n"
				. "set delete = yes\nset move = no\nset wait_key = no\nset weed = no\nset sleep_time = 0\npush \"$keys\"\n");
			return client({env => {TERM => 'vt100'}, kill_after => 30}, 'script', '-qec', "mutt -n -F $dir/muttrc -f $url", "$dir/typescript");
		};
		my $result = $mutt->($password, "<tag-pattern>~A<enter><tag-prefix><copy-message>=mutt<enter><exit>");
		is($result->{code}, 0, "mutt, $way: copied") or diag(substr $result->{out}, -800);
		fetched("mutt, $way", $place, 'Status|Content-Length|Lines');
		is(left(), scalar(@texts), '... all are left');
		$result = $mutt->($password, "<delete-pattern>~s 'number [24]'<enter><quit>");
		is($result->{code}, 0, '... two deleted') or diag(substr $result->{out}, -800);
		is(left(), @texts - 2, '... two are gone');
		like($mutt->('wrong', '<exit><quit>')->{out}, qr/Login failed|Authentication failed|Invalid/i, '... a wrong password is told');
	}
};

$net->done;
