//! Arenas: a sub-region cut in 64 chunks, for pools (partition 0) and for blocks of whole chunks.
//!
//! The owner takes and gives chunks through the mask `free`; `joined` tells which belong together,
//! `starts` where a block (not a pool) begins. A chunk block freed by another thread is posted as the
//! bits of its chunks in remote word 0.

use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::FANOUT;
use crate::sub::{Kind, SubRegion};

/// Chunks just taken.
#[derive(Clone, Copy)]
pub struct Chunks {
    /// The lowest chunk's bit.
    pub at: u32,
    /// Whether all of them read as zeros.
    pub zeroed: bool,
}

/// Makes an acquired sub-region an arena of `owner`.
pub fn open(id: SubRegionId, owner: HeapId, zeroed: bool) {
    let sub = SubRegion::of(id);
    sub.reset();
    sub.free.set(u64::MAX);
    sub.touched.set(if zeroed { 0 } else { u64::MAX });
    sub.set_owner(owner);
    sub.set_kind(Kind::Arena);
}

/// Longest run of free chunks.
pub fn longest(sub: &SubRegion) -> u32 {
    bits::longest_run(sub.free.get())
}

/// Whether no chunk is in use.
pub fn is_empty(sub: &SubRegion) -> bool {
    sub.free.get() == u64::MAX
}

/// Bits at which a naturally aligned run of `n` chunks may start; every bit if `n` is no power of two.
const fn aligned_starts(n: u32) -> u64 {
    if !n.is_power_of_two() {
        return u64::MAX;
    }
    let mut mask = 0;
    let mut at = 0;
    while at < FANOUT as u32 {
        mask |= 1 << at;
        at += n;
    }
    mask
}

/// Which free chunks to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// Only such as were used before: their pages are there.
    Used,
    /// The lowest.
    Any,
}

/// Takes the lowest `n` (1..=64) free chunks; naturally aligned if asked, when `n` is a power of two.
pub fn take(sub: &SubRegion, n: u32, aligned: bool, pick: Pick) -> Option<Chunks> {
    let free = sub.free.get();
    let allowed = if aligned { aligned_starts(n) } else { u64::MAX };
    let of = if pick == Pick::Used {
        free & sub.touched.get()
    } else {
        free
    };
    let starts = bits::run_starts(of, n) & allowed;
    if starts == 0 {
        return None;
    }
    let at = starts.trailing_zeros();
    let mask = bits::run(at, n);
    sub.free.set(free & !mask);
    sub.joined.set(sub.joined.get() & !mask | mask & mask >> 1);
    let zeroed = sub.touched.get() & mask == 0;
    sub.touched.set(sub.touched.get() | mask);
    sub.stir(mask);
    Some(Chunks { at, zeroed })
}

/// Gives chunks back.
pub fn give(sub: &SubRegion, mask: u64) {
    debug_assert_eq!(sub.free.get() & mask, 0);
    // `free` last: the child of a fork trusts the others for chunks that are not free.
    sub.set_starts_word(0, sub.starts_word(0) & !mask);
    sub.joined.set(sub.joined.get() & !mask);
    sub.free.set(sub.free.get() | mask);
    sub.stir(mask);
}

/// Makes the block of chunk `at` `n` chunks long where it is; false if the next are not free.
pub fn resize(sub: &SubRegion, at: u32, n: u32) -> bool {
    let Some(have) = block_chunks(sub, at) else {
        return false;
    };
    let free = sub.free.get();
    if n > have {
        let more = match at + n <= FANOUT as u32 {
            true => bits::run(at + have, n - have),
            false => return false,
        };
        if free & more != more {
            return false;
        }
        sub.free.set(free & !more);
        sub.stir(more);
        sub.touched.set(sub.touched.get() | more);
        sub.joined
            .set(sub.joined.get() | (more | more >> 1) & !(1 << (at + n - 1)));
    } else if n < have {
        let less = bits::run(at + n, have - n);
        sub.joined.set(sub.joined.get() & !(less | less >> 1));
        sub.free.set(free | less);
        sub.stir(less);
    }
    true
}

/// Notes that free chunks have no pages, and read as zeros when they get some.
pub fn untouch(sub: &SubRegion, mask: u64) {
    sub.touched.set(sub.touched.get() & !mask);
}

/// Free chunks that may have pages, and, if `cold`, were neither taken nor given for a while.
pub fn free_pages(sub: &SubRegion, cold: bool) -> u64 {
    let spared = if cold { sub.recent() } else { 0 };
    sub.free.get() & sub.touched.get() & !spared
}

/// Marks a block that starts at chunk `at`.
pub fn start_block(sub: &SubRegion, at: u32) {
    sub.set_starts_word(0, sub.starts_word(0) | 1 << at);
}

/// Chunks of the block that starts at chunk `at`, none if none does.
pub fn block_chunks(sub: &SubRegion, at: u32) -> Option<u32> {
    (sub.starts_word(0) >> at & 1 != 0).then(|| bits::chain(sub.joined.get(), at))
}
