//! Guests: blocks of other heaps' pools that wait in this heap's magazines.
//!
//! Threads that hand blocks to each other free about as many as they allocate. A block that goes home costs two threads a
//! part of a post, and the one that freed it the next block from a pool. So the half of a magazine that is used up takes
//! in blocks of others as well, and `malloc` hands them out like any other; what finds no place goes home by the outbox,
//! as guests do when the magazine is flushed. To its pool a guest is in use.
//!
//! Blocks that may share a line with another of their pool are not taken in: two threads would write to it by turns
//! (passive false sharing; Berger et al., "Hoard", 2000).

use super::flush::block_fault;
use super::{EMPTY_MAGAZINE, Front, Heap};
use crate::num::class::{ClassInfo, MAGAZINE_BYTES, SizeClass};
use crate::num::ids::*;
use crate::num::size::*;
use crate::pool::Fault;
use crate::space;
use crate::sync::{Ordering, Owned8};

/// Guests that may come for each block that a refill brings, until the next one.
const INVITED: u32 = 2;

/// Guests of one class.
#[repr(C)]
pub(super) struct Guests {
    /// Blocks that may be taken in until the next refill.
    invited: Owned8,
    /// 1 where the magazine may hold some.
    here: Owned8,
}

impl Guests {
    /// A refill brought so many blocks of the class.
    #[inline(always)]
    pub(super) fn invite(&self, info: &ClassInfo, blocks: u32) {
        if info.guests {
            self.invited.set((INVITED * blocks).min(255) as u8);
        }
    }

    /// Takes one in.
    #[inline(always)]
    fn enter(&self) {
        self.invited.set(self.invited.get() - 1);
        self.here.set(1);
    }

    /// Whether there may be some among `n` of the magazine's `len` blocks, which leave.
    pub(super) fn leave(&self, n: usize, len: usize) -> bool {
        let here = self.here.get() != 0;
        if n == len {
            self.here.set(0);
        }
        here
    }

    /// The magazine is gone.
    pub(super) fn forget(&self) {
        self.invited.set(0);
        self.here.set(0);
    }
}

impl Front {
    /// The tag at an address, or of another one that shares it.
    #[inline(always)]
    pub fn shared_tag_at(&self, addr: usize) -> u32 {
        // SAFETY: the front is this thread's own, and whatever the mask leaves is the place of a tag.
        unsafe {
            let tags = self.tags.get();
            let chunk = addr >> CHUNK_SHIFT & tags.mask;
            (*tags.all.wrapping_add(chunk)).load(Ordering::Relaxed)
        }
    }

    /// The tag of the pool at an address; None if there is no pool, or this stands for no heap.
    #[inline(always)]
    pub fn tag_at(&self, addr: usize) -> Option<u32> {
        // SAFETY: the front is this thread's own.
        let offset = addr.wrapping_sub(unsafe { self.base.get() });
        if offset >= 1 << PARTITION_SHIFT {
            return None;
        }
        let tag = self.shared_tag_at(addr);
        (tag != 0).then_some(tag)
    }

    /// Takes a block of another's pool of one chunk, which has this tag, into its class's magazine. False if no block
    /// starts there, if there is no place for it, or if it is there already.
    #[inline(always)]
    pub fn take_in(&'static self, addr: usize, tag: u32) -> bool {
        let class = SizeClass(tag as u8);
        let info = class.info();
        let hot = &self.hot[class.index()];
        let top = hot.get();
        let heap = Heap::of_front(self);
        if !heap.has_room(top, class) {
            return false;
        }
        let guests = &heap.guests[class.index()];
        if guests.invited.get() == 0 {
            return false;
        }
        // SAFETY: written before the heap got its thread.
        let within = addr.wrapping_sub(unsafe { self.base.get() }) % CHUNK;
        if info.chunks != 1 || info.block_from(within).is_none() {
            return false;
        }
        // SAFETY: the magazine has a free place at its top, and a block or the sentinel below.
        unsafe {
            if top.wrapping_sub(1).read() == addr {
                return false;
            }
            top.write(addr);
        }
        hot.set(top.wrapping_add(1));
        guests.enter();
        true
    }
}

impl Heap {
    /// Whether a class's magazine, with this top, has place for guests. Without a magazine there is none.
    #[inline(always)]
    fn has_room(&self, top: *mut usize, class: SizeClass) -> bool {
        // Half of it and one place.
        let room = (self.magazine_capacity(class) / 2 + 1) * size_of::<usize>();
        class.info().guests && top.addr().wrapping_neg() % MAGAZINE_BYTES >= room
    }

    /// Takes in a block, which starts at `addr`, of another's pool of this class. False if there is no place for it.
    pub(super) fn take_in(&self, class: SizeClass, addr: usize) -> bool {
        let hot = &self.front.hot[class.index()];
        let guests = &self.guests[class.index()];
        if hot.get() == EMPTY_MAGAZINE {
            if guests.invited.get() == 0 || self.bins[class.index()].is_spread() {
                return false;
            }
            hot.set(self.new_magazine(class));
        }
        let top = hot.get();
        // SAFETY: below the top lies a block or the sentinel.
        if unsafe { top.wrapping_sub(1).read() } == addr {
            block_fault(addr, Fault::DoubleFree);
        }
        if guests.invited.get() == 0 || !self.has_room(top, class) {
            return false;
        }
        // SAFETY: the magazine has a free place at its top.
        unsafe { top.write(addr) };
        hot.set(top.wrapping_add(1));
        guests.enter();
        true
    }

    /// Sends the guests among blocks of a magazine home; the others move to the front. Their number.
    #[cold]
    #[inline(never)]
    pub(super) fn send_guests(&self, class: SizeClass, blocks: &mut [usize]) -> usize {
        let mut own = 0;
        for i in 0..blocks.len() {
            let addr = blocks[i];
            let offset = addr.wrapping_sub(self.base());
            // Relaxed: only whether it is this heap's matters, and that this thread wrote. It may have become so here.
            let tag = space::tag(ChunkId::at(offset)).load(Ordering::Relaxed);
            if tag == self.tag_of(class) {
                blocks[own] = addr;
                own += 1;
            } else {
                self.send(offset, class);
            }
        }
        own
    }
}
