# What a slow line is used for: the octets and the turns of calls that carry 20 messages, over 9600 bit/s at half a second one
# way, and over half-duplex 2400 bit/s where a turn takes three seconds. The messages are those of CORPUS, where there is one.
# Counted on a line that runs SPEED (40) times as fast; SPEED=1 judges the time as well, and takes some three minutes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use List::Util qw(sum0);
use Test::More;

my $speed = $ENV{SPEED} || 40;
my $count = 20;
# Octets for a call beside its batches, and for each of them, with what a record and its confirmation take.
my ($spare, $overhead) = (600, 0.02);
$Hosts::deadline = 900;

# Small ones, as people on such links write them.
sub corpus {
	my $corpus = $ENV{CORPUS} // '';
	my @files = grep { /\.eml$/ && -s $_ > 500 && -s $_ < 6000 } $corpus ne '' && -d $corpus ? Hosts::files($corpus) : ();

	return if @files < $count;
	return map { Hosts::slurp($files[$_ * int(@files / $count)]) } 0 .. $count - 1;
}

my @messages = corpus();
note(@messages ? 'messages of the corpus' : 'CORPUS is not set, or has too little: messages of our own');
@messages = map { text("m$_", "Good morning,\n\n" . noise(700 + 100 * $_, $_)) } 1 .. $count if !@messages;

for my $case (
	{name => '9600 bit/s, 500 ms', line => {rate => 9600, delay => 500}, there_and_back => 1},
	{name => '2400 bit/s, half-duplex, 3 s', line => {rate => 2400, half_duplex => 1, turn => 3000, quiet => 300}, there_and_back => 6, more => "\tturn = 5m\n"},
) {
	my $net = Hosts->new;
	my ($a, $b) = pair($net, undef, more => $case->{more});
	my ($daemon, $port) = listens($b);
	my $line = Link->new(to => "127.0.0.1:$port", speed => $speed, %{$case->{line}});

	calls_at($a, 'tcp:' . $line->address);
	is($a->sendmail($_, '-i', '-f', 'ann@a.example', '--', 'bob@b.example')->{code}, 0, 'a message is taken') for @messages;
	is(call($a)->{code}, 0, "$case->{name}: the call ends well");
	my $report = $line->report(1);
	my $payload = last_call($a)->{sent};
	my $octets = sum0(values %{$report->{accepted}});
	my $time = 1.05 * $payload * 8 / $case->{line}{rate} + 3 * $case->{there_and_back};

	note(sprintf '%s: %d octets of batches, %d on the line, %d turn-arounds; %.1f s, at most %.1f', $case->{name}, $payload, $octets,
		$report->{turns}, $report->{seconds}, $time);
	cmp_ok($octets, '<', $payload * (1 + $overhead) + $spare, 'hardly more octets than those of the batches');
	cmp_ok($report->{turns}, '<=', 5, 'few turn-arounds');
	cmp_ok($report->{line_turns}, '<=', 6, 'and the line is turned round few times') if $case->{line}{half_duplex};
	cmp_ok($report->{seconds}, '<=', $time, 'in time') if $speed == 1;
	for (1 .. 200) {
		last if $b->mailbox('bob') == $count;
		select undef, undef, undef, 0.05;
	}
	is(scalar($b->mailbox('bob')), $count, 'all came');
	is(scalar($a->waiting), 0, 'and are acknowledged');
	$daemon->done;
	$net->fsck;
}
done_testing;
