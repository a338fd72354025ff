//! Pools: equal blocks in a run of chunks, a bit a block.
//!
//! The owner's half ([`Pool`]) has a word of free blocks for every 64 and a summary word; words from
//! `fresh` on were never handed out and are free whatever they say. The freers' half (a [`RemoteHead`] and
//! as many words) lies in a table of its own, so that the two never share a line and the latter costs nothing until it is used.
//! Descriptors are recycled ([`slab`]) but never unmapped.

mod slab;

use core::slice;

use crate::num::bits;
use crate::num::class::{ClassInfo, MAX_UNITS, POOL_HEAD, SizeClass};
use crate::num::ids::*;
use crate::num::size::{CHUNK, PARTITION_SHIFT};
use crate::remote::{Node, RemoteHead};
use crate::space;
use crate::sync::{AtomicU64, Owned8, Owned32, Owned64, OwnedSize};

pub(crate) use slab::init;

/// Which list of its heap a pool is on. Blocks are taken from those that have any in this order, so that pools of which
/// little is in use get a chance to empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stock {
    /// Nothing is free.
    Consumed = 0,
    /// Some blocks that were freed; most are in use.
    Full = 1,
    /// Blocks that were freed, and a quarter or more free.
    Sparse = 2,
    /// Only blocks that were never used.
    Fresh = 3,
}

/// Lists that pools are on.
pub const STOCKS: usize = 4;

/// The owner's half of the descriptor.
#[repr(C, align(64))]
pub struct Pool {
    /// Words, below `fresh`, with free blocks.
    summary: Owned64,
    /// Offset of the first block from the base.
    offset: OwnedSize,
    /// Blocks free: in words and never used.
    free: Owned32,
    /// Blocks collected from the freers' half so far, wrapping.
    pub collected: Owned32,
    /// Neighbours on the heap's list.
    pub next: Owned32,
    /// See `next`.
    pub prev: Owned32,
    class: Owned8,
    /// The first word never handed out.
    fresh: Owned8,
    stock: Owned8,
    /// 2 when a block was taken or given, one less at each look of the scavenger.
    pub stirred: Owned8,
    /// Whether never-used blocks read as zeros.
    zeroed: Owned8,
    /// 1 while a flush remembers the pool.
    visited: Owned8,
    /// The first of its words; the others follow.
    words: [Owned64; 3],
}

const _: () = {
    assert!(size_of::<Pool>() == space::UNIT_BYTES);
    assert!(core::mem::offset_of!(Pool, words) == POOL_HEAD);
    assert!(size_of::<RemoteHead>() <= POOL_HEAD);
};

/// Looks of the scavenger that a pool is spared after it was used last.
pub const STIRRED: u8 = 2;

/// Why a block cannot be freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not the start of a block.
    Interior,
    /// The block is free already.
    DoubleFree,
}

/// 64 blocks at most, taken from one word.
#[derive(Clone, Copy)]
pub struct Word {
    /// Place in the pool.
    pub index: u32,
    /// The blocks.
    pub bits: u64,
    /// How many they are.
    pub blocks: u32,
    /// Whether they read as zeros.
    pub zeroed: bool,
}

impl Word {
    /// No blocks.
    pub const NONE: Word = Word {
        index: 0,
        bits: 0,
        blocks: 0,
        zeroed: false,
    };
}

