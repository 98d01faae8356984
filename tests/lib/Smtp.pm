# Smtp: packetboat-smtpd of a host, and a client that does exactly what it is told.
#
#	use Hosts; use Smtp;
#
#	my $smtpd = Smtp->serve($a, listen => {smtp => '', submission => ''}, more => qq{idle = 2s\n});
#	my $client = Smtp::Client->new($smtpd->port('smtp'));     the greeting is in {greeting}
#	$client->say('EHLO client.example');                      the whole reply, with "\n"; undef: closed
#	$client->mail('eve@far.example', ['ann@a.example'], $text);
#	Smtp->missing('swaks')                                    why a test is skipped, or nothing
package Smtp;

use strict;
use warnings;
use Hosts;
use Test::More import => [qw(ok diag)];

# The section smtpd of HOST is written, and the daemon started. LISTEN names services, each with an address (default
# 127.0.0.1:0; lmtp: a socket in the host's directory). MORE: further lines of the section.
sub serve {
	my ($class, $host, %options) = @_;

	$host->configure($class->section($host, %options));
	return $class->start($host, %options);
}

# The text of the section.
sub section {
	my ($class, $host, %options) = @_;
	my $listen = $options{listen} // {smtp => ''};
	my @listen = map {
		my $where = $listen->{$_} || ($_ eq 'lmtp' ? $host->dir . '/lmtp' : '127.0.0.1:0');
		qq{"$_:$where"};
	} sort keys %$listen;

	return "smtpd {\n\tlisten = { " . CORE::join(', ', @listen) . " }\n" . ($options{more} // '') . "}\n";
}

# The daemon of a host that is configured. It is a Hosts::Daemon with the ports besides.
sub start {
	my ($class, $host, %options) = @_;
	my $daemon = $host->start({env => $options{env} // {}}, 'packetboat-smtpd', '--foreground');

	ok($daemon, 'packetboat-smtpd at ' . $host->name . ' is ready') or return undef;
	bless $daemon, 'Smtp::Daemon';
	return $daemon;
}

# A program that is not here, of NAMES, as a reason to skip; undef when all are.
sub missing {
	my ($class, @names) = @_;

	for my $name (@names) {
		next if grep { -x "$_/$name" } split(/:/, $ENV{PATH} // ''), qw(/usr/sbin /usr/lib/git-core);
		return "$name is not installed (.ci/peers installs it)";
	}
	return undef;
}

sub missing_module {
	my ($class, $module) = @_;
	return eval "require $module; 1" ? undef : "perl's $module is not installed (.ci/peers installs it)";
}

package Smtp::Daemon;

use strict;
use warnings;

our @ISA = ('Hosts::Daemon');

# Where SERVICE is listened at: a port, or the path of a socket. The last that the log tells of.
sub port {
	my ($self, $service) = @_;
	my @lines = $self->log_text =~ / listening \S+ address=(\S+) service=\Q$service\E$/mg;

	die "nobody listens for $service\n" unless @lines;
	return $lines[-1] =~ /:(\d+)$/ ? $1 : $lines[-1];
}

package Smtp::Client;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Test::More import => [qw(diag)];
use Time::HiRes qw(time);

# Connects to PORT of 127.0.0.1, or a path, and reads the greeting. Options: from => address of ours, tls => 1 (from the first octet), quiet => 1
# (does not wait for the greeting).
sub new {
	my ($class, $port, %options) = @_;
	my $socket = $port =~ m{^/}
	    ? IO::Socket::UNIX->new(Peer => $port)
	    : IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp',
		LocalAddr => $options{from}, Timeout => $Hosts::deadline);

	return undef unless $socket;
	my $self = bless {socket => $socket, in => ''}, $class;
	$socket->autoflush(1);
	$self->tls if $options{tls};
	$self->{greeting} = $self->reply unless $options{quiet};
	return $self;
}

# TLS over the connection, whoever the server may be.
sub tls {
	my ($self) = @_;
	require IO::Socket::SSL;
	my $secured = IO::Socket::SSL->start_SSL($self->{socket}, SSL_verify_mode => 0);

	die 'TLS failed: ' . IO::Socket::SSL::errstr() . "\n" unless $secured;
	return $self->{tls} = 1;
}

sub fill {
	my ($self, $until) = @_;
	my $bytes;

	unless ($self->{tls} && $self->{socket}->pending) {
		return 0 unless IO::Select->new($self->{socket})->can_read($until - time > 0 ? $until - time : 0);
	}
	my $got = sysread $self->{socket}, $bytes, 65536;
	return 1 if !defined $got && $!{EAGAIN};
	$self->{over} = 1 unless $got;
	$self->{in} .= $bytes if $got;
	return $got ? 1 : 0;
}

# The next line, without CRLF; undef when the connection is over, or after SECONDS.
sub line {
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // $Hosts::deadline);

	while ($self->{in} !~ /\n/) {
		next if $self->fill($until);
		diag('the server said nothing in time') if !$self->{over} && !defined $seconds;
		return undef;
	}
	$self->{in} =~ s/\A([^\n]*)\n// or return undef;
	(my $line = $1) =~ s/\r\z//;
	return $line;
}

# The next reply, all its lines joined by "\n"; undef when there is none.
sub reply {
	my ($self, $seconds) = @_;
	my @lines;

	do {
		push @lines, $self->line($seconds);
		return undef unless defined $lines[-1];
	} while ($lines[-1] =~ /^\d\d\d-/);
	return CORE::join("\n", @lines);
}

sub send {
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $at = 0;

	while ($at < length $bytes) {
		my $sent = syswrite $self->{socket}, $bytes, length($bytes) - $at, $at;
		return 0 unless defined $sent;
		$at += $sent;
	}
	return 1;
}

# Sends a command; its reply.
sub say {
	my ($self, $line) = @_;
	$self->send("$line\r\n");
	return $self->reply;
}

# EHLO, STARTTLS, EHLO; the reply to the last.
sub starttls {
	my ($self, $name) = @_;
	$self->say('EHLO ' . ($name // 'client.example'));
	my $reply = $self->say('STARTTLS') // '';
	return $reply unless $reply =~ /^220/;
	$self->tls;
	return $self->say('EHLO ' . ($name // 'client.example'));
}

sub login {
	my ($self, $user, $password) = @_;
	require MIME::Base64;
	return $self->say('AUTH PLAIN ' . MIME::Base64::encode_base64("\0$user\0$password", ''));
}

# What goes over the line for TEXT: CRLF, and dots stuffed.
sub wire {
	my ($text) = @_;
	$text =~ s/(?<!\r)\n/\r\n/g;
	$text =~ s/^\./../mg;
	return $text;
}

# A whole transaction, command by command; the reply that ended it.
sub mail {
	my ($self, $from, $to, $text, @parameters) = @_;
	my $reply = $self->say(CORE::join(' ', "MAIL FROM:<$from>", @parameters)) // '';

	return $reply unless $reply =~ /^2/;
	for my $recipient (@$to) {
		$reply = $self->say("RCPT TO:<$recipient>") // '';
		return $reply unless $reply =~ /^2/;
	}
	$reply = $self->say('DATA') // '';
	return $reply unless $reply =~ /^3/;
	$self->send(wire($text) . ".\r\n");
	return $self->reply // '';
}

# Is the connection closed by the server, now or soon?
sub closed {
	my ($self) = @_;
	my $until = time + $Hosts::deadline;

	1 while !$self->{over} && $self->fill($until);
	return $self->{over} ? 1 : 0;
}

# Ends what we send, and still listens.
sub shut {
	my ($self) = @_;
	shutdown $self->{socket}, 1;
}

sub quit {
	my ($self) = @_;
	my $reply = $self->say('QUIT');
	close $self->{socket};
	return $reply;
}

sub close {
	my ($self) = @_;
	CORE::close $self->{socket};
}

1;
