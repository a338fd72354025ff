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
use crate::sync::{AtomicUsize, Guard, Lock, Ordering};

/// Held while a thread is in it, and over a fork; after the spare record's and those of the scavenger, before all others.
static IN_USE: Lock = Lock::new();
/// The thread that holds it, 0 if none does. It may enter again: in handlers of other libraries that run over a fork, and in
/// a handler of SIGABRT after a fault that was found here.
static HOLDER: AtomicUsize = AtomicUsize::new(0);

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
    /// None if the thread was in it already.
    one: Option<Guard<'static>>,
}

/// Enters the common heap. The caller is in no gate but his own, which he does not enter meanwhile: a visitor there may be waiting
/// for this heap.
pub fn enter() -> Entered {
    let one = (!is_holder()).then(|| {
        let one = IN_USE.lock();
        HOLDER.store(this_thread(), Ordering::Relaxed);
        one
    });
    let heap = Heap::of(HeapId::COMMON);
    heap.gate.enter();
    Entered { heap, one }
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
        if self.one.is_some() {
            HOLDER.store(0, Ordering::Relaxed);
        }
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

/// Whether the calling thread is in it.
fn is_holder() -> bool {
    // Relaxed: a thread sees its own stores, and no other's is its own.
    let holder = HOLDER.load(Ordering::Relaxed);
    holder != 0 && holder == this_thread()
}

fn this_thread() -> usize {
    // SAFETY: pthread_self has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Before a fork: nobody but this thread is in the heap.
pub fn before_fork() {
    IN_USE.hold();
    HOLDER.store(this_thread(), Ordering::Relaxed);
}

/// After a fork, in the parent and in the child.
pub fn after_fork() {
    HOLDER.store(0, Ordering::Relaxed);
    IN_USE.unlock();
}
