//! Blocks of units: the owner's side.

use super::huge_pages::small_pages_after;
use super::medium::{ADOPTIONS, TRIES};
use super::tally::Tier;
use super::{CACHED_MAX, Heap};
use crate::direct::Block;
use crate::num::ids::*;
use crate::num::size::*;
use crate::partition;
use crate::run;
use crate::sub::{HUGE, Kind, Shelf, SubRegion};

/// Steps from a block's own partition to those in whose run arenas units that were used before are looked for: units are half as
/// large in each below.
const NEAR: [i8; 7] = [0, 1, 2, -1, -2, -3, -4];
/// The same for any room, before others are adopted or opened: in these up to a sixteenth of the block is lost at its end.
const ABOVE: [i8; 2] = [1, 2];
/// The same for a program that fills such blocks, in arenas in huge pages: others would get theirs there.
const BELOW: [i8; 4] = [-1, -2, -3, -4];

impl Heap {
    /// A block of units of partition `p`. `fills` says whether its pages may be huge ones, because the program fills such blocks.
    pub fn take_run_block(
        &self,
        p: PartitionId,
        size: usize,
        fills: impl FnOnce() -> bool,
    ) -> Option<Block> {
        self.read_mail();
        let shelf = &self.runs[p.0 as usize];
        let own = || take_units(shelf, units(p, size), |_| true);
        // Room in arenas of other partitions. Smaller blocks than this the cache knows by their partition's units.
        let elsewhere = size > CACHED_MAX && !partition::has_pending(p);
        let used = || {
            if elsewhere {
                self.take_used_units(p, size)
            } else {
                None
            }
        };
        let borrowed = || {
            if elsewhere {
                self.take_borrowed_units(p, size, fills)
            } else {
                None
            }
        };
        let (id, taken) = used().or_else(own).or_else(borrowed).or_else(|| {
            for _ in 0..ADOPTIONS {
                let Some(id) = self.adopt_any(p, Kind::Runs, 0) else {
                    break;
                };
                self.adopt(id);
                if let Some(found) = own() {
                    return Some(found);
                }
            }
            if !partition::has_pending(p) {
                self.sweep_some(p);
            }
            let piece = partition::acquire(p, 1)?;
            run::open(piece.first, self.id(), piece.zeroed);
            partition::activate(piece.first);
            shelf.insert(piece.first, UNITS as u32);
            own()
        })?;
        let p = id.partition();
        let bytes = align_up(size, 1 << p.unit_shift());
        self.count(Tier::Run, 1, bytes as i64);
        Some(Block {
            addr: self.unit_addr(id, taken.at),
            bytes,
            zeroed: taken.zeroed,
        })
    }

    /// Units that were used before, in own arenas of partition `p` or of one near it.
    fn take_used_units(&self, p: PartitionId, size: usize) -> Option<(SubRegionId, run::Taken)> {
        near(p, size, &NEAR).find_map(|q| {
            let (n, shelf) = (units(q, size), &self.runs[q.0 as usize]);
            shelf.candidates(n, TRIES).find_map(|id| {
                let sub = SubRegion::of(id);
                let taken = run::take_used(sub, n)?;
                shelf.update(id, run::longest(sub));
                Some((id, taken))
            })
        })
    }

    /// Units in own arenas of partitions near `p`, where they are to be had.
    fn take_borrowed_units(
        &self,
        p: PartitionId,
        size: usize,
        fills: impl FnOnce() -> bool,
    ) -> Option<(SubRegionId, run::Taken)> {
        let of = |q: PartitionId, suits: fn(&SubRegion) -> bool| {
            take_units(&self.runs[q.0 as usize], units(q, size), suits)
        };
        let above = near(p, size, &ABOVE).find_map(|q| of(q, |_| true));
        above.or_else(|| {
            if fills() {
                near(p, size, &BELOW).find_map(|q| of(q, |sub| sub.dense.get() == HUGE))
            } else {
                None
            }
        })
    }

    /// Frees a run block of an own sub-region.
    /// `emptied`: its pages were moved away.
    pub(super) fn give_run_block(&self, id: SubRegionId, at: u32, emptied: bool) {
        let (p, sub) = (id.partition(), SubRegion::of(id));
        let n = run::give(sub, at);
        self.count(Tier::Run, -1, -(i64::from(n) << p.unit_shift()));
        small_pages_after(sub, self.unit_addr(id, at), (n as usize) << p.unit_shift());
        self.runs[p.0 as usize].raise(id, run::free_around(sub, at, n));
        if run::is_empty(sub) {
            if emptied && p.0 != 0 {
                self.close_if_quiet(id, sub, partition::release_cold);
            } else {
                self.close_spare(id, sub, UNITS as u32);
            }
        }
    }

    /// Makes an own run block `size` bytes long where it is, if its neighbour allows; its new bytes.
    pub fn resize_run_block(&self, id: SubRegionId, at: u32, size: usize) -> Option<usize> {
        let (p, sub) = (id.partition(), SubRegion::of(id));
        let n = size.div_ceil(1 << p.unit_shift());
        let before = run::block_units(sub, at);
        self.medium_cache.forget(self.unit_addr(id, at));
        let resize = || run::resize(sub, at, n as u32);
        if n > UNITS || !(resize() || self.flush_medium() && resize()) {
            return None;
        }
        self.count(
            Tier::Run,
            0,
            (n as i64 - i64::from(before)) << p.unit_shift(),
        );
        let n = n as u32;
        if n < before {
            let run = run::free_around(sub, at + n, before - n);
            self.runs[p.0 as usize].raise(id, run);
        }
        Some((n as usize) << p.unit_shift())
    }
}

/// Partitions at these steps from `p` whose sub-regions hold `size` bytes.
fn near(p: PartitionId, size: usize, steps: &[i8]) -> impl Iterator<Item = PartitionId> {
    let at = move |&step: &i8| p.0.checked_add_signed(step).map(PartitionId);
    let fits = move |q: &PartitionId| usize::from(q.0) < PARTITIONS && size <= q.subregion();
    steps.iter().filter_map(at).filter(fits)
}

/// Units of partition `p` that hold `size` bytes.
fn units(p: PartitionId, size: usize) -> u32 {
    size.div_ceil(1 << p.unit_shift()) as u32
}

/// Takes `n` units of a sub-region of a shelf that suits.
fn take_units(
    shelf: &Shelf,
    n: u32,
    suits: impl Fn(&SubRegion) -> bool,
) -> Option<(SubRegionId, run::Taken)> {
    loop {
        let mut broken = None;
        let all = shelf.candidates(n, TRIES);
        for id in all.filter(|&id| suits(SubRegion::of(id))) {
            let sub = SubRegion::of(id);
            let was_empty = run::is_empty(sub);
            if let Some(taken) = run::take(sub, n) {
                if was_empty {
                    shelf.update(id, UNITS as u32 - n);
                }
                return Some((id, taken));
            }
            if Shelf::promises(id, n) {
                broken = Some(id);
                break;
            }
        }
        // Each turn moves one down.
        let id = broken?;
        shelf.update(id, run::longest(SubRegion::of(id)));
    }
}
