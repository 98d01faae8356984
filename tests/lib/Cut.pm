# Cut: a line between two hosts that breaks.
#
#	my $line = Cut->new($port);            connects each caller to 127.0.0.1:$port
#	$line->port                            where the caller is to connect
#	$line->after(5000);                    the next connections are reset after so many octets in both directions together
#	$line->octets                          carried so far, over all connections
#
# A process of its own; what is under way when the line breaks is lost.
package Cut;

use strict;
use warnings;
use Child;
use Hosts;
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);

sub new {
	my ($class, $port, $dir) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5, ReuseAddr => 1) or die "cannot listen: $@\n";
	my $self = bless {port => $listen->sockport, limit => "$dir/cut-$$-" . $listen->sockport}, $class;

	$self->after(0);
	$self->{child} = Child->new('cut', sub { serve($self, $listen, $port) });
	return $self;
}

sub port { return $_[0]{port} }
sub octets { return (Hosts::slurp("$_[0]{limit}.octets") // '') =~ /(\d+)/ ? $1 : 0 }

# 0: never.
sub after {
	my ($self, $octets) = @_;
	Hosts::spew("$self->{limit}.new", "$octets\n");
	rename "$self->{limit}.new", $self->{limit} or die "$self->{limit}: $!\n";
}

sub serve {
	my ($self, $listen, $port) = @_;
	my $total = 0;

	while (my $near = $listen->accept) {
		my $far = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or next;
		# Nagle's algorithm would keep octets back here, to be lost when the line breaks.
		setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 for $near, $far;
		my ($left) = Hosts::slurp($self->{limit}) =~ /(\d+)/;
		my $endless = $left == 0;
		my $select = IO::Select->new($near, $far);

		while ($endless || $left > 0) {
			my ($from) = $select->can_read(60) or last;
			my $want = $endless || $left > 4096 ? 4096 : $left;
			my $count = sysread($from, my $bytes, $want);

			last if !$count;
			$left -= $count;
			$total += $count;
			syswrite(($from == $near ? $far : $near), $bytes) // last;
		}
		Hosts::spew("$self->{limit}.octets", "$total\n");
		if (!$endless && $left <= 0) {
			setsockopt $_, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) for $near, $far;
		}
		close $_ for $near, $far;
	}
}

1;
