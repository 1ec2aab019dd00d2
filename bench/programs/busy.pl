# Perl: recursion, sorting with a callback, regular expressions with code, packing.
use strict;
use warnings;

sub leaf {
    my ($n) = @_;
    my @items = sort { $a % 17 <=> $b % 17 or $a <=> $b } map { $_ * 7919 % 1009 } 1 .. $n;
    my $text = join ';', map { sprintf 'word-%04d', $_ } @items;
    (my $other = $text) =~ s/word-(\d+)/twice($1)/ge;
    my %counts;
    $counts{ length $_ }++ for split /;/, $other;
    return unpack('%32C*', pack('A*', $other)) + keys %counts;
}

sub twice { return $_[0] * 2 }

sub descend {
    my ($depth, $n) = @_;
    return $depth == 0 ? leaf($n) : descend($depth - 1, $n) + 1;
}

descend(8, 200) while 1;
