//! Opening, freeing by address, ending and adopting.

use super::common;
use super::flush::block_fault;
use super::medium::{close, is_empty};
use super::registry;
use super::scavenge;
use super::{Heap, collect::Heaps};
use crate::arena;
use crate::direct::{self, huge};
use crate::num::bits;
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::num::size::*;
use crate::os::message::fault;
use crate::partition;
use crate::pool::Fault;
use crate::remote;
use crate::run;
use crate::space;
use crate::sub::{Kind, SubRegion};
use crate::sync::Ordering;

use super::tally::{self, Tier};

/// Where a live block lies, found from its address.
#[derive(Clone, Copy)]
pub enum Place {
    /// A block of a pool, which has this tag.
    Pool(u32),
    /// A block of `n` chunks from chunk `at` on.
    Chunk(SubRegionId, u32, u32),
    /// A block of units from `at` on.
    Run(SubRegionId, u32),
    /// A piece of sub-regions.
    Direct(SubRegionId),
    /// A mapping of so many bytes.
    Huge(usize),
}

/// Finds the block that starts at `addr`; where it is a pool's, the caller checks that a block starts there.
pub fn locate(addr: usize) -> Result<Place, &'static str> {
    locate_inline(addr)
}

/// The same in the way of the frees.
#[inline(always)]
fn locate_inline(addr: usize) -> Result<Place, &'static str> {
    const FOREIGN: &str = "not a block of this allocator";
    const INTERIOR: &str = "not the start of a block";
    const DEAD: &str = "no live block here: freed already, or not the start of one";
    let offset = addr.wrapping_sub(space::base());
    let Some((id, sub)) = SubRegion::at(offset) else {
        return huge::bytes(addr).map(Place::Huge).ok_or(FOREIGN);
    };
    let p = PartitionId((offset >> PARTITION_SHIFT) as u8);
    let within = offset & (p.subregion() - 1);
    match sub.kind() {
        // A mapping may lie where a piecewise space holds nothing.
        Kind::Free => huge::bytes(addr).map(Place::Huge).ok_or(DEAD),
        Kind::Direct => {
            if within == 0 {
                Ok(Place::Direct(id))
            } else {
                Err(INTERIOR)
            }
        }
        Kind::Runs => {
            let at = (within >> p.unit_shift()) as u32;
            let aligned = within & ((1 << p.unit_shift()) - 1) == 0;
            if aligned && run::is_start(sub, at) && !is_cached(sub, addr) {
                Ok(Place::Run(id, at))
            } else {
                Err(DEAD)
            }
        }
        Kind::Arena => {
            if p.0 == 0 {
                let chunk = ChunkId::at(offset);
                let tag = space::tag(chunk).load(Ordering::Relaxed);
                if tag != 0 {
                    return Ok(Place::Pool(tag));
                }
            }
            let at = (within >> p.chunk_shift()) as u32;
            let aligned = within & ((1 << p.chunk_shift()) - 1) == 0;
            match arena::block_chunks(sub, at) {
                Some(n) if aligned && !is_cached(sub, addr) => Ok(Place::Chunk(id, at, n)),
                _ => Err(DEAD),
            }
        }
    }
}

/// Whether a block was freed and is in its heap's cache; to its sub-region it is in use then.
#[inline]
fn is_cached(sub: &SubRegion, addr: usize) -> bool {
    let owner = sub.owner();
    owner != HeapId::NONE && Heap::of(owner).medium_cache.has(addr)
}

/// Frees a block that no heap owns; ends the process if another thread was faster.
fn free_shared(addr: usize, tier: Tier, freed: Option<usize>) {
    let Some(bytes) = freed else {
        block_fault(addr, Fault::DoubleFree)
    };
    tally::count_shared(tier, -1, -(bytes as i64));
}

fn free_direct(id: SubRegionId, addr: usize, emptied: bool) {
    let freed = direct::give(id, SubRegion::of(id), emptied);
    free_shared(addr, Tier::Direct, freed);
}

impl Heap {
    /// Frees a small block of another's, if that is what lies at `addr`: the most frequent of the frees that
    /// the hot path does not serve. False if it is not.
    #[inline(always)]
    pub fn try_others(&self, addr: usize) -> bool {
        let tag = self.front.tag_at(addr);
        let others = tag.filter(|tag| tag >> 8 != self.id().0);
        if let Some(tag) = others {
            self.free_of_others(addr - self.base(), tag);
        }
        others.is_some()
    }

