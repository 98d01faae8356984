# BenchUucp: two hosts of Taylor UUCP in two directories, for the benchmark of calls.
#
#	my $why_not = BenchUucp::missing();              a sentence; undef: it can be used
#	my $uucp = BenchUucp->new($bench, $dir, protocol => 'i', batch => 0);
#	my $trouble = $uucp->hand_in(@messages);         {name, path, bytes} each; "batch": all as one gzip'd file of batch SMTP
#	my @argv = $uucp->answerer;                      the far end of the line, on standard input and output
#	my @argv = $uucp->caller($port);                 calls by 127.0.0.1:PORT
#	my @argv = $uucp->unpacker;                      what the receiver runs then
#	my $trouble = $uucp->lacks(@messages);           what did not come, or not as it was; undef: all did
#
# Settings are Debian's defaults; `half_duplex => 1` is what the manual asks for on such a line. A message is a job for "rmail",
# as with mail servers that send by UUCP; here that only keeps what it gets.
package BenchUucp;

use strict;
use warnings;
use Bench;
use BenchMail;
use File::Path qw(make_path);
use Hosts;

my $uucico = '/usr/lib/uucp/uucico';

sub missing {
	return 'is not installed (Debian: uucp)' unless -x $uucico && Bench::found('uux') && Bench::found('uuxqt');
	return 'must be started by root' if $> != 0;
	return undef;
}

sub version {
	my ($version) = `$uucico --version 2>&1` =~ /(\d+\.\d+)/;
	return $version // '?';
}

sub new {
	my ($class, $bench, $dir, %options) = @_;
	my $self = bless {bench => $bench, dir => $dir, %options}, $class;

	$self->host(@$_) for ['here', 'there'], ['there', 'here'];
	for my $program (qw(rmail rcsmtp)) {
		Hosts::spew("$dir/there/bin/$program", qq{#!/bin/sh\nexec /bin/cat >"$dir/there/got/\$1"\n});
		chmod 0755, "$dir/there/bin/$program";
	}
	# Its programs change to that user.
	my $uid = getpwnam('uucp') // die "there is no user uucp\n";
	chown $uid, -1, map { ("$dir/$_", "$dir/$_/spool", "$dir/$_/pub", "$dir/$_/got") } qw(here there);
	return $self;
}

sub host {
	my ($self, $name, $other) = @_;
	my $dir = "$self->{dir}/$name";

	make_path(map { "$dir/$_" } qw(spool pub bin got));
	Hosts::spew("$dir/$_", '') for qw(port dial call passwd);
	Hosts::spew("$dir/sys", <<"END");
system $other
time any
address 127.0.0.1
port line
protocol $self->{protocol}
chat "" \\c
commands rmail rcsmtp
command-path $dir/bin
END
	Hosts::spew("$dir/config", <<"END");
nodename $name
spool $dir/spool
pubdir $dir/pub
lockdir $dir/spool
logfile $dir/log
statfile $dir/stats
debugfile $dir/debug
sysfile $dir/sys
portfile $dir/port
dialfile $dir/dial
callfile $dir/call
passwdfile $dir/passwd
run-uuxqt never
END
}

sub uux {
	my ($self, $program, $argument, $path) = @_;
	my $result = Hosts::execute({scratch => "$self->{dir}/uux", in => \$path}, 'uux', '-I', "$self->{dir}/here/config", '-r', '-',
		"there!$program", "($argument)");

	return $result->{code} == 0 ? undef : "uux: status $result->{code} $result->{err}";
}

sub hand_in {
	my ($self, @messages) = @_;

	if ($self->{batch}) {
		my $path = "$self->{dir}/batch";
		Hosts::spew($path, BenchMail::batch(@messages));
		system('gzip', '-9', '-f', '-n', $path) == 0 or return 'gzip failed';
		return $self->uux('rcsmtp', 'batch', "$path.gz");
	}
	for my $message (@messages) {
		my $trouble = $self->uux('rmail', $message->{name}, $message->{path});
		return $trouble if $trouble;
	}
	return undef;
}

sub answerer { return ($uucico, '-I', "$_[0]{dir}/there/config", '-q') }
sub unpacker { return ('uuxqt', '-I', "$_[0]{dir}/there/config") }

sub caller {
	my ($self, $port) = @_;

	Hosts::spew("$self->{dir}/here/port", "port line\ntype tcp\nservice $port\n" . ($self->{half_duplex} ? "half-duplex true\n" : ''));
	return ($uucico, '-I', "$self->{dir}/here/config", '-D', '-q', '-S', 'there');
}

sub lacks {
	my ($self, @messages) = @_;
	my $got = "$self->{dir}/there/got";

	return BenchMail::lacks_kept($got, @messages) unless $self->{batch};
	return 'nothing came' unless -e "$got/batch";
	return `gzip -dc '$got/batch' 2>/dev/null` eq BenchMail::batch(@messages) ? undef : 'the batch is damaged';
}

1;
