# A - B - C over directories: two recipients at C, one at B and one unknown at C make three deliveries and one report,
# with one body over each link; `trace` at A tells the ends.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

for my $seal (1, 0) {
	my $mode = $seal ? 'sealed' : 'sign-only';
	my $net = Hosts->new;
	my ($a, $b, $c) = $net->three(seal => $seal);
	# Random letters: a body that compression cannot hide, so that a second copy would show in the batches' size.
	my $body = CORE::join('', map { chr(97 + int rand 26) . (($_ % 70) ? '' : "\n") } 1 .. 60000);
	my $text = "From: Ann <ann\@a.example>\nTo: several\nSubject: one for many ($mode)\nDate: Mon, 23 Nov 2026 02:51:19 +0000\n"
	    . "Message-ID: <one-for-many\@a.example>\n\n$body\n";

	$c->user('carla');
	$a->mail([qw(carol@c.example carla@c.example bob@b.example nobody@c.example)], $text);
	is($a->pass->{code}, 0, 'first pass at A');
	my @first = Hosts::batches("$net->{dir}/between-a-b");
	is(scalar(@first), 1, "$mode: one batch from A to B");
	cmp_ok(-s ($first[0] // '/dev/null'), '<', 1.2 * length $text, '... with one body');
	if (!$seal) {
		isnt(length(Hosts::slurp($first[0]) // ''), 0, 'a sign-only batch can be read');
	}
	is($b->pass->{code}, 0, 'pass at B');
	my @second = grep { -s $_ > 1000 } Hosts::batches("$net->{dir}/between-b-c");
	is(scalar(@second), 1, "$mode: one batch with a body from B to C");
	cmp_ok(-s ($second[0] // '/dev/null'), '<', 1.2 * length $text, '... with one body');
	$net->passes($c, $b, $a, 4);

	for my $who ([$c, 'carol', 'c.example'], [$c, 'carla', 'c.example'], [$b, 'bob', 'b.example']) {
		my ($host, $user, $domain) = @$who;
		my @mail = $host->mailbox($user);
		is(scalar(@mail), 1, "$mode: one message for $user");
		next unless @mail;
		ok($host->same_content($mail[0], $text), "... the same, byte for byte") or diag($mail[0]{head});
		like($mail[0]{head}, qr/^Return-Path: <ann\@a\.example>$/m, '... Return-Path');
		like($mail[0]{head}, qr/^Delivered-To: <?$user\@$domain>?$/m, '... Delivered-To');
		my @received = $mail[0]{head} =~ /^Received: /mg;
		is(scalar(@received), $host == $c ? 3 : 2, '... one Received line a host');
	}
	is(scalar($c->mailbox('postmaster')), 0, 'nothing for the postmaster of C');

	my @reports = $a->mailbox('ann');
	is(scalar(@reports), 1, "$mode: one report to the sender");
	my $report = $reports[0]{bytes} // '';
	like($report, qr/^Return-Path: <>$/m, '... from the null sender');
	like($report, qr{^Content-Type: multipart/report;}mi, '... multipart/report');
	like($report, qr/^Final-Recipient: rfc822; ?nobody\@c\.example$/mi, '... about the unknown one');
	like($report, qr/^Action: failed$/mi, '... that failed');
	like($report, qr/^Status: 5\.1\.1$/mi, '... 5.1.1');
	unlike($report, qr/^Final-Recipient: rfc822; ?(?:carol|carla|bob)\@/mi, '... and about nobody else');
	like($report, qr/^Subject: one for many/m, '... with the original headers');

	is(scalar($_->waiting), 0, "nothing waits at " . $_->name) for ($a, $b, $c);
	my ($id) = $a->log_text =~ /^(a\.\S+) accepted /m;
	ok(defined $id, 'the log names the id') or $id = 'a.none.1';
	my $trace = $a->packetboat('trace', $id);
	is($trace->{code}, 0, 'trace at A') or diag($trace->{err});
	like($trace->{out}, qr/carol\@c\.example.*deliver/si, '... knows of the delivery');
	like($trace->{out}, qr/nobody\@c\.example.*(?:fail|5\.1\.1)/si, '... and of the failure');
	like(CORE::join('', $_->log_text), qr/^\Q$id\E /m, "the id is in the log of " . $_->name) for ($b, $c);
	is(scalar(Hosts::batches("$net->{dir}/between-a-b")) + scalar(Hosts::batches("$net->{dir}/between-b-c")) <= 4 ? 1 : 0, 1,
	    'what was acknowledged is gone from the directories between');
	$net->fsck("$mode: fsck content");
}
done_testing;
