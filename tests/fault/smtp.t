#!/usr/bin/perl
# Delivering to a server, killed, or out of disk, at every change that it makes to the file system: each recipient gets the
# mail, the sender hears of the one that is refused exactly once, and a failing disk alone sends nothing twice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Courier;
use Hosts;
use Sink;
use Sweep;
use Test::More;

my @good = map { "good$_\@far.example" } 1 .. 3;

sub sweep {
	my ($kind) = @_;
	my $net = Hosts->new;
	my $a = $net->host('a');
	my $sink = Sink->new(say => {RCPT => sub { $_[1] =~ /bad/ ? '550 5.1.1 nobody' : undef }});
	my $kept = $net->dir . '.kept';
	my $restore = sub { Hosts::copy_tree($kept, $net->dir) };
	my $run = sub { deliver($a, {env => {PACKETBOAT_FAULT => $_[0]}}) };
	my $seen = 0;

	$a->user('ann');
	$a->configure(sprintf qq{retry-min = 1s\nroute "*" { via = "smtp:%s" }\n}, $sink->address);
	$a->mail([@good[0, 1], 'bad@far.example'], Sweep::text('m1'));
	$a->mail([$good[2], 'ann@a.example'], Sweep::text('m2'));
	Hosts::copy_tree($net->dir, $kept);
	my $last = Sweep::changes($restore, $run);
	cmp_ok($last, '>', 10, "it makes $last changes");
	for my $at (Sweep::positions($last)) {
		my $fault = sprintf $kind, $at;
		$restore->();
		$seen = $sink->taken;
		$run->($fault);
		deliver($a, {env => {PACKETBOAT_CLOCK_OFFSET => 7200 * $_}}) for 0 .. 2;
		my %count;
		my @new = $sink->taken;
		$count{$_}++ for map { @{$_->{to}} } @new[$seen .. $#new];
		my @mail = $a->mailbox('ann');
		my $reports = grep { $_->{bytes} =~ /bad\@far\.example/ } @mail;
		my $once = $kind =~ /^kill/ ? !(grep { ($count{$_} // 0) < 1 } @good) : !(grep { ($count{$_} // 0) != 1 } @good);
		my $fsck = $a->packetboat('fsck');
		next if ok($once && $reports == 1 && @mail == 2 && $fsck->{code} == 0 && !$a->waiting, $fault);
		diag(explain \%count, "mail: " . @mail . ", reports: $reports", $fsck->{out}, $a->packetboat('list')->{out}, $a->log_text);
		last;
	}
	system('rm', '-rf', $kept);
}

sweep('kill:%d');
sweep('fail:%d:28');
done_testing;
