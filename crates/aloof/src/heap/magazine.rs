//! Magazines: per class, the addresses of blocks freed last, newest on top (Bonwick and Adams, 2001).
//!
//! ```text
//!   ... | unused | 0 | oldest | ... | newest |  free places  |
//!                  ^ sentinel               ^ top            ^ end, aligned to its size: full when top is here
//! ```
//! `malloc` reads `top[-1]` and finds 0 when the magazine is empty; `free` sees that it is full by the
//! alignment of `top`. A class without a magazine has its top at [`EMPTY_MAGAZINE`], which is both.

use super::{Heap, MAGAZINES, Small};
use crate::num::bits;
use crate::num::class::{CLASSES, MAGAZINE_BYTES, MAGAZINE_SLOTS, SizeClass};
use crate::num::ids::*;
use crate::os::message::fault;
use crate::pool::{Fault, Pool};
use crate::sync::OwnedSize;

/// A sentinel and an aligned end, for all classes of all heaps; never written.
#[repr(align(1024))]
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

/// Largest blocks that are moved ahead from slot to magazine: of larger ones the slot knows whether they are
/// zero, which saves more than the move.
const FILL_MAX: usize = 1 << 10;

/// Tells the program of its fault and ends it.
#[cold]
pub(super) fn block_fault(addr: usize, why: Fault) -> ! {
    let what = match why {
        Fault::Interior => "not the start of a block",
        Fault::DoubleFree => "double free: the block is free already",
    };
    fault("free", addr, what)
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
            .wrapping_sub(class.info().magazine.into())
    }

    /// Blocks in the magazine.
    fn magazine_len(&self, class: SizeClass) -> usize {
        let top = self.front.hot[class.index()].get();
        if top == EMPTY_MAGAZINE {
            0
        } else {
            (top.addr() - self.magazine_bottom(class).addr()) / 8
        }
    }

    /// Frees a block of an own pool when its magazine has no place: it has none yet, or it is full.
    #[cold]
    #[inline(never)]
    pub fn push_slow(&self, class: SizeClass, addr: usize) {
        let hot = &self.front.hot[class.index()];
        if hot.get() == EMPTY_MAGAZINE {
            hot.set(self.new_magazine(class));
        } else if hot.get() == self.magazine_end(class) {
            self.check_newest(hot.get(), addr);
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
    fn new_magazine(&self, class: SizeClass) -> *mut usize {
        let bottom = self.magazine_bottom(class);
        // SAFETY: the place below the bottom lies in the record's buffer of this class.
        unsafe { bottom.wrapping_sub(1).write(0) };
        bottom
    }

    /// Moves half a magazine of blocks from the slot to the empty magazine, the lowest on top, and takes
    /// one more. None if the slot is empty.
    #[inline(always)]
    pub fn fill(&self, class: SizeClass) -> Option<Small> {
        let slot = &self.front.slots[class.index()];
        let first = slot.take()?;
        let mut bits = slot.bits.get();
        let n = bits.count_ones().min(u32::from(class.info().magazine) / 2) as usize;
        if n == 0 || class.size() > FILL_MAX {
            return Some(first);
        }
        let bottom = self.new_magazine(class);
        let size = class.size();
        let mut at = n;
        while at > 0 {
            // A run of blocks that follow each other.
            let low = bits.trailing_zeros();
            let run = ((!(bits >> low)).trailing_zeros() as usize).min(at);
            let mut addr = slot.base.get() + low as usize * size;
            for _ in 0..run {
                at -= 1;
                // SAFETY: `at` < half the places of the magazine.
                unsafe { bottom.wrapping_add(at).write(addr) };
                addr += size;
            }
            bits &= !bits::run(low, run as u32);
        }
        slot.bits.set(bits);
        self.front.hot[class.index()].set(bottom.wrapping_add(n));
        Some(first)
    }

    fn check_newest(&self, top: *mut usize, addr: usize) {
        // SAFETY: below the top lies a block or the sentinel.
        if unsafe { top.wrapping_sub(1).read() } == addr {
            block_fault(addr, Fault::DoubleFree);
        }
    }

    /// Returns the oldest `n` blocks of a magazine to their pools.
    fn flush(&self, class: SizeClass, n: usize) {
        let hot = &self.front.hot[class.index()];
        let bottom = self.magazine_bottom(class);
        let len = self.magazine_len(class);
        // SAFETY: `n` <= `len` entries from the bottom on are blocks; the rest moves down.
        unsafe {
            self.give_blocks(core::slice::from_raw_parts(bottom, n));
            core::ptr::copy(bottom.wrapping_add(n), bottom, len - n);
        }
        hot.set(bottom.wrapping_add(len - n));
        self.count_pool_blocks(class, -(n as i64));
    }

    /// Returns blocks to their pools. Neighbours in the list that share a pool, or a word, share the work.
    fn give_blocks(&self, blocks: &[usize]) {
        let mut rest = blocks;
        while let Some(&addr) = rest.first() {
            let offset = addr - self.base();
            let (id, _) = Pool::of_chunk(ChunkId::at(offset));
            let n = self.give_to_pool(id, Pool::of(id), rest);
            if n == 0 {
                // Behind the last block of its pool.
                block_fault(addr, Fault::Interior);
            }
            self.restock(id);
            rest = &rest[n..];
        }
    }

    /// Returns the first blocks, as far as they are of this pool; their number. Blocks that follow each other
    /// need one division together: programs free in the order in which they allocate more often than not.
    #[inline(always)]
    fn give_to_pool(&self, id: PoolId, pool: &Pool, blocks: &[usize]) -> usize {
        let (start, info) = (self.base() + pool.offset(), pool.class().info());
        let (size, count) = (info.size as usize, usize::from(info.blocks));
        let (mut word, mut mask) = (0, 0u64);
        let mut n = 0;
        while n < blocks.len() {
            let addr = blocks[n];
            let within = addr.wrapping_sub(start);
            if within >= count * size {
                break;
            }
            let block = info.block_at(within);
            if block * size != within {
                block_fault(addr, Fault::Interior);
            }
            if block / 64 != word {
                self.give_word(id, pool, word, mask);
                (word, mask) = (block / 64, 0);
            }
            let bit = block % 64;
            let limit = (64 - bit).min(count - block).min(blocks.len() - n);
            let mut run = 1;
            while run < limit && blocks[n + run] == addr + run * size {
                run += 1;
            }
            let run_mask = bits::run(bit as u32, run as u32);
            if mask & run_mask != 0 {
                let twice = (mask & run_mask).trailing_zeros() as usize - bit;
                block_fault(addr + twice * size, Fault::DoubleFree);
            }
            mask |= run_mask;
            n += run;
        }
        self.give_word(id, pool, word, mask);
        n
    }

    /// Returns blocks of one word to their pool.
    #[inline(always)]
    fn give_word(&self, id: PoolId, pool: &Pool, word: usize, mask: u64) {
        if mask == 0 {
            return;
        }
        if self.slot_has(pool.class(), id, word as u32, mask)
            || pool.give(word as u32, mask).is_err()
        {
            self.double_free(id, pool, word as u32, mask);
        }
    }

    /// Tells of the first block among those of a word that is free already, in its pool or in the slot.
    #[cold]
    pub(super) fn double_free(&self, id: PoolId, pool: &Pool, word: u32, mask: u64) -> ! {
        let class = pool.class();
        let mut twice = mask & pool.free_in(word);
        if self.slot_has(class, id, word, mask) {
            twice |= mask & self.front.slots[class.index()].bits.get();
        }
        let first = word as usize * 64 + twice.trailing_zeros() as usize;
        block_fault(
            self.base() + pool.offset() + first * class.size(),
            Fault::DoubleFree,
        );
    }

    /// Returns all blocks of all magazines and slots: the heap ends, or the program does.
    pub fn flush_all(&self) {
        for class in SizeClass::all() {
            let len = self.magazine_len(class);
            if len > 0 {
                self.flush(class, len);
            }
            self.return_slot(class);
        }
    }

    /// Blocks and bytes in magazines and slots.
    pub(super) fn cached(&self) -> (u64, u64) {
        SizeClass::all().fold((0, 0), |(blocks, bytes), class| {
            let n = self.magazine_len(class) as u64
                + u64::from(self.front.slots[class.index()].bits.get().count_ones());
            (blocks + n, bytes + n * class.size() as u64)
        })
    }

    /// In the child of a fork: what a thread that is no more had in its caches goes back to the pools.
    /// It may have been stopped anywhere, so a block may be met twice, and nothing is counted.
    pub(super) fn spill_caches(&self) {
        for class in SizeClass::all() {
            let bottom = self.magazine_bottom(class);
            let len = self.magazine_len(class).min(class.info().magazine.into());
            for i in 0..len {
                // SAFETY: entries of the buffer, below the top.
                let offset = unsafe { bottom.wrapping_add(i).read() } - self.base();
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
    }
}
