# The spool's disk fills up. An outside box: nothing is deleted there that has no room here, it is told, and all comes once when there
# is room. A maildrop: mail is read and deleted as ever, since that is how a user makes room.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fetch;
use Hosts;
use Pop;
use Pop3;
use SmallDisk;
use Test::More;

my $net = Hosts->new;
my $a = $net->host('a');
$a->user($_) for qw(ann bob);
my $disk = SmallDisk->new($a, '24m');

subtest 'an outside box' => sub {
	my @names = map { "m$_" } 1 .. 40;
	my $large = 'A line of a large message, of which many do not fit.' . ' ' x 20 . "\n";
	my $pop = Pop->new(messages => [map { message($_, $large x 4000) } @names]);

	box($a, 'provider', $pop->address, 'to = "bob"');
	$disk->resize('8m');
	my $run = fetch($a);
	is($run->{code}, 75, 'the disk fills up') or diag($run->{err});
	like($run->{err}, qr/^packetboat-fetch: provider: .*(?:No space left|free|room)/m, 'it is told');
	like($a->log_text, qr/^fetch-provider trouble .*(?:No space left|free|room)/m, 'in the log too');
	my @left = $pop->names;
	$disk->resize('40m');
	my @there = subjects($a, 'bob');
	cmp_ok(scalar @there, '>', 5, 'what fitted is here: ' . @there);
	cmp_ok(scalar(@there) + @left, '>=', 40, 'what did not is there: ' . @left);

	$disk->fill;
	is(fetch($a)->{code}, 75, 'it is full');
	is(scalar(my @still = $pop->names), scalar @left, 'nothing more is deleted there');
	$disk->free;
	is(fetch($a)->{code}, 0, 'there is room');
	is_deeply([once_each(\@names, subjects($a, 'bob'))], [], 'all is here, once');
	is_deeply([$pop->names], [], 'and gone there');
	is_deeply([Hosts::files($a->spool('tmp'))], [], 'nothing is left under construction');
	is_deeply([grep { index(Hosts::slurp($_), "\n\n" . $large x 4000) < 0 } Hosts::files(Pop3->maildir($a, 'bob') . '/new')], [], 'nothing by halves');
};

subtest 'a maildrop' => sub {
	my $maildir = Pop3->maildir($a, 'ann');

	# Names that tell nothing, so many that an index would be written.
	Hosts::spew("$maildir/new/$_.other", "Subject: $_\n\n" . "body\n" x 300) for 1000 .. 1299;
	my $pop3d = Pop3->serve($a);
	$disk->fill;
	my $client = Pop3::Client->new($pop3d->port('pop3'));
	like($client->login('ann', 'password of ann'), qr/^\+OK/, 'full: the user logs in');
	like($a->log_text, qr/^- trouble .*user=ann reason="the index of messages.*No space left/m, 'the log tells that the index has no room') or diag($pop3d->log_text);
	is(scalar @{$client->list('UIDL')}, 300, 'all is listed');
	like($client->text(7), qr/^Subject: 1006\r\n\r\n(body\r\n){300}\z/, 'mail is read');
	like($client->say("DELE $_"), qr/^\+OK/, "DELE $_") for 1, 300;
	like($client->say('QUIT'), qr/^\+OK/, 'QUIT');
	is_deeply([grep { !-e "$maildir/new/$_.other" } 1000 .. 1299], [1000, 1299], 'what was deleted is gone, and nothing else');
	$disk->free;
	$client = Pop3::Client->new($pop3d->port('pop3'));
	like($client->login('ann', 'password of ann'), qr/^\+OK/, 'room: the user logs in');
	is(scalar @{$client->list('UIDL')}, 298, 'the rest is there');
	$client->say('QUIT');
	ok(-e "$maildir/packetboat-pop3.index", 'and an index');
};

$net->done;
