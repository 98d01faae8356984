# The POP3 server's machine against the scripts in pop3/.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Dialogues;

Dialogues::play('pop3');
