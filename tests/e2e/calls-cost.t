# What a call costs, counted on the line: one with nothing to say, and one small message from connecting to its acknowledgement.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use List::Util qw(sum0);
use Test::More;

my $net = Hosts->new;
my ($a, $b) = pair($net, undef);
my ($daemon, $port) = listens($b);
my $line = Link->new(to => "127.0.0.1:$port", rate => 1_000_000, delay => 500, log => 1);

calls_at($a, 'tcp:' . $line->address);

# What went over the line in call NUMBER, in order: [way, octets] for what each side said at once.
sub said {
	my ($number) = @_;
	my @said;

	for ($line->log_text =~ /^\S+ $number (\S+ accepted \d+) /mg) {
		my ($way, undef, $octets) = split / /;
		push @said, [$way, 0] if !@said || $said[-1][0] ne $way;
		$said[-1][1] += $octets;
	}
	return @said;
}

is(call($a)->{code}, 0, 'a call with nothing to say');
$line->report(1);
my @said = said(1);
my $octets = sum0 map { $_->[1] } @said;
note("$octets octets: @{[map { qq{$_->[0] $_->[1]} } @said]}");
cmp_ok($octets, '<', 300, 'takes less than 300 octets');
cmp_ok(scalar(@said), '<=', 4, 'and three turn-arounds');

$a->mail('bob@b.example', text('small', noise(430)));
is(call($a)->{code}, 0, 'a call with a message of 500 octets');
my $report = $line->report(2);
@said = said(2);
$octets = sum0 map { $_->[1] } @said;
note("$octets octets, $report->{turns} turn-arounds: @{[map { qq{$_->[0] $_->[1]} } @said]}");
is(join(' ', map { $_->[0] } @said), 'forth back forth back', 'hello, answer, message, acknowledgement and farewell');
cmp_ok($report->{turns}, '<=', 3, 'three turn-arounds in all');
like($a->log_text, qr/^\S+ acknowledged .*\n(?:.*\n)*b called /m, 'it is acknowledged in the call');
arrives($b, 'bob', 'small', 'it came');

$daemon->done;
$net->fsck;
done_testing;
