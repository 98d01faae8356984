#!/usr/bin/perl
# packetboat-smtp and one server after the other: what it says, what it sends, and what becomes of each recipient.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Sink;

my $net = Hosts->new;
my $a = $net->host('a');
my %sinks;

$a->user('ann');

# A destination of its own for each case: NAME.example goes to a sink that plays OPTIONS.
sub server {
	my ($name, %options) = @_;
	my $sink = $sinks{$name} = Sink->new(%options);

	$a->configure(sprintf qq{route "%s.example" { via = "smtp:%s" }\n}, $name, $sink->address);
	return $sink;
}

sub go {
	my ($name) = @_;
	my $run = deliver($a);
	is($run->{code}, 0, "$name: delivered") or diag($run->{err}, $a->log_text);
}

sub reports { return grep { $_->{head} =~ /^Auto-Submitted: auto-replied|^Content-Type: multipart\/report/mi } $a->mailbox('ann') }
sub forget { unlink map { $_->{path} } $a->mailbox('ann') }

my @whole = ('Date: Sat, 28 Nov 2026 00:00:00 +0000', 'Message-ID: <whole@a.example>');
my @text = map { join('', map { "$_\r\n" } @$_) } (
	[@whole, 'Subject: dots', 'From: ann@a.example', '', '.', '..', '.a line', 'the end'],
	['DKIM-Signature: v=1; a=rsa-sha256; b=abc', "\tdef", @whole, 'Subject:   spaces  kept ', 'From: ann@a.example', '', 'x' x 900, '', ''],
);

# ---- content and trace -------------------------------------------------------------------------------------