impl Pool {
    /// The owner's half of a pool that was created at some time.
    #[inline(always)]
    pub fn of(id: PoolId) -> &'static Pool {
        // SAFETY: ids come from `create`; descriptors stay accessible for ever, and all fields are atomic.
        unsafe { &*space::pool_own::<Pool>(id) }
    }

    /// The pool of a chunk of a ready region, and the chunk's distance from the pool's first.
    #[inline(always)]
    pub fn of_chunk(chunk: ChunkId) -> (PoolId, u32) {
        let entry = space::pool_of(chunk).load(crate::sync::Ordering::Relaxed);
        (PoolId(entry >> 3), entry & 7)
    }

    /// Makes a pool of `class` on the chunks from `chunk` on. None if there is no room for its descriptor.
    /// The caller sets the tags of the chunks after it.
    pub fn create(chunk: ChunkId, class: SizeClass, zeroed: bool) -> Option<PoolId> {
        let info = class.info();
        let id = slab::take(info.units)?;
        let pool = Pool::of(id);
        pool.summary.set(0);
        pool.offset.set(chunk.offset());
        pool.free.set(u32::from(info.blocks));
        pool.collected.set(Pool::remote(id).done());
        pool.next.set(0);
        pool.prev.set(0);
        pool.class.set(class.0);
        pool.fresh.set(0);
        pool.stock.set(Stock::Consumed as u8);
        pool.zeroed.set(zeroed.into());
        pool.visited.set(0);
        pool.stirred.set(STIRRED);
        for i in 0..u32::from(info.chunks) {
            // Relaxed: the tags, set after, are what others look at first.
            space::pool_of(ChunkId(chunk.0 + i))
                .store(id.0 << 3 | i, crate::sync::Ordering::Relaxed);
        }
        Some(id)
    }

    /// Recycles the descriptor of a pool that is empty and quiet.
    pub fn dissolve(id: PoolId) {
        slab::give(id, Pool::of(id).class().info().units);
    }

    /// The freers' half.
    pub fn remote(id: PoolId) -> &'static RemoteHead {
        // SAFETY: as in `of`; zero at first, which is a valid head.
        unsafe { &*space::pool_remote::<RemoteHead>(id) }
    }

    /// The words of the freers' half.
    pub fn remote_words(id: PoolId, class: SizeClass) -> &'static [AtomicU64] {
        // SAFETY: the words stand where the owner's half has its own, as many as the class has.
        unsafe {
            slice::from_raw_parts(
                space::pool_remote::<u8>(id).add(POOL_HEAD).cast(),
                class.info().words.into(),
            )
        }
    }

    /// The node by which freers and owner speak of it.
    pub fn node(id: PoolId) -> Node {
        Node(id.0)
    }

    #[inline(always)]
    fn word(&self, w: u32) -> &Owned64 {
        debug_assert!(w < u32::from(self.info().words));
        // SAFETY: the words follow the first, as many as the class has.
        unsafe {
            &*core::ptr::from_ref(self)
                .cast::<u8>()
                .add(POOL_HEAD)
                .cast::<Owned64>()
                .add(w as usize)
        }
    }

    /// Its size class.
    #[inline(always)]
    pub fn class(&self) -> SizeClass {
        SizeClass(self.class.get())
    }

    #[inline(always)]
    fn info(&self) -> &'static ClassInfo {
        self.class().info()
    }

    /// Offset of the first block.
    #[inline(always)]
    pub fn offset(&self) -> usize {
        self.offset.get()
    }

    /// Its first chunk.
    pub fn chunk(&self) -> ChunkId {
        ChunkId::at(self.offset())
    }

    /// Whether no block is in use, in a cache or on its way.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.free.get() == u32::from(self.info().blocks)
    }

    /// Where it belongs by what is free in it.
    pub fn stock(&self) -> Stock {
        if self.summary.get() != 0 {
            if self.free.get() < u32::from(self.info().blocks) / 4 {
                Stock::Full
            } else {
                Stock::Sparse
            }
        } else if self.fresh.get() < self.info().words {
            Stock::Fresh
        } else {
            Stock::Consumed
        }
    }

    /// The list it is on.
    #[inline(always)]
    pub fn listed(&self) -> Stock {
        match self.stock.get() {
            1 => Stock::Full,
            2 => Stock::Sparse,
            3 => Stock::Fresh,
            _ => Stock::Consumed,
        }
    }

    /// Notes the list it is on.
    pub fn set_listed(&self, stock: Stock) {
        self.stock.set(stock as u8);
    }

    /// Whether a flush remembers it; see [`Pool::set_visited`].
    #[inline(always)]
    pub fn is_visited(&self) -> bool {
        self.visited.get() != 0
    }

    /// Notes whether a flush remembers it.
    #[inline(always)]
    pub fn set_visited(&self, visited: bool) {
        self.visited.set(visited.into());
    }

    /// Takes the lowest word with freed blocks, or else the next that was never used.
    pub fn take_word(&self) -> Option<Word> {
        let summary = self.summary.get();
        let word = if summary != 0 {
            let index = summary.trailing_zeros();
            let bits = self.word(index).get();
            self.word(index).set(0);
            self.summary.set(summary & (summary - 1));
            Word {
                index,
                bits,
                blocks: bits.count_ones(),
                zeroed: false,
            }
        } else {
            let (fresh, info) = (self.fresh.get(), self.info());
            if fresh == info.words {
                return None;
            }
            // In this order: the child of a fork counts the words below `fresh`.
            self.word(u32::from(fresh)).set(0);
            self.fresh.set(fresh + 1);
            let blocks = (u32::from(info.blocks) - u32::from(fresh) * 64).min(64);
            Word {
                index: fresh.into(),
                bits: bits::low(blocks),
                blocks,
                zeroed: self.zeroed.get() != 0,
            }
        };
        self.free.set(self.free.get() - word.blocks);
        Some(word)
    }

    /// Index of the block at `offset` from the base.
    #[inline(always)]
    pub fn block_at(&self, offset: usize) -> Result<u32, Fault> {
        let within = offset.wrapping_sub(self.offset());
        let block = self.info().block_from(within).ok_or(Fault::Interior)?;
        Ok(block as u32)
    }

    /// Whether a block starts at `offset` from the base, where a pool of `class` is if it lies in partition 0; without a look
    /// at the pool's descriptor.
    #[inline(always)]
    pub fn starts_block(offset: usize, class: SizeClass) -> bool {
        if offset >> PARTITION_SHIFT != 0 {
            return false;
        }
        let (_, chunk) = Pool::of_chunk(ChunkId::at(offset));
        let within = offset % CHUNK + chunk as usize * CHUNK;
        class.info().block_from(within).is_some()
    }

    /// Gives blocks of one word back. Words that were never handed out, blocks that the pool does not have
    /// and blocks that are free are refused.
    #[inline(always)]
    pub fn give(&self, w: u32, mask: u64) -> Result<(), Fault> {
        self.give_uncounted(w, mask)?;
        self.count_given(mask.count_ones());
        Ok(())
    }

    /// The same by a caller who counts the blocks, and then gives their number to [`Pool::count_given`].
    #[inline(always)]
    pub fn give_uncounted(&self, w: u32, mask: u64) -> Result<(), Fault> {
        if w >= u32::from(self.fresh.get()) {
            return Err(Fault::DoubleFree);
        }
        let bits = self.word(w).get();
        if bits & mask != 0 {
            return Err(Fault::DoubleFree);
        }
        self.word(w).set(bits | mask);
        self.summary.set(self.summary.get() | 1 << w);
        Ok(())
    }

    /// See [`Pool::give_uncounted`].
    #[inline(always)]
    pub fn count_given(&self, blocks: u32) {
        self.free.add(blocks);
    }

    /// Calls `f(offset, bytes)`, from the base, for every stretch of free blocks that were used before.
    pub fn each_free_stretch(&self, mut f: impl FnMut(usize, usize)) {
        let (size, fresh) = (self.info().size as usize, u32::from(self.fresh.get()));
        let blocks = (fresh * 64).min(u32::from(self.info().blocks));
        let mut at = 0;
        while at < blocks {
            let word = self.word(at / 64).get() >> (at % 64);
            if word == 0 {
                at = (at / 64 + 1) * 64;
                continue;
            }
            at += word.trailing_zeros();
            let start = at;
            // To the end of the ones, over as many words as they go.
            loop {
                let ones = (!(self.word(at / 64).get() >> (at % 64))).trailing_zeros();
                at += ones.min(64 - at % 64);
                if ones == 0 || at % 64 != 0 || at >= blocks {
                    break;
                }
            }
            f(
                self.offset() + start as usize * size,
                (at - start) as usize * size,
            );
        }
    }

    /// Blocks of a word that are free and in the pool.
    pub fn free_in(&self, w: u32) -> u64 {
        if w < u32::from(self.fresh.get()) {
            self.word(w).get()
        } else {
            u64::MAX
        }
    }

    /// In the child of a fork: blocks may come twice; `free` is counted anew by [`Pool::recount`].
    pub fn give_again(&self, w: u32, mask: u64) {
        if w < u32::from(self.fresh.get()) {
            self.word(w).set(self.word(w).get() | mask);
        }
    }

    /// Counts free blocks and sums up the words anew.
    pub fn recount(&self) {
        let fresh = u32::from(self.fresh.get());
        let (mut summary, mut free) = (0u64, 0);
        for w in 0..fresh {
            let bits = self.word(w).get();
            if bits != 0 {
                summary |= 1 << w;
                free += bits.count_ones();
            }
        }
        let never = u32::from(self.info().blocks).saturating_sub(fresh * 64);
        self.summary.set(summary);
        self.free.set(free + never);
    }
}

const _: () = assert!(MAX_UNITS == 9);
