# Sink: a mail server on a free port of loopback that plays what a test gives it, for the tests under `prove`.
#
#	my $sink = Sink->new(
#		offers => ['PIPELINING', 'SIZE 10000'],      lines of EHLO; default: PIPELINING and 8BITMIME
#		lmtp => 1, path => "$dir/socket",            LMTP; at a path instead of a port
#		address => '127.0.0.2', port => NUMBER,      default: 127.0.0.1, a free one
#		lockstep => 1,                               what comes before its turn is an offence, and ends the session
#		say => {
#			GREETING => '421 not now',           replies, by verb; TEXT is the answer to the text, also by BDAT
#			RCPT => sub { my ($s, $line) = @_; $line =~ /bad/ ? '550 5.1.1 nobody' : undef },
#		});                                          undef: the usual; "drop": closes, also behind a reply: "220 go on\ndrop"; {after => seconds, say => ...}
#	$sink->port, $sink->address                          "127.0.0.1:PORT"
#	$sink->messages                                      {session, from, to => [...], text, reply} of each text that was whole
#	$sink->taken                                         those answered by 2xx
#	$sink->commands                                      all lines of all sessions, in order of sessions
#	$sink->sessions                                      how many there were
#	$sink->wait(3)                                       until so many messages were taken; false when it takes too long
#	$sink->stop
#
# A script's $s is a hash of the session: number, from, to; what it puts there lives as long as the session. Each session is a
# process of its own, so that a slow one holds up no other.
package Sink;

use strict;
use warnings;
use Child;
use File::Temp ();
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

