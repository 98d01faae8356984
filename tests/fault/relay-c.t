# Relay passes at C that are killed, or run out of disk, at every change they make to the file system.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Sweep;
use Test::More;

Sweep::relay('c', 'kill:%d');
Sweep::relay('c', 'fail:%d:28');
done_testing;
