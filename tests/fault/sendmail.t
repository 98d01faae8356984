# Handing in that is killed, or runs out of disk, at every change it makes to the file system.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Hosts;
use Sweep;
use Test::More;

Sweep::sendmail('kill:%d');
Sweep::sendmail('fail:%d:28');
done_testing;
