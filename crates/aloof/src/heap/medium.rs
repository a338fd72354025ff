//! Arenas and blocks of chunks: the owner's side; and what arenas and run arenas have in common.

use super::Heap;
use super::huge_pages::{small_pages, small_pages_in};
use super::life::give_up;
use super::tally::Tier;
use crate::arena::{self, Chunks, Pick};
use crate::direct::Block;
use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::*;
use crate::os::options::Setting;
use crate::partition;
use crate::run;
use crate::space;
use crate::sub::{HUGE, Kind, Shelf, SubRegion};

/// Sub-regions of a level that may or may not fit: looked at before a new one is opened.
pub(super) const TRIES: usize = 4;
/// Abandoned sub-regions adopted for one request before a new one is opened.
pub(super) const ADOPTIONS: usize = 4;

/// Orphans swept before a sub-region is opened.
const SWEEPS: usize = 8;
/// Shelf of the common heap's dense arenas.
const DENSE: usize = PARTITIONS;

impl Heap {
    /// Takes `n` chunks for a block of an own, an adopted or a new arena; in partition 0, where larger blocks are if address space
    /// is short, naturally aligned.
    fn take_chunks(&self, p: PartitionId, n: u32) -> Option<(SubRegionId, Chunks)> {
        let shelf = &self.arenas[p.0 as usize];
        let own = |pick| take_of(shelf, n, p.0 == 0, pick);
        // Orphans come after: who takes more of them than he needs leaves none to others, who then open new ones.
        if let Some(found) = at_hand(p, own) {
            return Some(found);
        }
        for _ in 0..ADOPTIONS {
            let Some(id) = self.adopt_any(p, Kind::Arena, n) else {
                break;
            };
            self.adopt(id);
            if let Some(found) = own(Pick::Used) {
                return Some(found);
            }
        }
        if !partition::has_pending(p) {
            if let Some(found) = own(Pick::Any) {
                return Some(found);
            }
            self.sweep_some(p);
        }
        if let Some((id, _)) = self.open_arena(p) {
            shelf.insert(id, FANOUT as u32);
        }
        own(Pick::Any)
    }

    /// Of the common heap: takes `n` chunks for a pool. `is_dense`: all of its pages will be touched, and many more of others.
    pub(super) fn take_pool_chunks(&self, n: u32, is_dense: bool) -> Option<(SubRegionId, Chunks)> {
        let (p, plain, dense) = (PartitionId(0), &self.arenas[0], &self.arenas[DENSE]);
        let from = |shelf, pick| take_of(shelf, n, false, pick);
        // What was touched in a dense arena may serve anybody.
        let own = |pick| match (is_dense, pick) {
            (true, _) => from(dense, pick).or_else(|| from(plain, pick)),
            (false, Pick::Used) => from(plain, pick).or_else(|| from(dense, pick)),
            (false, Pick::Any) => from(plain, pick),
        };
        if let Some(found) = at_hand(p, own) {
            return Some(found);
        }
        if !partition::has_pending(p) {
            self.sweep_some(p);
        }
        let Some((id, zeroed)) = self.open_arena(p) else {
            return own(Pick::Any).or_else(|| from(dense, Pick::Any));
        };
        if is_dense && zeroed && Setting::HugePages.is_on() {
            SubRegion::of(id).dense.set(HUGE);
            partition::prefer_huge_pages(id, 1, true);
        }
        self.shelf(id, SubRegion::of(id)).insert(id, FANOUT as u32);
        own(Pick::Any)
    }

    /// Adopts the lowest orphan of a kind; of arenas one that seems to have `n` free chunks in a row. What an orphan's
    /// descriptor says may be changing meanwhile: it is a hint.
    pub(super) fn adopt_any(&self, p: PartitionId, kind: Kind, n: u32) -> Option<SubRegionId> {
        let has_room = |id| n == 0 || bits::run_starts(SubRegion::of(id).free.get(), n) != 0;
        let is_runs = |id| SubRegion::of(id).kind() == Kind::Runs;
        loop {
            let id = partition::adopt_any(p, kind == Kind::Runs, is_runs, has_room)?;
            let sub = SubRegion::of(id);
            if sub.kind() == kind {
                return Some(id);
            }
            // It was closed since the look, opened by another as the other kind, and left.
            give_up(id, sub);
            self.sweep_if_posted(id);
        }
    }

