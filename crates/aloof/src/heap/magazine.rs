//! Magazines: per class, the addresses of blocks freed last, newest on top (Bonwick and Adams, 2001).
//!
//! ```text
//!   ... | unused | 0 | oldest | ... | newest |  free places  |
//!                  ^ sentinel               ^ top            ^ end, aligned to its size: full when top is here
//! ```
//! `malloc` reads `top[-1]` and finds 0 when the magazine is empty; `free` sees that it is full by the
//! alignment of `top`. A class without a magazine has its top at [`EMPTY_MAGAZINE`], which is both.

use super::capacity::Capacity;
use super::flush::block_fault;
use super::guests::Guests;
use super::{Front, Heap, MAGAZINES, Small};
use crate::num::class::{CLASSES, MAGAZINE_BYTES, MAGAZINE_KEEP, MAGAZINE_SLOTS, SizeClass};
use crate::num::ids::*;
use crate::num::{bits, series};
use crate::pool::{Fault, Pool, Word};
use crate::space;
use crate::sync::{Ordering, OwnedSize, compiler_fence};

/// A sentinel and an aligned end, for all classes of all heaps; never written.
#[repr(align(2048))]
pub struct EmptyMagazine {
    _places: [OwnedSize; 2 * MAGAZINE_SLOTS],
}

static EMPTY: EmptyMagazine = EmptyMagazine {
    _places: [const { OwnedSize::new(0) }; 2 * MAGAZINE_SLOTS],
};

/// Top of a magazine that is empty and full.
pub const EMPTY_MAGAZINE: *mut usize = (&raw const EMPTY)
    .cast_mut()
    .cast::<usize>()
    .wrapping_add(MAGAZINE_SLOTS);

const _: () = assert!(align_of::<EmptyMagazine>() == MAGAZINE_BYTES);

/// A full magazine keeps this share of its blocks, the newest.
const KEEP_SHARE: usize = 3;

/// Largest blocks that go from pool to magazine a word at a time, which is half a magazine at most: a full one would be
/// flushed at the first frees. Larger ones go through the slot, which knows whether they are zero: clearing them would cost
/// more than the magazine saves.
pub(super) const FILL_MAX: usize = 512;

/// Words that go into a magazine at once.
const FILL_WORDS: usize = 4;

const _: () = assert!(MAGAZINE_KEEP / FILL_MAX >= 2 * 64);

impl Front {
    /// The newest block of the class's magazine.
    #[inline(always)]
    pub(super) fn pop(&self, class: SizeClass) -> Option<Small> {
        let hot = &self.hot[class.index()];
        let newest = hot.get().wrapping_sub(1);
        // SAFETY: below the top lies a block or the sentinel 0.
        let addr = unsafe { newest.read() };
        if addr == 0 {
            return None;
        }
        hot.set(newest);
        Some(Small {
            addr,
            zeroed: false,
        })
    }
}

impl Heap {
    /// End of the magazine's buffer.
    fn magazine_end(&self, class: SizeClass) -> *mut usize {
        let record = core::ptr::from_ref(self).cast::<u8>().cast_mut();
        record
            .wrapping_add(MAGAZINES + (class.index() + 1) * MAGAZINE_BYTES)
            .cast()
    }

    /// Place of the oldest block.
    pub(super) fn magazine_bottom(&self, class: SizeClass) -> *mut usize {
        self.magazine_end(class)
            .wrapping_sub(self.magazine_capacity(class))
    }

    /// Blocks in the magazine.
    pub(super) fn magazine_len(&self, class: SizeClass) -> usize {
        let top = self.front.hot[class.index()].get();
        if top == EMPTY_MAGAZINE {
            0
        } else {
            // Others may look while the bottom moves.
            top.addr()
                .saturating_sub(self.magazine_bottom(class).addr())
                / 8
        }
    }

    /// Frees a block of an own pool when its magazine has no place: it has none yet, or it is full.
    #[cold]
    #[inline(never)]
    pub fn push_slow(&self, class: SizeClass, addr: usize) {
        let hot = &self.front.hot[class.index()];
        if hot.get() == EMPTY_MAGAZINE {
            if self.bins[class.index()].is_spread() {
                self.give_blocks(class, &[addr]);
                self.count_pool_blocks(class, -1);
                return;
            }
            if self.free_young(class, addr) {
                return;
            }
            hot.set(self.new_magazine(class));
        } else if hot.get() == self.magazine_end(class) {
            self.check_newest(hot.get(), addr);
            self.capacities[class.index()].overflowed();
            let len = self.magazine_len(class);
            self.flush(class, len - len / KEEP_SHARE);
        }
        let top = hot.get();
        self.check_newest(top, addr);
        // SAFETY: the magazine has a free place at its top.
        unsafe { top.write(addr) };
        hot.set(top.wrapping_add(1));
    }

