# Pop: a POP3 server on a free port of loopback that plays what a test gives it, for the tests under `prove`. What lies in its box
# lives on the disk, so it outlives sessions and cuts; deletions happen at QUIT alone.
#
#	my $pop = Pop->new(
#		messages => ["Subject: x\n\nHello\n", ...],  more with add(text); lines end with LF here and with CRLF there
#		capa => ['TOP', 'UIDL', 'USER'],              undef: it does not know CAPA; default: these and PIPELINING, SASL PLAIN
#		uids => sub { my ($name, $number) = @_; ...}, default: the name of the message; undef: it does not know UIDL
#		top => 0,                                     it does not know TOP
#		login => ['user', 'secret'],                  default: ann and secret
#		cut => sub { my ($session) = @_; ... },       after so many octets of output the connection is gone; undef: never
#		cut_file => PATH,                             the same, the number in a file, for each session that finds one
#		octets => sub { my ($text, $name) = @_; ... }, what LIST says
#		keep => 1,                                    says that it has deleted, and does not
#		stuff => 0,                                   does not double the dots at the beginning of lines
#		say => {QUIT => 'drop', ...});                as Sink has it; "commit drop" for QUIT: deletes, and does not answer
#	$pop->port, $pop->address                             "127.0.0.1:PORT"
#	$pop->names, $pop->texts                              what lies there
#	$pop->commands, $pop->sessions, $pop->retrieved       lines of all sessions; how many; names of messages that were sent whole
#	$pop->reset                                           the messages that it began with
#	$pop->stop
package Pop;

use strict;
use warnings;
use Child;
use File::Temp ();
use IO::Socket::IP;
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();
use Time::HiRes qw(sleep time);

sub new {
	my ($class, %options) = @_;
	my $self = bless {capa => [qw(TOP UIDL USER PIPELINING), 'SASL PLAIN'], top => 1, uids => sub { $_[0] },
		login => ['ann', 'secret'], %options, dir => File::Temp->newdir('packetboat-pop-XXXXXX', TMPDIR => 1), serial => 0}, $class;
	mkdir "$self->{dir}/$_" for qw(box log);
	$self->add($_) for @{$self->{messages} // []};
	my $socket = IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port} // 0, Listen => 100, ReuseAddr => 1);
	die "cannot listen: $!\n" unless $socket;
	$self->{port} = $socket->sockport;
	$self->{child} = Child->new('pop', sub { $self->serve($socket) });
	return $self;
}

sub port { return $_[0]{port} }
sub address { return "127.0.0.1:$_[0]{port}" }

# Lays a message there; its name.
sub add {
	my ($self, $text, $name) = @_;
	$name //= sprintf 'm%06d', ++$self->{serial};
	open my $file, '>:raw', "$self->{dir}/box/$name" or die "$!\n";
	print {$file} $text;
	close $file;
	return $name;
}

