#!/usr/bin/perl
# packetboat-smtp under TLS and with a password, to the packetboat-smtpd of another host: certificates are checked unless
# the configuration says otherwise, and what goes wrong is "later", with a sentence.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Dns;
use Sink;

my $net = Hosts->new;
my ($a, $b) = map { $net->host($_) } qw(a b);
my ($smtp, $submission, $submissions) = map { free_port } 1 .. 3;
my $number = 0;

$a->user('ann');
$b->user('bob');
$b->configure(sprintf qq{smtpd { name = "localhost" listen = { "127.0.0.1:%d", "submission:127.0.0.1:%d", "submissions:127.0.0.1:%d" } }\n},
	$smtp, $submission, $submissions);
my $server = Courier->start($b, 'packetboat-smtpd');
eventually { -s $b->dir . '/keys/tls-certificate.pem' && IO::Socket::INET->new("127.0.0.1:$submissions") } 'the server is there' or diag($server->err);
my $authorities = $b->dir . '/keys/tls-certificate.pem';
Hosts::spew($a->dir . '/password', "password of bob\n");
chmod 0600, $a->dir . '/password';
my $dns = Dns->new('wrong.example' => {a => ['127.0.0.1']}, 'localhost' => {a => ['127.0.0.1']});
$a->configure(sprintf qq{smtp { nameservers = "%s" }\n}, $dns->address);
my $conf = Hosts::slurp($a->conf);
my $login = 'user = "bob" password = "password"';

# One message by PORT of localhost with SECTION; the record that waits for it, as text, or undef.
sub send_by {
	my ($port, $section, $host) = @_;
	$host //= 'localhost';
	my $text = "Subject: number @{[++$number]}\n\nhello\n";
	Hosts::spew($a->conf, $conf . qq{route "b.example" { via = "smtp:$host:$port" }\ndestination "$host:$port" { $section }\n});
	my $sent = $a->sendmail($text, '-i', '-f', 'bob@b.example', 'bob@b.example');
	die $sent->{err} if $sent->{code};
	my $run = deliver($a);
	diag($run->{err}) if $run->{err};
	my ($record) = $a->waiting;
	return undef unless $record;
	$a->packetboat('remove', $record->{id});
	$a->pass;
	return JSON::PP::encode_json($record);
}

sub arrived {
	my ($name) = @_;
	$b->pass;
	my ($mail) = grep { $_->{head} =~ /^Subject: number $number$/m } $b->mailbox('bob');
	ok($mail, $name) or diag(substr $a->log_text, -1000);
	return $mail->{head} // '';
}

my $plain = send_by($submission, $login);
like($plain, qr/4\.\d\.\d.*certificate/i, 'a certificate of its own making is refused by default, as "later"');
like($plain, qr/localhost/, 'and says whose');
like($a->log_text, qr/localhost:$submission unreachable .*certificate/i, 'so does the log');

is(send_by($submission, qq{$login authorities = "$authorities"}), undef, 'it is believed when it is among the authorities');
like(arrived('and the mail is there'), qr/^Received: .*with ESMTPSA/ms, 'by STARTTLS and AUTH');

is(send_by($submissions, qq{tls = implicit $login authorities = "$authorities"}), undef, 'TLS from the first octet');
like(arrived('and the mail is there'), qr/with ESMTPSA/, 'under TLS, too');

like(send_by($submissions, qq{tls = implicit $login}), qr/certificate/i, 'and there the certificate is checked as well');
is(send_by($submission, qq{tls = required $login}), undef, '"required" takes any certificate');
arrived('and the mail is there');

like(send_by($submission, qq{$login authorities = "$authorities"}, 'wrong.example'), qr/TLS handshake.*mismatch/i, 'a certificate for another name is refused');

my $wrong = "password of nobody\n";
Hosts::spew($a->dir . '/wrong', $wrong);
chmod 0600, $a->dir . '/wrong';
like(send_by($submission, qq{tls = required user = "bob" password = "wrong"}), qr/535/, 'a wrong password is "later", with what the server said');
unlike($a->log_text, qr/password of (?:bob|nobody)/, 'no password is logged');
chmod 0644, $a->dir . '/password';
like(send_by($submission, qq{tls = required $login}), qr/can be read by others: chmod 600/, 'a password that others can read is not used');
chmod 0600, $a->dir . '/password';
like(send_by($submission, qq{tls = required user = "bob" password = "nowhere"}), qr/nowhere/, 'one that is missing is told');
is(scalar $a->mailbox('ann'), 0, 'nobody got a report');

is(send_by($smtp, ''), undef, 'to another server of localhost without a word about TLS');
like(arrived('the mail is there'), qr/with ESMTPS\b/, 'under TLS, since it was offered');
is(send_by($smtp, 'tls = none'), undef, 'and with "none"');
like(arrived('the mail is there'), qr/with ESMTP\b/, 'in clear');

# One whose TLS is broken: in clear where nobody asked for more.
my $broken = Sink->new(offers => ['STARTTLS', 'PIPELINING'], say => {STARTTLS => "220 go on\ndrop"});
is(send_by($broken->port, ''), undef, 'TLS that fails is left out where it was only offered');
is(scalar($broken->taken), 1, 'the mail went');
like($a->log_text, qr/trouble .*sending without TLS/, 'and the log says so');
like(send_by($broken->port, 'tls = required'), qr/TLS/, 'but not where it is required');
is(scalar($broken->taken), 1, 'then it waits');

is($server->stop, 0, 'the server stops') or diag($server->err);
$net->done;
