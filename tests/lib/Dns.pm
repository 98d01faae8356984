# Dns: a little name server on a free port of loopback, for the tests under `prove`.
#
#	use lib "$FindBin::Bin/../lib"; use Dns;
#
#	my $dns = Dns->new(
#		'example.org' => {mx => [[10, 'mail.example.org'], [20, 'other.example.org']]},
#		'mail.example.org' => {a => ['127.0.0.1'], aaaa => ['::1']},
#		'null.example' => {mx => [[0, '']]},                   RFC 7505
#		'www.example.org' => {cname => 'mail.example.org'},    followed where the table goes on
#		'gone.example' => 'nxdomain',                          as is every name that the table does not have
#		'broken.example' => 'servfail',
#		'lost.example' => 'silent',                            no answer at all
#		'lame.example' => {a => ['127.0.0.1'], aaaa => 'servfail'},
#	);
#	... $dns->address ...                        "127.0.0.1:PORT", for the configuration
#	my @asked = $dns->asked;                     "MX example.org", in order
#	$dns->stop;                                  or when $dns goes out of scope, or at the end
#
# UDP only; it runs as a child that the test ends by its number.
package Dns;

use strict;
use warnings;
use Child;
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Socket qw(AF_INET AF_INET6 inet_pton);

my %numbers = (a => 1, cname => 5, mx => 15, aaaa => 28);
my %types = reverse %numbers;
my %codes = (servfail => 2, nxdomain => 3, refused => 5);
sub new {
	my ($class, %table) = @_;
	my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 0)
	    or die "cannot open a socket for the name server: $!\n";
	my $log = File::Temp->new(TEMPLATE => 'packetboat-dns-XXXXXX', TMPDIR => 1);
	my $self = bless {port => $socket->sockport, log => $log}, $class;

	$self->{child} = Child->new('name server', sub { serve($socket, $log->filename, {map { lc($_) => $table{$_} } keys %table}) });
	return $self;
}

sub address { return "127.0.0.1:$_[0]{port}" }

sub asked {
	my ($self) = @_;
	open my $in, '<', $self->{log}->filename or return ();
	chomp(my @lines = <$in>);
	return @lines;
}

sub stop { delete $_[0]{child} }

# ---- in the child ------------------------------------------------------------------------------------------

sub serve {
	my ($socket, $log, $table) = @_;
	my $parent = getppid;

	while (getppid == $parent) {
		# Now and then a look whether the test is still there.
		my $ready = '';
		vec($ready, fileno $socket, 1) = 1;
		next unless select($ready, undef, undef, 1);
		my $from = recv($socket, my $packet, 4096, 0) // next;
		my $answer = answer($packet, $log, $table) // next;
		send($socket, $answer, 0, $from);
	}
	POSIX::_exit(0);
}

sub answer {
	my ($packet, $log, $table) = @_;
	return undef if length $packet < 17;
	my ($id, $flags) = unpack 'nn', $packet;
	my ($name, $at) = read_name($packet, 12);
	my $number = unpack 'n', substr($packet, $at, 2);
	my $type = $types{$number} // "type$number";
	my ($code, @records) = look_up($table, lc $name, $type);

	open my $out, '>>', $log or die "$log: $!\n";
	print $out uc($type), " $name\n";
	close $out;
	return undef if $code eq 'silent';
	# An answer with authority, recursion granted.
	return pack('n6', $id, 0x8480 | ($flags & 0x0100) | ($codes{$code} // 0), 1, scalar @records, 0, 0)
	    . substr($packet, 12, $at + 4 - 12) . join('', @records);
}

sub read_name {
	my ($packet, $at) = @_;
	my @labels;

	while ((my $length = ord substr($packet, $at, 1)) > 0) {
		push @labels, substr($packet, $at + 1, $length);
		$at += 1 + $length;
	}
	return (join('.', @labels), $at + 1);
}

# The code and the records for TYPE at NAME, by way of the aliases.
sub look_up {
	my ($table, $name, $type) = @_;
	my @records;

	for (1 .. 8) {
		my $entry = $table->{$name} // 'nxdomain';
		return ($entry, @records) unless ref $entry;
		my $found = $entry->{$type} // [];
		return ($found, @records) unless ref $found;
		push @records, map { record($name, $type, $_) } @$found;
		return ('', @records) if @$found || !defined $entry->{cname} || $type eq 'cname';
		push @records, record($name, 'cname', $entry->{cname});
		$name = lc $entry->{cname};
	}
	return ('servfail');
}

sub record {
	my ($name, $type, $value) = @_;
	my $data = $type eq 'mx' ? pack('n', $value->[0]) . write_name($value->[1])
	    : $type eq 'cname' ? write_name($value)
	    : inet_pton($type eq 'a' ? AF_INET : AF_INET6, $value) // die "$value is no address\n";

	return write_name($name) . pack('nnNn', $numbers{$type}, 1, 60, length $data) . $data;
}

sub write_name {
	my ($name) = @_;
	return join('', map { pack('C/a', $_) } split /\./, $name) . "\0";
}

1;
