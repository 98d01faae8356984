# What calls that are cut leave of batches: what fsck says of it, when it goes, and that what can be resumed stays.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Link;
use Test::More;

my $net = Hosts->new;
my ($a, $b) = pair($net, undef, more => "\tbatch-size = 10k\n");
my ($daemon, $port) = listens($b);

sub parts { return grep { /\.part$/ } Hosts::files($b->spool('in')) }

sub cut_call {
	my $line = Link->new(to => "127.0.0.1:$port", rate => 4_000_000, cut_after => 'forth:20000');
	my $before = calls_logged($b, 'answered');

	calls_at($a, 'tcp:' . $line->address);
	isnt(call($a)->{code}, 0, 'a call that is cut');
	ok(ended($b, 'answered', $before + 1), 'has ended');
}

sub fsck {
	my ($wanted, $name, @options) = @_;
	my $fsck = $b->packetboat('fsck', @options);

	like($fsck->{out}, $wanted, $name);
	return $fsck->{code};
}

subtest 'a part that can be resumed' => sub {
	$a->mail('bob@b.example', text('large', noise(60_000)));
	cut_call();
	is(scalar(parts()), 1, 'there is a part');
	is(fsck(qr/^note: \S+\.part holds \d+ octets of a batch; the next call goes on there$/m, 'fsck says what it is'), 0, 'and is content');
	is(fsck(qr/the next call goes on there/, 'fsck --repair as well', '--repair'), 0, 'and is content');
	is(scalar(parts()), 1, 'it is still there');
	is($b->pass->{code}, 0, 'a pass');
	is(scalar(parts()), 1, 'leaves it too');
	calls_at($a, "tcp:127.0.0.1:$port");
	is(call($a)->{code}, 0, 'a call');
	cmp_ok(last_call($a)->{sent}, '<', 45_000, 'goes on there');
	arrives($b, 'bob', 'large', 'the message is there');
	is(scalar(parts()), 0, 'and no part');
};

subtest 'parts of no use' => sub {
	$a->mail('bob@b.example', text('second', noise(60_000, 2)));
	cut_call();
	my ($part) = parts();
	my ($incarnation) = $part =~ m{/(\w+)\.\d+\.part$};
	my $known = $b->spool("in/a/$incarnation.1.part");

	Hosts::spew($known, 'x' x 100);
	Hosts::spew($b->spool('in/a/aaaaaaa.7.part'), 'x' x 100);
	is(fsck(qr/^note: \S+\.1\.part is of no use: all of it is here$/m, 'of a batch that was taken in'), 0, 'no fault');
	fsck(qr/^note: \S+aaaaaaa\.7\.part is of no use: the neighbour has begun a new incarnation$/m, 'of an incarnation that is no more');
	calls_at($a, "tcp:127.0.0.1:$port");
	is(call($a)->{code}, 0, 'a call');
	arrives($b, 'bob', 'large second', 'brings what is missing, once');
	is(scalar(parts()), 0, 'and takes all of them away');
	Hosts::spew($b->spool('in/a/aaaaaaa.7.part'), 'x' x 100);
	is(fsck(qr/aaaaaaa\.7\.part was removed: /, 'fsck --repair does, too', '--repair'), 0, 'and is content');
	is(scalar(parts()), 0, 'it is gone');
	Hosts::spew($b->spool('in/a/what.part'), 'x' x 100);
	is(fsck(qr{^error: \S+in/a/what\.part is no name that packetboat gives$}m, 'a name that nobody gave'), 1, 'is a fault');
	unlink $b->spool('in/a/what.part');
};

subtest 'a neighbour that is gone' => sub {
	$a->mail('bob@b.example', text('third', noise(60_000, 3)));
	cut_call();
	my $conf = Hosts::slurp($b->conf);
	Hosts::spew($b->conf, $conf =~ s/^neighbour "a" \{\n.*?^\}\n//msr =~ s/^route.*\n//mr);
	fsck(qr/\.part is of no use: the host is no neighbour any more$/m, 'fsck says so');
	is(scalar(parts()), 1, 'and leaves it');
	fsck(qr/\.part was removed: the host is no neighbour any more$/m, 'fsck --repair does not', '--repair');
	is(scalar(parts()), 0, 'it is gone');
	Hosts::spew($b->conf, $conf);
	calls_at($a, "tcp:127.0.0.1:$port");
	is(call($a)->{code}, 0, 'a neighbour again');
	arrives($b, 'bob', 'large second third', 'the message comes, once');
};

$daemon->done;
$net->fsck;
done_testing;
