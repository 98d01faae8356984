# Everything at once: programs hand in mail at both ends while several relay passes run on every host and an operator
# lists, holds and releases. Nothing is lost, nothing arrives twice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

my $each = 30;
my $net = Hosts->new;
my ($a, $b, $c) = my @hosts = $net->three;

sub text {
	return "From: ann\@a.example\nSubject: $_[0]\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$_[0]\@x.example>\n\nHello\n";
}

# Hands in its share, each message once; "try again" is an answer that a program obeys.
sub writer {
	my ($host, $mark, $recipient) = @_;
	return sub {
		for my $number (1 .. $each) {
			my $code = 75;
			for (1 .. 20) {
				$code = $host->sendmail(text("$mark$number"), '-i', '-f', "x\@$host->{domain}", $recipient)->{code};
				last if $code != 75;
			}
			die "$mark$number: status $code\n" if $code != 0;
		}
		return 1;
	};
}

sub mover {
	my ($host) = @_;
	return sub {
		for (1 .. 15) {
			my $pass = $host->pass;
			die "pass at $host->{name}: status $pass->{code}: $pass->{err}\n" if $pass->{code} != 0 && $pass->{code} != 75;
		}
		return 1;
	};
}

sub operator {
	my ($host) = @_;
	return sub {
		for (1 .. 10) {
			my $list = $host->packetboat('list', '--json');
			die "list at $host->{name}: status $list->{code}: $list->{err}\n" if $list->{code} != 0;
			my @ids = $list->{out} =~ /"id": ?"([^"]+)"/g;
			next if !@ids;
			my $id = $ids[rand @ids];
			# It may be gone when the command looks for it; that is an error told, and no harm.
			$host->packetboat($_, $id) for qw(hold release retry);
		}
		return 1;
	};
}

my $failed = Hosts::together(writer($a, 'p', 'carol@c.example'), writer($a, 'q', 'carol@c.example'),
	writer($c, 'r', 'ann@a.example'), (map { mover($_), mover($_) } @hosts), operator($b), operator($a));
is($failed, 0, 'all of them could work');
for my $host (@hosts) {
	my %ids = map { $_->{id} => 1 } $host->waiting('--hop', 'hold');
	$host->packetboat('release', $_) for keys %ids;
}
$net->passes(@hosts, 5);

my %count;
for my $case ([$c, 'carol'], [$a, 'ann']) {
	my ($host, $user) = @$case;
	$count{$_->{head} =~ /^Subject: (.*)$/m ? $1 : '?'}++ for $host->mailbox($user);
}
my %wanted = map { my $mark = $_; map { ("$mark$_" => 1) } 1 .. $each } qw(p q r);
is_deeply(\%count, \%wanted, 'every message arrived exactly once');
is(scalar($_->waiting), 0, 'nothing waits at ' . $_->name) for @hosts;
$net->done;
