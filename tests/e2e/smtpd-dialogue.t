# The dialogues that hold the SMTP engine to its protocol (tests/dialogue/smtp), played against the live daemon: in lock-step,
# and all at once. Codes and enhanced status are compared; the sentences behind them are the driver's. Scripts that need a
# driver of their own (its refusals, TLS, passwords) are the engine's alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Smtp;
use Test::More;

my $net = Hosts->new;
my %daemons;      # by what is configured

# \{TEXT*COUNT} first, since TEXT may have escapes of its own.
sub unescape {
	my ($text) = @_;
	my %letters = (r => "\r", n => "\n", t => "\t", '\\' => '\\');

	$text =~ s/(\\\\)|\\\{(.*?)\*(\d+)\}/defined $1 ? $1 : $2 x $3/ge;
	$text =~ s/\\(?:x([0-9A-Fa-f]{2})|([rnt\\]))/defined $1 ? chr hex $1 : $letters{$2}/ge;
	return $text;
}

# The steps of a script, [C => bytes] and [S => reply]; or why it is not for us.
sub parse {
	my ($path) = @_;
	my (@steps, %options);

	for (split /\n/, Hosts::slurp($path)) {
		if (/^C: ?(.*)/) {
			push @steps, [C => unescape($1) . "\r\n"];
		} elsif (/^C- ?(.*)/) {
			push @steps, [C => unescape($1)];
		} elsif (/^S: ?(.*)/) {
			# The lines of one reply are one step, known by its last.
			for my $line (split /\r\n/, unescape($1)) {
				pop @steps if @steps && $steps[-1][0] eq 'S' && $steps[-1][1] =~ /^\d\d\d-(?!\.\.\.$)/;
				push @steps, [S => $line];
			}
		} elsif (/^! (service|max-size|max-messages|max-errors|normalise|etrn|starttls|watch)\b ?(.*)/) {
			$options{$1} = $2 eq '' ? 1 : $2;
		} elsif (/^! (\S+)/) {
			return "its driver has \"$1\"";
		}
	}
	my $client = join '', map { $_->[1] } grep { $_->[0] eq 'C' } @steps;
	return 'it speaks of what is offered otherwise here' if $client =~ /^(?:STARTTLS|AUTH|ETRN)\b/mi;
	delete @options{qw(etrn starttls watch)};
	return {steps => \@steps, options => \%options};
}

# The port of a daemon with OPTIONS.
sub place {
	my ($options) = @_;
	my $key = join ' ', map { "$_=$options->{$_}" } sort keys %$options;
	return $daemons{$key} if exists $daemons{$key};
	my $host = $net->host('h' . keys %daemons);
	my $service = ($options->{service} // 'relay') eq 'lmtp' ? 'lmtp' : 'smtp';

	$host->configure(qq{route "*" { via = "smtp" }\n} . (defined $options->{'max-size'} ? "max-size = $options->{'max-size'}\n" : ''));
	my $smtpd = Smtp->serve($host, listen => {$service => ''}, more => qq{\tname = "mx.example"\n\tnetworks = { "127.0.0.0/8" }\n\trecipients = 2000\n\terrors = }
	    . ($options->{'max-errors'} // 10000) . "\n" . ($options->{'max-messages'} ? "\tmessages = $options->{'max-messages'}\n" : '')
	    . ($options->{normalise} ? "\tnormalise = true\n" : ''));
	return $daemons{$key} = $smtpd ? $smtpd->port($service) : undef;
}

# Is REPLY what WANTED says? The code, and the status if one is given.
sub agrees {
	my ($reply, $wanted) = @_;
	my ($code) = $wanted =~ /^(\d\d\d)/ or return 1;
	my ($status) = $wanted =~ /^\d\d\d.(\d\.\d+\.\d+) /;

	return 0 unless defined $reply;
	my $last = (split /\n/, $reply)[-1];
	return 0 if substr($last, 0, 3) ne $code;
	# 2.x.x of the driver: which of them it says is its own.
	return 1 if !defined $status || $code =~ /^2/;
	return $last =~ /^\d\d\d.\Q$status\E / ? 1 : 0;
}

sub play {
	my ($port, $steps, $whole) = @_;
	my $client = Smtp::Client->new($port, quiet => 1) or return 'cannot connect';

	if ($whole) {
		my $pid = fork // die;
		if ($pid == 0) {
			$client->send(join '', map { $_->[1] } grep { $_->[0] eq 'C' } @$steps);
			$client->shut;
			POSIX::_exit(0);
		}
		waitpid $pid, 0;
	}
	for my $step (@$steps) {
		if ($step->[0] eq 'C') {
			$client->send($step->[1]) unless $whole;
			next;
		}
		my $reply = $client->reply;
		# Of recipients the daemon judges for itself.
		return 'skip' if $step->[1] =~ /^250/ && ($reply // '') =~ /^55\d 5\.[17]\.\d <[^>]*>: /;
		return "\"$step->[1]\" is wanted, and there is \"" . ($reply // 'nothing') . '"' unless agrees($reply, $step->[1]);
	}
	return 'more is said than there should be' if $whole && defined $client->reply;
	$client->close;
	return undef;
}

my $played = 0;
for my $path (grep { /\.txt$/ } Hosts::files("$Hosts::top/tests/dialogue/smtp")) {
	my ($name) = $path =~ m{([^/]+)\.txt$};
	my $script = parse($path);
	if (!ref $script) {
		note("$name: not played: $script");
		next;
	}
	my $port = place($script->{options}) or next;
	for my $whole (0, 1) {
		my $wrong = play($port, $script->{steps}, $whole);
		if (($wrong // '') eq 'skip') {
			note("$name: not played to the end: the daemon judges its recipients otherwise");
			last;
		}
		is($wrong, undef, $name . ($whole ? ', whole' : ', in lock-step'));
		$played++ if $whole;
	}
}
cmp_ok($played, '>', 0, "$played scripts were played");
$net->done;