# As it was in the beginning.
sub reset {
	my ($self) = @_;
	$self->remove($_) for $self->names;
	$self->{serial} = 0;
	$self->add($_) for @{$self->{messages} // []};
}

sub remove { unlink "$_[0]{dir}/box/$_[1]" }

sub stop { delete $_[0]{child} }

# ---- what is there, and what was seen ----------------------------------------------------------------------

sub names {
	my ($self) = @_;
	opendir my $in, "$self->{dir}/box" or return ();
	return sort grep { !/^\./ } readdir $in;
}

sub text_of {
	my ($self, $name) = @_;
	open my $file, '<:raw', "$self->{dir}/box/$name" or return;
	local $/;
	return scalar <$file>;
}

sub texts { my ($self) = @_; return map { $self->text_of($_) } $self->names }

sub notes {
	my ($self) = @_;
	my @sessions;

	opendir my $in, "$self->{dir}/log" or return ();
	for my $number (sort { $a <=> $b } grep { /^\d+$/ } readdir $in) {
		open my $file, '<:raw', "$self->{dir}/log/$number" or next;
		push @sessions, [map { /\n\z/ ? JSON::PP::decode_json($_) : () } <$file>];
	}
	return @sessions;
}

sub sessions { return scalar(my @all = $_[0]->notes) }
sub commands { return map { $_->[1] } grep { $_->[0] eq 'line' } map { @$_ } $_[0]->notes }
sub retrieved { return map { $_->[1] } grep { $_->[0] eq 'sent' } map { @$_ } $_[0]->notes }

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
		open my $log, '>>:raw', "$self->{dir}/log/$number" or die "$!\n";
		$log->autoflush(1);
		my $cut = $self->{cut} ? $self->{cut}->($number) : undef;
		if ($self->{cut_file} && open my $file, '<', $self->{cut_file}) {
			$cut = <$file>;
			chomp $cut if defined $cut;
		}
		eval { $self->session({peer => $peer, log => $log, number => $number, input => '', cut => $cut, deleted => {},
			bare => exists $self->{stuff} && !$self->{stuff}}) };
		print STDERR "# pop: $@" if $@ && $@ ne "over\n";
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

sub note {
	my ($s, @what) = @_;
	print { $s->{log} } JSON::PP->new->canonical->latin1->encode([@what]) . "\n";
}

sub over {
	my ($s) = @_;
	close $s->{peer};
	die "over\n";
}

sub more {
	my ($s) = @_;
	over($s) unless sysread $s->{peer}, $s->{input}, 65536, length $s->{input};
}

sub read_line {
	my ($s) = @_;
	more($s) until $s->{input} =~ s/\A(.*?)\r\n//s;
	return $1;
}

# Writes, but not beyond the octet at which the connection is cut.
sub put {
	my ($s, $bytes) = @_;
	my $cut = defined $s->{cut} && length $bytes >= $s->{cut};

	$bytes = substr $bytes, 0, $s->{cut} if $cut;
	$s->{cut} -= length $bytes if defined $s->{cut};
	while (length $bytes) {
		my $sent = syswrite $s->{peer}, $bytes;
		over($s) unless $sent;
		substr $bytes, 0, $sent, '';
	}
	over($s) if $cut;
}

sub multi {
	my ($s, $first, $lines) = @_;
	put($s, join '', map { "$_\r\n" } $first, (map { /^\./ && !$s->{bare} ? ".$_" : $_ } @$lines), '.');
}

sub lines_of {
	my ($text) = @_;
	my @lines = split /\r?\n/, $text, -1;
	pop @lines if @lines && $lines[-1] eq '';
	return @lines;
}

sub octets {
	my ($self, $name) = @_;
	my $text = $self->text_of($name) // '';
	return $self->{octets}->($text, $name) if $self->{octets};
	my $size = 0;
	$size += 2 + length for lines_of($text);
	return $size;
}

sub session {
	my ($self, $s) = @_;
	my ($user, $inside);
	my @names;

	put($s, ($self->said($s, 'GREETING', '') // '+OK pop.example') . "\r\n");
	while (1) {
		my $line = read_line($s);
		my ($verb, $rest) = $line =~ /^(\S+)\s*(.*)$/;
		$verb = uc($verb // '');
		note($s, 'line', $line);
		my $said = $self->said($s, $verb, $line);
		if (defined $said) {
			over($s) if $said eq 'drop';
			if ($said eq 'commit drop') {
				$self->commit($s, \@names);
				over($s);
			}
			put($s, "$said\r\n");
			next;
		}
		if ($verb eq 'CAPA') {
			$self->{capa} ? multi($s, '+OK', $self->{capa}) : put($s, "-ERR what?\r\n");
		} elsif ($verb eq 'USER') {
			$user = $rest;
			put($s, "+OK\r\n");
		} elsif ($verb eq 'PASS' || $verb eq 'AUTH') {
			my @given = ($user // '', $rest);
			if ($verb eq 'AUTH') {
				my ($initial) = $rest =~ /^PLAIN\s+(\S+)$/i;
				if (!defined $initial || $initial eq '=') {
					put($s, "+ \r\n");
					$initial = read_line($s);
				}
				(undef, @given) = split /\0/, MIME::Base64::decode_base64($initial);
			}
			$inside = "@given" eq "@{$self->{login}}";
			@names = $self->names if $inside;
			put($s, $inside ? "+OK\r\n" : "-ERR [AUTH] no\r\n");
		} elsif ($verb eq 'QUIT') {
			$self->commit($s, \@names);
			put($s, "+OK\r\n");
			over($s);
		} elsif (!$inside) {
			put($s, "-ERR not now\r\n");
		} else {
			$self->transaction($s, $verb, $rest, \@names);
		}
	}
}

sub said {
	my ($self, $s, $verb, $line) = @_;
	my $say = ($self->{say} // {})->{$verb};
	$say = $say->($s, $line) if ref $say eq 'CODE';
	if (ref $say eq 'HASH') {
		sleep $say->{after};
		$say = $say->{say};
	}
	return $say;
}

sub commit {
	my ($self, $s, $names) = @_;
	unlink "$self->{dir}/box/$names->[$_ - 1]" for $self->{keep} ? () : keys %{$s->{deleted}};
	note($s, 'committed', scalar keys %{$s->{deleted}});
}

sub transaction {
	my ($self, $s, $verb, $rest, $names) = @_;
	my @there = grep { !$s->{deleted}{$_} } 1 .. @$names;
	my ($number, $lines) = split ' ', $rest;
	my $name = defined $number && $number =~ /^\d+$/ && $number >= 1 && !$s->{deleted}{$number} ? $names->[$number - 1] : undef;

	if ($verb eq 'STAT') {
		my $all = 0;
		$all += $self->octets($names->[$_ - 1]) for @there;
		put($s, '+OK ' . @there . " $all\r\n");
	} elsif ($verb eq 'NOOP') {
		put($s, "+OK\r\n");
	} elsif ($verb eq 'LIST' && !defined $number) {
		multi($s, '+OK', [map { "$_ " . $self->octets($names->[$_ - 1]) } @there]);
	} elsif ($verb eq 'LIST' && defined $name) {
		put($s, "+OK $number " . $self->octets($name) . "\r\n");
	} elsif ($verb eq 'UIDL' && !defined $number && $self->{uids}) {
		multi($s, '+OK', [map { "$_ " . $self->{uids}->($names->[$_ - 1], $_) } @there]);
	} elsif ($verb eq 'RETR' && defined $name) {
		multi($s, '+OK', [lines_of($self->text_of($name))]);
		note($s, 'sent', $name);
	} elsif ($verb eq 'TOP' && defined $name && $self->{top}) {
		my @all = lines_of($self->text_of($name));
		my ($end) = grep { $all[$_] eq '' } 0 .. $#all;
		my $last = ($end // $#all) + $lines;
		multi($s, '+OK', [@all[0 .. ($last > $#all ? $#all : $last)]]);
	} elsif ($verb eq 'DELE' && defined $name) {
		$s->{deleted}{$number} = 1;
		put($s, "+OK\r\n");
	} else {
		put($s, "-ERR what?\r\n");
	}
}

1;
