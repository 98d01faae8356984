#!/usr/bin/perl
# packetboat-smtp as a daemon: it works when mail comes, and stops and reloads when it is told.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Courier;
use Sink;
use Time::HiRes qw(time sleep);

my $net = Hosts->new;
my ($a, $b) = map { $net->host($_) } qw(a b);
my $text = "Subject: x\n\nhello\n";
my $sink = Sink->new(offers => ['PIPELINING', '8BITMIME', 'CHUNKING'], say => {RCPT => sub { $_[1] =~ /nobody/ ? '550 5.1.1 no' : undef }});

$a->user('ann');
$b->user('bob');

# ---- it works when mail comes ------------------------------------------------------------------------------

my $lmtp = $net->dir . '/lmtp';
$b->configure(qq{smtpd { listen = { "lmtp:$lmtp" } }\n});
my $server = Courier->start($b, 'packetboat-smtpd');
eventually { -S $lmtp } 'the other host listens' or diag($server->err);
$a->configure(sprintf qq{route "far.example" { via = "smtp:%s" }\nroute "b.example" { via = "lmtp:%s" }\nsmtp { poll = 1h }\n}, $sink->address, $lmtp);
my $daemon = Courier->start($a);
my $begun = time;
sleep 0.3;
$a->mail(['bob@b.example', 'one-1@far.example', 'ann@a.example'], $text);
eventually { $sink->taken == 1 } 'to a server' or diag($daemon->err, $a->log_text);
eventually { $a->mailbox('ann') == 1 } 'to a user of this host';
eventually { $a->waiting == 0 } 'nothing waits';
$b->pass;
is(scalar($b->mailbox('bob')), 1, 'and by LMTP to the other host, that takes it');
cmp_ok(time - $begun, '<', 10 * ($Hosts::sanitized ? 4 : 1), 'within seconds, without a relay pass');
$a->mail('nobody@far.example', $text);
eventually { $a->mailbox('ann') == 2 } 'reports are delivered as well' or diag($a->log_text);

# ---- reload and stop ---------------------------------------------------------------------------------------

my $other = Sink->new;
$a->configure(sprintf qq{route "other.example" { via = "smtp:%s" }\n}, $other->address);
$daemon->signal('HUP');
sleep 0.3;
$a->mail('x@other.example', $text);
ok($other->wait(1), 'a new route is used after a reload') or diag($daemon->err, $a->log_text);
my $conf = Hosts::slurp($a->conf);
Hosts::spew($a->conf, "$conf\nnonsense\n");
$daemon->signal('HUP');
eventually { $a->log_text =~ /configuration trouble/ } 'a mistake is told';
ok($daemon->alive, 'and does not end it');
Hosts::spew($a->conf, $conf);
$a->mail('y@other.example', $text);
ok($other->wait(2), 'it goes on as before');
is($daemon->stop, 0, 'it stops when it is told') or diag($daemon->err);
is(scalar(my @lines = split /\n/, $daemon->err), 1, 'without more than the mistake on standard error') or diag($daemon->err);
is($server->stop, 0, 'so does the server');

$net->done;