    /// Frees any block: the way of all frees that the hot path does not serve.
    #[inline]
    pub fn free(&self, addr: usize) {
        match self.own_medium(addr) {
            Some(bytes) => {
                self.medium_cache.forget(addr);
                self.free_medium(addr, bytes)
            }
            None => self.free_any(addr),
        }
    }

    /// Bytes of the live block of chunks or units of this heap that starts at `addr`: most frees that come here are of
    /// one. None if none does.
    #[inline(always)]
    fn own_medium(&self, addr: usize) -> Option<usize> {
        let offset = addr.wrapping_sub(self.base());
        let (_, sub) = SubRegion::at(offset)?;
        if sub.owner() != self.id() {
            return None;
        }
        let p = PartitionId((offset >> PARTITION_SHIFT) as u8);
        let within = offset & (p.subregion() - 1);
        let (unit_shift, is_arena) = match sub.kind() {
            Kind::Arena => (p.chunk_shift(), true),
            Kind::Runs => (p.unit_shift(), false),
            _ => return None,
        };
        let at = (within >> unit_shift) as u32;
        if within & ((1 << unit_shift) - 1) != 0 || self.medium_cache.has(addr) {
            return None;
        }
        let units = if is_arena {
            arena::block_chunks(sub, at)?
        } else if run::is_start(sub, at) {
            run::block_units(sub, at)
        } else {
            return None;
        };
        Some((units as usize) << unit_shift)
    }

    /// Frees what [`Heap::own_medium`] does not know.
    #[cold]
    #[inline(never)]
    fn free_any(&self, addr: usize) {
        match locate_inline(addr) {
            Err(why) => fault("free", addr, why),
            Ok(Place::Pool(tag)) if tag >> 8 == self.id().0 => {
                self.push_slow(SizeClass(tag as u8), addr)
            }
            Ok(Place::Pool(tag)) => self.free_of_others(addr - self.base(), tag),
            Ok(Place::Chunk(id, at, _)) => self.post_chunk_block(id, at, addr),
            Ok(Place::Run(id, at)) => self.free_run_of_others(id, at, addr, false),
            Ok(Place::Direct(id)) => {
                self.judge_freed(addr);
                free_direct(id, addr, false)
            }
            Ok(Place::Huge(_)) => free_shared(addr, Tier::Huge, huge::give(addr)),
        }
    }

    /// Frees a large block whose pages were moved away: its memory counts as never touched, if it is this heap's.
    pub fn free_emptied(&self, addr: usize) {
        let me = self.id();
        self.medium_cache.forget(addr);
        match locate(addr) {
            Ok(Place::Chunk(id, at, n)) if SubRegion::of(id).owner() == me => {
                arena::untouch(SubRegion::of(id), bits::run(at, n));
                self.give_chunk_block(id, at, n);
            }
            Ok(Place::Run(id, at)) if SubRegion::of(id).owner() == me => {
                self.give_run_block(id, at, true)
            }
            Ok(Place::Run(id, at)) => self.free_run_of_others(id, at, addr, true),
            Ok(Place::Direct(id)) => free_direct(id, addr, true),
            _ => self.free(addr),
        }
    }

    /// Frees a run block that is not this heap's: another thread's or the common heap's.
    fn free_run_of_others(&self, id: SubRegionId, at: u32, addr: usize, emptied: bool) {
        if !emptied {
            self.judge_freed(addr);
        }
        if !common::is_common(SubRegion::of(id).owner()) {
            self.post_run_block(id, at, addr);
        } else if !common::give(addr, emptied) {
            block_fault(addr, Fault::DoubleFree);
        }
    }

    /// Makes a blank record an empty heap.
    pub(super) fn open(&self, id: HeapId) {
        debug_assert!(self.is_blank());
        // A visitor of the last thread's may be late.
        self.gate.enter();
        // SAFETY: the record has no thread yet.
        unsafe {
            self.front.base.set(space::base());
            self.front.tags.set(space::tags());
            self.front.tag.set(id.0 << 8);
            for class in SizeClass::all() {
                self.front.class_tags[class.index()].set(id.0 << 8 | u32::from(class.0));
            }
        }
        self.front.id.set(id.0);
        self.forget_magazines();
        self.last_large.forget();
        self.moved_to.set(0);
        for slot in &self.front.slots {
            slot.clear();
        }
        self.exit_rounds.set(0);
        self.shared().inbox.open();
        self.gate.leave();
    }

