//! Small blocks: the slot cache and the pools behind it.
//!
//! Blocks are taken from the fullest pools, so that others empty. A magazine works against that: what is freed in a pool
//! that should empty is handed out again. Where the blocks in use are **spread** over pools of which many are sparse, the
//! class does without its magazine until few are: `malloc` takes from the slot, and `free` gives to the pool.

use super::flush::block_fault;
use super::lending::Found;
use super::magazine::FILL_MAX;
use super::tally::Tier;
use super::{Heap, Small};
use crate::num::class::SizeClass;
use crate::num::ids::*;
use crate::pool::{Fault, Pool, STIRRED};
use crate::sub::SubRegion;

impl Heap {
    /// The next block of the class's magazine or slot, refilled if both are used up. None if the OS refuses.
    #[inline]
    pub fn take_small(&self, class: SizeClass) -> Option<Small> {
        self.front
            .pop(class)
            .or_else(|| self.front.slots[class.index()].take())
            .or_else(|| self.refill(class))
    }

    /// Loads the empty magazine, or for large blocks the slot, with another word, and takes the first block: of a pool with
    /// freed blocks, one of an ended thread's included; else, without a load, another class lends a block; else of a pool with
    /// fresh blocks, or a new one.
    #[cold]
    #[inline(never)]
    pub fn refill(&self, class: SizeClass) -> Option<Small> {
        // Whoever began the heap, or gave memory back for us, may have allocated and freed meanwhile.
        if let Some(small) = self.front.pop(class) {
            return Some(small);
        }
        self.judge_capacity(class);
        self.read_mail();
        self.look_for_idle();
        let bin = &self.bins[class.index()];
        let id = match bin.first_used() {
            Some(id) => id,
            None => match self.find_stock(class)? {
                Found::Pool(id) => id,
                Found::Lent(small) => return Some(small),
            },
        };
        let pool = Pool::of(id);
        let spread = bin.judge_spread(class);
        if spread {
            self.drop_magazine(class);
        }
        let young = self.begins_young(class);
        // A listed pool has a word to give.
        if class.size() <= FILL_MAX && !spread && !young {
            let first = self.fill(class, pool);
            self.restock(id);
            return first;
        }
        let word = pool.take_word()?;
        self.restock(id);
        self.count_pool_blocks(class, i64::from(word.blocks));
        self.guests[class.index()].invite(class.info(), word.blocks);
        let base = self.base() + pool.offset() + word.index as usize * 64 * class.size();
        let slot = &self.front.slots[class.index()];
        self.return_slot(class);
        slot.size.set(class.size() as u32);
        slot.pool.set(id.0);
        slot.word.set(word.index as u8);
        slot.zeroed.set(word.zeroed.into());
        slot.base.set(base);
        slot.bits.set(word.bits);
        slot.take()
    }

    /// Counts pool blocks as out (positive) or back.
    pub(super) fn count_pool_blocks(&self, class: SizeClass, n: i64) {
        self.count(Tier::Pool, n, n * class.size() as i64);
    }

    /// Whether blocks of a word lie in the class's slot.
    #[inline(always)]
    pub(super) fn slot_has(&self, class: SizeClass, pool: PoolId, w: u32, mask: u64) -> bool {
        let slot = &self.front.slots[class.index()];
        slot.bits.get() & mask != 0 && slot.pool.get() == pool.0 && u32::from(slot.word.get()) == w
    }

    /// Returns what is left in the class's slot to its pool.
    pub(super) fn return_slot(&self, class: SizeClass) {
        let slot = &self.front.slots[class.index()];
        let bits = slot.bits.get();
        if bits == 0 {
            return;
        }
        slot.bits.set(0);
        let id = PoolId(slot.pool.get());
        if Pool::of(id).give(slot.word.get().into(), bits).is_err() {
            let first = slot.base.get() + bits.trailing_zeros() as usize * class.size();
            block_fault(first, Fault::DoubleFree);
        }
        self.count_pool_blocks(class, -i64::from(bits.count_ones()));
        self.restock(id);
    }

    /// Puts a pool where it belongs after its blocks changed: on a list, on none, or back to its arena.
    #[inline]
    pub(super) fn restock(&self, id: PoolId) {
        let pool = Pool::of(id);
        if pool.is_empty() && self.dissolve_spare(id) {
            return;
        }
        pool.stirred.set(STIRRED);
        SubRegion::of(pool.chunk().subregion()).warm();
        let stock = pool.stock();
        if stock != pool.listed() {
            let class = pool.class();
            self.bins[class.index()].relist(id, stock);
            self.end_borrowing(class);
        }
    }
}