sub new {
	my ($class, %options) = @_;
	my $self = bless {%options, dir => File::Temp->newdir('packetboat-sink-XXXXXX', TMPDIR => 1)}, $class;
	my $socket = $self->{path}
	    ? IO::Socket::UNIX->new(Local => $self->{path}, Listen => 100)
	    : IO::Socket::IP->new(LocalAddr => $self->{address} // '127.0.0.1', LocalPort => $self->{port} // 0, Listen => 100, ReuseAddr => 1);
	die "cannot listen: $!\n" unless $socket;
	$self->{port} = $socket->sockport unless $self->{path};
	$self->{child} = Child->new('sink', sub { $self->serve($socket) });
	return $self;
}

sub port { return $_[0]{port} }
sub address { return $_[0]{path} // ($_[0]{address} // '127.0.0.1') . ":$_[0]{port}" }

sub stop { delete $_[0]{child} }

# ---- what was seen -----------------------------------------------------------------------------------------

# What was noted of each session, a list of [what, text...] for each.
sub notes {
	my ($self) = @_;
	my @sessions;

	opendir my $in, $self->{dir} or return ();
	for my $number (sort { $a <=> $b } grep { /^\d+$/ } readdir $in) {
		open my $file, '<:raw', "$self->{dir}/$number" or next;
		push @sessions, [map { /\n\z/ ? JSON::PP::decode_json($_) : () } <$file>];
	}
	return @sessions;
}

sub sessions { return scalar(my @all = $_[0]->notes) }
sub commands { return map { $_->[1] } grep { $_->[0] eq 'line' } map { @$_ } $_[0]->notes }
sub offences { return map { $_->[1] } grep { $_->[0] eq 'offence' } map { @$_ } $_[0]->notes }

sub messages {
	my ($self) = @_;
	my @messages;
	my $number = 0;

	for my $session ($self->notes) {
		$number++;
		for my $note (@$session) {
			push @messages, {session => $number, %{$note->[1]}} if $note->[0] eq 'message';
		}
	}
	return @messages;
}

sub taken { return grep { grep { /^2/ } @{$_->{reply}} } $_[0]->messages }

sub wait {
	my ($self, $count, $seconds) = @_;
	my $limit = time + ($seconds // 30) * ($ENV{SAN} ? 4 : 1);

	while (time < $limit) {
		return 1 if $self->taken >= $count;
		sleep 0.05;
	}
	return 0;
}

# ---- in the children ---------------------------------------------------------------------------------------

sub serve {
	my ($self, $socket) = @_;
	my $parent = getppid;
	my $number = 0;

	while (getppid == $parent) {
		my $ready = '';
		vec($ready, fileno $socket, 1) = 1;
		next unless select($ready, undef, undef, 1);
		my $peer = $socket->accept // next;
		my $pid = fork // die "cannot fork: $!\n";
		$number++;
		next if $pid;
		close $socket;
		open my $log, '>>:raw', "$self->{dir}/$number" or die "$!\n";
		$log->autoflush(1);
		eval { $self->session({peer => $peer, log => $log, number => $number, input => '', to => []}) };
		print STDERR "# sink: $@" if $@ && $@ ne "over\n";
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

sub note {
	my ($s, @what) = @_;
	print { $s->{log} } JSON::PP->new->canonical->latin1->encode([@what]) . "\n";
}

sub more {
	my ($s) = @_;
	my $got = sysread $s->{peer}, $s->{input}, 65536, length $s->{input};
	return if $got;
	note($s, 'end');
	die "over\n";
}

sub read_line {
	my ($s) = @_;
	more($s) until $s->{input} =~ s/\A(.*?)\r\n//s;
	return $1;
}

sub answer {
	my ($self, $s, $verb, $line, $usual) = @_;
	my $say = $self->{say}{$verb};
	$say = $say->($s, $line) if ref $say eq 'CODE';
	$say //= $usual;
	if (ref $say eq 'HASH') {
		sleep $say->{after};
		$say = $say->{say} // $usual;
	}
	if ($say eq 'drop') {
		note($s, 'dropped', $verb);
		die "over\n";
	}
	return $say;
}

sub say_it {
	my ($s, $text) = @_;
	note($s, 'said', $text);
	my $bytes = join '', map { "$_\r\n" } split /\n/, $text;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $s->{peer}, $bytes;
}

sub hello {
	my ($self) = @_;
	my @lines = ('sink', @{$self->{offers} // ['PIPELINING', '8BITMIME']});
	my $last = pop @lines;
	return join "\n", (map { "250-$_" } @lines), "250 $last";
}

# The answers to a whole text: one, or for LMTP one for each recipient.
sub finish {
	my ($self, $s, $text) = @_;
	my @for = $self->{lmtp} ? @{$s->{to}} : ('');
	my @replies;

	note($s, 'text');
	for my $recipient (@for) {
		my $reply = eval { $self->answer($s, 'TEXT', $recipient, '250 2.0.0 taken') };
		if (!defined $reply) {
			note($s, 'message', {from => $s->{from}, to => $s->{to}, text => $text, reply => [@replies, 'dropped']});
			die $@;
		}
		push @replies, $reply;
	}
	note($s, 'message', {from => $s->{from}, to => $s->{to}, text => $text, reply => [@replies]});
	say_it($s, $_) for @replies;
	delete $s->{from};
	$s->{to} = [];
	$s->{chunks} = '';
}

sub read_data {
	my ($s) = @_;
	my $text = '';
	while (1) {
		my $line = read_line($s);
		return $text if $line eq '.';
		$line =~ s/^\.//;
		$text .= "$line\r\n";
	}
}

sub read_chunk {
	my ($s, $size) = @_;
	more($s) while length $s->{input} < $size;
	return substr $s->{input}, 0, $size, '';
}

sub session {
	my ($self, $s) = @_;

	say_it($s, $self->answer($s, 'GREETING', '', '220 sink.example ESMTP'));
	while (1) {
		my $line = read_line($s);
		my ($verb, $rest) = $line =~ /^(\S+)\s*(.*)$/;
		$verb = uc($verb // '');
		note($s, 'line', $line);
		if ($verb eq 'BDAT') {
			my ($size, $last) = $rest =~ /^(\d+)(?:\s+(LAST))?$/i;
			$s->{chunks} = ($s->{chunks} // '') . read_chunk($s, $size);
			my $refused = !defined $s->{from} || !@{$s->{to}};
			if ($refused) {
				say_it($s, '503 5.5.1 nobody to send to');
			} elsif ($last) {
				$self->finish($s, $s->{chunks});
			} else {
				say_it($s, '250 go on');
			}
			next;
		}
		if ($self->{lockstep} && length $s->{input}) {
			note($s, 'offence', "$line, and before its answer: $s->{input}");
			die "over\n";
		}
		my $usual = $verb =~ /^(?:EHLO|LHLO)$/ ? $self->hello : $verb eq 'DATA' ? '354 go on' : $verb eq 'QUIT' ? '221 bye'
		    : $verb =~ /^(?:HELO|MAIL|RCPT|RSET|NOOP)$/ ? '250 2.0.0 ok' : '502 5.5.1 what?';
		$usual = '503 5.5.1 nobody to send to' if $verb eq 'DATA' && !@{$s->{to}};
		my $reply = $self->answer($s, $verb, $line, $usual);
		if ($verb eq 'MAIL' && $reply =~ /^2/) {
			($s->{from}) = $rest =~ /<(.*?)>/;
			$s->{to} = [];
			$s->{chunks} = '';
		}
		push @{$s->{to}}, $rest =~ /<(.*?)>/ if $verb eq 'RCPT' && $reply =~ /^2/;
		if ($verb eq 'RSET') {
			delete $s->{from};
			$s->{to} = [];
		}
		my $last = $reply =~ s/\ndrop\z//;
		say_it($s, $reply);
		die "over\n" if $last;
		$self->finish($s, read_data($s)) if $verb eq 'DATA' && $reply =~ /^3/;
		die "over\n" if $verb eq 'QUIT' || $reply =~ /^421/;
	}
}

1;
