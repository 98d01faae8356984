# Dialogues: a server's machine against the scripts of a directory, each in lock-step, whole, octet by octet and cut at random,
# by tests/support/dialogue.c.
#
#	Dialogues::play('smtp');                      tests/dialogue/smtp/*.txt
package Dialogues;

use strict;
use warnings;
use Hosts;
use Test::More;

# Ways in which a script is played at least.
my $least = 9;

sub play {
	my ($protocol) = @_;
	my @scripts = sort glob "$Hosts::top/tests/dialogue/$protocol/*.txt";

	cmp_ok(scalar(@scripts), '>', 0, 'there are scripts');
	play_script($protocol, $_) for @scripts;
	done_testing;
}

sub play_script {
	my ($protocol, $script) = @_;
	my ($name) = $script =~ m{([^/]+)\.txt$};
	my @wrong;
	my $ways = 0;

	open my $out, '-|', Hosts::support('dialogue'), $protocol, $script or BAIL_OUT("cannot run the dialogue: $!");
	while (my $line = <$out>) {
		chomp $line;
		if ($line =~ /^# (.*)/) {
			push @wrong, $1;
		} elsif ($line =~ /^(ok|not ok) \S+, (.*)/) {
			ok($1 eq 'ok', "$name, $2") or diag(join "\n", @wrong);
			@wrong = ();
			$ways++;
		}
	}
	close $out;
	is($? & 127, 0, "$name leaves by itself");
	cmp_ok($ways, '>=', $least, "$name was played every way");
}

1;
