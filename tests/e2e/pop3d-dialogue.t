# The dialogues that hold the POP3 engine to its protocol (tests/dialogue/pop3), played against the live daemon with real
# Maildirs: in lock-step, and all at once. Everything is compared but the sentences behind -ERR, which are the driver's.
# Scripts that need a driver of their own (its refusals, TLS) are the engine's alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Pop3;
use POSIX ();
use Test::More;

my $net = Hosts->new;

# \{TEXT*COUNT} first, since TEXT may have escapes of its own.
sub unescape {
	my ($text) = @_;
	my %letters = (r => "\r", n => "\n", t => "\t", '\\' => '\\');

	$text =~ s/(\\\\)|\\\{(.*?)\*(\d+)\}/defined $1 ? $1 : $2 x $3/ge;
	$text =~ s/\\(?:x([0-9A-Fa-f]{2})|([rnt\\]))/defined $1 ? chr hex $1 : $letters{$2}/ge;
	return $text;
}

# A script: {steps => [C => bytes] and [S => line], users => [name, password], messages => [own or not, text], errors}; or
# why it is not for us.
sub parse {
	my ($path) = @_;
	my %script = (steps => [], users => [], messages => []);

	for (split /\n/, Hosts::slurp($path)) {
		if (/^C: ?(.*)/) {
			push @{$script{steps}}, [C => unescape($1) . "\r\n"];
		} elsif (/^C- ?(.*)/) {
			push @{$script{steps}}, [C => unescape($1)];
		} elsif (/^S: ?(.*)/) {
			my $text = unescape($1) =~ s/\r\n\z//r;
			push @{$script{steps}}, map { [S => $_] } length $text ? split(/\r\n/, $text, -1) : '';
		} elsif (/^! user (\S+) (.*)/) {
			push @{$script{users}}, [$1, $2];
		} elsif (/^! (message|mixed) ?(.*)/) {
			push @{$script{messages}}, [$1 eq 'message', unescape($2)];
		} elsif (/^! max-errors (\d+)/) {
			$script{errors} = $1;
		} elsif (/^! clear/) {
			$script{clear} = 1;
		} elsif (/^! (\S+)/ && $1 ne 'watch') {
			return "its driver has \"$1\"";
		}
	}
	return 'nobody may log in without TLS' unless $script{clear};
	return 'it speaks of TLS, which is offered here' if grep { $_->[0] eq 'C' && $_->[1] =~ /STLS/i } @{$script{steps}};
	return \%script;
}

# What a user of this host can be called and have for a password.
sub add_users {
	my ($host, $script) = @_;

	for my $user (@{$script->{users}}) {
		my ($name, $password) = @$user;
		return "\"$name\" cannot be a user here" if $name =~ /[^a-z]/ || $password =~ /[\r\n]/ || $password eq '';
		my $result = $host->packetboat({in => "$password\n"}, 'user', 'add', $name);
		return "no user $name: $result->{err}" if $result->{code} != 0;
	}
	return undef;
}

# The Maildirs as the script has them.
sub refill {
	my ($host, $script) = @_;

	for my $user (map { $_->[0] } @{$script->{users}}) {
		my $box = Pop3->maildir($host, $user);
		my $number = 0;
		unlink glob "$box/new/* $box/packetboat-pop3.index";
		for my $message (@{$script->{messages}}) {
			my ($own, $text) = @$message;
			$host->{pop3_filled} = $number;
			Pop3->fill($host, $user, $text) if $own;
			Hosts::spew(sprintf("%s/new/%d.other", $box, 1700000000 + $number), $text) unless $own;
			$number++;
		}
	}
}

# What is wrong with LINE, if WANTED should come.
sub differs {
	my ($line, $wanted, $uids) = @_;

	return 'nothing came' unless defined $line;
	$line = "$1 uid$1" if $line =~ /^(\d+) (\S{16})$/;
	$line = "+OK $1 uid$1" if $line =~ /^\+OK (\d+) (\S{16})$/;
	# Of -ERR, the code.
	$_ =~ s/^(-ERR(?: \[\S+\])?).*/$1/ for $line, $wanted;
	return undef if $wanted =~ /^(.*)\*\z/s ? index($line, $1) == 0 : $line eq $wanted;
	return "\"$line\" came";
}

sub play {
	my ($port, $steps, $whole, $from) = @_;
	my $client = Pop3::Client->new($port, quiet => 1, from => $from) or return 'cannot connect';
	my $writer;

	if ($whole) {
		$writer = fork // die;
		if ($writer == 0) {
			$client->send(join '', map { $_->[1] } grep { $_->[0] eq 'C' } @$steps);
			$client->shut;
			POSIX::_exit(0);
		}
	}
	my $wrong;
	for my $step (@$steps) {
		if ($step->[0] eq 'C') {
			$client->send($step->[1]) unless $whole;
			next;
		}
		my $line = $client->line;
		# The daemon always offers TLS; the scripts that do not speak of it do not.
		$line = $client->line if ($line // '') eq 'STLS';
		$wrong = differs($line, $step->[1]);
		$wrong = "\"$step->[1]\" is wanted, and $wrong" if defined $wrong;
		last if defined $wrong;
	}
	waitpid $writer, 0 if $writer;
	$wrong //= 'more is said than there should be' if $whole && defined $client->line;
	$client->close;
	return $wrong;
}

my $played = 0;
my $hosts = 0;
for my $path (grep { /\.txt$/ } Hosts::files("$Hosts::top/tests/dialogue/pop3")) {
	my ($name) = $path =~ m{([^/]+)\.txt$};
	my $script = parse($path);
	if (!ref $script) {
		note("$name: not played: $script");
		next;
	}
	my $host = $net->host('h' . $hosts++);
	my $why = add_users($host, $script);
	if (defined $why) {
		note("$name: not played: $why");
		next;
	}
	my $pop3d = Pop3->serve($host, more => "\tname = \"mx.example\"\n\terrors = " . ($script->{errors} // 10000) . "\n") or next;
	for my $whole (0, 1) {
		refill($host, $script);
		is(play($pop3d->port('pop3'), $script->{steps}, $whole, "127.0.4." . (1 + $whole)), undef, $name . ($whole ? ', whole' : ', in lock-step'));
	}
	$pop3d->done;
	$played++;
}
cmp_ok($played, '>', 20, "$played scripts were played");
$net->done;
