# SmallDisk: a disk that a test can fill, in the place of a host's spool, for the tests under `prove`. It needs root; a test
# without it is skipped as soon as this is used, before it has said anything else.
#
#	my $disk = SmallDisk->new($host, '24m');  the spool lies on a disk of that size, with all that was in it
#	$disk->fill;                              all that is left of it is used up
#	$disk->free;                              what `fill` used is free again
#	$disk->resize('80m');
package SmallDisk;

use strict;
use warnings;
use File::Temp ();
use Hosts;
use Test::More;

my @mounted;

sub mounts {
	my ($place, $size) = @_;
	return system("mount -t tmpfs -o size=$size,mode=0700 packetboat-test '$place' 2>/dev/null") == 0;
}

sub import {
	my $probe = File::Temp->newdir('packetboat-disk-XXXXXX', TMPDIR => 1);

	plan(skip_all => 'only root can mount a small disk') if $> != 0;
	plan(skip_all => 'a small disk cannot be mounted here') unless mounts("$probe", '1m');
	system('umount', "$probe");
}

sub new {
	my ($class, $host, $size) = @_;
	my $self = bless {place => $host->spool}, $class;
	my $saved = $host->dir . '/spool.before';

	system('cp', '-a', $self->{place}, $saved) == 0 or die "cp: $?\n";
	mounts($self->{place}, $size) or die "mount: $?\n";
	push @mounted, $self->{place};
	system('cp', '-a', "$saved/.", $self->{place}) == 0 or die "cp: $?\n";
	$host->configure("min-free = 1M\n");
	return $self;
}

sub ballast { return "$_[0]{place}/tmp/ballast" }

sub fill {
	my ($self) = @_;

	open my $out, '>:raw', $self->ballast or die $self->ballast . ": $!\n";
	1 while syswrite $out, "\0" x 65536;
	close $out;
}

sub free { unlink $_[0]->ballast or die $_[0]->ballast . ": $!\n" }

sub resize {
	my ($self, $size) = @_;
	system('mount', '-o', "remount,size=$size", $self->{place}) == 0 or die "mount: $?\n";
}

# Before what Hosts does at the end, which removes the directories.
END {
	my $status = $?;
	system('umount', '-l', $_) for @mounted;
	$? = $status;
}

1;
