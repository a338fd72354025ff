//! Heap records: which are in use, and which may be had.
//!
//! Unused ones lie on a Treiber stack with a version against ABA. A record keeps its id for ever, and no
//! chunk carries the id of a record on the stack.

use super::{Heap, Shared};
use crate::num::ids::HeapId;
use crate::space;
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};

/// `version << 32 | id` of the first unused record, id 0 if none.
static UNUSED: AtomicU64 = AtomicU64::new(0);
/// Threads' heaps alive now, the most there were, and all so far.
static ALIVE: AtomicU32 = AtomicU32::new(0);
static PEAK: AtomicU32 = AtomicU32::new(0);
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Threads' heaps started so far, and alive at most.
pub fn counts() -> (u64, u32) {
    (
        STARTED.load(Ordering::Relaxed),
        PEAK.load(Ordering::Relaxed),
    )
}

/// Threads' heaps alive now.
pub fn alive() -> u32 {
    ALIVE.load(Ordering::Relaxed)
}

/// A heap, open and empty, that no thread has; none if the OS refuses or there are too many.
pub fn open() -> Option<&'static Heap> {
    let id = unused().or_else(space::new_heap)?;
    let heap = Heap::of(id);
    heap.open(id);
    heap.shared().live.store(1, Ordering::Release);
    Some(heap)
}

/// One for the calling thread.
pub fn acquire() -> Option<&'static Heap> {
    let heap = open()?;
    STARTED.fetch_add(1, Ordering::Relaxed);
    PEAK.fetch_max(ALIVE.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    Some(heap)
}

/// A record for threads that get none for want of memory, so that what they free is not lost; 0 before
/// [`keep_spare`].
static SPARE: AtomicU32 = AtomicU32::new(0);
/// Held while a thread uses the spare record, and over a fork; before all other locks.
pub static SPARE_IN_USE: Lock = Lock::new();

/// Puts a record aside; false if the OS refuses.
pub fn keep_spare() -> bool {
    let Some(id) = space::new_heap() else {
        return false;
    };
    SPARE.store(id.0, Ordering::Release);
    true
}

/// The spare record, open, for the calling thread alone until [`give_spare_back`].
pub fn borrow_spare() -> Option<&'static Heap> {
    SPARE_IN_USE.hold();
    let id = HeapId(SPARE.load(Ordering::Acquire));
    if id == HeapId::NONE {
        SPARE_IN_USE.unlock();
        return None;
    }
    let heap = Heap::of(id);
    heap.open(id);
    heap.shared().live.store(1, Ordering::Release);
    Some(heap)
}

/// Ends the use of the spare record; false if `heap` is another.
pub fn give_spare_back(heap: &Heap) -> bool {
    // Relaxed: set before there is any heap.
    if heap.id().0 != SPARE.load(Ordering::Relaxed) {
        return false;
    }
    heap.end();
    heap.shared().live.store(0, Ordering::Release);
    SPARE_IN_USE.unlock();
    true
}

fn unused() -> Option<HeapId> {
    // Acquire: sees the record as its last user left it.
    let mut head = UNUSED.load(Ordering::Acquire);
    while head as u32 != 0 {
        let id = HeapId(head as u32);
        let next = Heap::of(id).shared().next.load(Ordering::Relaxed);
        let new = ((head >> 32) + 1) << 32 | u64::from(next);
        match UNUSED.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(id),
            Err(seen) => head = seen,
        }
    }
    None
}

/// Ends the use of a thread's heap that owns nothing any more.
pub fn release(id: HeapId) {
    ALIVE.fetch_sub(1, Ordering::Relaxed);
    recycle(id);
}

/// In the child of a fork: there is one thread, with a heap or without.
pub fn reset_alive(alive: u32) {
    ALIVE.store(alive, Ordering::Relaxed);
}

/// Recycles a record.
pub fn recycle(id: HeapId) {
    let shared = Heap::of(id).shared();
    shared.live.store(0, Ordering::Release);
    let mut head = UNUSED.load(Ordering::Relaxed);
    loop {
        shared.next.store(head as u32, Ordering::Relaxed);
        let new = ((head >> 32) + 1) << 32 | u64::from(id.0);
        // Release: hands the record on.
        match UNUSED.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(seen) => head = seen,
        }
    }
}

/// Heaps in use now.
pub fn live() -> impl Iterator<Item = HeapId> {
    space::heaps().filter(|&id| Heap::of(id).shared().live.load(Ordering::Acquire) == 1)
}

impl Heap {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}
