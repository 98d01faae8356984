# Dovecot: a private Dovecot as an outside POP3 box, for the tests under `prove`. Skips all tests where there is none.
#
#	my $dovecot = Dovecot->new(users => {ann => 'secret'}, config => "ssl = no\n");
#	$dovecot->deliver('ann', $text);              into new/ of the user's Maildir; the name there
#	$dovecot->port, $dovecot->tls_port
#	$dovecot->authorities                         the certificate, made for localhost
#	$dovecot->mails('ann')                        what lies there, as texts
#	$dovecot->stop
package Dovecot;

use strict;
use warnings;
use File::Path qw(make_path);
use File::Temp ();
use Hosts;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep);

my $owner = $$;
my @all;

sub free_port {
	my $socket = IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "$!\n";
	return $socket->sockport;
}

sub find {
	my ($program) = grep { -x } map { "$_/dovecot" } '/usr/sbin', '/usr/local/sbin', split /:/, $ENV{PATH};
	return $program;
}

sub settings {
	my ($self, $config) = @_;
	my $dir = $self->{dir};
	my $root = $> == 0;
	my ($user, $group) = $root ? ('nobody', (getgrgid((getpwnam 'nobody')[3]))[0]) : ((getpwuid $>)[0], (getgrgid $))[0]);
	my $own = $root ? '' : "default_internal_user = $user\ndefault_internal_group = $group\ndefault_login_user = $user\n"
	    . join '', map { "service $_ {\n chroot =\n}\n" } qw(anvil pop3-login);

	return <<"END" . $own . $config;
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/log
protocols = pop3
listen = 127.0.0.1, 127.0.0.2
ssl = yes
ssl_cert = <$dir/certificate.pem
ssl_key = <$dir/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = 1
mail_location = maildir:$dir/mail/%u
passdb {
  driver = passwd-file
  args = scheme=PLAIN $dir/users
}
userdb {
  driver = static
  args = uid=$user gid=$group home=$dir/mail/%u
}
service pop3-login {
  inet_listener pop3 {
    port = $self->{port}
  }
  inet_listener pop3s {
    port = $self->{tls_port}
    ssl = yes
  }
}
END
}

sub new {
	my ($class, %options) = @_;
	my $program = find() // plan(skip_all => 'there is no dovecot on this machine');
	my $self = bless {port => free_port(), tls_port => free_port(), serial => 0}, $class;

	$self->{holder} = File::Temp->newdir('packetboat-dovecot-XXXXXX', TMPDIR => 1);
	$self->{dir} = "$self->{holder}";
	chmod 0711, $self->{dir};
	make_path(map { "$self->{dir}/$_" } qw(run state mail));
	Hosts::spew("$self->{dir}/users", join '', map { "$_:$options{users}{$_}\n" } sort keys %{$options{users}});
	system('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650', '-subj',
		'/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.2', '-keyout', "$self->{dir}/key.pem", '-out',
		"$self->{dir}/certificate.pem", '-batch') == 0 or die "openssl fails\n" if !-e "$self->{dir}/certificate.pem";
	Hosts::spew("$self->{dir}/dovecot.conf", $self->settings($options{config} // ''));
	$self->mailbox($_) for keys %{$options{users}};
	$self->{pid} = fork // die "cannot fork: $!\n";
	if ($self->{pid} == 0) {
		open STDOUT, '>', "$self->{dir}/out";
		open STDERR, '>&', \*STDOUT;
		exec $program, '-F', '-c', "$self->{dir}/dovecot.conf" or die "cannot run $program: $!\n";
	}
	push @all, $self;
	for (1 .. 100) {
		last if IO::Socket::IP->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port});
		sleep 0.1;
	}
	return $self;
}

sub port { return $_[0]{port} }
sub tls_port { return $_[0]{tls_port} }
sub authorities { return "$_[0]{dir}/certificate.pem" }
sub log_text { return Hosts::slurp("$_[0]{dir}/log") // '' }

sub mailbox {
	my ($self, $user) = @_;
	my $box = "$self->{dir}/mail/$user";

	return $box if -d "$box/new";
	make_path(map { "$box/$_" } qw(new cur tmp));
	if ($> == 0) {
		my @nobody = (getpwnam 'nobody')[2, 3];
		chown @nobody, $box, map { "$box/$_" } qw(new cur tmp);
	}
	return $box;
}

sub deliver {
	my ($self, $user, $text) = @_;
	my $box = $self->mailbox($user);
	my $name = sprintf '%d.M%06dP%d.test', time, ++$self->{serial}, $$;

	Hosts::spew("$box/tmp/$name", $text);
	chown +(getpwnam 'nobody')[2, 3], "$box/tmp/$name" if $> == 0;
	rename "$box/tmp/$name", "$box/new/$name" or die "$!\n";
	return $name;
}

sub mails {
	my ($self, $user) = @_;
	my $box = $self->mailbox($user);
	return map { Hosts::slurp($_) } sort glob "$box/new/* $box/cur/*";
}

sub stop {
	my ($self) = @_;
	my $pid = delete $self->{pid};

	return unless $pid && $$ == $owner;
	my $status = $?;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	$? = $status;
}

sub DESTROY { $_[0]->stop }

END {
	my $status = $?;
	if ($$ == $owner) { $_->stop for grep { defined } @all }
	$? = $status;
}

1;
