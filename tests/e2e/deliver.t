# Programs that deliver to live servers (tests/support/deliver.c stands for one), while relay passes, operator's commands and
# fsck go on beside them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

my $net = Hosts->new;
my $a = $net->host('a');
my $server = "$net->{dir}/server";
my $number = 40;

sub text { return "From: ann\@a.example\nSubject: $_[0]\n\nText.\n" }

sub good {
	my (@words) = @_;
	my $result = $a->packetboat(@words);
	is($result->{code}, 0, "packetboat @words") or diag($result->{out}, $result->{err});
	return $result->{out};
}

sub served {
	my %count;
	$count{$_}++ for split /\n/, Hosts::slurp($server) // '';
	return %count;
}

# Nobody there yet: mail waits as it is, and check says so.
$a->configure(qq{route "*" { via = "smtp" }\n});
$a->user('ann');
my $check = $a->packetboat('check');
is($check->{code}, 1, 'check warns');
like($check->{out}, qr/warning: route "\*" at .*goes via smtp, and no program that delivers so has run here yet/, '... of nobody there');
$a->mail('x@first.example', text('first'));
is($a->pass->{code}, 0, 'a pass');
is_deeply([map { "$_->{hop} $_->{state} $_->{attempts}" } $a->waiting], ['smtp ready 0'], '... leaves it alone');

# It is delivered, and check is content.
is($a->run({}, Hosts::support('deliver'), $a->conf, 'smtp', $server)->{code}, 0, 'somebody comes');
is(scalar($a->waiting), 0, '... and delivers it');
is($a->packetboat('check')->{code}, 0, 'check is content');

# Many messages, three programs, and everybody else at once.
for my $i (1 .. $number) {
	$a->mail(($i % 10 == 0 ? 'bad' : 'good') . "\@d$i.example", text("message $i"));
}
is($a->pass->{code}, 0, 'a pass');
is(scalar($a->waiting), $number, 'all wait');
my $until = time + 60;
my $busy = sub { return -e "$net->{dir}/done" || time > $until ? 0 : 1 };
my @deliver = map {
	sub {
		my $result = $a->run({}, Hosts::support('deliver'), $a->conf, 'smtp', $server, 20);
		die $result->{err} if $result->{code} != 0;
		return 1;
	}
} 1 .. 3;
my $failed = Hosts::together(
	sub {
		my $worse = Hosts::together(@deliver);
		Hosts::spew("$net->{dir}/done", '');
		return $worse == 0;
	},
	sub { while ($busy->()) { return 0 if $a->pass->{code} != 0 } return 1 },
	sub {
		while ($busy->()) {
			my $fsck = $a->packetboat('fsck', '--repair');
			die $fsck->{out} . $fsck->{err} if $fsck->{code} != 0;
			sleep 0.2;
		}
		return 1;
	},
	sub {
		while ($busy->()) {
			my $list = $a->packetboat('list');
			my ($id) = $list->{out} =~ /^(\S+)/;
			die $list->{err} if $list->{code} != 0;
			next if !defined $id;
			$a->packetboat($_, $id) for 'hold', 'release', 'retry';
		}
		return 1;
	});
is($failed, 0, 'all at once');

# Held ones were released; what a hold kept back is still there.
$a->packetboat('release', 'ALL');
for (1 .. 3) {
	$a->packetboat('retry', 'ALL');
	is($a->pass->{code}, 0, 'a pass');
	my $last = $a->run({}, Hosts::support('deliver'), $a->conf, 'smtp', $server);
	is($last->{code}, 0, 'the rest is delivered') or diag($last->{err});
}
is(scalar($a->waiting), 0, 'nothing waits');
my %served = served();
is(scalar(grep { /good/ } keys %served), $number - $number / 10, 'each reached the server');
is(scalar(grep { $_ > 1 } values %served), 0, '... once');
is(scalar($a->mailbox('ann')), $number / 10, 'each refusal came back once');
is_deeply([grep { /^work-/ } Hosts::names($a->spool('queue/smtp'))], [], 'no slot is left');

# What is being delivered is seen as such, and left alone.
$a->mail('slow@slow.example', text('slow'));
is($a->pass->{code}, 0, 'a pass');
my $looked = Hosts::together(
	sub { return $a->run({}, Hosts::support('deliver'), $a->conf, 'smtp', $server, 6000)->{code} == 0 },
	sub {
		for (1 .. 100) {
			my ($line) = split /\n/, $a->packetboat('list', '--json')->{out};
			my $waits = defined $line ? JSON::PP::decode_json($line) : {};
			sleep 0.05, next if ($waits->{state} // '') ne 'delivering';
			my $remove = $a->packetboat('remove', $waits->{id});
			die "remove: $remove->{code} $remove->{err}" if $remove->{code} != 75 || $remove->{err} !~ /is being delivered at this moment/;
			die 'list' if $a->packetboat('list')->{out} !~ /is being delivered/;
			die 'fsck' if $a->packetboat('fsck')->{out} !~ /1 record is being delivered at this moment/;
			return 1;
		}
		die "it is not seen in the slot\n";
	});
is($looked, 0, 'seen while it is being delivered');
is(scalar($a->waiting), 0, 'it is delivered');
$net->done;
