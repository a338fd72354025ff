//! Runs: irregular blocks in a sub-region cut in 1024 units, with the boundary tags beside the memory.
//!
//! Two bits a unit: `starts` where a block begins, and `joined` where one goes on into the next unit. A unit
//! with neither its own start nor a neighbour joined to it is free, so free neighbours merge by
//! construction. First fit (Knuth, TAOCP 1, 2.5, with the tags moved out of the blocks), found in all words at a time:
//! everything costs O(1024 / 64) words but [`longest`], which also takes time for each free run and is asked for
//! when what was known of it turned out to be too much.
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

/// The bits of the free units.
fn free_words(sub: &SubRegion) -> [u64; UNIT_WORDS] {
    core::array::from_fn(|w| !used_word(sub, w))
}

/// The lowest unit at which a run of `n` free ones starts: of up to 64 by doubling, as [`bits::run_starts`] but over all
/// words.
fn first_fit(mut free: [u64; UNIT_WORDS], n: u32) -> Option<u32> {
    if n > 64 {
        return first_long(&free, n);
    }
    let mut have = 1;
    while have < n {
        let step = have.min(n - have);
        for w in 0..UNIT_WORDS - 1 {
            free[w] &= free[w] >> step | free[w + 1] << (64 - step);
        }
        free[UNIT_WORDS - 1] &= free[UNIT_WORDS - 1] >> step;
        have += step;
    }
    let w = free.iter().position(|&starts| starts != 0)?;
    Some(w as u32 * 64 + free[w].trailing_zeros())
}

/// The same for more than 64 units: such a run goes on over the end of a word.
fn first_long(free: &[u64; UNIT_WORDS], n: u32) -> Option<u32> {
    let mut before = 0;
    for (w, &word) in free.iter().enumerate() {
        if before + word.trailing_ones() >= n {
            return Some(w as u32 * 64 - before);
        }
        before = if word == u64::MAX {
            before + 64
        } else {
            word.leading_ones()
        };
    }
    (before >= n).then(|| UNITS as u32 - before)
}

/// Length of the free run that holds the `n` free units from `at` on.
pub fn free_around(sub: &SubRegion, at: u32, n: u32) -> u32 {
    let (mut w, mut mask) = (at as usize / 64, bits::low(at % 64));
    let start = loop {
        let used = used_word(sub, w) & mask;
        if used != 0 {
            break w as u32 * 64 + 64 - used.leading_zeros();
        }
        if w == 0 {
            break 0;
        }
        (w, mask) = (w - 1, u64::MAX);
    };
    next_unit(sub, at + n, true) - start
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

/// Takes `n` units: the lowest that are free in a row.
pub fn take(sub: &SubRegion, n: u32) -> Option<Taken> {
    take_below(sub, n, UNITS as u32)
}

/// The same if all of them were used before.
pub fn take_used(sub: &SubRegion, n: u32) -> Option<Taken> {
    take_below(sub, n, sub.touched.get() as u32)
}

fn take_below(sub: &SubRegion, n: u32, end: u32) -> Option<Taken> {
    let at = first_fit(free_words(sub), n).filter(|at| at + n <= end)?;
    set_start(sub, at, true);
    join(sub, at, n - 1, true);
    count_used(sub, n, 0);
    stir(sub, at, n);
    let zeroed = touch(sub, at, n);
    Some(Taken { at, zeroed })
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
                    let most = [5, 20, 70, 300][random(4) as usize];
                    let n = 1 + random(most);
                    let lowest = gaps(&blocks).into_iter().find(|g| g.0 >= n);
                    let got = take(&s, n);
                    assert_eq!(got.map(|t| t.at), lowest.map(|g| g.1), "first fit");
                    if let Some(t) = got {
                        blocks.push((t.at, n));
                        blocks.sort();
                    }
                }
                2 | 3 if !blocks.is_empty() => {
                    let (at, n) = blocks.remove(random(blocks.len() as u64) as usize);
                    assert!(is_start(&s, at) && (n == 1 || !is_start(&s, at + 1)));
                    assert_eq!(give(&s, at), n);
                    let run = gaps(&blocks)
                        .into_iter()
                        .find(|g| g.1 <= at && at < g.1 + g.0);
                    assert_eq!(Some(free_around(&s, at, n)), run.map(|g| g.0));
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
