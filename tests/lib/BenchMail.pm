# BenchMail: messages of the corpus for benchmarks in which several programs carry the same mail.
#
#	my $why_not = BenchMail::missing($corpus);
#	my @messages = BenchMail::choose($corpus, 1000, $dir);   {name, path, bytes} each; undef when there are too few
#	my $text = BenchMail::batch(@messages);                  batch SMTP (RFC 2442)
#	my $trouble = BenchMail::lacks_kept($dir, @messages);    what is not in $dir, each under its name, as it was
#
# The name is the message's sender. The order is drawn (by a digest of each file's path), the same in every run. The first one is
# of about the median size, so that it stands for a message by itself. What no mail server takes is left out, and so is what
# is larger than 256 kB: one such would be all that a row shows.
package BenchMail;

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Hosts;

my $largest = 256 * 1024;
my ($median_least, $median_most) = (4000, 5000);

sub missing {
	my ($corpus) = @_;
	return "there is no corpus at $corpus (CORPUS=DIR names one)" unless -d $corpus;
	return undef;
}

# Without the line that begins a message in an mbox, and with the line ends of Unix.
sub content {
	my ($path) = @_;
	my $bytes = Hosts::unix_form(Hosts::slurp($path));

	$bytes =~ s/\A(?:>From [^\n]*\n)*// if $bytes =~ s/\AFrom [^\n]*\d\d:\d\d[^\n]*\n//;
	return $bytes;
}

sub is_mail {
	my ($bytes) = @_;
	return length $bytes <= $largest && $bytes =~ /\A[!-9;-~]+:/ && $bytes =~ /\n\n/ && $bytes !~ /[\0\r]/ && $bytes =~ /\n\z/
		&& $bytes !~ /[^\n]{990}/;
}

sub choose {
	my ($corpus, $count, $dir) = @_;
	my @files = sort { sha256_hex(substr $a, length $corpus) cmp sha256_hex(substr $b, length $corpus) }
		grep { /\.eml$/ } Hosts::files($corpus);
	my (@messages, $first);

	for my $file (@files) {
		my $bytes = content($file);
		next unless is_mail($bytes);
		my $median = length $bytes >= $median_least && length $bytes <= $median_most;
		if (!$first && $median) {
			unshift @messages, $first = {bytes => $bytes};
		} elsif (@messages < $count) {
			push @messages, {bytes => $bytes};
		}
		last if $first && @messages >= $count;
	}
	return undef if @messages < $count;
	$#messages = $count - 1;
	for my $number (1 .. $count) {
		my $message = $messages[$number - 1];
		$message->{name} = sprintf 's%04d@here.example', $number;
		$message->{path} = "$dir/$message->{name}";
		Hosts::spew($message->{path}, $message->{bytes});
	}
	return @messages;
}

sub batch {
	my @parts = ('EHLO here.example');

	for my $message (@_) {
		my $content = $message->{bytes} =~ s/^\./../mgr =~ s/\n/\r\n/gr;
		push @parts, "MAIL FROM:<$message->{name}>", 'RCPT TO:<bob@there.example>', 'DATA', "$content.";
	}
	return join "\r\n", @parts, 'QUIT', '';
}

sub lacks_kept {
	my ($dir, @messages) = @_;
	my %wanted = map { $_->{name} => $_->{bytes} } @messages;
	my @names = Hosts::names($dir);
	my $good = grep { defined $wanted{$_} && Hosts::slurp("$dir/$_") eq $wanted{$_} } @names;

	return undef if $good == @messages && @names == @messages;
	return "$good of " . @messages . ' messages came' . (@names > $good ? ', and others' : '');
}

1;
