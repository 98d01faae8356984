# Carry: the corpus ($CORPUS) from A through B to C, every message with a sender of its own by which it is known again.
package Carry;

use strict;
use warnings;
use Hosts;
use Test::More;

# The messages: paths of all single-message files, at most $LIMIT of them (spread over the whole), if that is set.
sub messages {
	my $corpus = $ENV{CORPUS} // '';

	plan(skip_all => 'CORPUS is not set: no corpus to carry') if $corpus eq '';
	plan(skip_all => "there is no corpus at $corpus") unless -d $corpus;
	my @files = grep { /\.eml$/ } Hosts::files($corpus);
	plan(skip_all => "no messages (*.eml) below $corpus") unless @files;
	if (my $limit = $ENV{LIMIT}) {
		my $step = @files / $limit;
		@files = map { $files[int($_ * $step)] } 0 .. $limit - 1 if $step > 1;
	}
	return @files;
}

# Messages that no corpus has: NUL, bare CR, lines of 100 kB, empty body, no final newline.
sub oddities {
	my ($dir) = @_;
	my $head = "From: ann\@a.example\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <odd\@a.example>\nSubject: ";
	my %odd = (
		'nul' => "${head}nul\n\na\0b\0\n\0", 'bare-cr' => "${head}cr\n\nword\rword\r\rend\r\n\r\r\nx\r",
		'long-line' => "${head}long\n\n" . ('x' x 100_000) . "\n" . ("\0\xff" x 50_000) . "\n",
		'empty-body' => "${head}empty\n\n", 'no-body' => "${head}none\n", 'no-newline' => "${head}end\n\nno newline at the end",
		'crlf' => do { (my $t = "${head}crlf\n\nline\n.\n..\nlast\n") =~ s/\n/\r\n/g; $t },
		'crlf-no-newline' => do { (my $t = "${head}crlf\n\nline\nlast") =~ s/\n/\r\n/g; $t },
		'dots' => "${head}dots\n\n.\n..\n.\r\n\n.x\n", 'from' => "${head}from\n\nFrom here on\n>From there\n",
		'8bit' => "${head}\xc3\xa9 \xe9\n\n" . CORE::join('', map { chr } grep { $_ != 10 } 0 .. 255) . "\n",
		'many-newlines' => "${head}newlines\n\n" . ("\n" x 10_000), 'crcrlf' => "${head}crcrlf\n\na\r\r\nb\r\r\n",
	);
	my @paths;

	for my $name (sort keys %odd) {
		push @paths, "$dir/odd-$name.eml";
		Hosts::spew($paths[-1], $odd{$name});
	}
	return @paths;
}

# What is carried of a file: an mbox line at its beginning, and the ">From " lines behind it, are no part of the message.
sub content {
	my ($path) = @_;
	my $bytes = Hosts::slurp($path);

	$bytes =~ s/\A(?:>From [^\n]*\n)*// if $bytes =~ s/\AFrom [^\n]*\d\d:\d\d[^\n]*\n//;
	return $bytes;
}

# Hands in file number $number; remembers in $known->{sender} what must arrive, or in $refused why not.
sub hand_in {
	my ($host, $number, $path, $known, $refused) = @_;
	my $sender = sprintf 'm%05d@a.example', $number;
	my $result = $host->sendmail(\$path, '-i', '-f', $sender, 'carol@c.example');

	if ($result->{code} == 0) {
		$known->{$sender} = $path;
	} else {
		$refused->{$sender} = [$path, $result->{code}, $result->{err}];
	}
}

# Refused is only what is not acceptable as mail: status 65 and a sentence.
sub judge_refused {
	my ($refused) = @_;
	my @bad = grep { $_->[1] != 65 || $_->[2] !~ /^\S[^\n]+\n\z/ } values %$refused;

	is(scalar(@bad), 0, 'what was refused was refused with a reason');
	diag("refused $_->[0] with $_->[1]: $_->[2]") for @bad;
	note("refused $_->[0]: $_->[2]") for values %$refused;
	diag(scalar(keys %$refused) . ' refused') if %$refused;
}

# Every known message is in carol's Maildir exactly once, byte-identical behind the edge headers, and nothing else is.
sub judge_arrived {
	my ($host, $known) = @_;
	my (%count, @altered, @unknown);

	for my $path (Hosts::files($host->spool('mail/carol/new'))) {
		my $bytes = Hosts::slurp($path);
		my ($sender) = $bytes =~ /\AReturn-Path: <([^>]*)>\n/;
		if (!defined $sender || !defined $known->{$sender}) {
			push @unknown, $path;
			next;
		}
		$count{$sender}++;
		push @altered, "$known->{$sender} ($path)"
		    unless $host->same_content({bytes => $bytes}, content($known->{$sender}), 'additions');
	}
	my @lost = grep { !$count{$_} } sort keys %$known;
	my @twice = grep { $count{$_} > 1 } sort keys %count;

	is(scalar(keys %count), scalar(keys %$known), scalar(keys %$known) . ' messages arrived');
	is(scalar(@lost), 0, 'none is lost') or diag(map { "lost: $known->{$_}\n" } @lost > 10 ? @lost[0 .. 9] : @lost);
	is(scalar(@twice), 0, 'none arrived twice') or diag(map { "twice: $known->{$_}\n" } @twice > 10 ? @twice[0 .. 9] : @twice);
	is(scalar(@altered), 0, 'all are byte-identical') or diag(map { "altered: $_\n" } @altered > 10 ? @altered[0 .. 9] : @altered);
	is(scalar(@unknown), 0, 'nothing else arrived') or diag(map { "unknown: $_\n" } @unknown > 10 ? @unknown[0 .. 9] : @unknown);
}

# The whole way, sealed or sign-only.
sub all {
	my ($seal) = @_;
	my @files = messages();
	my $net = Hosts->new(disk => 1);
	my ($a, $b, $c) = $net->three(seal => $seal);
	my (%known, %refused);
	my $number = 0;

	$Hosts::deadline = 600;
	hand_in($a, ++$number, $_, \%known, \%refused) for oddities($net->dir), @files;
	judge_refused(\%refused);
	$net->passes($a, $b, $c, $b, $a, 2);
	judge_arrived($c, \%known);
	is(scalar($_->waiting), 0, 'nothing waits at ' . $_->name) for ($a, $b, $c);
	is(scalar(Hosts::files($a->spool('mail'))), 0, 'no report came back');
	$net->done;
}

1;
