# Hashes, regular expressions, sorting, sprintf, closures and interpreter threads.
use strict;
use warnings;
use threads;
use Digest::MD5 qw(md5_hex);

my $state = 88172645463325252;

sub random_below {
    my ($limit) = @_;
    # A linear congruence that stays below 2**53, where doubles are exact.
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 65536) % $limit;
}

sub word {
    return join '', map { chr(97 + random_below(26)) } 1 .. 2 + random_below(8);
}

$state = 20240917;

# A table of records.
my %people;
for my $n (1 .. 60_000) {
    my $name = word();
    push @{ $people{$name}{visits} }, $n;
    $people{$name}{sum} += $n * 3 % 1009;
    delete $people{ word() } if $n % 5 == 0;
}
my @names = sort { $people{$b}{sum} <=> $people{$a}{sum} || $a cmp $b } keys %people;
printf "people %d, first %s, last %s\n", scalar @names, $names[0], $names[-1];
print 'order ', md5_hex(join ',', @names), "\n";

# Text, taken apart and put together.
my $text = '';
$text .= sprintf "%-12s|%08.3f|%5d|%s\n", word(), random_below(1_000_000) / 1000,
    random_below(32768), join '/', map { word() } 0 .. random_below(5)
    for 1 .. 30_000;
my (%by_length, $swapped);
$by_length{ length $1 }++ while $text =~ /([a-z]+)\s*\|/g;
print "lengths ", join(' ', map { "$_=$by_length{$_}" } sort { $a <=> $b } keys %by_length), "\n";
($swapped = $text) =~ s/([aeiou]+)([^aeiou\n|]+)/$2$1/g;
print 'swapped ', md5_hex($swapped), "\n";
my @columns = map { [ split /\|/ ] } split /\n/, $text;
my @sorted = sort { $a->[1] <=> $b->[1] || $a->[0] cmp $b->[0] || $a->[3] cmp $b->[3] } @columns;
print 'columns ', md5_hex(join "\n", map { join ';', reverse @$_ } @sorted), "\n";

# Strings that grow a little at a time, arrays used as queues.
my (@queue, @grown);
for my $n (1 .. 200_000) {
    push @queue, "item $n";
    shift @queue if @queue > 3000;
    $grown[ $n % 64 ] .= substr "item $n ", 0, 3 + $n % 5;
}
print 'queue ', md5_hex(join ',', @queue), ' grown ', md5_hex(join '', @grown), "\n";

# Trees of closures and references.
sub build {
    my ($depth) = @_;
    return sub { $_[0] } unless $depth;
    my ($left, $right) = (build($depth - 1), build($depth - 1));
    return sub { $left->($_[0] + $depth) + $right->($_[0] * 2) % 1009 };
}
print 'closures ', build(14)->(3), "\n";

# packed data and formats
my $packed = pack '(NnCa8)*', map { ($_ * 7919, $_ % 65536, $_ % 256, word()) } 1 .. 20_000;
my @back = unpack '(NnCa8)*', $packed;
print 'packed ', md5_hex($packed), ' ', scalar(@back), "\n";

# Each thread is a clone of the whole interpreter.
my @small = @names[ 0 .. 4999 ];
my @crew = map {
    my $part = $_;
    threads->create(
        sub {
            my %count;
            $count{ substr $_, $part % 2, 1 }++ for @small;
            return join ' ', map { "$_$count{$_}" } sort keys %count;
        }
    );
} 1 .. 4;
print 'thread ', md5_hex($_->join), "\n" for @crew;
