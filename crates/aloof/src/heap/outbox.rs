//! Frees of blocks that belong to another heap, or to nobody.
//!
//! Small blocks gather in the outbox, a **parcel** for the blocks of one word of a pool, so that one post
//! serves many; larger ones are posted at once. The outbox is a set-associative cache: if all places of a parcel
//! are taken one of them is posted, and all are when they hold too much together.

use super::collect::Heaps;
use super::flush::block_fault;
use super::{Heap, PARCELS, Parcel, common};
use crate::arena;
use crate::num::bits;
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::num::size::CHUNK_SHIFT;
use crate::partition;
use crate::pool::{Fault, Pool};
use crate::remote;
use crate::sub::SubRegion;
use crate::sync::{Ordering, fence};

/// Places that a parcel may have: those of a line.
const WAYS: usize = 4;
/// Blocks that come into the outbox before all are posted: it holds no more.
const BLOCKS: u32 = 512;
/// The same in bytes.
const BYTES: u32 = 256 << 10;
/// Posts of small blocks to pools of ended threads between two looks at them.
const COLLECT_EVERY: u32 = 32;
/// Sweeps of one orphan in a row, when others post to it meanwhile.
const SWEEPS: usize = 3;

impl Parcel {
    /// The pool and the word.
    fn key(pool: PoolId, word: usize) -> u64 {
        u64::from(pool.0) << 6 | word as u64
    }

    /// First of the [`WAYS`] places of a key in the outbox (Fibonacci hashing; Knuth, TAOCP 3, 6.4).
    fn set(key: u64) -> usize {
        let sets = PARCELS / WAYS;
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - sets.trailing_zeros())) as usize * WAYS
    }
}

impl Heap {
    /// Frees a small block, `offset` from the base, of another's pool with this tag: keeps it, takes its pool over, or sends
    /// it home.
    #[inline(always)]
    pub(super) fn free_of_others(&self, offset: usize, tag: u32) {
        let class = SizeClass(tag as u8);
        let (pool, block) = self.find(offset, class);
        let addr = self.base() + offset;
        if self.take_in(class, addr) {
            return;
        }
        if !common::is_common(HeapId(tag >> 8)) || !self.free_inherited(addr, class, pool, block) {
            self.send_block(offset, class, pool, block);
        }
    }

    /// Frees a block of a pool that an ended thread left, which this one takes over; false if it does not.
    #[cold]
    #[inline(never)]
    fn free_inherited(&self, addr: usize, class: SizeClass, id: PoolId, block: usize) -> bool {
        // The way of such frees does not pass it, and may be inside already.
        self.gate.enter();
        let inherits = self.inherit(class, id);
        if inherits {
            if Pool::of(id).free_in(block as u32 / 64) >> (block % 64) & 1 != 0 {
                block_fault(addr, Fault::DoubleFree);
            }
            self.push_slow(class, addr);
        }
        self.gate.leave();
        inherits
    }

    /// Sends a small block, `offset` from the base, of another's pool of this class home.
    pub(super) fn send(&self, offset: usize, class: SizeClass) {
        let (pool, block) = self.find(offset, class);
        self.send_block(offset, class, pool, block);
    }

    /// The pool of this class in which a block starts `offset` from the base, and its index there.
    #[inline(always)]
    fn find(&self, offset: usize, class: SizeClass) -> (PoolId, usize) {
        let chunk = ChunkId::at(offset);
        let (pool, distance) = Pool::of_chunk(chunk);
        let within = offset - ((chunk.0 - distance) as usize) * (1 << CHUNK_SHIFT);
        let Some(block) = class.info().block_from(within) else {
            block_fault(self.base() + offset, Fault::Interior)
        };
        (pool, block)
    }

    #[inline(always)]
    fn send_block(&self, offset: usize, class: SizeClass, pool: PoolId, block: usize) {
        let info = class.info();
        let (key, bit) = (Parcel::key(pool, block / 64), 1u64 << (block % 64));
        let set = &self.outbox.0[Parcel::set(key)..][..WAYS];
        // Where it was last, even if that is empty by now: at most one place has a key.
        if let Some(parcel) = set.iter().find(|parcel| parcel.key.get() == key) {
            let mask = parcel.mask.get();
            if mask & bit != 0 {
                block_fault(self.base() + offset, Fault::DoubleFree);
            }
            parcel.mask.set(mask | bit);
        } else {
            let parcel = set.iter().find(|parcel| parcel.mask.get() == 0);
            let parcel = parcel.unwrap_or_else(|| {
                // Any: the count of blocks picks it.
                let victim = &set[self.outbox_blocks.get() as usize % WAYS];
                self.post_parcel(victim, true);
                victim
            });
            parcel.key.set(key);
            parcel.mask.set(bit);
        }
        self.outbox_blocks.add(1);
        self.outbox_bytes.add(info.size);
        if self.outbox_blocks.get() >= BLOCKS || self.outbox_bytes.get() >= BYTES {
            self.post_outbox(true);
        }
    }

