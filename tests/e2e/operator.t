# The operator's hands on waiting mail: list and its filters, show, hold, release, retry, reroute, remove, ids on
# standard input, dry runs, export and import, and what `trace`, `log` and `status` tell afterwards.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(make_path);
use Hosts;
use JSON::PP ();
use Test::More;

my $net = Hosts->new;
my ($a, $b, $c) = $net->three;

sub text {
	return "From: ann\@a.example\nSubject: $_[0]\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <$_[0]\@x.example>\n\nHello\n";
}

# The command must succeed; its output.
sub good {
	my ($host, @argv) = @_;
	my $result = $host->packetboat(@argv);
	my @words = grep { !ref } @argv;
	is($result->{code}, 0, "$host->{name}: @words") or diag($result->{err});
	return $result->{out};
}

sub ids {
	my ($host, @argv) = @_;
	return [sort map { $_->{id} } $host->waiting(@argv)];
}

is(good($a, 'list'), '', 'an empty queue lists nothing');
my $mailq = sub { $a->run({env => {PACKETBOAT_CONF => $a->conf}}, Hosts::program('packetboat-sendmail'), '-bp')->{out} };
like($mailq->(), qr/^Mail queue is empty\n\z/, '... as mailq says too');
$a->mail('carol@c.example', text('one'));
$a->mail(['carol@c.example', 'bob@b.example'], text('two'));
is($a->sendmail(text('three'), '-i', '-f', 'ann@a.example', '-N', 'never', 'carol@c.example')->{code}, 0, 'a third');
my @waiting = $a->waiting;
is(scalar(@waiting), 3, 'three wait');
my ($one, $two, $three) = sort map { $_->{id} } @waiting;
is(scalar(split /\n/, good($a, 'list')), 3, 'one line each');
like($mailq->(), qr/^-- \d+ Kbytes in 3 Requests\.\n\z/m, 'mailq counts them');
for my $record (@waiting) {
	is(ref $record->{recipients}, 'ARRAY', "recipients of $record->{id}");
	ok(defined $record->{$_}, "... $_") for qw(id hop state class size sender);
}

# Filters.
is_deeply(ids($a, '--recipient', 'bob@b.example'), [$two], '--recipient');
is_deeply(ids($a, '--sender', 'ann@a.example'), [$one, $two, $three], '--sender');
is_deeply(ids($a, '--sender', 'eve@a.example'), [], '--sender of nobody');
is_deeply(ids($a, '--older', '2h'), [], '--older');

# Show.
like(good($a, 'show', $one), qr/carol\@c\.example/, 'show names the recipient');
is(good($a, 'show', $one, '--content'), do { (my $t = text('one')) =~ s/\n/\r\n/g; $t }, 'show --content is the message, as carried');

# Dry runs change nothing; hold and release.
good($a, '-n', 'remove', 'ALL');
is(scalar($a->waiting), 3, 'a dry run removes nothing');
good($a, 'hold', $one);
is_deeply(ids($a, '--hop', 'hold'), [$one], 'held');
good($a, {in => "$two\n$three\n"}, 'hold', '-');
is(scalar($a->waiting('--hop', 'hold')), 3, 'held, by ids on standard input');
is($a->pass->{code}, 0, 'a pass');
is(scalar($a->waiting('--hop', 'hold')), 3, '... moves nothing that is held');
good($a, 'release', 'ALL');
is(scalar($a->waiting('--hop', 'hold')), 0, 'released');

# Remove one; the others are packed, and rerouted out of the batch by hand.
good($a, 'remove', $three);
is_deeply(ids($a), [$one, $two], 'removed');
is($a->packetboat('show', $three)->{code}, 65, '... and unknown now');
like(good($a, 'log', $three), qr/remove/, '... but the log has it');
like(good($a, 'trace', $three), qr/remove/i, '... and so has trace');
is($a->pass->{code}, 0, 'a pass');
my %state = map { $_->{id} => $_->{state} } $a->waiting;
is_deeply(\%state, {$one => 'batch', $two => 'batch'}, 'in a batch');
like(good($a, 'status'), qr/\bb\b/, 'status names the neighbour');
ok((grep { $_->{neighbour} || $_->{name} } map { JSON::PP::decode_json($_) } split /\n/, good($a, 'status', '--json')),
    '... in JSON too');

