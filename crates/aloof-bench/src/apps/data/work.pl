use strict; use warnings;
my $rounds = shift @ARGV;
my $state = 12345;
sub rnd { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % $_[0]; }
my $sum = 0;
for my $step (1 .. $rounds) {
    my %count; my @lines;
    for my $i (1 .. 20000) {
        my $line = join ' ', map { 'word' . rnd(3000) } 1 .. 8;
        push @lines, $line;
        $count{$_}++ for split / /, $line;
    }
    my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
    my $text = join "\n", @lines;
    my $changed = ($text =~ s/word(\d)(\d+)/$2-$1/g);
    my @tree = map { { id => $_, kids => [ map { rnd(9) } 1 .. 5 ] } } 1 .. 5000;
    $sum += length($text) + $changed + scalar(@tree);
    print "@top $sum\n";
}
