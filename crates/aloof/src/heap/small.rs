//! Small blocks: the slot cache and the pools behind it.

use super::magazine::{FILL_MAX, block_fault};
use super::medium::Use;
use super::tally::Tier;
use super::{Bin, Heap, Small};
use crate::arena;
use crate::num::bits;
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::num::size::CHUNK;
use crate::os::limit::{self, Verdict};
use crate::pool::{Fault, Pool, STIRRED, Stock};
use crate::space;
use crate::sub::{self, SubRegion};
use crate::sync::{Ordering, Owned32};

/// Largest blocks in dense arenas: of larger ones some pages may never be touched.
const DENSE_MAX: usize = 8 << 10;

impl Heap {
    /// The next block of the class's magazine or slot, refilled if both are used up. None if the OS refuses.
    #[inline]
    pub fn take_small(&self, class: SizeClass) -> Option<Small> {
        self.pop(class)
            .or_else(|| self.front.slots[class.index()].take())
            .or_else(|| self.refill(class))
    }

    /// Loads the empty magazine, or for large blocks the slot, with another word: of a pool with freed blocks, else
    /// one with fresh blocks, else a new one; and takes the first block.
    #[cold]
    #[inline(never)]
    pub fn refill(&self, class: SizeClass) -> Option<Small> {
        // Whoever began the heap, or gave memory back for us, may have allocated and freed meanwhile.
        if let Some(small) = self.pop(class) {
            return Some(small);
        }
        self.read_mail();
        let bin = &self.bins[class.index()];
        let mut id = PoolId(bin.freed_first.get());
        if !id.is_some() {
            id = PoolId(bin.fresh_first.get());
        }
        if !id.is_some() {
            id = self.new_pool(class)?;
        }
        let pool = Pool::of(id);
        // A listed pool has a word to give.
        if class.size() <= FILL_MAX {
            let first = self.fill(class, pool);
            self.restock(id);
            return first;
        }
        let word = pool.take_word()?;
        self.restock(id);
        self.count_pool_blocks(class, i64::from(word.blocks));
        let base = self.base() + pool.offset() + word.index as usize * 64 * class.size();
        let slot = &self.front.slots[class.index()];
        self.return_slot(class);
        slot.size.set(class.size() as u32);
        slot.pool.set(id.0);
        slot.word.set(word.index as u8);
        slot.zeroed.set(word.zeroed.into());
        slot.base.set(base);
        slot.bits.set(word.bits);
        slot.take()
    }

    /// Counts pool blocks as out (positive) or back.
    pub(super) fn count_pool_blocks(&self, class: SizeClass, n: i64) {
        self.count(Tier::Pool, n, n * class.size() as i64);
    }

    /// Opens a pool on free chunks, or finds one in an adopted arena.
    fn new_pool(&self, class: SizeClass) -> Option<PoolId> {
        let info = class.info();
        if limit::admit(usize::from(info.chunks) * CHUNK) == Verdict::Tight {
            // The caller gives back what is free and asks once more.
            return None;
        }
        let use_of = if class.size() <= DENSE_MAX {
            Use::SmallPool
        } else {
            Use::LargePool
        };
        let (sub_id, chunks) =
            self.take_chunks(PartitionId(0), info.chunks.into(), use_of, || {
                let bin = &self.bins[class.index()];
                bin.freed_first.get() != 0 || bin.fresh_first.get() != 0
            })?;
        let Some(chunks) = chunks else {
            // An adopted arena brought a pool of the class.
            let bin = &self.bins[class.index()];
            return [&bin.freed_first, &bin.fresh_first]
                .map(Owned32::get)
                .into_iter()
                .find(|&p| p != 0)
                .map(PoolId);
        };
        let first = ChunkId(sub_id.first_chunk().0 + chunks.at);
        let Some(id) = Pool::create(first, class, chunks.zeroed) else {
            self.give_chunks(sub_id, bits::run(chunks.at, info.chunks.into()));
            return None;
        };
        Heap::tag(id, self.tag_of(class));
        self.restock(id);
        Some(id)
    }

    /// Sets the tags of a pool's chunks.
    pub(super) fn tag(id: PoolId, tag: u32) {
        let pool = Pool::of(id);
        // The first chunk last: in the child of a fork a pool is found by it.
        for i in (0..u32::from(pool.class().info().chunks)).rev() {
            // Relaxed: a tag matters to its owner, who wrote it, and to threads that were handed a block after.
            space::tag(ChunkId(pool.chunk().0 + i)).store(tag, Ordering::Relaxed);
        }
    }

    /// Whether blocks of a word lie in the class's slot.
    #[inline(always)]
    pub(super) fn slot_has(&self, class: SizeClass, pool: PoolId, w: u32, mask: u64) -> bool {
        let slot = &self.front.slots[class.index()];
        slot.bits.get() & mask != 0 && slot.pool.get() == pool.0 && u32::from(slot.word.get()) == w
    }

    /// Returns what is left in the class's slot to its pool.
    pub(super) fn return_slot(&self, class: SizeClass) {
        let slot = &self.front.slots[class.index()];
        let bits = slot.bits.get();
        if bits == 0 {
            return;
        }
        slot.bits.set(0);
        let id = PoolId(slot.pool.get());
        if Pool::of(id).give(slot.word.get().into(), bits).is_err() {
            let first = slot.base.get() + bits.trailing_zeros() as usize * class.size();
            block_fault(first, Fault::DoubleFree);
        }
        self.count_pool_blocks(class, -i64::from(bits.count_ones()));
        self.restock(id);
    }

