//! Young classes: what takes blocks from one word only needs no magazine.
//!
//! A magazine's buffer is half a page. A program that uses a few blocks of each of many sizes would touch a page for every two
//! sizes and hold next to nothing there. So a class begins without: `malloc` takes from the slot, and `free` puts what is of the
//! slot's word back there. That ends when a second word is wanted, a block of another word comes, or some blocks were freed:
//! the way through the slot is longer. It does not begin again for the next thread of the record, whose pages are touched.

use super::flush::block_fault;
use super::{Heap, Slot};
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::pool::{Fault, Pool};

/// Blocks that are freed into the slot at most.
const FREES: u8 = 64;
/// Largest blocks of a young class: what is freed has the rest of the slot count as not zero, and larger ones would be cleared
/// where nothing was touched.
const SIZE_MAX: usize = 4 << 10;

impl Heap {
    /// At a refill: whether the class is young and remains so. It is old from the second one on.
    pub(super) fn begins_young(&self, class: SizeClass) -> bool {
        let age = &self.ages[class.index()];
        let young = age.get() == 0 && class.size() <= SIZE_MAX;
        age.set(if young { 1 } else { FREES });
        young
    }

    /// Puts an own block of a young class into the slot. False, and the class is old, if its word is not there.
    pub(super) fn free_young(&self, class: SizeClass, addr: usize) -> bool {
        let age = &self.ages[class.index()];
        if age.get() >= FREES {
            return false;
        }
        let slot = &self.front.slots[class.index()];
        let (id, _) = Pool::of_chunk(ChunkId::at(addr.wrapping_sub(self.base())));
        let pool = Pool::of(id);
        let block = self.block_of(pool, class.info(), addr);
        let (word, bit) = ((block / 64) as u32, 1 << (block % 64));
        let base = self.base() + pool.offset() + word as usize * 64 * class.size();
        if !slot.is_of(id, word, base) {
            age.set(FREES);
            return false;
        }
        if (slot.bits.get() | pool.free_in(word)) & bit != 0 {
            block_fault(addr, Fault::DoubleFree);
        }
        age.set(age.get() + 1);
        slot.zeroed.set(0);
        slot.bits.set(slot.bits.get() | bit);
        true
    }
}

impl Slot {
    /// Whether it was loaded with this word, which is the pool's still: one that is used up, or was returned, may be
    /// another's by now.
    fn is_of(&self, id: PoolId, word: u32, base: usize) -> bool {
        self.pool.get() == id.0 && u32::from(self.word.get()) == word && self.base.get() == base
    }
}
