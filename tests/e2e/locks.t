#!/usr/bin/perl
# A lock that cannot be had for another reason than that somebody holds it: whatever needs it fails and says why. That is another
# thing than a held lock, which is no failure.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(:flock);
use File::Path qw(make_path);
use Hosts;
use Fetch;
use Pop;

my $net = Hosts->new;
my $a = $net->host('a');
$a->user('bob');
my $pop = Pop->new(messages => [message('fetched')]);
box($a, 'provider', $pop->address, 'to = "bob"');
$a->mail('bob@a.example', "Subject: handed in\n\nHello\n");
unlike($a->packetboat('check')->{out}, qr/^error/m, 'check is content');

# A directory where the lock file would be.
sub spoil {
	my ($name) = @_;
	my $path = $a->spool("lock/$name");
	unlink $path;
	mkdir $path or die "$path: $!";
	return sub { rmdir $path or die "$path: $!" };
}

sub hold {
	my ($name) = @_;
	open(my $file, '>>', $a->spool("lock/$name")) or die $!;
	flock($file, LOCK_EX) or die $!;
	return $file;
}

sub fails {
	my ($lock, $name, $run) = @_;
	isnt($run->{code}, 0, "$name fails without the lock $lock");
	like($run->{err} . $run->{out}, qr{cannot open the lock \S*/lock/\Q$lock\E: }, '... and says why');
}

for my $lock (qw(new local)) {
	$a->pass if $lock eq 'local';
	$a->mail('bob@a.example', "Subject: for $lock\n\nHello\n");
	{
		my $held = hold($lock);
		is($a->pass->{code}, 0, "a pass leaves the lock $lock to who holds it");
	}
	my $mended = spoil($lock);
	fails($lock, 'a pass', $a->pass);
	like($a->log_text, qr{^\Q$lock\E trouble .*reason="cannot open the lock \S*/lock/$lock:}m, '... and in the log');
	fails($lock, 'fsck', $a->packetboat('fsck'));
	$mended->();
}
{
	my $mended = spoil('seen');
	fails('seen', 'a pass', $a->pass);
	$mended->();
}
{
	my $mended = spoil('check');
	fails('check', 'check', $a->packetboat('check'));
	$mended->();
}
{
	my $slot = $a->spool('queue/smtp/work-1');
	make_path($slot);
	my $mended = spoil('smtp-work-1');
	fails('smtp-work-1', 'a pass', $a->pass);
	fails('smtp-work-1', 'fsck', $a->packetboat('fsck'));
	$mended->();
	rmdir $slot;
}
{
	my $mended = spoil('arrivals');
	fails('arrivals', 'fsck', $a->packetboat('fsck'));
	$mended->();
}
{
	my $held = hold('fetch-provider');
	my $run = fetch($a);
	is($run->{code}, 0, 'a box that another run works on is no failure');
	like($run->{err}, qr/another run is working on it/, '... which is said');
	close $held;
	my $mended = spoil('fetch-provider');
	fails('fetch-provider', 'packetboat-fetch', fetch($a));
	is_deeply([$pop->names], ['m000001'], '... and leaves the mail where it is');
	$mended->();
	is(fetch($a)->{code}, 0, 'afterwards it goes on');
}
is_deeply([subjects($a, 'bob')], ['fetched', 'for local', 'for new', 'handed in'], 'and all mail arrives');
is($a->packetboat('check')->{code}, 0, 'check is content again');
$net->done;
