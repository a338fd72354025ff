//! Runs: irregular blocks in a sub-region cut in 1024 units, with the boundary tags beside the memory.
//!
//! Two bits a unit: `starts` where a block begins, and `joined` where one goes on into the next unit. A unit
//! with neither its own start nor a neighbour joined to it is free, so free neighbours merge by
//! construction. Best fit, lowest first (Knuth, TAOCP 1, 2.5, with the tags moved out of the blocks).
//! Everything costs O(1024 / 64) words.
//!
//! The bits of a live block do not change while its owner takes and gives others, so that any thread
//! that holds a block may ask how long it is.

use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::{UNIT_WORDS, UNITS};
use crate::sub::{Kind, SubRegion};

/// Units just taken.
#[derive(Clone, Copy)]
pub struct Taken {
    /// The lowest unit.
    pub at: u32,
    /// Whether all of them read as zeros.
    pub zeroed: bool,
}

/// Makes an acquired sub-region a run arena of `owner`.
pub fn open(id: SubRegionId, owner: HeapId, zeroed: bool) {
    let sub = SubRegion::of(id);
    sub.reset();
    sub.touched.set(if zeroed { 0 } else { UNITS as u64 });
    sub.set_owner(owner);
    sub.set_kind(Kind::Runs);
}

/// Whether no unit is in use.
pub fn is_empty(sub: &SubRegion) -> bool {
    sub.used_units.get() == 0
}

/// Units in use of one word: those at which a block starts, and those the unit before is joined with.
fn used_word(sub: &SubRegion, w: usize) -> u64 {
    let carried = if w == 0 {
        0
    } else {
        sub.joined_word(w - 1) >> 63
    };
    sub.starts_word(w) | sub.joined_word(w) << 1 | carried
}

/// The first unit from `from` on whose use is `value`; [`UNITS`] if none.
fn next_unit(sub: &SubRegion, from: u32, value: bool) -> u32 {
    let flip = if value { 0 } else { u64::MAX };
    let mut w = from as usize / 64;
    let mut mask = u64::MAX << (from % 64);
    while w < UNIT_WORDS {
        let found = (used_word(sub, w) ^ flip) & mask;
        if found != 0 {
            return w as u32 * 64 + found.trailing_zeros();
        }
        mask = u64::MAX;
        w += 1;
    }
    UNITS as u32
}

/// Calls `f(start, length)` for every free run, lowest first.
fn free_runs(sub: &SubRegion, mut f: impl FnMut(u32, u32)) {
    let mut at = next_unit(sub, 0, false);
    while at < UNITS as u32 {
        let end = next_unit(sub, at, true);
        f(at, end - at);
        if end >= UNITS as u32 {
            return;
        }
        at = next_unit(sub, end, false);
    }
}

/// Longest run of free units.
pub fn longest(sub: &SubRegion) -> u32 {
    let mut longest = 0;
    free_runs(sub, |_, n| longest = longest.max(n));
    longest
}

/// Joins `n` units from `at` with the unit after each, or parts them.
fn join(sub: &SubRegion, at: u32, n: u32, value: bool) {
    let (mut at, end) = (at, at + n);
    while at < end {
        let take = (64 - at % 64).min(end - at);
        let mask = bits::run(at % 64, take);
        let word = sub.joined_word(at as usize / 64);
        sub.set_joined_word(
            at as usize / 64,
            if value { word | mask } else { word & !mask },
        );
        at += take;
    }
}

fn count_used(sub: &SubRegion, more: u32, less: u32) {
    sub.used_units.set(sub.used_units.get() + more - less);
}

fn set_start(sub: &SubRegion, at: u32, value: bool) {
    let (w, bit) = (at as usize / 64, 1u64 << (at % 64));
    let word = sub.starts_word(w);
    sub.set_starts_word(w, if value { word | bit } else { word & !bit });
}

/// Whether a block in use starts at unit `at`.
pub fn is_start(sub: &SubRegion, at: u32) -> bool {
    sub.starts_word(at as usize / 64) >> (at % 64) & 1 != 0
}

/// Takes `n` units: the shortest free run that fits, the lowest of equals.
pub fn take(sub: &SubRegion, n: u32) -> Option<Taken> {
    let (mut best, mut best_len) = (0, u32::MAX);
    free_runs(sub, |at, len| {
        if len >= n && len < best_len {
            (best, best_len) = (at, len);
        }
    });
    if best_len == u32::MAX {
        return None;
    }
    set_start(sub, best, true);
    join(sub, best, n - 1, true);
    count_used(sub, n, 0);
    stir(sub, best, n);
    let zeroed = touch(sub, best, n);
    Some(Taken { at: best, zeroed })
}

/// Notes that units are used; true if they never were before.
fn touch(sub: &SubRegion, at: u32, n: u32) -> bool {
    let before = sub.touched.get();
    sub.touched.set(before.max(u64::from(at + n)));
    u64::from(at) >= before
}

/// Units of the block that starts at `at`.
pub fn block_units(sub: &SubRegion, at: u32) -> u32 {
    let mut w = at as usize / 64;
    let mut parted = !sub.joined_word(w) & u64::MAX << (at % 64);
    while parted == 0 && w + 1 < UNIT_WORDS {
        w += 1;
        parted = !sub.joined_word(w);
    }
    w as u32 * 64 + parted.trailing_zeros().min(63) + 1 - at
}

