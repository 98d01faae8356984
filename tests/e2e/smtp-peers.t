#!/usr/bin/perl
# packetboat-smtp to real servers: a private Postfix, and an Exim unpacked by .ci/peers-unpacked. Each needs root, for its own users.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

my $exim = "$Hosts::top/build/peers/usr/sbin/exim4";
my ($postfix) = grep { -x } '/usr/sbin/postfix', '/usr/local/sbin/postfix';
plan skip_all => 'not root' if $>;
plan skip_all => 'neither Postfix nor Exim is here' unless $postfix || -x $exim;

my $net = Hosts->new(disk => 1);
my $a = $net->host('a');
my @whole = ('Date: Sat, 28 Nov 2026 00:00:00 +0000', 'Message-ID: <whole@a.example>', 'From: ann@a.example');
my $text = join '', map { "$_\n" } @whole, 'Subject: x', '', '.', '..', "gr\xc3\xbcn", 'From the start', '.the end';
my $large = join '', map { "$_\n" } @whole, 'Subject: large', '', map { "line $_ of a large message" } 1 .. 20000;

chmod 0755, $net->dir;
$a->user('ann');

sub answers {
	my ($port) = @_;
	my $socket = IO::Socket::INET->new("127.0.0.1:$port") or return 0;
	my $line = <$socket> // '';
	return $line =~ /^220/;
}

# Sends to NAME.example and checks what the server has made of it; CONTENTS gives the messages that it has, LF line ends.
sub play {
	my ($name, $port, $section, $contents) = @_;

	$a->configure(qq{route "$name.example" { via = "smtp:localhost:$port" }\ndestination "localhost:$port" { $section }\n});
	$a->mail(["one\@$name.example", "two\@$name.example"], $_) for $text, $large;
	$a->sendmail("Subject: gr\xc3\xbcn\n\n$_\n", '-i', '-f', 'ann@a.example', "x$_\@$name.example") for 1 .. 20;
	my $run = deliver($a);
	is($run->{code}, 0, "$name: delivered") or diag($run->{err});
	is(scalar $a->waiting, 0, "$name: all taken") or diag($a->log_text);
	is(scalar $a->mailbox('ann'), 0, "$name: no report") or diag($a->log_text);
	my @messages = $contents->();
	is(scalar @messages, 22, "$name: it has all of them");
	for my $body ($text, $large) {
		my ($rest) = $body =~ /\n\n(.*)\z/s;
		is(scalar(grep { length $_ >= length $rest && substr($_, -length $rest) eq $rest } @messages), 1, "$name: the text is there, octet by octet");
	}
}

my $main_cf = <<'END_OF_FILE';
compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
myhostname = postfix.example
mydestination =
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = DIR/queue/log
maillog_file_prefixes = DIR
smtputf8_enable = yes
message_size_limit = 10000000
smtpd_client_restrictions = check_client_access static:HOLD
smtpd_peername_lookup = no
alias_maps =
alias_database =
END_OF_FILE
my $master_cf = <<'END_OF_FILE';
127.0.0.1:PORT inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
END_OF_FILE
my $exim_conf = <<'END_OF_FILE';
spool_directory = DIR/spool
log_file_path = DIR/log/%s
keep_environment =
exim_path = EXIM
primary_hostname = exim.example
local_interfaces = 127.0.0.1
queue_only = true
accept_8bitmime = true
acl_smtp_rcpt = accept
acl_smtp_data = accept
rfc1413_hosts =
host_lookup =
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = DIR/mbox
END_OF_FILE

SKIP: {
	skip 'Postfix is not installed', 1 unless $postfix && getpwnam 'postfix';
	my $dir = $net->dir . '/postfix';
	my $port = free_port;
	mkdir $dir;
	mkdir "$dir/$_" for qw(etc queue data);
	chown scalar getpwnam('postfix'), -1, "$dir/data";
	chmod 0755, $dir, "$dir/etc", "$dir/queue";
	my $tls = system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost "
		. "-addext subjectAltName=DNS:localhost -keyout $dir/etc/key.pem -out $dir/etc/cert.pem >/dev/null 2>&1") == 0;
	$main_cf .= "smtpd_tls_security_level = may\nsmtpd_tls_loglevel = 1\nsmtpd_tls_cert_file = DIR/etc/cert.pem\nsmtpd_tls_key_file = DIR/etc/key.pem\n" if $tls;
	Hosts::spew("$dir/etc/main.cf", $main_cf =~ s/DIR/$dir/gr);
	Hosts::spew("$dir/etc/master.cf", $master_cf =~ s/PORT/$port/r);
	my $started = $a->run($postfix, '-c', "$dir/etc", 'start');
	is($started->{code}, 0, 'Postfix starts') or diag($started->{err}, Hosts::slurp("$dir/queue/log") // '');
	eventually { answers($port) } 'Postfix answers';
	play('postfix', $port, $tls ? qq{authorities = "$dir/etc/cert.pem"} : 'tls = none', sub {
		return map { $a->run('postcat', '-c', "$dir/etc", '-bh', $_)->{out} } Hosts::files("$dir/queue/hold");
	});
	my $log = Hosts::slurp("$dir/queue/log") // '';
	cmp_ok(scalar(() = $log =~ /smtpd\[\d+\]: connect from/g), '<=', 7, 'over few connections');
	like($log, qr/TLS connection established/, 'under TLS') if $tls;
	$a->run($postfix, '-c', "$dir/etc", 'stop');
}

SKIP: {
	skip 'Exim is not unpacked here (.ci/peers-unpacked)', 1 unless -x $exim;
	skip 'no unshare', 1 unless grep { -x "$_/unshare" } split /:/, $ENV{PATH};
	my $dir = $net->dir . '/exim';
	my $port = free_port;
	my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
	mkdir $dir;
	mkdir "$dir/$_" for qw(spool log);
	chown $uid, $gid, $dir, "$dir/spool", "$dir/log";
	# Exim insists on a user of its own: it gets one in a file system view of its own.
	Hosts::spew("$dir/passwd", Hosts::slurp('/etc/passwd') . "Debian-exim:x:$uid:${gid}::/nonexistent:/bin/false\n");
	Hosts::spew("$dir/group", Hosts::slurp('/etc/group') . "Debian-exim:x:$gid:\n");
	Hosts::spew("$dir/conf", $exim_conf =~ s/DIR/$dir/gr =~ s/EXIM/$exim/r);
	my $pid = fork // die;
	if ($pid == 0) {
		no warnings 'exec';
		open STDERR, '>', "$dir/err";
		exec 'unshare', '-m', 'sh', '-c', 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group &&'
		    . ' exec "$1" -C "$0/conf" -bdf -oX "127.0.0.1:$2" -oP "$0/pid"', $dir, $exim, $port;
		POSIX::_exit(127);
	}
	my $here = 0;
	for (1 .. 200) {
		last if $here = answers($port);
		sleep 0.05;
	}
	if ($here) {
		play('exim', $port, 'tls = required', sub {
			return map { Hosts::slurp($_) =~ s/\A\S+-D\n/\n/r } grep { /-D$/ } Hosts::files("$dir/spool/input");
		});
		like(join('', map { Hosts::slurp($_) } grep { /-H$/ } Hosts::files("$dir/spool/input")), qr/^-received_protocol e?smtps/mi, 'under TLS');
	} else {
		diag('Exim does not start here: ' . (Hosts::slurp("$dir/err") // ''));
	}
	kill 'TERM', $pid;
	waitpid $pid, 0;
}

$net->done;
