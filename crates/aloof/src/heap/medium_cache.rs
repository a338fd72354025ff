//! Blocks of chunks and of units that were freed last, kept whole: a program that frees a large buffer often asks for
//! one of the same size next.
//!
//! To their tiers they are in use, so that nothing merges with them. Therefore they are few; what needs their room, an
//! end or a purge takes them back, and a visitor does when the thread is quiet.
//!
//! What was taken from here leaves its entry marked as [`OUT`], until another block needs the place. Who frees the block that was
//! taken last finds it there and need not find out what it is. So whatever else ends such a block, or makes it longer or shorter,
//! clears the mark ([`MediumCache::forget`]).

use super::flush::block_fault;
use super::tally::Tier;
use super::{Heap, Place, locate};
use crate::arena;
use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::*;
use crate::partition::decay::BELL;
use crate::pool::Fault;
use crate::run;
use crate::sub::{STIRRED, SubRegion};
use crate::sync::{AtomicUsize, Ordering, Owned32, OwnedSize};

/// Entries.
const ENTRIES: usize = 8;
/// Bytes of all blocks together, at most.
const BYTES: usize = 2 << 20;
/// Blocks from this size on are kept only until one is wanted of their partition that is not here: else what grows would
/// begin behind them, and go on in memory that was never used.
const PARTED_FROM: usize = 256 << 10;
/// Bytes of a block, at most.
pub const CACHED_MAX: usize = 1 << 20;

/// A bit in the size, which is a multiple of units, of a block that was taken from the cache and is not free.
const OUT: usize = 1;

/// The cache: a ring in which each block takes the place of the oldest.
#[repr(C)]
pub(super) struct MediumCache {
    /// Addresses and sizes; size 0 where there is none, and with [`OUT`] where there was. The owner writes them, and who frees
    /// a block reads them.
    addr: [OwnedSize; ENTRIES],
    marked: [AtomicUsize; ENTRIES],
    /// Place of the newest.
    newest: Owned32,
    /// Looks of the scavenger until it is emptied.
    stirred: Owned32,
    /// Bytes of all.
    total: OwnedSize,
}

