# One message of SIZE megabytes (64) crosses A - B - C, and no program ever has more than 32 MB resident.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

plan(skip_all => 'memory cannot be judged under a sanitizer') if $Hosts::sanitized;
my $megabytes = $ENV{SIZE} || 64;
my $limit = 32 * 1024;
my $net = Hosts->new(disk => 1);
my ($a, $b, $c) = $net->three;
my $peak = $net->dir . '/peak';
my $most = 0;

$Hosts::deadline = 120 + 3 * $megabytes;

sub measured {
	my ($what, $host, $options, @argv) = @_;
	my $result = $host->run($options, Hosts::support('peak'), $peak, @argv);
	my $kilobytes = Hosts::slurp($peak) || 0;

	chomp $kilobytes;
	is($result->{code}, 0, $what) or diag($result->{err});
	cmp_ok($kilobytes, '>', 0, '... was measured');
	cmp_ok($kilobytes, '<=', $limit, "... within 32 MB ($kilobytes kB)");
	$most = $kilobytes if $kilobytes > $most;
	return $kilobytes;
}

# Lines as of an attachment in base64, not to be compressed much, with a count in each block so that none is like
# another; written and hashed in pieces.
my $source = $net->dir . '/source';
my $digest = Digest::SHA->new(256);
{
	my @letters = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '+', '/');
	my $block = CORE::join("\n", map { CORE::join('', map { $letters[rand @letters] } 1 .. 76) } 1 .. 13600) . "\n";
	open my $out, '>:raw', $source or die "$source: $!\n";
	my $piece = "From: ann\@a.example\nSubject: large\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <large\@a.example>\n\n";
	for my $number (1 .. $megabytes) {
		print $out $piece or die "$source: $!\n";
		$digest->add($piece);
		$piece = sprintf("%08d\n", $number) . $block;
	}
	print $out $piece or die "$source: $!\n";
	$digest->add($piece);
	close $out or die "$source: $!\n";
}
my $wanted = $digest->hexdigest;
my $size = -s $source;

my @relay = (Hosts::program('packetboat-relay'), '-c');
measured('sendmail takes it', $a, {in => \$source, env => {PACKETBOAT_CONF => $a->conf}}, Hosts::program('packetboat-sendmail'), '-i',
    '-f', 'ann@a.example', 'carol@c.example');
unlink $source;
measured('pass at ' . $_->name, $_, {}, @relay, $_->conf, 'run') for ($a, $b, $c, $b, $a);
measured('list at A', $a, {}, Hosts::program('packetboat'), '-c', $a->conf, 'list');

my ($file) = Hosts::files($c->spool('mail/carol/new'));
ok(defined $file, 'it is in the mailbox') or $file = '/dev/null';
my $edge = (-s $file) - $size;
cmp_ok($edge, '>', 0, '... with the edge headers');
if ($edge > 0) {
	open my $in, '<:raw', $file or die "$file: $!\n";
	seek $in, $edge, 0;
	is(Digest::SHA->new(256)->addfile($in)->hexdigest, $wanted, '... unaltered');
}
is(scalar($a->waiting), 0, 'acknowledged at A');
is(scalar($b->waiting), 0, '... and at B');
# What is compressed as well as can be, and a large text: that takes more memory than what passes through.
my @words = map { CORE::join('', map { chr(97 + int rand 26) } 1 .. 2 + rand 9) } 1 .. 3000;
for my $octets (1_450_000, 20_000_000) {
	my $head = "From: ann\@a.example\nSubject: words\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$octets\@a.example>\n\n";
	my $text = '';

	$text .= CORE::join(' ', map { $words[rand @words] } 1 .. 10) . "\n" while length $text < $octets;
	$a->mail('bob@b.example', "$head$text");
	measured("pass at A with $octets octets of words", $a, {}, @relay, $a->conf, 'run');
	measured('pass at B', $b, {}, @relay, $b->conf, 'run');
	my ($words) = Hosts::files($b->spool('mail/bob/new'));
	ok(defined $words && substr(Hosts::slurp($words), -length $text) eq $text, 'the words arrive');
	unlink $words if defined $words;
}
# Envelopes that are much larger than what is in them.
for my $number (1 .. 6) {
	my @recipients = map { sprintf '%s.%d@b.example', 'r' x 50, $_ } 1 .. 10_000;
	$a->mail(\@recipients, "From: ann\@a.example\nSubject: $number\n\nhi\n");
}
# They count as what is to be compressed, which takes less memory than as well as can be.
cmp_ok(measured('pass at A with 60,000 recipients', $a, {}, @relay, $a->conf, 'run'), '<', 26 * 1024, '... and 26 MB');
measured('pass at B, which knows none of them', $b, {}, @relay, $b->conf, 'run');
diag("$megabytes MB, at most $most kB resident");
$net->done;
