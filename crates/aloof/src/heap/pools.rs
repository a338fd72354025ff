//! Pools change hands: the common heap makes them, threads use them, and what a thread leaves is the common heap's again.
//!
//! A pool has one owner at a time, named by the tags of its chunks, which alone reads and writes the owner's half. The arenas
//! that pools lie in are all the common heap's, so that chunks which one thread gave back serve the next pool of any, and
//! so do the blocks that are free in pools of ended threads.

use super::{Heap, common, registry};
use crate::num::bits;
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::num::size::{CHUNK, FANOUT};
use crate::os::limit::{self, Verdict};
use crate::pool::Pool;
use crate::space;
use crate::sub::{Kind, SubRegion};
use crate::sync::Ordering;

/// Largest blocks in dense arenas: of larger ones some pages may never be touched.
const DENSE_MAX: usize = 8 << 10;
/// Chunks of an arena that are in use, or nearly, when no pool finds room in it.
const FILLED: u32 = FANOUT as u32 * 7 / 8;
/// Pools that change hands, at most, while others wait for the common heap.
const AT_ONCE: usize = 64;

/// Chunks of pools that there are before dense arenas are opened: a filled arena for each thread, of which each class may have a
/// pool that is hardly used, and one more. From there on a page fault less for every 4 KiB is a large gain.
fn dense_from() -> u32 {
    (1 + registry::alive()) * FILLED
}

impl Heap {
    /// A pool of the class with free blocks that an ended thread left.
    pub(super) fn left_pool(&self, class: SizeClass) -> Option<PoolId> {
        let id = common::enter().hand_out(class, self)?;
        self.receive(id, true);
        Some(id)
    }

    /// A new pool of the class.
    pub(super) fn new_pool(&self, class: SizeClass) -> Option<PoolId> {
        let id = common::enter().make_pool(class, self)?;
        self.receive(id, false);
        Some(id)
    }

    /// Of the common heap: hands a pool of the class to `to`.
    fn hand_out(&self, class: SizeClass, to: &Heap) -> Option<PoolId> {
        self.read_mail();
        let bin = &self.bins[class.index()];
        let id = bin.to_hand_out()?;
        bin.delist(id);
        Heap::tag(id, to.tag_of(class));
        Some(id)
    }

    /// Of the common heap: makes a pool of the class for `to`.
    fn make_pool(&self, class: SizeClass, to: &Heap) -> Option<PoolId> {
        if limit::admit(usize::from(class.info().chunks) * CHUNK) == Verdict::Tight {
            // The caller gives back what is free and asks once more.
            return None;
        }
        let is_dense = class.size() <= DENSE_MAX && self.pool_chunks.get() >= dense_from();
        let n = class.info().chunks.into();
        let (sub_id, chunks) = self.take_pool_chunks(n, is_dense)?;
        let first = ChunkId(sub_id.first_chunk().0 + chunks.at);
        let Some(id) = Pool::create(first, class, chunks.zeroed) else {
            self.give_chunks(sub_id, bits::run(chunks.at, n));
            return None;
        };
        Heap::tag(id, to.tag_of(class));
        self.pool_chunks.add(n);
        Some(id)
    }

    /// Takes over a pool that an ended thread left, and of which this one frees a block, unless it has pools to take blocks from
    /// already, or several: who uses what another left goes on where that one ended, and who only frees keeps little. False if
    /// it is not taken. The caller is in this heap's gate.
    pub(super) fn inherit(&self, class: SizeClass, id: PoolId) -> bool {
        let bin = &self.bins[class.index()];
        if bin.first().is_some() || bin.has_many() {
            return false;
        }
        {
            let common = common::enter();
            // Else it may be listed there, and this heap would not hear of posts.
            common.read_mail();
            if !common::is_common(Heap::owner_of(id)) {
                return false;
            }
            common.bins[class.index()].delist(id);
            Heap::tag(id, self.tag_of(class));
        }
        self.receive(id, true);
        true
    }

    /// Takes in a pool in no bin that was handed to this heap. `used`: it was a thread's before, and so has blocks of others.
    fn receive(&self, id: PoolId, used: bool) {
        debug_assert!(self.gate.is_held());
        self.bins[Pool::of(id).class().index()].enlist(id);
        if used {
            // After it became this heap's: of a post in between either finds that out or is found here.
            self.collect_pool(id);
        }
        self.restock(id);
    }

