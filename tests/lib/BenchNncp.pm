# BenchNncp: two hosts of NNCP in two directories, for the benchmark of calls. As BenchUucp; a message is a packet for
# `nncp-exec`, which compresses it, and a batch one packet of batch SMTP. Settings are its defaults.
#
#	my $why_not = BenchNncp::missing();
#	my $nncp = BenchNncp->new($bench, $dir, batch => 0);
package BenchNncp;

use strict;
use warnings;
use Bench;
use BenchMail;
use File::Path qw(make_path);
use Hosts;

sub missing {
	return 'is not installed (Debian: nncp)' if grep { !Bench::found($_) } qw(nncp-cfgnew nncp-exec nncp-call nncp-daemon nncp-toss);
	return undef;
}

sub version {
	my ($version) = `nncp-call -version 2>&1` =~ /version (\S+)/;
	return $version // '?';
}

sub new {
	my ($class, $bench, $dir, %options) = @_;
	my $self = bless {bench => $bench, dir => $dir, %options}, $class;
	my %keys;

	make_path("$dir/there/got", map { "$dir/$_/spool" } qw(here there));
	Hosts::spew("$dir/keep", qq{#!/bin/sh\nexec /bin/cat >"$dir/there/got/\$1"\n});
	chmod 0755, "$dir/keep";
	$keys{$_} = {`nncp-cfgnew -nocomments` =~ /^ {4}(\w+): ([A-Z2-7]+)$/mg} for qw(here there);
	$self->host(@$_, \%keys) for ['here', 'there'], ['there', 'here'];
	return $self;
}

sub host {
	my ($self, $name, $other, $keys) = @_;
	my $dir = "$self->{dir}/$name";
	my $public = sub { my $of = $keys->{$_[0]}; return join '', map { "\t\t\t$_: $of->{$_}\n" } qw(id exchpub signpub noisepub) };
	my $self_keys = join '', map { "\t\t$_: $keys->{$name}{$_}\n" } sort keys %{$keys->{$name}};

	Hosts::spew("$dir/config", <<"END");
{
	spool: $dir/spool
	log: $dir/log
	noprogress: true
	self: {
$self_keys	}
	neigh: {
		self: {
@{[$public->($name)]}		}
		$other: {
@{[$public->($other)]}			exec: {keep: ["$self->{dir}/keep"]}
		}
	}
}
END
}

sub nncp { my ($self, $program, $host) = @_; return ("nncp-$program", '-quiet', '-cfg', "$self->{dir}/$host/config") }

sub hand_in {
	my ($self, @messages) = @_;

	if ($self->{batch}) {
		Hosts::spew("$self->{dir}/batch", BenchMail::batch(@messages));
		@messages = {name => 'batch', path => "$self->{dir}/batch"};
	}
	for my $message (@messages) {
		my $result = Hosts::execute({scratch => "$self->{dir}/exec", in => \$message->{path}}, $self->nncp('exec', 'here'), 'there', 'keep',
			$message->{name});
		return "nncp-exec: status $result->{code} $result->{err}" if $result->{code} != 0;
	}
	return undef;
}

sub answerer { return ($_[0]->nncp('daemon', 'there'), '-ucspi') }
sub caller { my ($self, $port) = @_; return ($self->nncp('call', 'here'), 'there', "127.0.0.1:$port") }
sub unpacker { return $_[0]->nncp('toss', 'there') }

sub lacks {
	my ($self, @messages) = @_;
	my $got = "$self->{dir}/there/got";

	return BenchMail::lacks_kept($got, @messages) unless $self->{batch};
	my $batch = Hosts::slurp("$got/batch") // return 'nothing came';
	return $batch eq BenchMail::batch(@messages) ? undef : 'the batch is damaged';
}

1;
