//! Runs of ones in a 64-bit mask.

/// `n` ones (1..=64) from bit `at`.
pub const fn run(at: u32, n: u32) -> u64 {
    (u64::MAX >> (64 - n)) << at
}

/// A mask of the lowest `n` bits (0..=64).
pub const fn low(n: u32) -> u64 {
    if n == 0 { 0 } else { u64::MAX >> (64 - n) }
}

/// Bits of `mask` at which a run of at least `n` ones (1..=64) starts. log2(n) steps.
pub const fn run_starts(mask: u64, n: u32) -> u64 {
    let mut starts = mask;
    let mut have = 1;
    while have < n {
        let step = if n - have < have { n - have } else { have };
        starts &= starts >> step;
        have += step;
    }
    starts
}

/// The lowest bit at which a run of `n` ones (1..=64) starts.
pub const fn find_run(mask: u64, n: u32) -> Option<u32> {
    let starts = run_starts(mask, n);
    if starts == 0 {
        None
    } else {
        Some(starts.trailing_zeros())
    }
}

/// Length of the longest run of ones.
pub const fn longest_run(mut mask: u64) -> u32 {
    let mut n = 0;
    while mask != 0 {
        mask &= mask << 1;
        n += 1;
    }
    n
}

/// Length of the chain that starts at bit `at` when a one in `continues` joins a bit to the next.
pub const fn chain(continues: u64, at: u32) -> u32 {
    (!(continues >> at)).trailing_zeros() + 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Bit by bit, the definition.
    fn starts_slow(mask: u64, n: u32) -> u64 {
        (0..=64 - n)
            .filter(|&at| mask & run(at, n) == run(at, n))
            .fold(0, |m, at| m | 1 << at)
    }

    #[test]
    fn run_starts_agrees_with_its_definition() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        for round in 0..2000u32 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let mask = match round % 4 {
                0 => x,
                1 => x | x >> 1 | x << 3,
                2 => !(1 << (x & 63)),
                _ => u64::MAX << (x & 63),
            };
            for n in 1..=64 {
                assert_eq!(run_starts(mask, n), starts_slow(mask, n), "{mask:b} {n}");
            }
            let longest = (1..=64)
                .rev()
                .find(|&n| starts_slow(mask, n) != 0)
                .unwrap_or(0);
            assert_eq!(longest_run(mask), longest);
        }
        assert_eq!(longest_run(0), 0);
        assert_eq!(longest_run(u64::MAX), 64);
        assert_eq!(find_run(0b1110_0110, 3), Some(5));
    }

    #[test]
    fn chain_counts_joined_bits() {
        assert_eq!(chain(0, 5), 1);
        assert_eq!(chain(0b0110, 1), 3);
        assert_eq!(chain(u64::MAX >> 1, 0), 64);
    }
}
