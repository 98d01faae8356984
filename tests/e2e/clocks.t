# A lives in 1980 and C in 2038: mail still flows, nothing expires at once, `check` and `status` say so.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

my $net = Hosts->new;
my $now = time;
my $in_1980 = 315532800 + 86400 - $now;       # 2 January 1980
my $in_2038 = 2147483647 + 30 * 86400 - $now; # a month after 32 bits end
my ($a, $b, $c) = $net->three(env => {
	a => {PACKETBOAT_CLOCK_OFFSET => $in_1980}, c => {PACKETBOAT_CLOCK_OFFSET => $in_2038},
});

sub text {
	return "From: ann\@a.example\nSubject: $_[0]\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$_[0]\@x.example>\n\nHello\n";
}

my $there = text('there');
my $back = text('back');
$a->mail('carol@c.example', $there);
is($c->sendmail($back, '-i', '-f', 'carol@c.example', 'ann@a.example')->{code}, 0, 'C takes mail for A');
$net->passes($a, $b, $c, 4);
my @carol = $c->mailbox('carol');
my @ann = $a->mailbox('ann');
is(scalar(@carol), 1, 'A to C: one message');
ok(@carol && $c->same_content($carol[0], $there), '... unaltered') or diag(map { $_->{bytes} } @carol);
is(scalar(@ann), 1, 'C to A: one message');
ok(@ann && $a->same_content($ann[0], $back), '... unaltered') or diag(map { $_->{bytes} } @ann);
like($carol[0]{head} // '', qr/^Received:(?:.*\n[ \t]+)*.*\b1980\b/m, 'the trace shows the clock of A as it was');

# Mail that cannot move yet: the clock comes right, goes wrong the other way, and comes right again.
$a->mail('carol@c.example', text('waiting'));
system('mv', "$net->{dir}/between-a-b", "$net->{dir}/away");
for my $offset ($in_1980, 0, $in_2038, 0) {
	$a->pass({env => {PACKETBOAT_CLOCK_OFFSET => $offset}});
	isnt(scalar($a->waiting), 0, "a clock off by $offset: the message still waits");
}
is(join(' ', $a->log_text =~ /^- clock \S+ jumped=(\w+) by=\d+w$/mg), 'forward forward back', 'the log tells of each jump once');
is(scalar(grep { $_->{bytes} =~ m{^Action: failed}m } $a->mailbox('ann')), 0, 'nothing is given up');
system('mv', "$net->{dir}/away", "$net->{dir}/between-a-b");
$net->passes($a, $b, $c, 3);
is(scalar($c->mailbox('carol')), 2, 'it arrives when the way is open');

for my $case ([$a, 'A'], [$c, 'C']) {
	my ($host, $name) = @$case;
	my $check = $host->packetboat('check');
	isnt($check->{code}, 0, "`check` at $name is not content");
	like($check->{out} . $check->{err}, qr/clock/i, '... and names the clock');
	my $status = $host->packetboat('status');
	is($status->{code}, 0, "`status` at $name");
	like($status->{out} . $status->{err}, qr/clock/i, '... names the clock');
}
my $check = $b->packetboat('check');
unlike($check->{out} . $check->{err}, qr/clock of this/i, 'B has nothing to say about its own clock');
$net->done;
