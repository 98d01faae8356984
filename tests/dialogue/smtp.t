# The SMTP server's machine against the scripts in smtp/.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Dialogues;

Dialogues::play('smtp');
