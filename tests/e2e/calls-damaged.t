# Files of batches that are damaged where they wait for a call: they are told of, their messages are packed anew, and nothing goes
# on failing for ever. A neighbour that refuses what is sound is told of too, and nothing more comes of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Calls;
use Hosts;
use Test::More;

my $net = Hosts->new;
my ($a, $b) = pair($net, undef);
my $c = $net->host('c');
link_up($b, $c, undef);
link_up($c, $b, undef);
my ($daemon, $port) = listens($b);

# A batch of a's that lies in its spool; nobody was there to take it.
sub packed {
	my ($subject) = @_;

	calls_at($a, 'tcp:127.0.0.1:1');
	$a->mail('bob@b.example', text($subject, noise(30_000, length $subject)));
	isnt(call($a)->{code}, 0, 'nobody is there');
	calls_at($a, "tcp:127.0.0.1:$port");
	my @files = Hosts::files($a->spool('out/b'));
	is(scalar @files, 1, 'a batch waits');
	return $files[0];
}

sub change {
	my ($file, $at) = @_;
	my $bytes = Hosts::slurp($file);

	substr($bytes, $at, 1) ^= "\1";
	Hosts::spew($file, $bytes);
}

sub events { return scalar(() = $_[0]->log_text =~ /$_[1]/g) }

subtest 'an octet is another' => sub {
	my $file = packed('one');
	change($file, 10_000);
	my $call = call($a);
	is($call->{code}, 65, 'the call tells of it');
	like($call->{err}, qr/b refuses the batch \S+; its log says why/, 'in words');
	like($a->log_text, qr/^\S+ stopped \S+ neighbour=b reason="the neighbour refuses it; its log says why"$/m, 'the log tells');
	like($a->log_text, qr/^\S+ dissolved \S+ neighbour=b reason="its file is damaged"$/m, 'why it is taken apart');
	arrives($b, 'bob', 'one', 'its message goes in another batch, in the same call');
	is(call($a)->{code}, 0, 'the next call has nothing to tell');
	is(scalar(Hosts::files($a->spool('out'))), 0, 'all is acknowledged');
	is(scalar($b->corrupt), 1, 'the damaged one is kept there, once');
	unlink Hosts::files($b->spool('corrupt'));
};

subtest 'cut short' => sub {
	my $file = packed('another');
	truncate $file, 20_000;
	is(call($a)->{code}, 0, 'it is seen before the call');
	is(events($a, qr/^\S+ dissolved \S+ neighbour=b reason="its file is damaged"$/m), 2, 'the log tells');
	arrives($b, 'bob', 'another one', 'the message goes in another batch');
	is(scalar($b->corrupt), 0, 'the neighbour saw nothing of it');
};

# liar (tests/support/liar.c) is c, and refuses whatever b has for it.
subtest 'a neighbour that refuses all' => sub {
	$c->user('carol');
	$b->configure(qq{route "c.example" { via = "neighbour:c" }\n});
	my $liar = sub { return $c->run({deadline => 60}, Hosts::support('liar'), $c->conf, 'b', $port, @_) };
	my $stop = join '', map { sprintf '07%02x03', $_ } 1 .. 20;

	$b->sendmail(text('sound'), '-i', '-f', 'bob@b.example', '--', 'carol@c.example');
	$liar->('hello', 'say', '060400000001' . $stop x 50, 'say', '0800', 'wait', 5000, 'say', $stop x 50, 'say', '0a00', 'hear') for 1 .. 2;
	ok(ended($b, 'answered', 2), 'the calls end');
	like($b->log_text, qr/^c trouble .*c refuses the batch/m, 'the log tells');
	is(events($b, qr/^\S+ stopped \S+ neighbour=c /m), 2, 'once in each call');
	is(events($b, qr/^\S+ dissolved \S+ neighbour=c /m), 0, 'the batch is sound, and stays');
	is(events($b, qr/^\S+ made \S+ neighbour=c /m), 1, 'and is packed once');
	calls_at($c, "tcp:127.0.0.1:$port");
	is(call($c, {to => 'b'})->{code}, 0, 'an honest call');
	arrives($c, 'carol', 'sound', 'brings the message');
};

$daemon->done;
$net->fsck;
done_testing;
