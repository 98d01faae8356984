# Unacceptable input: one clear sentence on standard error, the right exit code, and nothing changed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Test::More;

my $net = Hosts->new;
my ($a, $b, $c) = $net->three;
my $text = "From: ann\@a.example\nSubject: waits\nDate: Mon, 23 Nov 2026 02:51:19 +0000\nMessage-ID: <w\@a.example>\n\nHello\n";

# All files of all hosts, with their contents; the log may grow, locks come and go, and the age clock runs.
sub state_of {
	my %state;
	for my $host ($a, $b, $c) {
		$state{$_} = Hosts::digest(Hosts::slurp($_) // '') for grep { !m{/spool/(?:log$|lock/|state/age$)} } Hosts::files($host->dir);
	}
	return \%state;
}

sub refused {
	my ($what, $result, $code, $words, $before) = @_;
	my @lines = split /\n/, $result->{err};
	my @codes = ref $code ? @$code : ($code);

	subtest $what => sub {
		is(scalar(grep { $_ == $result->{code} } @codes), 1, "status @codes") or diag("status $result->{code}: $result->{err}");
		is(scalar(@lines), 1, 'one line on standard error') or diag($result->{err});
		like($result->{err}, $words, 'which says it');
		is($result->{out}, '', 'nothing on standard output');
		is_deeply(state_of(), $before, 'nothing changed') if $before;
	};
}

$a->mail('carol@c.example', $text);
my $before = state_of();

# Ids.
# What a server would stumble over at its next start.
for my $server (qw(smtpd pop3d)) {
	my $conf = Hosts::slurp($a->conf);
	$a->configure(qq{$server {\n\tlisten = { "127.0.0.1:0" }\n\tcertificate = "nowhere.pem"\n\tuser = "nobody-of-that-name"\n}\n});
	my $check = $a->packetboat('check');
	is($check->{code}, 2, "check looks at $server");
	like($check->{out}, qr/^error: the certificate of $server, .*nowhere\.pem, is not there$/m, '... at its certificate');
	like($check->{out}, qr/^error: $server: cannot become nobody-of-that-name: there is no such user/m, '... and its user');
	Hosts::spew($a->conf, $conf);
}

my $pem = $a->dir . '/junk.pem';
Hosts::spew($pem, "-----BEGIN NONSENSE-----\n");
chmod 0600, $pem;
for my $case (
	[qq{certificate = "$pem"}, qr/^error: the certificate of smtpd, \Q$pem\E, holds none in PEM form\n(?:.*\n)*error: the key of smtpd, \Q$pem\E, holds none/m],
	[sprintf('user = "%s"', scalar getpwuid($> == 1 ? 2 : 1)), qr/^error: smtpd becomes \w+, whose the spool is not; chown -R \w+ \S+\/spool \S+keys$/m],
) {
	my $conf = Hosts::slurp($a->conf);
	$a->configure(qq{smtpd {\n\tlisten = { "127.0.0.1:0" }\n\t$case->[0]\n}\n});
	my $check = $a->packetboat('check');
	is($check->{code}, 2, "check finds fault with $case->[0]");
	like($check->{out}, $case->[1], '... and says so') or diag($check->{out});
	Hosts::spew($a->conf, $conf);
}
# A certificate of the host's own making that has lost its key.
my $own = $a->dir . '/keys/tls-certificate.pem';
Hosts::spew($own, "-----BEGIN CERTIFICATE-----\n");
like($a->packetboat('check')->{out}, qr/^error: the key of our own making, \S+keys\/tls-key\.pem, is not there$/m, 'check misses a key');
unlink $own, $pem;

for my $command (qw(show trace hold release retry remove reroute)) {
	refused("$command of an unknown id", $a->packetboat($command, 'a.aaaaaaa.99'), [65, 66, 69], qr/a\.aaaaaaa\.99/, $before);
	refused("$command of no id", $a->packetboat($command, 'nonsense'), [64, 65], qr/nonsense/, $before);
	refused("$command without an id", $a->packetboat($command), 64, qr/\bid\b/i, $before);
}
refused('an unknown command', $a->packetboat('fly'), 64, qr/fly/, $before);
refused('an unknown option', $a->packetboat('list', '--frobnicate'), 64, qr/frobnicate/, $before);
refused('no command', $a->packetboat(), 64, qr/./, $before);

# Neighbours and keys.
my $key = $b->key;
(my $typo = $key) =~ s/(.)(.)$/$2$1/;
$typo =~ s/.$/$typo =~ m{a$} ? 'b' : 'a'/e if $typo eq $key;
refused('a key line with a typing error', $a->packetboat('neighbour', 'add', 'd', $typo, '--call', 'dir:/tmp'), [65, 64],
    qr/key|check/i, $before);
refused('a key line cut short', $a->packetboat('neighbour', 'add', 'd', substr($key, 0, -8), '--call', 'dir:/tmp'), [65, 64],
    qr/key/i, $before);
refused('a key of another host', $a->packetboat('neighbour', 'add', 'd', $key, '--call', 'dir:/tmp'), [64, 65, 78],
    qr/\bd\b/, $before);
refused('a neighbour that is there', $a->packetboat('neighbour', 'add', 'b', $key, '--call', 'dir:/tmp'), [64, 65, 73, 78],
    qr/\bb\b/, $before);
refused('an unusable address', $a->packetboat('neighbour', 'add', 'c', $c->key, '--call', 'pigeon:/tmp'), [64, 65, 78],
    qr/pigeon/, $before);
refused('removing an unknown neighbour', $a->packetboat('neighbour', 'remove', 'zzz'), [64, 65, 67, 68, 69, 78], qr/zzz/, $before);
refused('export to an unknown neighbour', $a->packetboat('export', 'zzz', $net->dir), [64, 65, 67, 68, 69, 78], qr/zzz/, $before);
refused('import from nowhere', $a->packetboat('import', '/nonexistent'), [66, 64, 65, 69, 75], qr{/nonexistent}, $before);
refused('init over an installation', $a->run(Hosts::program('packetboat'), 'init', $a->dir, '--host', 'a', '--domain', 'a.example'),
    [73, 64], qr/exist/i, $before);
refused('init with a bad host name', $a->run(Hosts::program('packetboat'), 'init', $net->dir . '/bad', '--host', 'no such!',
    '--domain', 'x.example'), [64, 65, 78], qr/no such!/, $before);
ok(!-e $net->dir . '/bad', '... made nothing');
refused('a user name that is a path', $a->packetboat({in => "x\n"}, 'user', 'add', '../up'), [64, 65, 67], qr{\.\./up}, $before);

# Handing in.
refused('an address that cannot be routed', $b->sendmail($text, '-i', '-f', 'bob@b.example', 'x@nowhere.example'), [67, 68],
    qr/nowhere\.example/, $before);
refused('a local address without a user', $b->sendmail($text, '-i', '-f', 'bob@b.example', 'nobody@b.example'), 67,
    qr/nobody/, $before);
refused('an address with bad syntax', $a->sendmail($text, '-i', '-f', 'ann@a.example', 'a b@@c'), [64, 65], qr/a b\@\@c/, $before);
refused('no recipient', $a->sendmail($text, '-i', '-f', 'ann@a.example'), 64, qr/recipient/i, $before);

# Configuration: named by file and line, by every program.
my $good = Hosts::slurp($a->conf);
for my $case (["hosst = \"a\"\n", 'an unknown option', qr/hosst/],
	["route \"x.example\" { via = \"neighbour:nobody\" }\n", 'a route to an unknown neighbour', qr/nobody/],
	["expire = \"soon\"\n", 'a time that is none', qr/soon/],
	["neighbour \"x\" {\n\tkey = \"$key\"\n", "a section without end", qr/\{/]) {
	my ($line, $what, $words) = @$case;
	my $number = 1 + ($good =~ tr/\n//);

	Hosts::spew($a->conf, $good . $line);
	my $state = state_of();
	for my $command (['relay', sub { $a->pass }], ['list', sub { $a->packetboat('list') }],
		['sendmail', sub { $a->sendmail($text, '-i', '-f', 'ann@a.example', 'carol@c.example') }]) {
		my ($name, $run) = @$command;
		refused("$what, $name", $run->(), 78, $words, $state);
	}
	my $check = $a->packetboat('check');
	is($check->{code}, 2, "$what: `check` says it is an error");
	like($check->{out} . $check->{err}, qr/packetboat\.conf:(?:$number|@{[$number + 1]}):/, '... with file and line');
	like($check->{out} . $check->{err}, $words, '... and the word');
}
Hosts::spew($a->conf, $good);
refused('a configuration that is not there', $a->run(Hosts::program('packetboat'), '-c', '/nonexistent/x.conf', 'list'),
    [66, 72, 78], qr{/nonexistent/x\.conf}, $before);

# An unwritable spool. Root may write everywhere, so root gives the host to nobody and becomes nobody for this.
SKIP: {
	my %as = $> == 0 ? (as => 65534) : ();
	my @closed = ($a->spool, map { $a->spool($_) } qw(tmp queue queue/new msg));
	my $chown = sub { system('chown', '-R', $_[0], $a->dir) if %as };

	chmod 0755, $net->dir if %as;
	skip 'nobody may not run the programs here', 4 if $a->run({%as}, Hosts::program('packetboat'), '--version')->{code} != 0;
	$chown->(65534);
	chmod 0500, @closed;
	refused('an unwritable spool, sendmail', $a->sendmail($text, {%as}, '-i', '-f', 'ann@a.example', 'carol@c.example'),
	    [73, 75, 77], qr/spool/);
	refused('an unwritable spool, relay', $a->pass({%as}), [73, 75, 77], qr/spool/);
	refused('an unwritable spool, hold', $a->packetboat({%as}, 'hold', 'ALL'), [73, 75, 77], qr/spool/);
	chmod 0700, @closed;
	$chown->(0);
	is_deeply(state_of(), $before, 'nothing changed');
}

$net->passes($a, $b, $c, 3);
is(scalar($c->mailbox('carol')), 1, 'the one message that was taken arrives');
$net->done;
