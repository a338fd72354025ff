//! The heap that all threads use for run blocks above a megabyte, one at a time.
//!
//! Such a block is used for a hundred microseconds and more, which a lock does not add to. In return what one thread frees
//! serves the next request of any, in pages that are there, instead of waiting in an arena of the thread's own; and whether
//! a program fills its large blocks is learnt once.

use super::{CACHED_MAX, Heap, Place, locate, registry};
use crate::num::ids::HeapId;
use crate::space;
use crate::sub::SubRegion;
use crate::sync::{AtomicU32, AtomicUsize, Lock, Ordering};

/// The heap's id, 0 before it is first used.
static COMMON: AtomicU32 = AtomicU32::new(0);
/// Held while a thread is in it, and over a fork; after the spare record's and those of the scavenger, before all others.
static IN_USE: Lock = Lock::new();
/// The thread that holds it over a fork: handlers of other libraries, which run meanwhile, may use the heap.
static FORKING: AtomicUsize = AtomicUsize::new(0);

/// Whether run blocks of `size` bytes are the common heap's: not where all sizes share a partition, and so their arenas.
#[inline]
pub fn serves(size: usize) -> bool {
    size > CACHED_MAX && !space::is_narrow()
}

/// Whether a heap, of which there is one, is the common one.
#[inline]
pub fn is_common(id: HeapId) -> bool {
    // Relaxed: who has a block of it came by the block, and so by the id, in order.
    id != HeapId::NONE && id.0 == COMMON.load(Ordering::Relaxed)
}

/// Runs `f` on the common heap; none if it cannot be had. The caller is in no gate but his own.
pub fn with_common<R>(f: impl FnOnce(&'static Heap) -> R) -> Option<R> {
    let forking = is_forking();
    let _one = (!forking).then(|| IN_USE.lock());
    let heap = match HeapId(COMMON.load(Ordering::Relaxed)) {
        // A record takes a lock that is held over a fork, too.
        HeapId::NONE if forking => return None,
        HeapId::NONE => {
            let heap = registry::open()?;
            COMMON.store(heap.id().0, Ordering::Release);
            heap
        }
        id => Heap::of(id),
    };
    heap.gate.enter();
    let result = f(heap);
    heap.gate.leave();
    Some(result)
}

/// Frees the run block at `addr` if it is the common heap's. `emptied`: its pages were moved away.
pub fn give(addr: usize, emptied: bool) -> bool {
    let give = |heap: &'static Heap| match locate(addr) {
        Ok(Place::Run(id, at)) if SubRegion::of(id).owner() == heap.id() => {
            heap.give_run_block(id, at, emptied);
            true
        }
        _ => false,
    };
    with_common(give).unwrap_or(false)
}

/// Whether the calling thread is between the handlers of a fork.
fn is_forking() -> bool {
    // Relaxed: a thread sees its own stores, and no other's is its own.
    let forking = FORKING.load(Ordering::Relaxed);
    // SAFETY: pthread_self has no preconditions.
    forking != 0 && forking == unsafe { libc::pthread_self() } as usize
}

/// Before a fork: nobody but this thread is in the heap.
pub fn before_fork() {
    IN_USE.hold();
    // SAFETY: pthread_self has no preconditions.
    FORKING.store(unsafe { libc::pthread_self() } as usize, Ordering::Relaxed);
}

/// After a fork, in the parent.
pub fn after_fork_parent() {
    FORKING.store(0, Ordering::Relaxed);
    IN_USE.unlock();
}

/// After a fork, in the child, before heaps of other threads become orphans: this one does too.
pub fn after_fork_child() {
    COMMON.store(0, Ordering::Release);
    after_fork_parent();
}
