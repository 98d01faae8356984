# The spool's disk fills up: 452 while it is full, and mail again when there is room; what was taken is there, nothing by
# halves, and the log says what was the matter.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use SmallDisk;
use Smtp;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
$a->user('ann');
my $disk = SmallDisk->new($a, '24m');

my $smtpd = Smtp->serve($a, more => "\terrors = 1000\n");
my $taken = 0;
my $number = 0;
sub hello {
	my $client = Smtp::Client->new($smtpd->port('smtp'));
	$client->say('EHLO client.example');
	return $client;
}
sub text {
	my ($size) = @_;
	return "Subject: " . ++$number . "\n\n" . ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n" x ($size / 64)) . "end\n";
}
# Hands in one; notes the number of what was taken. The reply.
my %taken;
sub mail {
	my ($client, $size, @parameters) = @_;
	my $text = text($size);
	my $reply = $client->mail('eve@far.example', ['ann@a.example'], $text, @parameters);

	$taken{$number} = $text if $reply =~ /^250/;
	return $reply;
}

my $client = hello();
like(mail($client, 1000), qr/^250/, 'there is room');
like(mail($client, 1000, 'SIZE=100000000'), qr/^452 4\.3\.1 /, 'more than there is room for');
like(mail($client, 1000), qr/^250/, '... but room for this');

# A message in the midst of which the disk fills.
my $half = hello();
$half->say($_) for 'MAIL FROM:<eve@far.example>', 'RCPT TO:<ann@a.example>', 'DATA';
$half->send("Subject: half\r\n\r\n" . ('half a line' x 7 . "\r\n") x 5000);
like(mail($client, 100_000), qr/^250/, 'others beside it');
$disk->fill;
$half->send(('half a line' x 7 . "\r\n") x 20000 . ".\r\n");
like($half->reply, qr/^452 4\.3\.1 /, 'a message for which there is no more room in its midst');
like($half->say('NOOP'), qr/^250/, '... the session goes on');

like(mail($client, $_), qr/^452 4\.3\.1 /, "full: $_ octets are refused for now") for 100, 10_000, 200_000;
like(hello()->say('MAIL FROM:<eve@far.example>'), qr/^452 4\.3\.1 /, '... a new session too');
like($smtpd->log_text, qr/^- refused .*status=4\.3\.1 .*reason="[^"]*(?:free|space|room|full)/m, 'the log says why')
    or diag($smtpd->log_text);

$disk->free;
like(mail($client, $_), qr/^250/, "room again: $_ octets") for 100, 10_000, 200_000;
like(mail($half, 1000), qr/^250/, '... in the other session too');

# Until it is full by mail alone.
my $reply = '';
my $before = keys %taken;
for (1 .. 400) {
	$reply = mail($client, 200_000);
	last if $reply !~ /^250/;
}
like($reply, qr/^452 4\.3\.1 /, 'full by mail, after ' . (keys(%taken) - $before));
my $smaller = 0;
for (1 .. 2000) {
	$reply = mail($client, 2000);
	last if $reply !~ /^250/;
	$smaller++;
}
like($reply, qr/^452 4\.3\.1 /, "full by small mail, after $smaller more");
$smtpd->done;
$disk->resize('80m');
is($a->pass->{code}, 0, 'a pass, with more room');
my %there;
my @different;
for my $mail ($a->mailbox('ann')) {
	my $subject = $mail->{head} =~ /^Subject: (.*)$/m ? $1 : '?';
	$there{$subject}++;
	push @different, $subject unless defined $taken{$subject} && $a->same_content($mail, $taken{$subject});
}
is_deeply(\%there, {map { $_ => 1 } keys %taken}, 'all that was taken is there, once, and nothing else');
is_deeply(\@different, [], '... and whole');
is_deeply([Hosts::files($a->spool('tmp'))], [], 'nothing is left under construction');
$net->done;
