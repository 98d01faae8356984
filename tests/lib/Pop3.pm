# Pop3: packetboat-pop3d of a host, and a client that does exactly what it is told.
#
#	use Hosts; use Pop3;
#
#	my $pop3d = Pop3->serve($a, listen => {pop3 => '', pop3s => ''}, more => qq{idle = 2s\n});
#	my $client = Pop3::Client->new($pop3d->port('pop3'));     the greeting is in {greeting}
#	$client->login('ann', $password);                         the reply to the last command
#	$client->say('STAT');                                     the first line of the reply
#	$client->list('UIDL');                                    all lines of a long one; undef: -ERR
#	$client->text(1);                                         a message as it is on the wire, dots unstuffed
package Pop3;

use strict;
use warnings;
use Hosts;
use Smtp;
use Test::More import => [qw(ok diag)];

# The section pop3d of HOST is written, and the daemon started. LISTEN names services, each with an address (default
# 127.0.0.1:0). MORE: further lines of the section.
sub serve {
	my ($class, $host, %options) = @_;

	$host->configure($class->section($host, %options));
	return $class->start($host, %options);
}

sub section {
	my ($class, $host, %options) = @_;
	my $listen = $options{listen} // {pop3 => ''};
	my @listen = map { sprintf '"%s:%s"', $_, $listen->{$_} || '127.0.0.1:0' } sort keys %$listen;

	return "pop3d {\n\tlisten = { " . CORE::join(', ', @listen) . " }\n" . ($options{more} // '') . "}\n";
}

# The daemon of a host that is configured. It is a Hosts::Daemon with the ports besides.
sub start {
	my ($class, $host, %options) = @_;
	my $daemon = $host->start({env => $options{env} // {}}, 'packetboat-pop3d', '--foreground');

	ok($daemon, 'packetboat-pop3d at ' . $host->name . ' is ready') or return undef;
	return bless $daemon, 'Smtp::Daemon';
}

# Puts COUNT messages into the Maildir of USER, as deliveries of HOST's own: NAME => text; the names.
sub fill {
	my ($class, $host, $user, @texts) = @_;
	my @names;

	for my $text (@texts) {
		my $number = $host->{pop3_filled}++;
		my $lines = () = $text =~ /\n/g;
		my $name = sprintf '%d.%s.aaaaaby.%d-0.%s,S=%d,W=%d', 1700000000 + $number, $host->name, $number, $host->name,
		    length $text, length($text) + $lines + ($text =~ /[^\n]\z/ ? 2 : 0);
		Hosts::spew($class->maildir($host, $user) . "/new/$name", $text);
		push @names, $name;
	}
	return @names;
}

sub maildir {
	my ($class, $host, $user) = @_;
	return $host->dir . "/spool/mail/$user";
}

# The names in new and cur of USER, sorted.
sub left {
	my ($class, $host, $user) = @_;
	my @names = sort map { Hosts::names($class->maildir($host, $user) . "/$_") } qw(new cur);
	return @names;
}

package Pop3::Client;

use strict;
use warnings;

our @ISA = ('Smtp::Client');

# One line.
sub reply {
	my ($self, $seconds) = @_;
	return $self->line($seconds);
}

# The lines of a long reply up to its dot, as they come; undef when the end does not come.
sub lines {
	my ($self) = @_;
	my @lines;

	while (defined(my $line = $self->line)) {
		return \@lines if $line eq '.';
		push @lines, $line;
	}
	return undef;
}

# A command with a long reply: its lines; undef when it is refused ({refused} has the line).
sub list {
	my ($self, $command) = @_;
	my $first = $self->say($command);

	$self->{refused} = $first;
	return undef unless defined $first && $first =~ /^\+OK/;
	return $self->lines;
}

# Message NUMBER as octets, CRLF and all, without the doubled dots.
sub text {
	my ($self, $number, $command) = @_;
	my $first = $self->say($command // "RETR $number");

	$self->{refused} = $first;
	return undef unless defined $first && $first =~ /^\+OK/;
	return $self->rest_of_text;
}

sub rest_of_text {
	my ($self) = @_;
	my $text = '';

	for (;;) {
		my $until = Time::HiRes::time() + $Hosts::deadline;
		while ($self->{in} !~ /(?:\A|\r\n)\.\r\n/) {
			return undef unless $self->fill($until);
		}
		$self->{in} =~ s/\A(.*?)(\A|(?<=\r\n))\.\r\n//s or return undef;
		$text .= $1;
		$text =~ s/^\.\././mg;
		return $text;
	}
}

# USER and PASS; the reply to what was refused, or to PASS.
sub login {
	my ($self, $user, $password) = @_;
	my $reply = $self->say("USER $user");

	return $reply unless defined $reply && $reply =~ /^\+OK/;
	return $self->say("PASS $password");
}

sub stls {
	my ($self) = @_;
	my $reply = $self->say('STLS');

	$self->tls if defined $reply && $reply =~ /^\+OK/;
	return $reply;
}

# The UIDs, by number.
sub uids {
	my ($self) = @_;
	return { map { split ' ' } @{$self->list('UIDL') // []} };
}

1;
