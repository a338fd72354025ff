//! What the tables take, all of which lie below the partitions.

mod support;

use std::fs;
use std::ops::Range;

use aloof::raw;
use support::{GIB, KIB, child};

/// Resident bytes of the mappings in a range of addresses.
fn resident(range: Range<usize>) -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("/proc is mounted");
    let (mut inside, mut bytes) = (false, 0);
    for line in smaps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some((start, _)) = first.split_once('-') {
            let start = usize::from_str_radix(start, 16).expect("an address");
            inside = range.contains(&start);
        } else if first == "Rss:" && inside {
            let kib = rest.trim().trim_end_matches(" kB");
            bytes += kib.parse::<usize>().expect("a number") * KIB;
        }
    }
    bytes
}

#[test]
fn the_tables_of_a_gibibyte_of_small_blocks_take_half_a_percent_at_most() {
    child::isolated(
        "the_tables_of_a_gibibyte_of_small_blocks_take_half_a_percent_at_most",
        || {
            let mut first = 0;
            for _ in 0..GIB / 64 {
                // SAFETY: the block has 64 bytes.
                unsafe {
                    let at = raw::malloc(64);
                    at.write_volatile(1);
                    first = if first == 0 { at.addr() } else { first };
                }
            }
            // The base is aligned to 64 GiB, and the first block is not far above it.
            let base = first & !(64 * GIB - 1);
            let tables = resident(base - 200 * GIB..base);
            let blocks = resident(base..base + 64 * GIB);
            assert!(blocks >= GIB, "{blocks} bytes in blocks");
            assert!(tables > 0 && tables <= GIB / 200, "{tables} bytes");
        },
    );
}
