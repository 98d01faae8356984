# `packetboat-relay listen`: more places than there is room for.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use Test::More;
use Time::HiRes qw(sleep time);

my $relay = Hosts::program('packetboat-relay');

subtest 'more places than there is room for' => sub {
	my $net = Hosts->new;
	my $host = $net->host('b');
	my @listen = ($relay, '-c', $host->conf, 'listen', '--foreground');
	my $conf = Hosts::slurp($host->conf);

	for (['a path', map { $net->dir . "/socket$_" } 1 .. 40], ['an address', ('127.0.0.1:0') x 33]) {
		my ($what, @places) = @$_;
		Hosts::spew($host->conf, $conf . sprintf "relay {\n\tlisten = { %s }\n}\n", join ', ', map { qq{"$_"} } @places);
		my $result = $host->run({kill_after => 20}, @listen);
		is($result->{code}, 78, "$what too many is a mistake");
		like($result->{err}, qr{cannot listen at \Q$places[32]\E: too many places}, 'which is told');
	}
	Hosts::spew($host->conf, $conf);
	my $script = q{use POSIX (); POSIX::dup2(0, $_) for 3 .. 35;
		$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 33; exec @ARGV;};
	my $result = $host->run({kill_after => 20}, $^X, '-e', $script, @listen);
	is($result->{code}, 78, 'a socket too many of systemd, too');
	like($result->{err}, qr{systemd hands over 33 sockets; at most 32}, 'is told');
	$net->done;
};

done_testing;