impl MediumCache {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.total.get() == 0
    }

    /// Whether the block at `addr` lies here; never true of one that another thread was handed.
    pub fn has(&self, addr: usize) -> bool {
        // Acquire: who was handed the block sees its place empty or used for another, and then that other's address.
        let lies = |at: usize| {
            let bytes = self.marked[at].load(Ordering::Acquire);
            bytes != 0 && bytes & OUT == 0 && self.addr[at].get() == addr
        };
        !self.is_empty() && (0..ENTRIES).any(lies)
    }

    /// The block at `addr` ends by another way than this cache, or changes its size.
    pub fn forget(&self, addr: usize) {
        for (bytes, at) in self.marked.iter().zip(&self.addr) {
            if at.get() == addr && bytes.load(Ordering::Relaxed) & OUT != 0 {
                bytes.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Blocks and bytes.
    pub fn cached(&self) -> (u64, u64) {
        let blocks = (0..ENTRIES).filter(|&at| self.bytes(at) != 0).count();
        (blocks as u64, self.total.get() as u64)
    }

    /// Bytes of the block that lies at a place; 0 if none does.
    fn bytes(&self, at: usize) -> usize {
        let bytes = self.marked[at].load(Ordering::Relaxed);
        if bytes & OUT == 0 { bytes } else { 0 }
    }

    /// Differs, almost surely, when the cache was used.
    pub fn state(&self) -> u64 {
        let newest = self.newest.get();
        self.addr[newest as usize].get() as u64
            ^ (self.total.get() as u64) << 40
            ^ u64::from(newest)
    }

    /// Puts a block at a place where there is none, as the newest.
    #[inline(always)]
    fn put(&self, at: usize, addr: usize, bytes: usize) {
        self.addr[at].set(addr);
        // Release: see `has`.
        self.marked[at].store(bytes, Ordering::Release);
        self.total.set(self.total.get() + bytes);
        self.newest.set(at as u32);
        self.stirred.set(STIRRED);
    }

    /// Takes out what lies at a place; 0 if that is nothing.
    fn clear(&self, at: usize) -> usize {
        let bytes = self.bytes(at);
        // Relaxed: who is handed the block is handed it by means that order this before.
        self.marked[at].store(0, Ordering::Relaxed);
        // Wrapping: in the child of a fork the total may be from before the block came.
        self.total.set(self.total.get().wrapping_sub(bytes));
        if bytes == 0 { 0 } else { self.addr[at].get() }
    }

    /// Takes the block at a place, to be handed out.
    fn take(&self, at: usize, newest: usize) -> usize {
        if at == newest {
            return self.take_newest(at, self.bytes(at));
        }
        self.stirred.set(STIRRED);
        self.clear(at)
    }

    /// Takes the newest block, of so many bytes, to be handed out, and leaves word of it behind the newest.
    #[inline(always)]
    fn take_newest(&self, newest: usize, bytes: usize) -> usize {
        self.newest.set((newest.wrapping_sub(1) % ENTRIES) as u32);
        self.stirred.set(STIRRED);
        // Relaxed: as in `clear`.
        self.marked[newest].store(bytes | OUT, Ordering::Relaxed);
        self.total.set(self.total.get() - bytes);
        self.addr[newest].get()
    }

    /// Puts the block at `addr` back if it was taken from here last and there is room for it.
    #[inline(always)]
    fn put_back(&self, addr: usize) -> bool {
        let at = (self.newest.get() as usize + 1) % ENTRIES;
        let bytes = self.marked[at].load(Ordering::Relaxed);
        if self.addr[at].get() != addr || bytes & OUT == 0 {
            return false;
        }
        let bytes = bytes & !OUT;
        let has_room = self.total.get() + bytes <= BYTES;
        if has_room {
            self.put(at, addr, bytes);
        }
        has_room
    }

    /// One look of the scavenger: true if nothing was kept or taken since the one before.
    pub fn look(&self) -> bool {
        let left = self.stirred.get().saturating_sub(1);
        self.stirred.set(left);
        left == 0
    }
}

impl Heap {
    /// A cached block of exactly `bytes`, aligned to `align`, a power of two; its address.
    #[inline]
    pub fn take_cached(&self, bytes: usize, align: usize) -> Option<usize> {
        let cache = &self.medium_cache;
        if cache.is_empty() {
            return None;
        }
        self.read_mail();
        let newest = cache.newest.get() as usize;
        let places = (0..ENTRIES).map(|i| newest.wrapping_sub(i) % ENTRIES);
        let fits =
            |&at: &usize| cache.bytes(at) == bytes && cache.addr[at].get() & (align - 1) == 0;
        let at = places.into_iter().find(fits)?;
        Some(cache.take(at, newest))
    }

    /// The block cached last, if it has exactly `bytes` (> 0), aligned as `take_cached` would; its address.
    #[inline(always)]
    pub fn take_newest(&self, bytes: usize) -> Option<usize> {
        self.read_mail();
        let cache = &self.medium_cache;
        let newest = cache.newest.get() as usize % ENTRIES;
        let addr = cache.addr[newest].get();
        // A power of two is a block of chunks: of one, aligned to its size, or of several, which may not be.
        if cache.bytes(newest) != bytes || bytes.is_power_of_two() && addr & (bytes - 1) != 0 {
            return None;
        }
        Some(cache.take_newest(newest, bytes))
    }

    /// Frees the block that was taken from the cache last; false if the one at `addr` (not 0) is another.
    #[inline(always)]
    pub fn free_newest(&self, addr: usize) -> bool {
        let back = self.medium_cache.put_back(addr);
        if back {
            BELL.ring();
        }
        back
    }

    /// Frees an own block of `bytes`: keeps it, if it is not too large.
    #[inline]
    pub(super) fn free_medium(&self, addr: usize, bytes: usize) {
        let cache = &self.medium_cache;
        if bytes > CACHED_MAX {
            self.give_medium(addr);
            return;
        }
        let at = (cache.newest.get() as usize + 1) % ENTRIES;
        let mut oldest = at;
        while cache.bytes(at) != 0 || cache.total.get() + bytes > BYTES {
            self.uncache(oldest);
            oldest = (oldest + 1) % ENTRIES;
        }
        cache.put(at, addr, bytes);
        BELL.ring();
    }

    /// Before a block that others freed ends. Ends the process if its owner freed it as well.
    pub(super) fn end_posted(&self, addr: usize) {
        if self.medium_cache.has(addr) {
            block_fault(addr, Fault::DoubleFree);
        }
        self.medium_cache.forget(addr);
    }

    /// Gives back what lies at a place of the cache.
    fn uncache(&self, at: usize) {
        let addr = self.medium_cache.clear(at);
        if addr != 0 {
            self.give_medium(addr);
        }
    }

    /// Before a block of partition `p` is taken, which was not cached: gives back those in whose place it should rather be.
    pub(super) fn uncache_for(&self, p: PartitionId) {
        let cache = &self.medium_cache;
        if cache.is_empty() {
            return;
        }
        let partition = |at: usize| (cache.addr[at].get() - self.base()) >> PARTITION_SHIFT;
        for at in 0..ENTRIES {
            if cache.bytes(at) >= PARTED_FROM && partition(at) == p.0.into() {
                self.uncache(at);
            }
        }
    }

    /// Gives all back. True if there was something.
    pub(super) fn flush_medium(&self) -> bool {
        let any = !self.medium_cache.is_empty();
        (0..ENTRIES).for_each(|at| self.uncache(at));
        any
    }

    /// Gives a block back to its sub-region, which is this heap's.
    fn give_medium(&self, addr: usize) {
        match locate(addr) {
            Ok(Place::Chunk(id, at, n)) => self.give_chunk_block(id, at, n),
            Ok(Place::Run(id, at)) => self.give_run_block(id, at, false),
            _ => block_fault(addr, Fault::DoubleFree),
        }
    }

    /// In the child of a fork: what a thread that is no more had here is free.
    pub(super) fn spill_medium(&self) {
        for at in 0..ENTRIES {
            match locate(self.medium_cache.clear(at)) {
                Ok(Place::Chunk(id, at, n)) => {
                    let (p, sub) = (id.partition(), SubRegion::of(id));
                    arena::give(sub, bits::run(at, n) & !sub.free.get());
                    self.count(Tier::Chunk, -1, -(i64::from(n) << p.chunk_shift()));
                }
                Ok(Place::Run(id, at)) => {
                    let n = run::give(SubRegion::of(id), at);
                    self.count(
                        Tier::Run,
                        -1,
                        -(i64::from(n) << id.partition().unit_shift()),
                    );
                }
                _ => {}
            }
        }
        // It may be from before the last block came or went.
        self.medium_cache.total.set(0);
    }
}