    /// Posts all of the outbox; if `collect`, what was freed in pools of ended threads is collected now and then.
    #[cold]
    #[inline(never)]
    pub(super) fn post_outbox(&self, collect: bool) {
        partition::decay::BELL.ring();
        self.outbox
            .0
            .iter()
            .filter(|parcel| parcel.mask.get() != 0)
            .for_each(|parcel| self.post_parcel(parcel, collect));
        self.outbox_blocks.set(0);
        self.outbox_bytes.set(0);
    }

    /// Posts a parcel that is not empty.
    #[inline(never)]
    fn post_parcel(&self, parcel: &Parcel, collect: bool) {
        let (key, mask) = (parcel.key.get(), parcel.mask.get());
        parcel.mask.set(0);
        let (id, word) = (PoolId((key >> 6) as u32), (key & 63) as usize);
        // While our blocks are not posted the pool stays what it is.
        let pool = Pool::of(id);
        let (start, class, owner) = (
            self.base() + pool.offset(),
            pool.class(),
            Heap::owner_of(id),
        );
        let twice = remote::post(
            &Heaps,
            Pool::node(id),
            Pool::remote_words(id, class),
            word,
            mask,
        );
        if twice != 0 {
            let first = word * 64 + twice.trailing_zeros() as usize;
            block_fault(start + first * class.size(), Fault::DoubleFree);
        }
        if collect && common::is_common(owner) {
            self.orphan_posts.add(1);
            if self.orphan_posts.get().is_multiple_of(COLLECT_EVERY) {
                // A program whose threads free what ended threads left, and allocate nothing of the kind, gives it back.
                common::enter().read_mail();
            }
        }
    }

    /// Collects what was posted to an orphan, and closes it if that empties it. It stays an orphan
    /// otherwise: a thread that only frees must not keep it from those that allocate.
    pub(super) fn sweep_orphan(&self, id: SubRegionId) {
        for _ in 0..SWEEPS {
            // A post comes before the look at the orphan, and the orphan's return before the look for posts: one of two
            // that meet sees the other.
            fence(Ordering::SeqCst);
            if SubRegion::of(id).owner() != HeapId::NONE || !partition::adopt(id) {
                return;
            }
            // The counts are shared with visitors of this heap.
            self.gate.enter();
            self.release_or_orphan(id);
            self.gate.leave();
            fence(Ordering::SeqCst);
            if !Heap::orphan_has_posts(id) {
                return;
            }
        }
    }

    /// After an orphan was in the caller's hands for a while.
    pub(super) fn sweep_if_posted(&self, id: SubRegionId) {
        fence(Ordering::SeqCst);
        if Heap::orphan_has_posts(id) {
            self.sweep_orphan(id);
        }
    }

    /// Posts a chunk block of another's arena.
    pub(super) fn post_chunk_block(&self, id: SubRegionId, at: u32, addr: usize) {
        let sub = SubRegion::of(id);
        let Some(n) = arena::block_chunks(sub, at) else {
            block_fault(addr, Fault::DoubleFree)
        };
        let twice = remote::post(
            &Heaps,
            SubRegion::node(id),
            &sub.remote_words[..1],
            0,
            bits::run(at, n),
        );
        if twice != 0 {
            block_fault(addr, Fault::DoubleFree);
        }
        partition::decay::BELL.ring();
        self.sweep_orphan(id);
    }

    /// Posts a run block of another's sub-region.
    pub(super) fn post_run_block(&self, id: SubRegionId, at: u32, addr: usize) {
        let sub = SubRegion::of(id);
        let twice = remote::post(
            &Heaps,
            SubRegion::node(id),
            &sub.remote_words,
            at as usize / 64,
            1 << (at % 64),
        );
        if twice != 0 {
            block_fault(addr, Fault::DoubleFree);
        }
        partition::decay::BELL.ring();
        self.sweep_orphan(id);
    }
}