my $plain = server('plain', offers => ['PIPELINING', '8BITMIME', 'SIZE 100000']);
my $chunks = server('chunks', offers => ['PIPELINING', '8BITMIME', 'CHUNKING']);
my $lockstep = server('lockstep', offers => ['8BITMIME'], lockstep => 1);
my $old = server('old', lockstep => 1, say => {EHLO => '500 5.5.1 what?'});
my $steps = server('steps', offers => ['CHUNKING'], lockstep => 0);
for my $text (@text) {
	$a->mail("bob\@$_.example", $text) for qw(plain chunks lockstep old steps);
}
go('content');
for my $pair (['pipelining', $plain], ['chunking', $chunks], ['lock-step', $lockstep], ['HELO', $old], ['chunks in lock-step', $steps]) {
	my ($name, $sink) = @$pair;
	my @got = map { my $mark = $_; grep { $_->{text} =~ $mark } $sink->taken } qr/dots/, qr/spaces/;
	is(scalar @got, 2, "$name: two messages");
	is($sink->sessions, 1, "$name: one connection");
	is_deeply([$sink->offences], [], "$name: nothing out of turn");
	for my $i (0, 1) {
		my ($trace, $rest) = ($got[$i]{text} // '') =~ /\A((?:Received:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*)+)(.*)\z/s;
		ok(defined $trace, "$name: Received in front");
		is($rest, $text[$i], "$name: not an octet changed");
		like($trace // '', qr/by a(?:\.example)?\b.*\n?.*id a\.\w+\.\d+/s, "$name: with our name and the message's id");
	}
}
ok((grep { /^BDAT \d+ LAST/ } $chunks->commands), 'CHUNKING is used when it is offered');
ok(!(grep { /^DATA/ } $chunks->commands), 'and DATA is not');
ok((grep { /^MAIL .*SIZE=\d+/ } $plain->commands), 'SIZE is said');
ok((grep { /^QUIT/ } $_->commands), 'with a farewell') for $plain, $chunks, $lockstep;
is(scalar $a->waiting, 0, 'nothing waits');

# ---- recipients --------------------------------------------------------------------------------------------

my $three = server('three', say => {RCPT => sub { $_[1] =~ /bad/ ? '550 5.1.1 nobody of that name' : undef }});
$a->mail(['good@three.example', 'bad@three.example', 'fine@three.example'], $text[0]);
go('one of three');
is_deeply([map { @{$_->{to}} } $three->taken], ['good@three.example', 'fine@three.example'], 'the two others have it');
my @reports = reports();
is(scalar @reports, 1, 'one report');
like($reports[0]{bytes}, qr/^Final-Recipient: rfc822; ?bad\@three\.example\n(?:.*\n)*?Status: 5\.1\.1/m, 'about the one, with the status');
like($reports[0]{bytes}, qr/nobody of that name/, 'and in the words of the server');
unlike($reports[0]{bytes}, qr/^Final-Recipient: rfc822; ?(?:good|fine)/m, 'about no other');
deliver($a);
is(scalar(reports()), 1, 'and only once');
forget();

my $again = server('again', say => {RCPT => sub { $_[1] =~ /grey/ && !-e $net->dir . '/white' ? '450 4.2.0 come again' : undef }});
$a->mail(['now@again.example', 'grey@again.example'], $text[0]);
go('one is put off');
is_deeply([map { @{$_->{to}} } $again->taken], ['now@again.example'], 'the other has it');
my ($record) = $a->waiting;
like(JSON::PP::encode_json($record // {}), qr/come again/, 'list says why');
like($a->log_text, qr/deferred .*recipient=grey\@again\.example .*status=4\.2\.0 .*come again/, 'so does the log');
deliver($a);
is(scalar($again->taken), 1, 'not tried again at once');
Hosts::spew($net->dir . '/white', '');
deliver($a, {env => {PACKETBOAT_CLOCK_OFFSET => 7200}});
is_deeply([map { @{$_->{to}} } $again->taken], ['now@again.example', 'grey@again.example'], 'but later, and only the one');
is(scalar $a->waiting, 0, 'nothing waits');
is(scalar(reports()), 0, 'no report');

my $few = server('few', offers => ['PIPELINING', 'LIMITS RCPTMAX=2 MAILMAX=2']);
$a->mail([map { "r$_\@few.example" } 1 .. 5], $text[0]);
go('more recipients than a message may have');
is_deeply([map { scalar @{$_->{to}} } $few->taken], [2, 2, 1], 'in portions');

# ---- what the server cannot take ---------------------------------------------------------------------------

my $small = server('small', offers => ['SIZE 1000', 'PIPELINING']);
my $narrow = server('narrow', offers => ['PIPELINING']);
$a->mail('bob@small.example', "Subject: large\n\n" . "a line of text\n" x 200);
$a->mail('bob@narrow.example', "Subject: eight\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngr\xc3\xbcn\n");
$a->sendmail("Subject: gr\xc3\xbcn\n\nx\n", '-i', '-f', 'ann@a.example', "gr\xc3\xbcn\@narrow.example");
go('what cannot be sent');
is(scalar($small->messages) + scalar($narrow->messages), 0, 'nothing of it is');
ok(!(grep { /^(?:MAIL|DATA)/ } $small->commands), 'not even begun');
@reports = reports();
my $all = join '', map { $_->{bytes} } @reports;
is(scalar @reports, 3, 'three reports');
like($all, qr/Status: 5\.3\.4/, 'of the size');
like($all, qr/Status: 5\.6\.[37]/, 'of 8BITMIME');
like($all, qr/Status: 5\.6\.7/, 'of SMTPUTF8');
forget();

my $wide = server('wide', offers => ['SMTPUTF8', '8BITMIME', 'PIPELINING']);
$a->sendmail("Subject: gr\xc3\xbcn\n\ngr\xc3\xbcn\n", '-i', '-f', 'ann@a.example', "gr\xc3\xbcn\@wide.example");
go('beyond ASCII');
ok((grep { /^MAIL .*BODY=8BITMIME.*SMTPUTF8/ } $wide->commands), 'is said to a server that takes it');
is(scalar($wide->taken), 1, 'and taken');

# ---- DSN ---------------------------------------------------------------------------------------------------

my $dsn = server('dsn', offers => ['DSN', 'PIPELINING']);
my $nodsn = server('nodsn');
for my $domain (qw(dsn nodsn)) {
	my $sent = $a->sendmail($text[0], '-i', '-N', 'success,failure', '-R', 'hdrs', '-V', 'env+1', '-f', 'ann@a.example', "bob\@$domain.example");
	is($sent->{code}, 0, "with a wish for a report to $domain") or diag($sent->{err});
}
go('DSN');
ok((grep { /^MAIL .*RET=HDRS.*ENVID=env\+2B1/ } $dsn->commands), 'RET and ENVID are passed on') or diag(explain [$dsn->commands]);
ok((grep { /^RCPT .*NOTIFY=SUCCESS,FAILURE/ } $dsn->commands), 'and NOTIFY');
@reports = reports();
is(scalar @reports, 1, 'one report: the server that has DSN makes its own');
like($reports[0]{bytes} // '', qr/bob\@nodsn\.example\n(?:.*\n)*?Action: relayed/m, '"relayed", for the one that has not');
forget();

# ---- LMTP --------------------------------------------------------------------------------------------------

my $lmtp = Sink->new(lmtp => 1, path => $net->dir . '/lmtp', say => {TEXT => sub { $_[1] =~ /full/ ? '552 5.2.2 full' : undef }});
$a->configure(sprintf qq{route "boxes.example" { via = "lmtp:%s" }\n}, $lmtp->address);
$a->mail(['bob@boxes.example', 'full@boxes.example'], $text[0]);
go('LMTP');
is(scalar($lmtp->messages), 1, 'one text for two') or diag($a->log_text);
ok((grep { /^LHLO/ } $lmtp->commands), 'LHLO');
@reports = reports();
is(scalar @reports, 1, 'a verdict for each');
like($reports[0]{bytes} // '', qr/full\@boxes\.example\n(?:.*\n)*?Status: 5\.2\.2/m, 'and one of them bad');
forget();

$net->done;
