#!/usr/bin/perl
# packetboat-smtp is stopped and killed at any moment, and shares the work with another of its kind: nothing is lost, and nothing
# comes twice but what a server had been given when the kill came.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Sink;
use Time::HiRes qw(sleep);

my $net = Hosts->new;
my $a = $net->host('a');
my $sink = Sink->new(offers => ['PIPELINING', '8BITMIME', 'CHUNKING']);
my $count = $Hosts::sanitized ? 60 : 200;

$a->configure(sprintf qq{route "far.example" { via = "smtp:%s" }\nsmtp { poll = 1h }\n}, $sink->address);

# COUNT messages named NAME-1 … to DOMAIN, all at once.
sub hand_in {
	my ($host, $name, $domain, $count) = @_;
	my $failed = 0;
	for my $i (1 .. $count) {
		my $sent = $host->sendmail("Subject: $name-$i\n\nhello\n", '-i', '-f', "ann\@$host->{domain}", "$name-$i\@$domain");
		$failed++ if $sent->{code};
	}
	is($failed, 0, "$count messages handed in: $name");
}

# How often each message of NAME was taken by the sink.
sub counts {
	my ($name) = @_;
	my %seen;
	$seen{$_}++ for grep { /^\Q$name\E-/ } map { @{$_->{to}} } $sink->taken;
	return \%seen;
}

# ---- stopped and killed ------------------------------------------------------------------------------------

hand_in($a, 'term', 'far.example', $count / 2);
for my $round (1 .. 15) {
	my $daemon = Courier->start($a);
	sleep 0.02 + rand 0.1;
	# One that has not begun to listen to signals dies of it.
	like($daemon->stop, qr/^(?:0|143)$/, "stopped ($round)") or diag($daemon->err);
	last if keys %{counts('term')} == $count / 2;
}
deliver($a);
my $seen = counts('term');
is(scalar keys %$seen, $count / 2, 'stopped again and again: nothing is lost');
is(scalar(grep { $_ > 1 } values %$seen), 0, 'nothing comes twice');

hand_in($a, 'kill', 'far.example', $count);
my $kills = 0;
srand 1;
while ($kills < 20) {
	my $daemon = Courier->start($a);
	sleep 0.01 + rand 0.15;
	last unless $daemon->alive;
	$daemon->stop('KILL');
	$kills++;
	last if keys %{counts('kill')} == $count;
}
my $run = deliver($a);
is($run->{code}, 0, "after $kills kills the rest is delivered") or diag($run->{err});
$seen = counts('kill');
is(scalar keys %$seen, $count, 'nothing is lost');
my $twice = 0;
$twice += $_ - 1 for values %$seen;
# What was given out, or taken and not yet written down: 40 deliveries to a destination, and a group of results.
cmp_ok($twice, '<=', $kills * 128, "no more comes twice than was under way ($twice in $kills kills)");
is(scalar $a->waiting, 0, 'nothing waits');
$net->fsck('fsck content after the kills');

# ---- two at once -------------------------------------------------------------------------------------------

hand_in($a, 'two', 'far.example', $count / 2);
my $failed = Hosts::together(map { sub { deliver($a)->{code} == 0 } } 1 .. 2);
is($failed, 0, 'two at once');
deliver($a);
$seen = counts('two');
is(scalar keys %$seen, $count / 2, 'they share the work: nothing is lost');
is(scalar(grep { $_ > 1 } values %$seen), 0, 'nothing comes twice');

$net->done;