    /// A new arena of this heap's, on no shelf yet, and whether it reads as zeros.
    fn open_arena(&self, p: PartitionId) -> Option<(SubRegionId, bool)> {
        let piece = partition::acquire(p, 1)?;
        arena::open(piece.first, self.id(), piece.zeroed);
        partition::activate(piece.first);
        Some((piece.first, piece.zeroed))
    }

    /// Sweeps the next few orphans before a sub-region is opened: what others freed in them goes back even if nobody adopts
    /// them, and there are never many more than have live blocks.
    pub(super) fn sweep_some(&self, p: PartitionId) {
        for _ in 0..SWEEPS {
            let from = self.sweep_from.get();
            let Some(id) = partition::next_abandoned(p, from) else {
                self.sweep_from.set(0);
                return;
            };
            self.sweep_from.set(id.0 + 1);
            self.sweep_orphan(id);
        }
    }

    /// Gives chunks of an own arena back, and the arena if it is empty and not the last.
    pub(super) fn give_chunks(&self, id: SubRegionId, mask: u64) {
        let sub = SubRegion::of(id);
        arena::give(sub, mask);
        self.shelf(id, sub).update(id, arena::longest(sub));
        if arena::is_empty(sub) {
            self.close_spare(id, sub, FANOUT as u32);
        }
    }

    /// Closes an empty sub-region; in partition 0 one is kept, so that a program at the edge does not open and
    /// close arenas in turn: of two the lower, which has more pages that were touched before. `whole` is
    /// the free run of an empty one.
    pub(super) fn close_spare(&self, id: SubRegionId, sub: &SubRegion, whole: u32) {
        if id.partition().0 != 0 {
            let emptied = sub.kind() == Kind::Arena && sub.touched.get() == 0;
            let release = if emptied {
                partition::release_cold
            } else {
                partition::release
            };
            self.close_if_quiet(id, sub, release);
            return;
        }
        let Some(other) = self.shelf(id, sub).another_empty(whole, id) else {
            return;
        };
        let (low, high) = if id < other { (id, other) } else { (other, id) };
        let _ = self.close_if_quiet(high, SubRegion::of(high), partition::release)
            || self.close_if_quiet(low, SubRegion::of(low), partition::release);
    }

    /// Closes all empty sub-regions.
    pub(super) fn close_spares(&self) {
        let shelves: [(&[Shelf], usize); 2] = [(&self.arenas, FANOUT), (&self.runs, UNITS)];
        for (shelves, whole) in shelves.map(|(shelves, whole)| (shelves, whole as u32)) {
            for shelf in shelves {
                shelf.each_of_run(whole, |id| {
                    self.close_if_quiet(id, SubRegion::of(id), partition::release);
                });
            }
        }
    }

    /// Gives an empty sub-region back to its partition unless a freer is still at it.
    pub(super) fn close_if_quiet(
        &self,
        id: SubRegionId,
        sub: &SubRegion,
        release: fn(SubRegionId, u32),
    ) -> bool {
        let quiet = sub.remote.is_quiet(sub.collected.get());
        if quiet {
            self.shelf(id, sub).remove(id);
            close(id, sub, release);
        }
        quiet
    }

    pub(super) fn shelf(&self, id: SubRegionId, sub: &SubRegion) -> &Shelf {
        let p = id.partition().0 as usize;
        if sub.kind() == Kind::Runs {
            &self.runs[p]
        } else if p == 0 && sub.dense.get() != 0 {
            &self.arenas[DENSE]
        } else {
            &self.arenas[p]
        }
    }

