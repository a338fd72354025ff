//! Small blocks: the slot cache and the pools behind it.
//!
//! Blocks are taken from the fullest pools, so that others empty. A magazine works against that: what is freed in a pool
//! that should empty is handed out again. Where the blocks in use are **spread** over pools most of which are sparse, the
//! class does without its magazine until they are not: `malloc` takes from the slot, and `free` gives to the pool.

use super::flush::block_fault;
use super::magazine::FILL_MAX;
use super::medium::Use;
use super::tally::Tier;
use super::{Bin, Heap, Pools, Small};
use crate::arena;
use crate::num::bits;
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::num::size::CHUNK;
use crate::os::limit::{self, Verdict};
use crate::pool::{Fault, Pool, STIRRED, Stock};
use crate::space;
use crate::sub::SubRegion;
use crate::sync::Ordering;

/// Largest blocks in dense arenas: of larger ones some pages may never be touched.
const DENSE_MAX: usize = 8 << 10;

/// Sparse pools of a class, at least, when its blocks are called spread.
const SPREAD_MIN: u32 = 16;

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
        self.judge_capacity(class);
        self.read_mail();
        self.look_for_idle();
        let bin = &self.bins[class.index()];
        let id = match bin.first() {
            Some(id) => id,
            None => self.new_pool(class)?,
        };
        let pool = Pool::of(id);
        let spread = bin.judge_spread();
        if spread {
            self.drop_magazine(class);
        }
        // A listed pool has a word to give.
        if class.size() <= FILL_MAX && !spread {
            let first = self.fill(class, pool);
            self.restock(id);
            return first;
        }
        let word = pool.take_word()?;
        self.restock(id);
        self.count_pool_blocks(class, i64::from(word.blocks));
        self.guests[class.index()].invite(class.info(), word.blocks);
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
                self.bins[class.index()].first().is_some()
            })?;
        let Some(chunks) = chunks else {
            // An adopted arena brought a pool of the class.
            return self.bins[class.index()].first();
        };
        let first = ChunkId(sub_id.first_chunk().0 + chunks.at);
        let Some(id) = Pool::create(first, class, chunks.zeroed) else {
            self.give_chunks(sub_id, bits::run(chunks.at, info.chunks.into()));
            return None;
        };
        Heap::tag(id, self.tag_of(class));
        self.bins[class.index()].pools.add(1);
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
        SubRegion::of(pool.chunk().subregion()).warm();
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
        bin.lists.iter().any(|list| {
            let first = PoolId(list.first.get());
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
            for list in &bin.lists {
                let mut at = PoolId(list.first.get());
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
        self.bins[pool.class().index()]
            .pools
            .add(1u32.wrapping_neg());
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
    /// The pool to take blocks from.
    #[inline(always)]
    fn first(&self) -> Option<PoolId> {
        let first = |list: &Pools| PoolId(list.first.get());
        self.lists.iter().map(first).find(|id| id.is_some())
    }

    /// The list of a stock.
    fn list(&self, stock: Stock) -> Option<&Pools> {
        self.lists.get((stock as usize).wrapping_sub(1))
    }

    fn link(&self, id: PoolId, stock: Stock) {
        match (self.list(stock), stock) {
            (Some(list), Stock::Fresh) => list.link_first(id),
            (Some(list), Stock::Sparse) => {
                self.sparse.add(1);
                list.link_last(id);
            }
            // At the end: those at the front have had time to collect blocks.
            (Some(list), _) => list.link_last(id),
            (None, _) => {}
        }
    }

    fn unlink(&self, id: PoolId, stock: Stock) {
        if let Some(list) = self.list(stock) {
            list.unlink(id);
        }
        if stock == Stock::Sparse {
            self.sparse.add(1u32.wrapping_neg());
        }
    }

    /// Whether the class's blocks are spread over too many pools, judged anew.
    fn judge_spread(&self) -> bool {
        let (sparse, pools) = (self.sparse.get(), self.pools.get());
        let spread = if self.spread.get() == 0 {
            sparse >= SPREAD_MIN && sparse > pools / 4
        } else {
            sparse >= SPREAD_MIN / 2 && sparse > pools / 8
        };
        self.spread.set(spread.into());
        spread
    }

    /// See [`Bin::judge_spread`]; as it was judged last.
    pub(super) fn is_spread(&self) -> bool {
        self.spread.get() != 0
    }

    /// Whether it has no pools, and no memory of any.
    pub(super) fn is_clear(&self) -> bool {
        [&self.pools, &self.sparse, &self.spread]
            .iter()
            .all(|count| count.get() == 0)
            && self.first().is_none()
    }

    /// Forgets all pools.
    pub(super) fn clear(&self) {
        self.lists.iter().for_each(Pools::clear);
        for count in [&self.pools, &self.sparse, &self.spread] {
            count.set(0);
        }
    }
}

impl Pools {
    fn link_first(&self, id: PoolId) {
        let (pool, first) = (Pool::of(id), self.first.get());
        pool.prev.set(0);
        pool.next.set(first);
        self.first.set(id.0);
        self.set_prev(first, id.0);
    }

    fn link_last(&self, id: PoolId) {
        let (pool, last) = (Pool::of(id), self.last.get());
        pool.prev.set(last);
        pool.next.set(0);
        self.last.set(id.0);
        self.set_next(last, id.0);
    }

    fn unlink(&self, id: PoolId) {
        let pool = Pool::of(id);
        let (prev, next) = (pool.prev.get(), pool.next.get());
        self.set_next(prev, next);
        self.set_prev(next, prev);
    }

    /// Sets what follows a pool, or the list's head.
    fn set_next(&self, pool: u32, next: u32) {
        match pool {
            0 => self.first.set(next),
            _ => Pool::of(PoolId(pool)).next.set(next),
        }
    }

    /// Sets what comes before a pool, or the list's tail.
    fn set_prev(&self, pool: u32, prev: u32) {
        match pool {
            0 => self.last.set(prev),
            _ => Pool::of(PoolId(pool)).prev.set(prev),
        }
    }

    fn clear(&self) {
        self.first.set(0);
        self.last.set(0);
    }
}
