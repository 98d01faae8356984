# What POP3 says a message holds is what it sends, octet by octet: mail of every shape that was handed in, delivered, and
# fetched again; and files that other programs left in a Maildir, at the first session and at the next.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Pop3;
use Test::More;

my $net = Hosts->new;
my $host = $net->host('a');
$host->user($_) for qw(ann other);
my $pop3d = Pop3->serve($host);

my %shapes = (
	'plain' => "Subject: plain\n\nHello\n",
	'no end of line' => "Subject: x\n\nno end",
	'no body' => "Subject: x\n\n",
	'header only' => "Subject: x\n",
	'dots' => "Subject: x\n\n.\n..\n.dot\nend\n.\n",
	'empty lines' => "Subject: x\n\n\n\n\n",
	'CRLF' => "Subject: x\r\n\r\none\r\ntwo\r\n",
	'CRLF, no end' => "Subject: x\r\n\r\none\r\ntwo",
	'CRLF and LF' => "Subject: x\r\n\r\none\ntwo\r\n",
	'LF, then CRLF' => "Subject: x\n\none\r\ntwo\n",
	'CR' => "Subject: x\n\none\rtwo\r\rthree\n",
	'CR at the end' => "Subject: x\n\nend\r",
	'CR CR LF' => "Subject: x\r\n\r\none\r\r\ntwo\r\n",
	'NUL and 8 bit' => "Subject: x\n\n\0\xff\x80\n",
	'a long line' => "Subject: x\n\n" . 'x' x 100000 . "\n",
	'large' => "Subject: x\n\n" . "A line of the usual length, as they stand in mail, more or less.\n" x 20000,
	'large, many dots' => "Subject: x\n\n" . ".\n" x 100000,
);

# The octets that a text of another program becomes: LF without CR gets one, and the last line its end.
sub wire {
	my ($text) = @_;
	$text =~ s/(?<!\r)\n/\r\n/g;
	$text .= "\r\n" if length $text && $text !~ /\n\z/;
	return $text;
}

# All messages of USER, by number; each as long as LIST said, and RETR too.
sub fetch {
	my ($user) = @_;
	my $client = Pop3::Client->new($pop3d->port('pop3'));
	my (%texts, $total);

	like($client->login($user, "password of $user"), qr/^\+OK/, "$user logs in");
	my %octets = map { split ' ' } @{$client->list('LIST')};
	for my $number (sort { $a <=> $b } keys %octets) {
		$texts{$number} = $client->text($number);
		is(length $texts{$number}, $octets{$number}, "message $number of $user is as long as LIST says") or diag(substr $texts{$number}, 0, 300);
		like($client->{refused}, qr/^\+OK $octets{$number} octets/, '... and RETR');
		$total += $octets{$number};
		my $top = $client->list("TOP $number 0");
		is(join('', map { "$_\r\n" } @$top), $texts{$number} =~ /\A(.*?\r\n\r\n)/s ? $1 : $texts{$number}, '... its header by TOP');
	}
	is($client->say('STAT'), sprintf('+OK %d %d', scalar(keys %octets), $total), 'STAT is the sum');
	$client->quit;
	return %texts;
}

for my $shape (sort keys %shapes) {
	is($host->mail('ann@a.example', $shapes{$shape})->{code}, 0, "$shape: handed in");
}
is($host->pass->{code}, 0, 'delivered');
my %own = fetch('ann');
is(scalar(keys %own), scalar(keys %shapes), 'all are there');
my %files = map { $_->{bytes} => 1 } $host->mailbox('ann');
# CRLF form of a file of ours: each LF was CRLF when it was carried.
my %wanted = map { my $text = s/\n/\r\n/gr; $text .= "\r\n" if $text !~ /\n\z/; $text => 1 } keys %files;
ok($wanted{$own{$_}}, "message $_ is a file, with CRLF for each LF") or diag(substr $own{$_}, 0, 400) for sort { $a <=> $b } keys %own;

my $number = 0;
my %names;
for my $shape (sort keys %shapes, 'empty') {
	my $name = sprintf '%d.M%dP7.elsewhere', 1700000000 + $number++, $number;
	Hosts::spew(Pop3->maildir($host, 'other') . '/' . ($number % 2 ? "new/$name" : "cur/$name:2,S"), $shapes{$shape} // '');
	$names{$number} = $shape;
}
for my $round ('first', 'second') {
	my %texts = fetch('other');
	ok($texts{$_} eq wire($shapes{$names{$_}} // ''), "$names{$_}: as it stands in the file, the $round time") or diag(substr $texts{$_}, 0, 300) for sort { $a <=> $b } keys %texts;
}
# A file that somebody writes anew under its name: the next session but one knows.
Hosts::spew(Pop3->maildir($host, 'other') . '/new/' . (Hosts::names(Pop3->maildir($host, 'other') . '/new'))[0], "Subject: changed\n\nlonger than it was before\n");
my $client = Pop3::Client->new($pop3d->port('pop3'));
$client->login('other', 'password of other');
like($client->text(1), qr/longer/, 'a changed file is sent as it is');
$client->quit;
fetch('other');
$net->done;
