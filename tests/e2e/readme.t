# The five minutes of the README: the blocks fenced as ```sh setup are run as they stand, in one shell, in an empty
# directory, with the programs on the path; the last of them must leave the mail delivered.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

my $readme = Hosts::slurp("$Hosts::top/README.md");
my @blocks = defined $readme ? $readme =~ /^```sh setup\s*\n(.*?)^```\s*$/msg : ();
plan(skip_all => 'README.md has no block marked "sh setup"') unless @blocks;

my $net = Hosts->new;
my $home = $net->dir . '/home';
mkdir $home or die "$home: $!\n";
my $script = "set -eu\n" . CORE::join("\n", @blocks);
Hosts::spew($net->dir . '/setup.sh', $script);
my $result = Hosts::execute({scratch => $net->dir . '/run', dir => $home,
	env => {PATH => "$Hosts::build/bin:$ENV{PATH}", HOME => $home}}, 'sh', '-e', $net->dir . '/setup.sh');
is($result->{code}, 0, 'every command succeeds') or diag($result->{out}, $result->{err});
is($result->{err}, '', 'nothing on standard error');
my @mail = grep { m{/mail/[^/]+/new/} } Hosts::files($home);
cmp_ok(scalar(@mail), '>=', 1, 'mail was delivered') or diag($result->{out});
done_testing;