    /// Sets the sentinel; the bottom of the empty magazine.
    pub(super) fn new_magazine(&self, class: SizeClass) -> *mut usize {
        let bottom = self.magazine_bottom(class);
        // SAFETY: the place below the bottom lies in the record's buffer of this class.
        unsafe { bottom.wrapping_sub(1).write(0) };
        // Before any top above it: in the child of a fork the magazine is read down to it.
        compiler_fence(Ordering::Release);
        bottom
    }

    /// Does without the class's magazine, which is empty, from now on.
    pub(super) fn drop_magazine(&self, class: SizeClass) {
        debug_assert_eq!(self.magazine_len(class), 0);
        self.front.hot[class.index()].set(EMPTY_MAGAZINE);
        self.capacities[class.index()].forget();
    }

    /// Takes words of a pool, until half a magazine has been moved, into the empty magazine, the lowest block on
    /// top; then takes this block. None if the pool has nothing.
    #[inline(always)]
    pub(super) fn fill(&self, class: SizeClass, pool: &Pool) -> Option<Small> {
        let half = self.magazine_capacity(class) as u32 / 2;
        let mut words = [Word::NONE; FILL_WORDS];
        let (mut taken, mut blocks) = (0, 0);
        while taken == 0 || taken < FILL_WORDS && blocks + 63 <= half {
            let Some(word) = pool.take_word() else { break };
            words[taken] = word;
            taken += 1;
            blocks += word.blocks;
        }
        let words = &words[..taken];
        let zeroed = words.first()?.zeroed;
        let size = class.size();
        let start = self.base() + pool.offset();
        let bottom = self.new_magazine(class);
        let mut top = bottom;
        for word in words.iter().rev() {
            let base = start + word.index as usize * 64 * size;
            let mut bits = word.bits;
            while bits != 0 {
                // The highest run of blocks that follow each other.
                let above = bits.leading_zeros();
                let run = (!(bits << above)).leading_zeros();
                let low = 64 - above - run;
                // SAFETY: a magazine of this class has places for the words.
                let places = unsafe { core::slice::from_raw_parts_mut(top, run as usize) };
                series::write_down_to(places, base + low as usize * size, size);
                top = top.wrapping_add(run as usize);
                bits &= bits::low(low);
            }
        }
        self.count_pool_blocks(class, i64::from(blocks));
        self.guests[class.index()].invite(class.info(), blocks);
        let newest = top.wrapping_sub(1);
        self.front.hot[class.index()].set(newest);
        Some(Small {
            // SAFETY: the block written last.
            addr: unsafe { newest.read() },
            zeroed,
        })
    }

    fn check_newest(&self, top: *mut usize, addr: usize) {
        // SAFETY: below the top lies a block or the sentinel.
        if unsafe { top.wrapping_sub(1).read() } == addr {
            block_fault(addr, Fault::DoubleFree);
        }
    }

    /// Blocks and bytes in all caches.
    pub(super) fn cached(&self) -> (u64, u64) {
        SizeClass::all().fold(self.medium_cache.cached(), |(blocks, bytes), class| {
            let n = self.magazine_len(class) as u64
                + u64::from(self.front.slots[class.index()].bits.get().count_ones());
            (blocks + n, bytes + n * class.size() as u64)
        })
    }

    /// In the child of a fork: what a thread that is no more had in its caches goes back to the pools.
    /// It may have been stopped anywhere, so a block may be met twice, and nothing is counted.
    pub(super) fn spill_caches(&self) {
        for class in SizeClass::all() {
            let mut at = self.front.hot[class.index()].get();
            let first = self.magazine_end(class).wrapping_sub(MAGAZINE_SLOTS);
            // Down to the sentinel; not by the capacity, which may be another than the magazine has.
            while at != EMPTY_MAGAZINE && at > first {
                at = at.wrapping_sub(1);
                // SAFETY: an entry of the buffer, below the top.
                let addr = unsafe { at.read() };
                if addr == 0 {
                    break;
                }
                let offset = addr.wrapping_sub(self.base());
                // A flush that was under way may have dissolved the pool, and another may be there now.
                let tag = space::tag(ChunkId::at(offset)).load(Ordering::Relaxed);
                if tag != self.tag_of(class) {
                    continue;
                }
                let (id, _) = Pool::of_chunk(ChunkId::at(offset));
                if let Ok(block) = Pool::of(id).block_at(offset) {
                    Pool::of(id).give_again(block / 64, 1 << (block % 64));
                }
            }
            let slot = &self.front.slots[class.index()];
            if slot.bits.get() != 0 {
                Pool::of(PoolId(slot.pool.get()))
                    .give_again(slot.word.get().into(), slot.bits.get());
            }
        }
    }

    /// Starts with no magazine for any class.
    pub(super) fn forget_magazines(&self) {
        for c in 0..CLASSES {
            self.front.hot[c].set(EMPTY_MAGAZINE);
        }
        self.guests.iter().for_each(Guests::forget);
        self.capacities.iter().for_each(Capacity::forget);
    }
}