    /// Forgets pools and sub-regions.
    fn forget_owned(&self) {
        self.bins.iter().for_each(super::Bin::clear);
        self.arenas
            .iter()
            .chain(&self.runs)
            .for_each(crate::sub::Shelf::clear);
    }

    /// In the child of a fork: forgets all that a thread that is no more had.
    pub(super) fn forget_all(&self) {
        self.forget_owned();
        self.outbox.0.iter().for_each(|parcel| parcel.mask.set(0));
        self.outbox_blocks.set(0);
        self.outbox_bytes.set(0);
    }

    /// Whether nothing is left of a former user's: no pool, sub-region, medium block or parcel.
    fn is_blank(&self) -> bool {
        self.bins.iter().all(super::Bin::is_clear)
            && self
                .arenas
                .iter()
                .chain(&self.runs)
                .all(|s| s.any().is_none())
            && self.medium_cache.cached() == (0, 0)
            && self.outbox.0.iter().all(|parcel| parcel.mask.get() == 0)
            && (self.outbox_blocks.get(), self.outbox_bytes.get()) == (0, 0)
    }

    /// Ends the heap: flushes the caches, releases what is empty, orphans the rest, recycles the record.
    pub fn retire(&self) {
        self.end();
        registry::release(self.id());
    }

    /// The same, but the record stays the caller's.
    pub(super) fn end(&self) {
        self.gate.enter();
        self.filled_last();
        self.flush_all();
        self.post_outbox(false);
        // From here on nobody lists a node with us; what is listed is unlisted.
        let first = self.shared().inbox.close();
        remote::unlist(&Heaps, self.id().0, first, |_| ());
        for shelf in self.arenas.iter().chain(&self.runs) {
            while let Some(id) = shelf.any() {
                shelf.remove(id);
                self.release_or_orphan(id);
                // Who posts meanwhile cannot sweep.
                self.sweep_if_posted(id);
            }
        }
        self.leave_pools();
        self.forget_owned();
        self.report_all();
        self.gate.leave();
    }

    /// Collects, then releases or orphans a sub-region that is on no shelf. Between the collection and the orphaning nobody
    /// else touches what is the owner's.
    pub(super) fn release_or_orphan(&self, id: SubRegionId) {
        let sub = SubRegion::of(id);
        self.collect_sub(id, sub);
        give_up(id, sub);
    }

    /// Whether something was posted to an orphan since it was collected. A hint: it may be anybody's meanwhile, so
    /// nothing of it is trusted.
    pub(super) fn orphan_has_posts(id: SubRegionId) -> bool {
        let sub = SubRegion::of(id);
        sub.owner() == HeapId::NONE
            && matches!(sub.kind(), Kind::Arena | Kind::Runs)
            && !sub.remote.is_quiet(sub.collected.get())
    }

    /// Returns what is in the caches to where it belongs, own blocks and others', and takes what others
    /// returned: each is checked on its way.
    pub fn settle_all(&self) {
        self.flush_all();
        self.post_outbox(false);
        self.read_mail();
    }

    /// Gives back all that is free: the own caches to pools, empty pools to arenas, free pages of all heaps to the OS, empty
    /// sub-regions to partitions.
    pub fn purge(&self) {
        self.settle_all();
        scavenge::pass(self, scavenge::Reach::All);
        self.dissolve_empty();
        self.close_spares();
        let common = common::enter();
        common.read_mail();
        common.close_spares();
    }

    /// Takes over a sub-region that the caller adopted: its owner's state is derived from the bits alone.
    pub(super) fn adopt(&self, id: SubRegionId) {
        let sub = SubRegion::of(id);
        sub.set_owner(self.id());
        self.collect_sub(id, sub);
        if sub.kind() == Kind::Runs {
            self.runs[id.partition().0 as usize].insert(id, run::longest(sub));
            if run::is_empty(sub) {
                self.close_spare(id, sub, UNITS as u32);
            }
            return;
        }
        self.shelf(id, sub).insert(id, arena::longest(sub));
        if arena::is_empty(sub) {
            self.close_spare(id, sub, FANOUT as u32);
        }
    }
}

/// Releases a sub-region that is on no shelf, or leaves it to whoever adopts it.
pub(super) fn give_up(id: SubRegionId, sub: &SubRegion) {
    if is_empty(sub) && sub.remote.is_quiet(sub.collected.get()) {
        close(id, sub, partition::release);
        return;
    }
    sub.set_owner(HeapId::NONE);
    partition::abandon(id, sub.kind() == Kind::Runs);
}