# Export and import by hand instead of the directory between.
my $stick = $net->dir . '/by-hand';
make_path($stick);
unlink Hosts::batches($net->dir . '/between-a-b');
good($a, 'export', 'b', $stick);
isnt(scalar(Hosts::batches($stick)), 0, 'export leaves a batch');
good($b, 'import', $stick);
is(scalar($b->mailbox('bob')), 1, 'import delivers');
$net->passes($b, $c, $b, $a, 3);
is(scalar($c->mailbox('carol')), 2, 'both for carol');
is(scalar($a->waiting), 0, 'nothing waits');
my $trace = good($a, 'trace', $two);
like($trace, qr/bob\@b\.example/, 'trace knows both recipients');
like($trace, qr/carol\@c\.example/, '... both');
for my $id ($one, $two) {
	my @lines = map { JSON::PP::decode_json($_) } split /\n/, good($a, 'trace', $id, '--json');
	cmp_ok(scalar(@lines), '>', 0, "trace --json of $id");
}

# Whose address becomes another on the way, or a user's name where he is at home, is the same recipient.
$c->configure(qq{alias "office" { to = "carol" }\n});
for my $address ('carol@c.example', 'office@c.example') {
	$c->mail($address, text("for $address"));
	my ($id) = map { $_->{id} } $c->waiting;
	is($c->pass->{code}, 0, "a pass delivers to $address");
	like(good($c, 'trace', $id), qr/^now:\n  \Q$address\E: delivered here\n\z/m, '... and trace knows of one recipient, and where he got it');
	is_deeply([map { $_->{state} } grep { $_->{kind} eq 'state' } map { JSON::PP::decode_json($_) } split /\n/, good($c, 'trace', $id, '--json')],
	    ['delivered'], '... in JSON too');
}
my $far = good($b, 'trace', $two);
like($far, qr/^  bob: delivered here$/m, '... at a host that it came to');
unlike($far, qr/no longer in the queue/, '... and nothing is in doubt');

# A changed route acts on what waits.
$a->configure(qq{route "d.example" { via = "neighbour:b" }\n});
$a->mail('dora@d.example', text('changed'));
is($a->pass->{code}, 0, 'packed for b');
my ($changed) = $a->waiting;
is($changed->{hop} // '', 'neighbour-b', '... by the route');
my $conf = Hosts::slurp($a->conf);
$conf =~ s/route "d\.example" \{ via = "neighbour:b" \}/route "d.example" { via = "smtp" }/ or die;
Hosts::spew($a->conf, $conf);
good($a, 'reroute', $changed->{id});
is($a->pass->{code}, 0, 'a pass by the new route');
is_deeply([map { $_->{hop} } $a->waiting], ['smtp'], 'it goes the new way');
good($a, 'remove', $changed->{id});
is(scalar($a->waiting), 0, 'removed');

# A route is replaced in one step; taken away, what waits by it is told of before it is returned.
good($b, 'route', 'add', 'e.example', 'smtp');
good($b, 'route', 'add', 'e.example', 'neighbour:c', '--expire', '9d');
like(good($b, 'route', 'list'), qr/^e\.example\s+neighbour:c\s+9d/m, 'replaced, as it was written');
$b->mail('eva@e.example', text('stranded'));
my $removed = $b->packetboat('route', 'remove', 'e.example');
is($removed->{code}, 0, 'route remove');
like($removed->{err}, qr/1 waiting message has no route now/, '... tells of what it strands');
# What the SMTP programs need is looked at before they do.
{
	$a->configure(qq{destination "mail.example:587" { user = "u" password = "pw" authorities = "none.pem" }\n});
	Hosts::spew($a->dir . '/pw', "secret\n");
	chmod 0644, $a->dir . '/pw';
	my $check = $a->packetboat('check');
	is($check->{code}, 2, 'check: a password that others can read is an error');
	like($check->{out}, qr/^error: .*destination "mail\.example:587".*\/pw, can be read by others/m, '... and named');
	like($check->{out}, qr/^error: .*\/none\.pem, is not there/m, '... as is a file that is missing');
}

$net->done;
