# A daemon that takes mail through the arrival log and is killed, or runs out of disk, at every change it makes to the
# file system; and what `status` and `fsck` say of what it leaves.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Sweep;
use Test::More;

Sweep::arrivals('kill:%d');
Sweep::arrivals('fail:%d:28');

# Killed as soon as it has answered, twice, so that two logs are left; one is damaged by hand then.
my $net = Hosts->new;
my $host = $net->host('a');
$host->user('ann');
my $kept = "$net->{dir}.kept";
my $log;
for my $round (1 .. 2) {
	Hosts::copy_tree($net->{dir}, $kept);
	for my $at (1 .. 100) {
		my $run = $host->run({env => {PACKETBOAT_FAULT => "kill:$at"}}, Hosts::support('arrive'), $host->spool, 'a',
			'ann@a.example', 4, 300, 2);
		last if $run->{out} =~ /n4/;
		Hosts::copy_tree($kept, $net->{dir});
	}
	($log) = Hosts::names($host->spool('arrivals'));
}
my @logs = Hosts::names($host->spool('arrivals'));
is(scalar(@logs), 2, 'two logs are left') or diag("@logs");
like($host->packetboat('status')->{out}, qr/^arrivals +\S+ ?k?\S* accepted/m, 'status counts them');
like($host->packetboat('status', '--json')->{out}, qr/"kind": ?"arrivals"/, '... also as JSON');
my $fsck = $host->packetboat('fsck');
is($fsck->{code}, 0, 'fsck is content');
is(scalar(() = $fsck->{out} =~ /holds 4 messages/g), 2, '... and says what they hold') or diag($fsck->{out});

my $bytes = Hosts::slurp($host->spool("arrivals/$log"));
substr($bytes, length($bytes) / 2, 1) ^= 'x';
Hosts::spew($host->spool("arrivals/$log"), $bytes);
$fsck = $host->packetboat('fsck');
is($fsck->{code}, 1, 'fsck finds the damage');
is($host->pass->{code}, 0, 'a pass goes on');
is(scalar($host->mailbox('ann')), 7, 'all but the damaged message arrive');
is_deeply([$host->corrupt], [$host->spool("corrupt/$log")], 'the damaged log is kept');
like($host->log_text, qr/^\Q$log\E corrupt /m, '... and told of');
$net->done;
