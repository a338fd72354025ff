//! How many blocks a magazine keeps: it doubles where it overflows and runs dry in turn.
//!
//! A thread that replaces blocks at random frees some more of a class than it takes, and then the other way round. Each time
//! the magazine overflows or runs dry, blocks go to pools and come back, so one that does both within a few flushes
//! grows, from 64 KiB worth of blocks to 256 (compare the slow start of tcmalloc's thread caches). One that is only
//! filled, or only emptied, stays as it is: a thread that frees all it has keeps little. A class that falls idle starts
//! again.

use super::{EMPTY_MAGAZINE, Heap};
use crate::num::class::{MAGAZINE_SLOTS, SizeClass};
use crate::sync::Owned8;

/// Doublings at most.
const DOUBLINGS: u8 = 2;

/// With more flushes between two refills the program frees far more than it takes.
const FEW: u8 = 4;

/// The capacity of one class's magazine.
#[repr(C)]
pub(super) struct Capacity {
    doublings: Owned8,
    /// Times that the magazine was flushed, for it was full, since the last refill.
    overflows: Owned8,
}

impl Capacity {
    /// The magazine was full.
    pub(super) fn overflowed(&self) {
        self.overflows.set(self.overflows.get().saturating_add(1));
    }

    /// As at first; the magazine is gone.
    pub(super) fn forget(&self) {
        self.doublings.set(0);
        self.overflows.set(0);
    }
}

impl Heap {
    /// Blocks that a class's magazine keeps.
    #[inline(always)]
    pub(super) fn magazine_capacity(&self, class: SizeClass) -> usize {
        let doublings = self.capacities[class.index()].doublings.get();
        (usize::from(class.info().magazine) << doublings).min(MAGAZINE_SLOTS - 1)
    }

    /// At a refill: the magazine is empty.
    #[inline(always)]
    pub(super) fn judge_capacity(&self, class: SizeClass) {
        let capacity = &self.capacities[class.index()];
        let overflows = capacity.overflows.get();
        if overflows != 0 {
            capacity.overflows.set(0);
            if overflows <= FEW && capacity.doublings.get() < DOUBLINGS {
                self.set_doublings(class, capacity.doublings.get() + 1);
            }
        }
    }

    /// Makes the empty magazine of an idle class as it was at first.
    pub(super) fn reset_capacity(&self, class: SizeClass) {
        let capacity = &self.capacities[class.index()];
        capacity.overflows.set(0);
        if capacity.doublings.get() != 0 {
            self.set_doublings(class, 0);
        }
    }

    /// Moves the bottom of an empty magazine.
    fn set_doublings(&self, class: SizeClass, doublings: u8) {
        let hot = &self.front.hot[class.index()];
        debug_assert_eq!(self.magazine_len(class), 0);
        self.capacities[class.index()].doublings.set(doublings);
        if hot.get() != EMPTY_MAGAZINE {
            hot.set(self.new_magazine(class));
        }
    }
}