    /// Leaves all pools to the common heap, which dissolves those that are empty.
    pub(super) fn leave_pools(&self) {
        for bin in &self.bins {
            while bin.any().is_some() {
                let common = common::enter();
                common.read_mail();
                let some = core::iter::from_fn(|| bin.any()).take(AT_ONCE);
                some.for_each(|id| {
                    bin.delist(id);
                    common.take_over(id);
                });
            }
        }
    }

    /// Of the common heap: makes a pool that is in no bin its own.
    pub(super) fn take_over(&self, id: PoolId) {
        Heap::tag(id, self.tag_of(Pool::of(id).class()));
        self.receive(id, true);
    }

    /// Dissolves an empty pool if no freer is at it, and if it is not the last of its class that has blocks: this is kept, so
    /// that a program at the edge does not make and dissolve pools in turn.
    #[cold]
    #[inline(never)]
    pub(super) fn dissolve_spare(&self, id: PoolId) -> bool {
        let bin = &self.bins[Pool::of(id).class().index()];
        (self.is_common() || bin.has_other(id)) && self.dissolve_quiet(id, false)
    }

    /// Dissolves an empty pool if no freer is at it. `cold`: it was not used for a while, which its chunks inherit.
    pub(super) fn dissolve_quiet(&self, id: PoolId, cold: bool) -> bool {
        let quiet = Pool::remote(id).is_quiet(Pool::of(id).collected.get());
        if quiet {
            self.bins[Pool::of(id).class().index()].delist(id);
            // Which may be this heap, entered once more.
            common::enter().close_pool(id, cold);
        }
        quiet
    }

    /// Of the common heap: ends a pool that is empty, quiet and in no bin.
    fn close_pool(&self, id: PoolId, cold: bool) {
        let (chunk, chunks) = (Pool::of(id).chunk(), Pool::of(id).class().info().chunks);
        let (sub_id, sub) = (chunk.subregion(), SubRegion::of(chunk.subregion()));
        let recent = sub.recent();
        self.pool_chunks.add(u32::from(chunks).wrapping_neg());
        Heap::tag(id, 0);
        Pool::dissolve(id);
        self.give_chunks(sub_id, bits::run(chunk.bit(), chunks.into()));
        if cold && sub.owner() == self.id() && sub.kind() == Kind::Arena {
            sub.set_recent(recent);
        }
    }

    /// Dissolves all empty pools, the last of each class too.
    pub(super) fn dissolve_empty(&self) {
        for bin in &self.bins {
            bin.each_stocked(|id| {
                if Pool::of(id).is_empty() {
                    self.dissolve_quiet(id, false);
                }
            });
        }
    }

    fn is_common(&self) -> bool {
        common::is_common(self.id())
    }

    /// Sets the tags of a pool's chunks.
    pub(super) fn tag(id: PoolId, tag: u32) {
        let pool = Pool::of(id);
        // The first chunk last: in the child of a fork a pool is found by it.
        for i in (0..u32::from(pool.class().info().chunks)).rev() {
            // Release: who posts to the pool and finds its new owner sees what the former one left.
            space::tag(ChunkId(pool.chunk().0 + i)).store(tag, Ordering::Release);
        }
    }

    /// The owner of a pool.
    pub(super) fn owner_of(id: PoolId) -> HeapId {
        // Acquire: see `remote`.
        HeapId(space::tag(Pool::of(id).chunk()).load(Ordering::Acquire) >> 8)
    }

    /// Calls `f` with every pool that an arena of pools has now, in which the caller keeps others from making and dissolving them;
    /// `f` may dissolve it.
    pub(super) fn each_pool(id: SubRegionId, sub: &SubRegion, f: impl FnMut(PoolId)) {
        let mut pools = [PoolId::NONE; 64];
        let (mut taken, mut n) = (!sub.free.get(), 0);
        while taken != 0 {
            let at = taken.trailing_zeros();
            let (pool, distance) = Pool::of_chunk(ChunkId(id.first_chunk().0 + at));
            debug_assert_eq!(distance, 0);
            taken &= !bits::run(at, Pool::of(pool).class().info().chunks.into());
            pools[n] = pool;
            n += 1;
        }
        pools[..n].iter().copied().for_each(f);
    }
}
