//! Lending: a free block of a larger class before memory that was never used.
//!
//! What is freed in a class stays there. If a program's blocks are of many sizes and the number of each goes up and down, each
//! class in the end holds the memory of its own highest tide. So where a class has nothing left but memory that was never used,
//! and ended threads left nothing of it, a block of one that is little larger is handed out in its place, if that has some to
//! spare. For all that comes after it is a block of its own class, as its tag says.

use super::{Front, Heap, Small};
use crate::num::class::SizeClass;
use crate::num::ids::PoolId;

/// Blocks in the magazine of a class that lends them.
const SURPLUS: usize = 4;

/// Loads of never used memory after which a class lends no more: it needs what it has.
const GROWING: u8 = 8;

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
        let fresh = self.bins[class.index()].first();
        if fresh.is_none()
            && let Some(left) = self.left_pool(class)
        {
            return Some(Found::Pool(left));
        }
        let lent = class.lenders().find_map(|lender| self.lend(lender));
        let dry = &self.front.slots[class.index()].dry;
        dry.set(lent.is_some().into());
        if let Some(small) = lent {
            return Some(Found::Lent(small));
        }
        let grown = &self.front.slots[class.index()].grown;
        grown.set(grown.get().saturating_add(1));
        fresh.or_else(|| self.new_pool(class)).map(Found::Pool)
    }

    /// A used block of the class, if it has some to spare.
    fn lend(&self, class: SizeClass) -> Option<Small> {
        if self.front.has_surplus(class) {
            self.pop(class)
        } else if self.front.has_enough(class) && self.bins[class.index()].first_used().is_some() {
            // First what is left in the magazine.
            self.refill(class)
        } else {
            None
        }
    }

    /// The class has too much, and may lend again.
    pub(super) fn begin_lending(&self, class: SizeClass) {
        self.front.slots[class.index()].grown.set(0);
    }

    /// A pool of the class changed its place: the class may have something used again.
    pub(super) fn end_borrowing(&self, class: SizeClass) {
        self.front.slots[class.index()].dry.set(0);
    }
}

impl Front {
    /// A used block of another class, while refills of this one would find nothing else: the short way, without them.
    #[inline(always)]
    pub fn borrow(&'static self, class: SizeClass) -> Option<Small> {
        if self.slots[class.index()].dry.get() == 0 {
            return None;
        }
        let lender = class.lenders().find(|&lender| self.has_surplus(lender))?;
        Heap::of_front(self).pop(lender)
    }

    /// Whether the class did not need more memory of late.
    #[inline(always)]
    fn has_enough(&self, class: SizeClass) -> bool {
        self.slots[class.index()].grown.get() < GROWING
    }

    /// Whether the class has [`SURPLUS`] blocks in its magazine, and enough memory.
    #[inline(always)]
    fn has_surplus(&self, class: SizeClass) -> bool {
        if !self.has_enough(class) {
            return false;
        }
        let top = self.hot[class.index()].get();
        // SAFETY: below the top lie blocks down to the sentinel 0, and no further is read.
        (1..=SURPLUS).all(|n| unsafe { top.wrapping_sub(n).read() } != 0)
    }
}
