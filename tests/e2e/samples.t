# The sample configurations in packetboat.conf(5) are those of tests/data, word for word, but for the keys; and those are
# read by `packetboat check` without a mistake (which would be exit status 78).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

my $page = Hosts::slurp("$Hosts::top/queue/packetboat.conf.5");
my $net = Hosts->new;

for (['leaf', 'A leaf'], ['hub', 'A hub'], ['gateway', 'A gateway']) {
	my ($name, $lead) = @$_;
	my ($shown) = $page =~ /^\Q$lead\E,.*?^\.Bd -literal.*?\n(.*?)^\.Ed/ms;
	my $sample = Hosts::slurp("$Hosts::top/tests/data/$name.conf");

	$shown = '' unless defined $shown;
	$sample =~ s/\A#[^\n]*\n\n//;
	$sample =~ s/^\t# What "packetboat key"[^\n]*\n//m;
	$sample =~ s/\$\{PACKETBOAT_KEY_[^}]*\}/pb1.../g;
	is($shown, $sample, "$name: the manual shows the sample");

	my $dir = $net->dir . "/$name";
	mkdir $dir or die "$dir: $!\n";
	Hosts::spew("$dir/packetboat.conf", $shown);
	my $result = Hosts::execute({scratch => $net->dir . '/run', dir => $dir, env => {PATH => $ENV{PATH}}},
		"$Hosts::build/bin/packetboat", '-c', "$dir/packetboat.conf", 'check');
	unlike($result->{out} . $result->{err}, qr/packetboat\.conf:\d+: (?!the key of|(?:destination|fetch) .* is not there\b)/, "$name: no mistake in it");
}
done_testing;
