# Perl: text, files, processes, signals, modules with compiled parts.
use strict; use warnings; use POSIX qw(:sys_wait_h strftime floor); use Fcntl qw(:DEFAULT :flock :seek);
use Digest::SHA qw(sha1_hex); use Time::HiRes qw(usleep time); use File::Temp qw(tempdir); use File::Find; use File::Copy;
use List::Util qw(sum max shuffle); use Data::Dumper; use IO::Handle; use IO::Select; use Cwd; use Storable qw(freeze thaw); use Encode; use threads;
$| = 1; $Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
my %count; $count{$_}++ for map { lc } "The cat and the dog and the bird" =~ /\w+/g; print join(' ', map { "$_=$count{$_}" } sort keys %count), "\n";
print Dumper({ list => [1, 2], nested => { a => undef } }), sha1_hex("text"), ' ', sum(1 .. 100), ' ', floor(-1.5), "\n";
open my $file, '+>', 'file' or die; print $file "line $_\n" for 1 .. 1000; seek $file, 0, SEEK_SET; my @lines = <$file>; print scalar @lines, ' ', -s 'file', ' ', tell $file, "\n";
flock $file, LOCK_EX or die; my $pid = fork; if (!$pid) { open my $again, '<', 'file'; print flock($again, LOCK_SH | LOCK_NB) ? "locked\n" : "busy $!\n"; exit 3 } waitpid $pid, 0; print $? >> 8, "\n"; close $file;
pipe my $in, my $out; if (!fork) { close $in; print $out "from child $_\n" for 1 .. 3; exit } close $out; print while <$in>; wait;
print `echo backquote; exit 2`, $? >> 8, "\n"; system 'sh', '-c', 'kill -9 $$'; print $? & 127, "\n"; 
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 5; my $ended; local $SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0; print "child ended\n"; $ended = 1 }; if (!fork) { exit } usleep 10_000 until $ended;
my $dir = tempdir(CLEANUP => 1); copy 'file', "$dir/a"; move "$dir/a", "$dir/b"; symlink 'b', "$dir/c"; my @found; find(sub { push @found, $_ }, $dir); print join(' ', sort grep { /^\w$/ } @found), "\n";
print strftime('%Y-%m-%d', gmtime 86400 * 365), ' ', (stat 'file')[7], ' ', join(',', sort(map { s|.*/||r } glob '*')), ' ', (getpwuid 0)[0], "\n"; utime 1000, 2000, 'file'; print +(stat 'file')[9], "\n";
my $thread = threads->create(sub { my $s = 0; $s += $_ for 1 .. 1000; return $s }); print $thread->join, "\n"; print thaw(freeze([1, 2, 3]))->[2], ' ', length(encode('UTF-8', "\x{263a}")), ' ', "\x{e9}" =~ /\w/ ? 'word' : 'none', "\n";
my $select = IO::Select->new; pipe $in, $out; $select->add($in); my @ready = $select->can_read(0.05); print scalar @ready, "\n"; syswrite $out, 'x'; @ready = $select->can_read(1); print scalar @ready, "\n"; print 'sum ', unpack('%32C*', 'checksum'), ' ', join('|', split /,/, 'a,b,,c'), ' ', sprintf('%.3f %e %s', 3.14159, 12345, 1e21), "\n"; eval { die "the end\n" }; print $@;
