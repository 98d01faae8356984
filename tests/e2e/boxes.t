# Boxes that whoever owns the spool may not use: the mail for them waits, and list, trace, show, status, check, user list and fsck
# say that it does, and why. Root gives what they look at away, and looks with the rights of the owner.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use JSON::PP ();
use Test::More;

plan(skip_all => 'only root can give files away') if $> != 0;
my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
plan(skip_all => 'there is no user nobody') unless $uid;

my $net = Hosts->new;
my $a = $net->host('a');
$a->user($_) for qw(ann bob eve);
chmod 0711, $net->dir;
system('chown', '-R', "$uid:$gid", $a->dir) == 0 or die;
my $box = $a->spool('mail/ann');

sub set {
	my ($path, $owner, $mode) = @_;
	chown($owner, $gid, $path) == 1 && chmod($mode, $path) == 1 or die "$path: $!\n";
}

sub as_found { set($box, $uid, 0700); set("$box/$_", $uid, 0700) for qw(new cur tmp) }

# What check says of boxes.
sub findings {
	my $check = $a->packetboat('check');
	my @lines = grep { /mail\/(?:ann|bob|eve|postmaster)/ } split /\n/, $check->{out};
	return ($check->{code}, @lines);
}

sub waits { return map { $_->{reason} } $a->waiting }

# Nobody has a password yet: that is no fault of the boxes.
rename($a->dir . '/users', $a->dir . '/users.kept') or die $!;
my ($code, @found) = findings();
is_deeply(\@found, [], 'without a password file');
rename($a->dir . '/users.kept', $a->dir . '/users') or die $!;
($code, @found) = findings();
isnt($code, 2, 'check has no error to tell');
is_deeply(\@found, [], '... of any box');

# A box that cannot be entered: whether there is such a user is not known, and the message is not routed.
$a->mail('ann@a.example', "Subject: waits\n\nHello\n");
set($box, 0, 0700);
my ($id) = map { $_->{id} } $a->waiting;
my $trouble = qr/cannot look at \Q$box\E\/new: Permission denied/;
my $pass = $a->pass;
is($pass->{code}, 75, 'the pass fails');
like($pass->{err}, $trouble, '... and says why');
is_deeply([Hosts::names($a->spool('queue/new'))], ["$id~"], 'its routing was begun');
my @waits = waits();
is(scalar @waits, 1, 'list shows it');
like($waits[0], qr/^its routing was begun by a relay pass and is not finished; the last failure, at \S+: $trouble$/, '... with the reason');
like($a->packetboat('list')->{out}, qr/^\Q$id\E +new .* ann\@a\.example .*begun.*$trouble$/m, '... as a line, too');
like($a->packetboat('trace', $id)->{out}, qr/^  ann\@a\.example: waits in new: .*begun.*$trouble$/m, 'and so does trace');
like($a->packetboat('show', $id)->{out}, qr/^waits +its routing was begun .*$trouble$/m, '... and show');
like($a->packetboat('status')->{out}, qr/^new +1 waiting, \S+, oldest /m, 'status counts it');
like($a->packetboat('status')->{out}, qr/^mailbox of ann: .*\Q$box\E /m, '... and tells of the box');
my $held = $a->packetboat('hold', $id);
is($held->{code}, 75, 'it cannot be held');
like($held->{err}, qr/\Q$id\E was begun and is not finished/, '... and why is told');
($code, @found) = findings();
is($code, 2, 'check finds an error');
is(scalar @found, 1, '... one');
like($found[0], qr/^error: mailbox of ann: \Q$box\E belongs to root, and the spool to nobody; chown nobody \Q$box\E$/, '... with what to do');
like($a->packetboat('check')->{out}, qr/^users .*\bann\b/m, '... and ann is a user all the same');
my $list = $a->packetboat('user', 'list');
is($list->{code}, 0, 'user list');
like($list->{out}, qr/^ann +password - $trouble$/m, '... says why nothing is known of the box');
like($list->{out}, qr/^bob +password 0$/m, '... the others are as they were');
my ($ann) = grep { $_->{user} eq 'ann' } map { JSON::PP::decode_json($_) } split /\n/, $a->packetboat('user', 'list', '--json')->{out};
like($ann->{trouble}, qr/^$trouble$/, '... in JSON too');
ok(!exists $ann->{new}, '... without a number');
is($a->packetboat({in => "x\n"}, 'user', 'password', 'ann')->{code}, 75, 'a password for ann: later');
like($a->packetboat('user', 'remove', 'ann')->{err}, $trouble, '... and she is not said to be unknown');
my $fsck = $a->packetboat('fsck');
is($fsck->{code}, 0, 'fsck is content');
like($fsck->{out}, qr/^note: the routing of \S+\Q$id\E~ was begun and is not finished; /m, '... and notes it');

