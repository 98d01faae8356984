# The POP3 server's machine against the scripts in pop3/: each in lock-step, whole, octet by octet and cut at random.
use strict;
use warnings;
use FindBin;
use Test::More;

my $build = $ENV{BUILD} || "$FindBin::Bin/../../build/release";
my $program = "$build/support/dialogue";
my @scripts = sort glob "$FindBin::Bin/pop3/*.txt";

cmp_ok(scalar(@scripts), '>', 0, 'there are scripts');
for my $script (@scripts) {
	my ($name) = $script =~ m{([^/]+)\.txt$};
	my @wrong;
	my $ways = 0;

	open my $out, '-|', $program, 'pop3', $script or BAIL_OUT("cannot run $program: $!");
	while (my $line = <$out>) {
		chomp $line;
		if ($line =~ /^# (.*)/) {
			push @wrong, $1;
		} elsif ($line =~ /^(ok|not ok) \S+, (.*)/) {
			ok($1 eq 'ok', "$name, $2") or diag($_) for @wrong ? @wrong : ('');
			@wrong = ();
			$ways++;
		}
	}
	close $out;
	is($? & 127, 0, "$name leaves by itself");
	cmp_ok($ways, '>=', 9, "$name was played every way");
}
done_testing;
