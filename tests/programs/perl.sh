set -eu
exec perl -e '
use strict; use warnings;
my $pid = open(my $child, "-|") // die; if (!$pid) { print "from child\n"; exit 3; }
my $line = <$child>; close($child); die unless $line eq "from child\n" and $? >> 8 == 3;
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 5); }; die unless $@ eq "alarm\n";
my %count; $count{$_ % 7}++ for 1 .. 100000; die unless $count{3} == 14286;
opendir(my $d, "/usr/bin") or die; my @names = readdir($d); die unless @names > 100;
my $out = `echo shell`; die unless $out eq "shell\n";
'
