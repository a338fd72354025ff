//! The heap that all threads use, one at a time: run blocks above a megabyte are its, the arenas of all pools, and the pools
//! of ended threads.
//!
//! Such a block is used for a hundred microseconds and more, and a pool is many blocks: a lock does not add to that. In return
//! what one thread frees serves the next request of any, in pages that are there, instead of waiting in an arena of the
//! thread's own; and whether a program fills its large blocks is learnt once.

use core::ops::Deref;

use super::{CACHED_MAX, Heap, Place, locate, registry};
use crate::num::ids::HeapId;
use crate::space;
use crate::sub::SubRegion;
use crate::sync::{Guard, Lock};

/// Held while a thread is in it, and over a fork; after the spare record's and those of the scavenger, before all others.
static IN_USE: Lock = Lock::new();

/// Makes the heap, before there is any other, unless it exists; false if the OS refuses.
pub fn make() -> bool {
    let exists = space::heaps().next().is_some();
    exists || registry::open().is_some_and(|heap| is_common(heap.id()))
}

/// Whether run blocks of `size` bytes are the common heap's: not where all sizes share a partition, and so their arenas.
#[inline]
pub fn serves(size: usize) -> bool {
    size > CACHED_MAX && !space::is_narrow()
}

/// Whether a heap is the common one.
#[inline]
pub fn is_common(id: HeapId) -> bool {
    id == HeapId::COMMON
}

/// The common heap while the calling thread is in it.
pub struct Entered {
    heap: &'static Heap,
    _one: Guard<'static>,
}

/// Enters the common heap. The caller is in no gate but his own, which he does not enter meanwhile: a visitor there may be waiting
/// for this heap.
pub fn enter() -> Entered {
    let one = IN_USE.lock();
    let heap = Heap::of(HeapId::COMMON);
    heap.gate.enter();
    Entered { heap, _one: one }
}

impl Deref for Entered {
    type Target = Heap;

    fn deref(&self) -> &Heap {
        self.heap
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.heap.gate.leave();
    }
}

/// Frees the run block at `addr` if it is the common heap's. `emptied`: its pages were moved away.
pub fn give(addr: usize, emptied: bool) -> bool {
    let heap = enter();
    match locate(addr) {
        Ok(Place::Run(id, at)) if is_common(SubRegion::of(id).owner()) => {
            heap.give_run_block(id, at, emptied);
            true
        }
        _ => false,
    }
}

/// Before a fork: nobody but this thread is in the heap.
pub fn before_fork() {
    IN_USE.hold();
}

/// After a fork, in the parent and in the child.
pub fn after_fork() {
    IN_USE.unlock();
}
