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
# The largest content that is compressed as well as can be: that takes more memory than what passes through.
{
	my @words = map { CORE::join('', map { chr(97 + int rand 26) } 1 .. 2 + rand 9) } 1 .. 3000;
	my $text = "From: ann\@a.example\nSubject: words\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <words\@a.example>\n\n";
	my $least = length $text;

	$text .= CORE::join(' ', map { $words[rand @words] } 1 .. 10) . "\n" while length $text < 1_950_000;
	$a->mail('bob@b.example', $text);
	measured('pass at A with words', $a, {}, @relay, $a->conf, 'run');
	measured('pass at B', $b, {}, @relay, $b->conf, 'run');
	my ($words) = Hosts::files($b->spool('mail/bob/new'));
	ok(defined $words && Hosts::slurp($words) =~ /\Q@{[substr $text, $least]}\E\z/, 'the words arrive');
}
diag("$megabytes MB, at most $most kB resident");
$net->done;
