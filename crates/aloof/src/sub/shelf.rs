//! A heap's sub-regions of one kind and partition, by the longest free run in them.
//!
//! Level 0 holds the full ones, level `k + 1` those with a free run of `2^k .. 2^(k+1)` chunks or units. One may be on a
//! higher level than it should; whoever finds that out moves it.

use super::SubRegion;
use crate::num::ids::SubRegionId;
use crate::num::size::UNITS_SHIFT;
use crate::sync::Owned32;

/// Levels: full, and runs of 1, 2, 4 .. 1024.
pub const LEVELS: usize = UNITS_SHIFT as usize + 2;

/// Doubly linked lists, one a level; the heads hold number + 1.
#[repr(C)]
pub struct Shelf {
    heads: [Owned32; LEVELS],
}

/// Level of a sub-region whose longest free run is `run` long.
pub fn level_of(run: u32) -> usize {
    run.checked_ilog2().map_or(0, |log| log as usize + 1)
}

/// The lowest level all of which have a free run of `run`.
fn sure_level(run: u32) -> usize {
    level_of(run) + usize::from(!run.is_power_of_two())
}

impl Shelf {
    /// Puts a sub-region on the shelf.
    pub fn insert(&self, id: SubRegionId, run: u32) {
        let (sub, level) = (SubRegion::of(id), level_of(run));
        let head = &self.heads[level];
        let first = head.get();
        sub.level.set(level as u32);
        sub.prev.set(0);
        sub.next.set(first);
        if first != 0 {
            SubRegion::of(SubRegionId(first - 1)).prev.set(id.0 + 1);
        }
        head.set(id.0 + 1);
    }

    /// Takes a sub-region off.
    pub fn remove(&self, id: SubRegionId) {
        let sub = SubRegion::of(id);
        let (prev, next) = (sub.prev.get(), sub.next.get());
        if prev == 0 {
            self.heads[sub.level.get() as usize].set(next);
        } else {
            SubRegion::of(SubRegionId(prev - 1)).next.set(next);
        }
        if next != 0 {
            SubRegion::of(SubRegionId(next - 1)).prev.set(prev);
        }
    }

    /// Moves a sub-region to the level of its longest free run.
    pub fn update(&self, id: SubRegionId, run: u32) {
        if SubRegion::of(id).level.get() as usize != level_of(run) {
            self.remove(id);
            self.insert(id, run);
        }
    }

    /// The same after a free run of `run` came to be: to a higher level, if to any.
    pub fn raise(&self, id: SubRegionId, run: u32) {
        if level_of(run) > SubRegion::of(id).level.get() as usize {
            self.update(id, run);
        }
    }

    /// Whether the level of a sub-region says that it has a free run of `run`.
    pub fn promises(id: SubRegionId, run: u32) -> bool {
        SubRegion::of(id).level.get() as usize >= sure_level(run)
    }

    /// Sub-regions that may have a free run of `run`: first, of those that head a level which surely has, the
    /// lowest (what lies low was touched before, and what lies high gets a chance to empty); then the
    /// other heads; then at most `tries` of the level that may have.
    pub fn candidates(&self, run: u32, tries: usize) -> impl Iterator<Item = SubRegionId> {
        let (maybe, sure) = (level_of(run), sure_level(run));
        let heads = move || (sure..LEVELS).filter_map(|l| self.level(l).next());
        let lowest = heads().min();
        let maybe_list = (sure != maybe).then(|| self.level(maybe).take(tries));
        lowest
            .into_iter()
            .chain(heads().filter(move |&id| Some(id) != lowest))
            .chain(maybe_list.into_iter().flatten())
    }

    /// All of a level.
    fn level(&self, level: usize) -> impl Iterator<Item = SubRegionId> + use<> {
        let mut at = self.heads[level].get();
        core::iter::from_fn(move || {
            let id = SubRegionId(at.checked_sub(1)?);
            at = SubRegion::of(id).next.get();
            Some(id)
        })
    }

    /// Any sub-region on the shelf.
    pub fn any(&self) -> Option<SubRegionId> {
        (0..LEVELS).find_map(|l| self.level(l).next())
    }

    /// A wholly free sub-region besides `not`, if its free run is `whole`.
    pub fn another_empty(&self, whole: u32, not: SubRegionId) -> Option<SubRegionId> {
        self.level(level_of(whole)).find(|&id| id != not)
    }

    /// Calls `f`, which may take it off the shelf, with each sub-region of the level of a free run.
    pub fn each_of_run(&self, run: u32, f: impl FnMut(SubRegionId)) {
        self.level(level_of(run)).for_each(f);
    }

    /// Forgets all; the sub-regions are somebody else's now.
    pub fn clear(&self) {
        self.heads.iter().for_each(|h| h.set(0));
    }
}