# Half the message waits in a record that is to be routed again: that is shown under its claim as well.
as_found();
is($a->pass->{code}, 0, 'once the box is as it was, a pass');
is(scalar($a->mailbox('ann')), 1, '... delivers');
is_deeply([waits()], [], '... and nothing waits');
$a->mail(['ann@a.example', 'bob@a.example'], "Subject: again\n\nHello\n");
($id) = map { $_->{id} } $a->waiting;
is($a->packetboat($_, $id)->{code}, 0, $_) for qw(hold release);
set($box, 0, 0700);
is($a->pass->{code}, 75, 'a record cannot be routed again');
is_deeply([map { "$_->{hop} " . join(' ', map { $_->{address} } @{$_->{recipients}}) } $a->waiting], ['new ann@a.example bob@a.example'],
    '... it is shown');
like($a->packetboat('show', $id, '--content')->{out}, qr/^Hello\r$/m, '... as its content is');
as_found();
is($a->pass->{code}, 0, 'then it can');

# One that can be entered and not be written to: the message is routed, and cannot be delivered.
set("$box/new", 0, 0700);
$a->mail('ann@a.example', "Subject: waits\n\nHello\n");
isnt($a->pass->{code}, 0, 'what is somebody else\'s cannot be delivered to');
like((waits())[0], qr/^waits for the next relay pass; the last failure, at \S+: .*\Q$box\E.*: Permission denied$/, 'list says why');
like($a->packetboat('user', 'list')->{out}, qr/^ann +password - cannot .*\Q$box\E\/new: Permission denied$/m, 'user list, too');

# Of what is wrong, the first; judged by owner and mode.
for my $case (
	["$box/new", sub { }, qr/belongs to root, and the spool to nobody; chown nobody \Q$box\E\/new$/],
	["$box/new", sub { set($_[0], $uid, 0500) }, qr/does not let nobody, who owns the spool, read and write \(mode 0500\); chmod u\+rwx \Q$box\E\/new$/],
	["$box/cur", sub { set($_[0], $uid, 0300); set("$box/tmp", 0, 0700) }, qr/does not let nobody, .* \(mode 0300\); chmod/],
	[$box, sub { set($_[0], $uid, 0500) }, qr/does not let nobody, .* \(mode 0500\); chmod/],
	["$box/tmp", sub { rmdir $_[0] or die $! }, qr/is not there; as nobody, mkdir -m 700 \Q$box\E\/tmp$/],
	["$box/tmp", sub { rmdir $_[0] or die $!; Hosts::spew($_[0], '') }, qr/is no directory; move it away, and as nobody, mkdir -m 700 \Q$box\E\/tmp$/],
	["$box/tmp", sub { rmdir $_[0] or die $!; symlink('nowhere', $_[0]) or die $! }, qr/is a link that leads to what is not there$/],
) {
	my ($path, $spoil, $wanted) = @$case;
	$spoil->($path);
	($code, @found) = findings();
	is($code, 2, 'check finds an error');
	is(scalar @found, 1, '... one');
	like($found[0] // '', qr/^error: mailbox of ann: \Q$path\E $wanted/, '... the first');
	if (-l $path || !-d $path) {
		unlink $path;
		mkdir $path or -d $path or die $!;
	}
	as_found();
}
is($a->pass->{code}, 0, 'a pass');
is_deeply([waits()], [], '... and nothing waits');

# What a disk has of its own is no user; who has a password and a box without what makes it one is told of.
mkdir $a->spool('mail/lost+found') or die $!;
chmod 0700, $a->spool('mail/lost+found');
is_deeply([(findings())[1 .. 9]], [(undef) x 9], 'nothing is told');
unlike($a->packetboat('check')->{out}, qr/lost\+found/, '... of lost+found');
unlike($a->packetboat('user', 'list')->{out}, qr/lost\+found/, '... which is no user');
rename($a->spool('mail/eve/new'), $a->spool('mail/eve/old')) or die $!;
($code, @found) = findings();
is($code, 2, 'a user whose box is none any more');
like($found[0] // '', qr/^error: mailbox of eve: \S+mail\/eve\/new is not there; /, '... is told of');
rename($a->spool('mail/eve/old'), $a->spool('mail/eve/new')) or die $!;
rmdir $a->spool('mail/lost+found');
$net->done;