/// Frees the block that starts at `at`; its units.
pub fn give(sub: &SubRegion, at: u32) -> u32 {
    let n = block_units(sub, at);
    set_start(sub, at, false);
    join(sub, at, n - 1, false);
    count_used(sub, 0, n);
    stir(sub, at, n);
    n
}

/// Makes the block at `at` `n` units long where it is; false if its neighbour is in the way.
pub fn resize(sub: &SubRegion, at: u32, n: u32) -> bool {
    let have = block_units(sub, at);
    if n < have {
        join(sub, at + n - 1, have - n, false);
        count_used(sub, 0, have - n);
        stir(sub, at + n, have - n);
    } else if n > have {
        let end = at + have;
        if at + n > UNITS as u32 || next_unit(sub, end, true) < at + n {
            return false;
        }
        join(sub, end - 1, n - have, true);
        count_used(sub, n - have, 0);
        stir(sub, end, n - have);
        touch(sub, end, n - have);
    }
    true
}

/// Units of a 64th.
const UNITS_64TH: u32 = UNITS as u32 / 64;

/// The 64ths that hold these units.
fn in_64ths(at: u32, n: u32) -> u64 {
    let (first, last) = (at / UNITS_64TH, (at + n - 1) / UNITS_64TH);
    bits::run(first, last - first + 1)
}

fn stir(sub: &SubRegion, at: u32, n: u32) {
    sub.stir(in_64ths(at, n));
}

/// Calls `f(start, length)` for every free run that may have pages and, if `cold`, was neither taken nor given for a
/// while; what it returns true for has none any more.
pub fn each_free_pages(sub: &SubRegion, cold: bool, mut f: impl FnMut(u32, u32) -> bool) {
    let recent = if cold { sub.recent() } else { 0 };
    free_runs(sub, |at, n| {
        let touched = (sub.touched.get() as u32).min(at + n);
        if touched <= at || in_64ths(at, touched - at) & recent != 0 {
            return;
        }
        if f(at, touched - at) && u64::from(touched) == sub.touched.get() {
            sub.touched.set(at.into());
        }
    });
}

/// In the child of a fork: counts the used units anew.
pub fn recount(sub: &SubRegion) {
    sub.used_units.set(
        (0..UNIT_WORDS)
            .map(|w| used_word(sub, w).count_ones())
            .sum(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor of its own, all zeros, as the space gives it.
    fn sub() -> Box<SubRegion> {
        // SAFETY: all fields are atomics, for which zero is valid.
        unsafe { Box::<SubRegion>::new_zeroed().assume_init() }
    }

    #[test]
    fn random_runs_agree_with_a_list_of_intervals() {
        let s = sub();
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        let mut x = 88172645463325252u64;
        let mut random = move |n: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x % n) as u32
        };
        for _ in 0..20_000 {
            let gaps = |blocks: &[(u32, u32)]| {
                let mut gaps = Vec::new();
                let mut at = 0;
                for &(start, n) in blocks {
                    if start > at {
                        gaps.push((start - at, at));
                    }
                    at = start + n;
                }
                if at < UNITS as u32 {
                    gaps.push((UNITS as u32 - at, at));
                }
                gaps
            };
            match random(5) {
                0 | 1 => {
                    let most = if random(4) == 0 { 300 } else { 20 };
                    let n = 1 + random(most);
                    let best = gaps(&blocks).into_iter().filter(|g| g.0 >= n).min();
                    let got = take(&s, n);
                    assert_eq!(
                        got.map(|t| t.at),
                        best.map(|g| g.1),
                        "best fit, lowest first"
                    );
                    if let Some(t) = got {
                        blocks.push((t.at, n));
                        blocks.sort();
                    }
                }
                2 | 3 if !blocks.is_empty() => {
                    let (at, n) = blocks.remove(random(blocks.len() as u64) as usize);
                    assert!(is_start(&s, at) && (n == 1 || !is_start(&s, at + 1)));
                    assert_eq!(give(&s, at), n);
                }
                _ if !blocks.is_empty() => {
                    let i = random(blocks.len() as u64) as usize;
                    let (at, _) = blocks[i];
                    let limit = blocks.get(i + 1).map_or(UNITS as u32, |b| b.0) - at;
                    let n = 1 + random(u64::from(limit) + 3);
                    assert_eq!(resize(&s, at, n), n <= limit);
                    if n <= limit {
                        blocks[i].1 = n;
                    }
                }
                _ => {}
            }
            assert_eq!(
                longest(&s),
                gaps(&blocks).iter().map(|g| g.0).max().unwrap_or(0)
            );
            assert_eq!(s.used_units.get(), blocks.iter().map(|b| b.1).sum::<u32>());
            for &(at, n) in &blocks {
                assert_eq!(block_units(&s, at), n);
            }
        }
    }

    #[test]
    fn only_units_never_used_count_as_zero() {
        let s = sub();
        let a = take(&s, 10).expect("empty");
        let b = take(&s, 5).expect("room");
        assert!(a.zeroed && b.zeroed);
        give(&s, a.at);
        assert!(!take(&s, 3).expect("room").zeroed);
        assert!(take(&s, 100).expect("room").zeroed);
    }
}