    /// Puts a pool where it belongs after its blocks changed: on a list, on none, or back to its arena.
    #[inline]
    pub(super) fn restock(&self, id: PoolId) {
        let pool = Pool::of(id);
        if pool.is_empty()
            && self.has_other(pool, id)
            && Pool::remote(id).is_quiet(pool.collected.get())
        {
            self.dissolve(id);
            return;
        }
        pool.stirred.set(STIRRED);
        SubRegion::of(pool.chunk().subregion())
            .stirred
            .set(sub::STIRRED);
        let stock = pool.stock();
        if stock != pool.listed() {
            self.relist(id, stock);
        }
    }

    #[cold]
    fn relist(&self, id: PoolId, stock: Stock) {
        self.unlink(id);
        let pool = Pool::of(id);
        pool.set_listed(stock);
        self.bins[pool.class().index()].link(id, stock);
    }

    /// Whether the class has a pool besides this one to take blocks from: the last is kept, so that a
    /// program at the edge does not make and dissolve pools in turn.
    fn has_other(&self, pool: &Pool, id: PoolId) -> bool {
        let bin = &self.bins[pool.class().index()];
        [&bin.freed_first, &bin.fresh_first]
            .into_iter()
            .any(|first| {
                let first = PoolId(first.get());
                first.is_some() && (first != id || Pool::of(first).next.get() != 0)
            })
    }

    fn unlink(&self, id: PoolId) {
        let pool = Pool::of(id);
        let stock = pool.listed();
        if stock != Stock::Consumed {
            self.bins[pool.class().index()].unlink(id, stock);
            pool.set_listed(Stock::Consumed);
        }
    }

    /// Dissolves all empty pools, the last of each class too.
    pub(super) fn dissolve_empty(&self) {
        for bin in &self.bins {
            for first in [bin.freed_first.get(), bin.fresh_first.get()] {
                let mut at = PoolId(first);
                while at.is_some() {
                    let (id, pool) = (at, Pool::of(at));
                    at = PoolId(pool.next.get());
                    if pool.is_empty() && Pool::remote(id).is_quiet(pool.collected.get()) {
                        self.dissolve(id);
                    }
                }
            }
        }
    }

    /// Gives an empty pool's chunks back; the caller knows that no freer is at it.
    pub(super) fn dissolve(&self, id: PoolId) {
        let pool = Pool::of(id);
        self.unlink(id);
        Heap::tag(id, 0);
        let (chunk, chunks) = (pool.chunk(), pool.class().info().chunks);
        Pool::dissolve(id);
        self.give_chunks(chunk.subregion(), bits::run(chunk.bit(), chunks.into()));
    }

    /// Calls `f` with every pool that an arena of partition 0 has now; `f` may dissolve it.
    pub(super) fn each_pool(id: SubRegionId, sub: &SubRegion, f: impl FnMut(PoolId)) {
        let mut pools = [PoolId::NONE; 64];
        let (mut at, mut n) = (0, 0);
        while at < 64 {
            let chunk = ChunkId(id.first_chunk().0 + at);
            let taken = sub.free.get() >> at & 1 == 0;
            at += match arena::block_chunks(sub, at) {
                Some(chunks) if taken => chunks,
                None if taken && space::tag(chunk).load(Ordering::Relaxed) != 0 => {
                    let (pool, distance) = Pool::of_chunk(chunk);
                    pools[n] = pool;
                    n += 1;
                    u32::from(Pool::of(pool).class().info().chunks) - distance
                }
                _ => 1,
            };
        }
        pools[..n].iter().copied().for_each(f);
    }
}

impl Bin {
    /// Freed pools join at the end: those at the front have had time to collect blocks.
    fn link(&self, id: PoolId, stock: Stock) {
        let pool = Pool::of(id);
        match stock {
            Stock::Consumed => {}
            Stock::Freed => {
                let last = self.freed_last.get();
                pool.prev.set(last);
                pool.next.set(0);
                self.freed_last.set(id.0);
                if last == 0 {
                    self.freed_first.set(id.0);
                } else {
                    Pool::of(PoolId(last)).next.set(id.0);
                }
            }
            Stock::Fresh => {
                let first = self.fresh_first.get();
                pool.prev.set(0);
                pool.next.set(first);
                self.fresh_first.set(id.0);
                if first != 0 {
                    Pool::of(PoolId(first)).prev.set(id.0);
                }
            }
        }
    }

    fn unlink(&self, id: PoolId, stock: Stock) {
        let pool = Pool::of(id);
        let (prev, next) = (pool.prev.get(), pool.next.get());
        let first = if stock == Stock::Freed {
            &self.freed_first
        } else {
            &self.fresh_first
        };
        if prev == 0 {
            first.set(next);
        } else {
            Pool::of(PoolId(prev)).next.set(next);
        }
        if next != 0 {
            Pool::of(PoolId(next)).prev.set(prev);
        } else if stock == Stock::Freed {
            self.freed_last.set(prev);
        }
    }

    /// Forgets all pools.
    pub(super) fn clear(&self) {
        self.freed_first.set(0);
        self.freed_last.set(0);
        self.fresh_first.set(0);
    }
}
