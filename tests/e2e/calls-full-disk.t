# The receiver's disk fills up in the midst of a batch: the sender hears of it, other mail goes on, nothing is lost, and the next call goes
# on where there was room.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use Test::More;
use Time::HiRes qw(sleep time);

plan(skip_all => 'only root can mount a small disk') if $> != 0;
my $net = Hosts->new;
my ($a, $b) = pair($net, undef, more => "\tbatch-size = 10k\n", more_b => "\tbatch-size = 10k\n");
my $disk = $b->spool;
my $saved = $net->dir . '/spool';
system('cp', '-a', $disk, $saved) == 0 or die;
my $mounted = system('mount', '-t', 'tmpfs', '-o', 'size=32m,mode=0700', 'packetboat-test', $disk) == 0;
END {
	local $?;
	system('umount', '-l', $disk) if $mounted;
}
plan(skip_all => 'a small disk cannot be mounted here') unless $mounted;
system('cp', '-a', "$saved/.", $disk) == 0 or die;
$b->configure("min-free = 1M\n");

my ($daemon, $port) = listens($b);
my $line = Link->new(to => "127.0.0.1:$port", rate => 32_000_000);
my $ballast = "$disk/tmp/ballast";

sub kept { my ($size) = map { -s } grep { /\.part$/ } Hosts::files($b->spool('in')); return $size // 0 }

# All that is left of the disk.
sub fill {
	open my $out, '>', $ballast or die;
	1 while syswrite $out, 'x' x 65536;
}

calls_at($a, 'tcp:' . $line->address);
$a->mail('bob@b.example', text('large', noise(8_000_000)));
my $failed = Hosts::together(
	sub { call($a)->{code} == 0 },
	sub {
		my $until = time + 60;
		sleep 0.005 while kept() < 2_000_000 && time < $until;
		fill();
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
unlink $ballast;
is(call($a)->{code}, 0, 'a call when there is room');
cmp_ok(last_call($a)->{sent}, '<', 8_200_000 - $kept, 'goes on where there was none');
arrives($b, 'bob', 'large', 'the message is there, once');
is(scalar(Hosts::files($a->spool('out'))), 0, 'all is acknowledged');

$daemon->done;
$net->fsck;
done_testing;
