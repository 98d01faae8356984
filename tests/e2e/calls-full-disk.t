# The receiver's disk fills up in the midst of a batch: the sender hears of it, other mail goes on, nothing is lost, and the next call goes
# on where there was room.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use SmallDisk;
use Test::More;
use Time::HiRes qw(sleep time);

my $net = Hosts->new;
my ($a, $b) = pair($net, undef, more => "\tbatch-size = 10k\n", more_b => "\tbatch-size = 10k\n");
my $disk = SmallDisk->new($b, '32m');

my ($daemon, $port) = listens($b);
my $line = Link->new(to => "127.0.0.1:$port", rate => 32_000_000);

sub kept { my ($size) = map { -s } grep { /\.part$/ } Hosts::files($b->spool('in')); return $size // 0 }

calls_at($a, 'tcp:' . $line->address);
$a->mail('bob@b.example', text('large', noise(8_000_000)));
my $failed = Hosts::together(
	sub { call($a)->{code} == 0 },
	sub {
		my $until = time + 60;
		sleep 0.005 while kept() < 2_000_000 && time < $until;
		$disk->fill;
		return 1;
	});
is($failed, 0, 'a call ends well, though the disk there fills up');
like($b->log_text, qr/^a trouble .*No space left on device/m, 'the receiver tells why');
like($a->log_text, qr/^\S+ stopped .*reason="the neighbour cannot take it now"$/m, 'the sender, that it is not taken now');
is(subjects($b, 'bob'), '', 'nothing by halves');
my $kept = kept();
cmp_ok($kept, '>', 1_000_000, 'what came is kept');
is(call($a)->{code}, 0, 'a call while it is full');
cmp_ok(last_call($a)->{sent}, '<', 200_000, 'brings next to nothing');
$disk->free;
is(call($a)->{code}, 0, 'a call when there is room');
cmp_ok(last_call($a)->{sent}, '<', 8_200_000 - $kept, 'goes on where there was none');
arrives($b, 'bob', 'large', 'the message is there, once');
is(scalar(Hosts::files($a->spool('out'))), 0, 'all is acknowledged');

$daemon->done;
$net->fsck;
done_testing;
