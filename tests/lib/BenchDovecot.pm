# BenchDovecot: a private POP3 server for the benchmarks, side by side with ours.
#
#	my $why_not = BenchDovecot::missing();                 a sentence; undef: it can be used
#	my $dovecot = BenchDovecot->new($bench, 'default', $settings);
#	$dovecot->user('ann', '{PLAIN}secret', $maildir);
#	$dovecot->start;                                  $dovecot->{port}; $dovecot->processes
#	$dovecot->forget($maildir);                       as if it had never been opened
package BenchDovecot;

use strict;
use warnings;
use Bench;
use File::Path qw(make_path remove_tree);
use Hosts;

# Whom its sessions run as: it serves no mail as root.
our $user = 'nobody';

sub missing {
	return 'must be started by root' if $> != 0;
	return 'is not installed (Debian: dovecot-pop3d)' unless Bench::found('dovecot') && -x '/usr/lib/dovecot/pop3';
	return undef;
}

sub version {
	my ($version) = `dovecot --version` =~ /^(\S+)/;
	return $version;
}

# SETTINGS are added to what an instance of one's own needs: its directories and port, no TLS, no system users.
sub new {
	my ($class, $bench, $name, $settings) = @_;
	my $dir = $bench->dir . "/dovecot-$name";
	my $self = bless {bench => $bench, name => "D. $name", short => $name, dir => $dir, mail => "$dir/mail", port => Bench::port()}, $class;
	my ($uid, $gid) = (getpwnam $user)[2, 3];

	make_path("$dir/mail", "$dir/state");
	Hosts::spew("$dir/users", '');
	Hosts::spew("$dir/dovecot.conf", <<"END");
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/log
protocols = pop3
ssl = no
listen = 127.0.0.1
mail_location = maildir:$dir/mail/%u
mail_uid = $uid
mail_gid = $gid
first_valid_uid = 1
first_valid_gid = 1
service pop3-login {
	inet_listener pop3 {
		port = $self->{port}
	}
	inet_listener pop3s {
		port = 0
	}
}
passdb {
	driver = passwd-file
	args = username_format=%u $dir/users
}
userdb {
	driver = passwd-file
	args = username_format=%u $dir/users
}
$settings
END
	return $self;
}

# PASSWORD with its scheme. MAILDIR: when it is not the one of that name.
sub user {
	my ($self, $name, $password, $maildir) = @_;
	open my $out, '>>', "$self->{dir}/users" or die "$self->{dir}/users: $!\n";
	print $out join(':', $name, $password, ('') x 5, $maildir ? "userdb_mail=maildir:$maildir" : ''), "\n";
	close $out;
}

sub start {
	my ($self) = @_;
	$self->{pid} = $self->{bench}->serve("dovecot-$self->{name}", $self->{port}, 'dovecot', '-c', "$self->{dir}/dovecot.conf", '-F');
	return $self->{pid};
}

sub stop {
	my ($self) = @_;
	$self->{bench}->end($self->{pid}) if $self->{pid};
}

# Everything that Dovecot keeps of MAILDIR goes, and the messages are new again.
sub forget {
	my ($self, $maildir) = @_;

	for my $name (grep { /^dovecot/ } Hosts::names($maildir)) {
		-d "$maildir/$name" ? remove_tree("$maildir/$name") : unlink "$maildir/$name";
	}
	for my $name (Hosts::names("$maildir/cur")) {
		rename "$maildir/cur/$name", "$maildir/new/" . $name =~ s/:2,.*//r or die "$maildir/cur/$name: $!\n";
	}
}

1;