    /// What a heap does before its thread takes a block of chunks or units of partition `p`, from whichever heap.
    pub fn before_medium(&self, p: PartitionId) {
        self.read_mail();
        self.look_for_idle();
        self.uncache_for(p);
    }

    /// A block of `n` chunks of partition `p`, aligned to a chunk, and in partition 0 to its size.
    pub fn take_chunk_block(&self, p: PartitionId, n: u32) -> Option<Block> {
        self.before_medium(p);
        let (id, chunks) = self.take_chunks(p, n)?;
        arena::start_block(SubRegion::of(id), chunks.at);
        let bytes = (n as usize) << p.chunk_shift();
        self.count(Tier::Chunk, 1, bytes as i64);
        let addr = self.chunk_addr(id, chunks.at);
        Some(Block {
            addr,
            bytes,
            zeroed: chunks.zeroed,
        })
    }

    /// Frees a chunk block of an own arena.
    pub(super) fn give_chunk_block(&self, id: SubRegionId, at: u32, n: u32) {
        self.count(
            Tier::Chunk,
            -1,
            -(i64::from(n) << id.partition().chunk_shift()),
        );
        self.end_chunks(id, at, n);
        self.give_chunks(id, bits::run(at, n));
    }

    /// Before chunks of a block are free: who has them next may touch them here and there.
    pub(super) fn end_chunks(&self, id: SubRegionId, at: u32, n: u32) {
        let (p, bytes) = (id.partition(), (n as usize) << id.partition().chunk_shift());
        if p.0 != 0 && bytes >= GROWN_HUGE {
            let addr = self.chunk_addr(id, at);
            small_pages_in(SubRegion::of(id), addr, bytes);
        }
    }

    /// Makes an own chunk block `size` bytes long where it is, if the chunks behind it allow; its new bytes.
    pub fn resize_chunk_block(&self, id: SubRegionId, at: u32, size: usize) -> Option<usize> {
        let (p, sub) = (id.partition(), SubRegion::of(id));
        let n = size.div_ceil(1 << p.chunk_shift());
        let before = arena::block_chunks(sub, at)?;
        self.medium_cache.forget(self.chunk_addr(id, at));
        let resize = || arena::resize(sub, at, n as u32);
        if n > FANOUT || !(resize() || self.flush_medium() && resize()) {
            return None;
        }
        self.count(
            Tier::Chunk,
            0,
            (n as i64 - i64::from(before)) << p.chunk_shift(),
        );
        self.shelf(id, sub).update(id, arena::longest(sub));
        Some(n << p.chunk_shift())
    }
}

/// What is to be had of own chunks: a sub-region of the partition whose pages are there comes before those without.
fn at_hand<T>(p: PartitionId, own: impl Fn(Pick) -> Option<T>) -> Option<T> {
    own(Pick::Used).or_else(|| {
        if partition::has_pending(p) {
            None
        } else {
            own(Pick::Any)
        }
    })
}

/// Takes `n` chunks of an arena of a shelf.
fn take_of(shelf: &Shelf, n: u32, aligned: bool, pick: Pick) -> Option<(SubRegionId, Chunks)> {
    shelf.candidates(n, TRIES).find_map(|id| {
        let sub = SubRegion::of(id);
        let chunks = arena::take(sub, n, aligned, pick)?;
        shelf.update(id, arena::longest(sub));
        Some((id, chunks))
    })
}

/// Whether nothing is in use in a sub-region of a heap's.
pub(super) fn is_empty(sub: &SubRegion) -> bool {
    match sub.kind() {
        Kind::Runs => run::is_empty(sub),
        _ => arena::is_empty(sub),
    }
}

/// Gives an empty, quiet sub-region that is on no shelf back to its partition.
pub(super) fn close(id: SubRegionId, sub: &SubRegion, release: fn(SubRegionId, u32)) {
    debug_assert!(space::is_ready(id.region()));
    small_pages(id, sub);
    sub.set_owner(HeapId::NONE);
    sub.set_kind(Kind::Free);
    release(id, 1);
}
