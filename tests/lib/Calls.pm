# Calls: two hosts that call one another, for the tests under `prove`.
#
#	my ($a, $b) = pair($net, $call, more => ..., back => ..., more_b => ...);
#	my ($daemon, $port) = listens($b);           `packetboat-relay listen` at a free port
#	calls_at($a, "tcp:127.0.0.1:$port");         from now on
#	call($a)->{code}
package Calls;

use strict;
use warnings;
use Digest::SHA;
use Exporter qw(import);
use Hosts;
use Test::More;

our @EXPORT = qw(pair link_up exec_call calls_at listens call text subjects arrives ended octets last_call calls_logged noise);

my $relay = Hosts::program('packetboat-relay');

# A and B; A's way to B is CALL, B has none unless `back` names it. MORE and MORE_B: options of their sections.
sub pair {
	my ($net, $call, %options) = @_;
	my ($a, $b) = map { $net->host($_) } qw(a b);

	link_up($a, $b, $call, $options{more});
	link_up($b, $a, $options{back}, $options{more_b});
	$_->configure(qq{route "*" { via = "neighbour:@{[$_->name eq 'a' ? 'b' : 'a']}" }\n}) for ($a, $b);
	$a->user('ann');
	$b->user('bob');
	return ($a, $b);
}

sub link_up {
	my ($here, $there, $call, $more) = @_;

	$call = $call->($here, $there) if ref $call;
	$here->configure(sprintf qq{neighbour "%s" {\n\tkey = "%s"\n%s%s}\n}, $there->name, $there->key,
		defined $call ? qq{\tcall = { "$call" }\n} : '', $more // '');
}

# For pair: over the standard input and output of a program.
sub exec_call { return "exec:$relay -c " . $_[1]->conf . ' answer' }

# The neighbour of HOST is called at ADDRESS.
sub calls_at {
	my ($host, $address) = @_;
	my $text = Hosts::slurp($host->conf) =~ s/^\tcall = .*\n//mr;

	Hosts::spew($host->dir . '/conf', $text =~ s/^(neighbour .*\n)/$1\tcall = { "$address" }\n/mr);
	rename $host->dir . '/conf', $host->conf or die $host->conf . ": $!\n";
}

# MORE: further lines of the section.
sub listens {
	my ($host, $more) = @_;

	$host->configure(qq{relay {\n\tlisten = { "127.0.0.1:0" }\n@{[$more // '']}}\n}) if Hosts::slurp($host->conf) !~ /^relay \{/m;
	my $daemon = $host->start('packetboat-relay', 'listen', '--foreground') or return;
	my ($port) = $daemon->log_text =~ /^relay listening \S+ address=\S+:(\d+)$/m;
	return ($daemon, $port);
}

# A calls b, and b a, unless OPTIONS (of run) say `to`.
sub call {
	my ($host, $options) = @_;
	my $to = $options->{to} // ($host->name eq 'a' ? 'b' : 'a');
	return $host->run($options // {}, $relay, '-c', $host->conf, 'call', $to);
}

sub text { return "From: ann\@a.example\nSubject: $_[0]\n\n" . ($_[1] // "Hello\n") }
sub subjects { return join ' ', sort map { $_->{head} =~ /^Subject: (.*)$/m ? $1 : '?' } $_[0]->mailbox($_[1]) }

# Acknowledged is what is in the other host's queue; it may take a moment more to be in a box.
sub arrives {
	my ($host, $user, $wanted, $name) = @_;

	for (1 .. 200) {
		last if subjects($host, $user) eq $wanted;
		select undef, undef, undef, 0.05;
	}
	is(subjects($host, $user), $wanted, $name);
}

# The lines of the log about calls that HOST made (called) or took (answered), as hashes.
sub calls_logged {
	my ($host, $event) = @_;
	my @calls;

	for ($host->log_text =~ /^\S+ $event \S+ (.*)$/mg) {
		my %call = /(\w+)=(\d+)\b/g;
		($call{reason}) = /reason=(".*"|\S+)/;
		push @calls, \%call;
	}
	return @calls;
}

# Waits until HOST has told of COUNT calls of EVENT; false when that takes too long.
sub ended {
	my ($host, $event, $count) = @_;

	for (1 .. 1200) {
		return 1 if calls_logged($host, $event) >= $count;
		select undef, undef, undef, 0.05;
	}
	return 0;
}

# The last call that HOST made, and its octets.
sub last_call { return (calls_logged($_[0], 'called'))[-1] }
sub octets { return last_call($_[0])->{octets} }

# Lines that do not compress, always the same for the same SEED.
sub noise {
	my ($octets, $seed) = @_;
	my $noise = '';

	$seed //= 1;
	while (length $noise < $octets) {
		my $line = Digest::SHA::sha512(length($noise) . " $seed");
		$line =~ tr/\0\r\n/xyz/;
		$noise .= "$line\n";
	}
	return $noise;
}

1;
