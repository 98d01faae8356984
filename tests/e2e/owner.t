# Root at work in an instance that is somebody else's: what it makes is that one's, who can go on with it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fetch;
use Hosts;
use Pop;
use Pop3;
use Test::More;
use Time::HiRes qw(sleep time);

plan(skip_all => 'only root can work for others') if $> != 0;
my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
plan(skip_all => 'there is no user nobody') unless $uid;

my $net = Hosts->new;
my $a = $net->host('a');
$a->user($_) for qw(ann bob);
my $pop = Pop->new(messages => [message('fetched')]);
box($a, 'provider', $pop->address, 'to = "ann"');
chmod 0711, $net->dir;
system('chown', '-R', "$uid:$gid", $a->dir) == 0 or die;

sub strangers {
	return [sort grep { (lstat $_)[4] != $uid } split /\n/, `find @{[$a->dir]}`];
}

$a->mail('ann@a.example', "Subject: mail\n\nHello\n");
is_deeply(strangers(), [], 'what sendmail makes is its owner\'s');
is(fetch($a)->{code}, 0, 'packetboat-fetch');
is($a->pass->{code}, 0, 'a relay pass');
is($a->packetboat($_)->{code}, 0, $_) for qw(list status check);
is_deeply(strangers(), [], 'what they make, too');
my $pop3d = Pop3->serve($a);
my $client = Pop3::Client->new($pop3d->port('pop3'));
$client->login('ann', 'password of ann');
is($client->say('STAT') =~ /^\+OK (\d+)/ ? $1 : '?', 2, 'both are in the box');
like($client->text(1), qr/^Subject: (?:mail|fetched)\r$/m, 'and can be read');
$client->say('DELE 1');
$client->say('QUIT');
unlike($pop3d->log_text, qr/runs as root/, 'the server does not run as root');
is_deeply(strangers(), [], 'what a server makes');
my ($log, $port) = ($a->spool('log'), $pop3d->port('pop3'));
rename $log, "$log.1" or die;
Hosts::spew($log, '');
chmod 0640, $log;
my $refused = qr/^log trouble .*reason="cannot open \Q$log\E: Permission denied \(nobody, to whom \S+ belongs, must be able to write it\); until then /m;
my $until = time + 20;
sleep 0.1 while time < $until && Hosts::slurp("$log.1") !~ $refused;
like(Hosts::slurp("$log.1"), $refused, 'a log that was rotated to root\'s: the server says so where it writes');
like($pop3d->err, $refused, '... and on standard error');
my $status = $a->packetboat('status');
is($status->{code}, 77, 'who begins then does not go on without a log');
like($status->{err}, qr/cannot open \S+: Permission denied \(nobody, to whom /, '... and says whose it must be');
chown $uid, $gid, $log;
$until = time + 20;
while (time < $until && !-s $log) {
	Pop3::Client->new($port)->login('ann', 'wrong');
	sleep 0.5;
}
ok(-s $log, 'it goes on in it as soon as it can');
is($a->packetboat({in => "secret\n"}, 'user', 'add', 'eve')->{code}, 0, 'a new user');
is_deeply(strangers(), [], 'is theirs as well');
$net->done;
