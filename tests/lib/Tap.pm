# Tap: a line between two hosts that keeps what goes over it. In calls in which nothing is encrypted (`seal = false` at both
# sides) it finds the octets of batches, as relay/PROTOCOL.md says.
#
#	my $tap = Tap->new($port);             connects each caller to 127.0.0.1:$port
#	$tap->port                             where the caller is to connect
#	$tap->octets                           carried so far, both ways, over all connections; $tap->octets('back'): one way
#	$tap->bytes(3, 'forth')                what the third connection carried: forth, from the caller, or back
#	my @pieces = $tap->pieces('forth');    of batches, in order: {sequence, class, from, to}; also of some connections only
#	my ($all, $once) = $tap->batches('forth');
#	                                       octets of batches over all connections; and without those that went again
#
# A process for each connection. A reset of one end resets the other.
package Tap;

use strict;
use warnings;
use Child;
use File::Temp ();
use Hosts;
use IO::Select;
use IO::Socket::INET;
use List::Util ();
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);

sub new {
	my ($class, $port) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5, ReuseAddr => 1) or die "cannot listen: $@\n";
	my $self = bless {port => $listen->sockport, dir => File::Temp->newdir('packetboat-tap-XXXXXX', DIR => Hosts::place())}, $class;

	$self->{child} = Child->new('tap', sub { accept_all($listen, $port, $self->{dir}) });
	return $self;
}

# A process for each connection.
sub accept_all {
	my ($listen, $port, $dir) = @_;

	for (my $number = 1; my $near = $listen->accept; $number++) {
		my $pid = fork // die "cannot fork: $!\n";
		next if $pid;
		my $far = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		serve($near, $far, "$dir/$number") if $far;
		POSIX::_exit(0);
	}
}

sub serve {
	my ($near, $far, $base) = @_;
	my $select = IO::Select->new($near, $far);
	my %way = ($near => ['forth', $far], $far => ['back', $near]);

	local $SIG{PIPE} = 'IGNORE';
	setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 for $near, $far;
	while ($select->count) {
		for my $from ($select->can_read) {
			my ($name, $to) = @{$way{$from}};
			my $count = sysread $from, my $bytes, 65536;

			if (!defined $count || ($count > 0 && !defined pass($to, $bytes, "$base.$name"))) {
				setsockopt $_, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) for $near, $far;
				return;
			}
			next if $count > 0;
			$select->remove($from);
			shutdown $to, 1;
		}
	}
}

sub pass {
	my ($to, $bytes, $path) = @_;

	open my $kept, '>>:raw', $path or die "$path: $!\n";
	for (my $at = 0; $at < length $bytes;) {
		my $count = syswrite($to, $bytes, length($bytes) - $at, $at) // return undef;
		syswrite $kept, $bytes, $count, $at;
		$at += $count;
	}
	return 1;
}

sub port { return $_[0]{port} }
sub bytes { return Hosts::slurp("$_[0]{dir}/$_[1].$_[2]") // '' }
sub octets { my ($self, $way) = @_; return List::Util::sum0(map { -s } grep { !$way || /\.$way$/ } Hosts::files($self->{dir})) }
# The number of the last connection that carried anything.
sub count { return List::Util::max(0, map { /^(\d+)/ } Hosts::names($_[0]{dir})) }

# ---- what it means -----------------------------------------------------------------------------------------

# The varint that BYTES begin with is taken off.
sub varint {
	my $value = 0;

	$_[0] =~ s/\A([\x80-\xff]*[\x00-\x7f])//s or return undef;
	$value = $value << 7 | ord($_) & 127 for reverse split //, $1;
	return $value;
}

# Adds the octets of batches in a record to FOUND; AT: where each batch goes on, and its class.
sub record {
	my ($body, $at, $found) = @_;

	while (length $body) {
		my $type = ord substr $body, 0, 1, '';

		if ($type == 1 || $type == 2) {
			my $sequence = varint($body) // return;
			my $piece = {%{$at->{$sequence}}, sequence => $sequence};
			$piece->{to} = $at->{$sequence}{from} += length $body;
			push @$found, $piece;
			return;
		} elsif ($type == 3) {
			my $sequence = varint($body) // return;
			my $class = ord substr $body, 0, 1, '';
			varint($body);
			$at->{$sequence} = {class => $class, from => varint($body) // return};
		} elsif ($type == 4) {
			varint($body) for 1 .. 2;
			substr $body, 0, 8, '' if length $body >= 8;
		} elsif ($type == 6) {
			my $length = varint($body) // return;
			$body = length $body > $length ? substr $body, $length : '';
		} elsif ($type == 7) {
			varint($body);
			substr $body, 0, 1, '';
		} elsif ($type == 8) {
			varint($body);
		} elsif ($type == 10) {
			return;
		}
	}
}

# What BYTES, one way of a connection, carry of batches; the last record may be cut.
sub look {
	my ($bytes, $head, $found) = @_;
	my %at;

	return if length $bytes < $head;
	my $begin = $head + ord(substr $bytes, $head - 1, 1) + 16;
	$bytes = length $bytes > $begin ? substr $bytes, $begin : '';
	while (defined(my $length = varint($bytes))) {
		record(substr($bytes, 0, $length), \%at, $found);
		$bytes = length $bytes > $length + 16 ? substr $bytes, $length + 16 : '';
	}
}

sub pieces {
	my ($self, $way, @numbers) = @_;
	my @found;

	look($self->bytes($_, $way), $way eq 'forth' ? 45 : 33, \@found) for @numbers ? @numbers : 1 .. $self->count;
	return @found;
}

sub batches {
	my ($self, $way) = @_;
	my %end;
	my ($all, $once) = (0, 0);

	for my $piece (sort { $a->{from} <=> $b->{from} } $self->pieces($way)) {
		my $end = $end{$piece->{sequence}} //= 0;

		$all += $piece->{to} - $piece->{from};
		next if $piece->{to} <= $end;
		$once += $piece->{to} - ($piece->{from} > $end ? $piece->{from} : $end);
		$end{$piece->{sequence}} = $piece->{to};
	}
	return ($all, $once);
}

1;
