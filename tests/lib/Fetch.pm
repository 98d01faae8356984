# Fetch: packetboat-fetch at a host, for the tests under `prove`.
#
#	box($host, 'provider', $pop->address, 'to = "bob"', ...);  appends a section; the password is "secret" in a file of its own
#	my $run = fetch($host, ARG...);                             {code, out, err, signal}; {env => ...} may come first
#	my @subjects = subjects($host, 'bob');                      passes, and what is in the box then, sorted
#	message('one', 'body of it');                               text with a header
package Fetch;

use strict;
use warnings;
use Exporter qw(import);
use Hosts;

our @EXPORT = qw(box fetch subjects message once_each);

# What is lost in libraries is not ours to mend.
$ENV{LSAN_OPTIONS} //= "suppressions=$Hosts::top/tests/lsan.supp:print_suppressions=0" if $Hosts::sanitized;

sub box {
	my ($host, $name, $server, @options) = @_;
	my $file = $host->dir . '/password';

	if (!-e $file) {
		Hosts::spew($file, "secret\n");
		chmod 0600, $file;
	}
	unshift @options, 'user = "ann"' unless grep { /^user / } @options;
	unshift @options, 'password = "password"' unless grep { /^password / } @options;
	$host->configure(join "\n", qq{fetch "$name" \{}, qq{\tserver = "$server"}, (map { "\t$_" } @options), "}\n");
}

sub fetch {
	my ($host, @args) = @_;
	my $options = ref $args[0] eq 'HASH' ? shift @args : {};
	return $host->run($options, Hosts::program('packetboat-fetch'), '-c', $host->conf, @args);
}

sub subjects {
	my ($host, $user) = @_;
	$host->pass;
	return sort map { $_->{head} =~ /^Subject: (.*)$/m ? $1 : '?' } $host->mailbox($user);
}

sub message {
	my ($subject, $body, @fields) = @_;
	return join '', map { "$_\n" } 'Return-Path: <sender@far.example>', @fields, 'From: Sender <sender@far.example>', "Subject: $subject",
	    'Date: Mon, 23 Nov 2026 02:51:19 +0000', "Message-ID: <$subject\@far.example>", '', $body // "This is $subject.";
}

# What is not exactly once in a list that should have all of @$wanted.
sub once_each {
	my ($wanted, @found) = @_;
	my %count;
	$count{$_}++ for @found;
	return ((map { "$_ " . ($count{$_} // 0) . ' times' } grep { ($count{$_} // 0) != 1 } @$wanted),
		grep { my $one = $_; !grep { $_ eq $one } @$wanted } sort keys %count);
}

1;
