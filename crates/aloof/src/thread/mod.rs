//! Threads: which heap is mine, when it begins and when it ends.
//!
//! The thread's word ([`word`]) points at the front of a heap. It starts at a front whose magazines are
//! empty and whose tag matches nothing, so that no hot path asks whether the thread is known. The first
//! slow path replaces it by a real heap; the thread's exit by a front that says so.

mod process;
mod scavenger;
mod word;

use crate::heap::{self, DEAD, Heap};
use crate::os::limit;
use crate::partition::decay::BELL;
use crate::sync::{AtomicU32, Ordering};

pub(crate) use process::{age_ns, begin};
pub(crate) use word::front;

/// The key whose destructor ends a thread's heap: value + 1, 0 before it exists.
static EXIT_KEY: AtomicU32 = AtomicU32::new(0);

/// Rounds of destructors after which a heap ends. glibc runs four; a heap that begins in one of the first
/// rounds must see its last as well.
const EXIT_ROUNDS: u32 = 2;

/// Runs `f` on the calling thread's heap, which begins if need be. On a thread that has ended its heap,
/// `f` gets one for the moment. None if there is no memory for a heap.
#[inline]
pub fn with_heap<R>(f: impl FnOnce(&'static Heap) -> R) -> Option<R> {
    let (heap, lent) = match current() {
        Some(heap) => (heap, false),
        None => begin_or_borrow()?,
    };
    let result = inside(heap, f);
    if lent {
        give_back(heap);
    }
    Some(result)
}

/// After a slow path that allocates, outside all locks and gates: what may allocate in its turn. Not after a free: the C
/// library frees under locks that starting a thread takes.
#[inline]
pub fn after_allocation() {
    limit::tell();
    if BELL.rang() {
        scavenger::rang();
    }
}

/// Runs `f` while no visitor is in the heap.
#[inline(always)]
fn inside<R>(heap: &'static Heap, f: impl FnOnce(&'static Heap) -> R) -> R {
    heap.gate.enter();
    let result = f(heap);
    heap.gate.leave();
    result
}

/// Runs `f` on the calling thread's heap, if it has one.
#[inline]
pub fn with_current<R>(f: impl FnOnce(&'static Heap) -> R) -> Option<R> {
    current().map(|heap| inside(heap, f))
}

/// A heap for a thread that has none, and whether it is lent for the moment only: where the thread has ended its own, or
/// there is no memory for one.
#[cold]
#[inline(never)]
fn begin_or_borrow() -> Option<(&'static Heap, bool)> {
    if !process::begin() {
        return None;
    }
    let Some(heap) = heap::acquire() else {
        return heap::borrow_spare().map(|heap| (heap, true));
    };
    if front().id.get() == DEAD {
        return Some((heap, true));
    }
    // First the word, then everything that may allocate.
    word::set(&heap.front);
    process::begin_late();
    arm_exit(heap);
    Some((heap, false))
}

/// Ends the use of a heap that was lent.
#[cold]
#[inline(never)]
fn give_back(heap: &'static Heap) {
    if !heap::give_spare_back(heap) {
        heap.retire();
    }
}

/// The calling thread's heap, if it has one.
#[inline(always)]
pub fn current() -> Option<&'static Heap> {
    let front = front();
    (front.id.get() < DEAD).then(|| Heap::of_front(front))
}

fn arm_exit(heap: &'static Heap) {
    let key = EXIT_KEY.load(Ordering::Acquire);
    if key != 0 {
        // SAFETY: the key exists. A refusal leaves the heap to whoever adopts nothing of it: it stays live.
        unsafe { libc::pthread_setspecific(key - 1, core::ptr::from_ref(heap).cast()) };
    }
}

/// The destructor of the key. It comes back once, so that destructors of others which still allocate or free
/// find a heap; then the heap ends, and later rounds get one for the moment.
unsafe extern "C" fn on_thread_exit(value: *mut libc::c_void) {
    let Some(heap) = current() else { return };
    let rounds = heap.exit_rounds.get() + 1;
    heap.exit_rounds.set(rounds);
    if rounds < EXIT_ROUNDS {
        let key = EXIT_KEY.load(Ordering::Acquire);
        // SAFETY: the key exists, this is its destructor.
        if unsafe { libc::pthread_setspecific(key - 1, value) } == 0 {
            return;
        }
    }
    process::end_thread();
    heap.retire();
}
