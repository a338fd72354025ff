//! Lending: a free block of a larger class before memory that was never used.
//!
//! What is freed in a class stays there. If a program's blocks are of many sizes and the number of each goes up and down, each
//! class in the end holds the memory of its own highest tide. So where a class has nothing left but memory that was never used,
//! and ended threads left nothing of it, a block of one that is little larger is handed out in its place, if that has some to
//! spare. For all that comes after it is a block of its own class, as its tag says.

use super::{Front, Heap, Slot, Small};
use crate::num::class::SizeClass;
use crate::num::ids::PoolId;

/// Blocks in the magazine of a class that lends them.
const SURPLUS: usize = 4;

/// Loads of never used memory in a row after which a class does not lend for now: it grows.
const GROWING: u8 = 8;
/// Loads in place of what it lent after which a class of a heap lends no more: it needs what it has. As many as random tides bring
/// in a long time.
const REPLACED: u8 = 64;

/// Where the next block of a class comes from.
pub(super) enum Found {
    /// A pool that has some.
    Pool(PoolId),
    /// Another class: this one.
    Lent(Small),
}

impl Heap {
    /// For a class in whose pools nothing was freed: what an ended thread left, else what another class lends, else memory that
    /// was never used. None if the OS refuses.
    #[cold]
    #[inline(never)]
    pub(super) fn find_stock(&self, class: SizeClass) -> Option<Found> {
        let (bin, slot) = (&self.bins[class.index()], &self.front.slots[class.index()]);
        let left = || match bin.first() {
            None => self.left_pool(class),
            Some(_) => None,
        };
        // A class that borrows looked for what others left when it began to, and does when it can borrow no more.
        let borrows = slot.dry.get() != 0;
        if !borrows && let Some(left) = left() {
            return Some(Found::Pool(left));
        }
        let lent = class.lenders().find_map(|lender| self.lend(lender));
        // The lender's refill may have brought mail.
        let is_dry = lent.is_some() && bin.first_used().is_none();
        slot.dry.set(is_dry.into());
        if let Some(small) = lent {
            return Some(Found::Lent(small));
        }
        if borrows && let Some(left) = left() {
            return Some(Found::Pool(left));
        }
        let fresh = bin.first().or_else(|| self.new_pool(class))?;
        slot.grow();
        Some(Found::Pool(fresh))
    }

    /// A used block of the class, if it has some to spare.
    fn lend(&self, class: SizeClass) -> Option<Small> {
        self.front.lend(class).or_else(|| {
            let slot = &self.front.slots[class.index()];
            if !slot.has_enough() || self.bins[class.index()].first_used().is_none() {
                return None;
            }
            slot.lent.set(1);
            // What is left in the magazine comes first in both, and in the slot what reads as zeros was never used.
            if slot.zeroed.get() == 0 {
                self.take_small(class)
            } else {
                self.refill(class)
            }
        })
    }

    /// A pool of the class changed its place: the class may have something used again.
    pub(super) fn end_borrowing(&self, class: SizeClass) {
        self.front.slots[class.index()].dry.set(0);
    }
}

impl Front {
    /// A used block of another class for one that had nothing used when it was refilled last: the short way, without a refill.
    #[inline(always)]
    pub fn borrow(&self, class: SizeClass) -> Option<Small> {
        if self.slots[class.index()].dry.get() == 0 {
            return None;
        }
        class.lenders().find_map(|lender| self.lend(lender))
    }

    /// The newest block of the class's magazine, if it has some to spare.
    #[inline(always)]
    fn lend(&self, class: SizeClass) -> Option<Small> {
        let slot = &self.slots[class.index()];
        if !slot.has_enough() || !self.has_surplus(class) {
            return None;
        }
        slot.lent.set(1);
        self.pop(class)
    }

    /// Whether the class's magazine holds [`SURPLUS`] blocks.
    #[inline(always)]
    fn has_surplus(&self, class: SizeClass) -> bool {
        let top = self.hot[class.index()].get();
        // SAFETY: below the top lie blocks down to the sentinel 0, and no further is read.
        (1..=SURPLUS).all(|n| unsafe { top.wrapping_sub(n).read() } != 0)
    }
}

impl Slot {
    /// Whether the class did not need more memory of late.
    #[inline(always)]
    fn has_enough(&self) -> bool {
        self.grown.get() < GROWING
    }

    /// The class loads never used memory.
    fn grow(&self) {
        let replaced = self.replaced.get().saturating_add(self.lent.get());
        self.replaced.set(replaced);
        self.lent.set(0);
        self.grown.set(if replaced >= REPLACED {
            GROWING
        } else {
            (self.grown.get() + 1).min(GROWING)
        });
    }

    /// The class's magazine is flushed: it has more than it needs, unless it lends no more.
    pub(super) fn shrink(&self) {
        if self.replaced.get() < REPLACED {
            self.grown.set(0);
        }
    }
}
