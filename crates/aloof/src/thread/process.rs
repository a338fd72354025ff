//! What is set up once a process: the address space, then the hooks for thread exit, fork and process exit.

use core::mem::MaybeUninit;

use super::{EXIT_KEY, current, on_thread_exit, scavenger, with_current, word};
use crate::direct::huge;
use crate::heap;
use crate::os::linux::{now_ns, now_ns_once};
use crate::os::live;
use crate::os::options::Options;
use crate::pool;
use crate::space;
use crate::stats;
use crate::sync::{AtomicU8, AtomicU64, Lock, Ordering};

/// 0 before [`begin`], 1 after it, 2 once hooks are being set, 3 when the exit key exists or will not.
static STAGE: AtomicU8 = AtomicU8::new(0);
static LOCK: Lock = Lock::new();
static STARTED_AT: AtomicU64 = AtomicU64::new(0);

struct OptionsCell(core::cell::UnsafeCell<MaybeUninit<Options>>);
// SAFETY: written once under the lock before STAGE becomes 1, only read after.
unsafe impl Sync for OptionsCell {}
static OPTIONS: OptionsCell = OptionsCell(core::cell::UnsafeCell::new(MaybeUninit::uninit()));

/// Options of the process; none before the first allocation.
pub fn options() -> Option<Options> {
    // SAFETY: see OptionsCell.
    (STAGE.load(Ordering::Acquire) != 0).then(|| unsafe { (*OPTIONS.0.get()).assume_init() })
}

/// Nanoseconds since the first allocation.
pub fn age_ns() -> u64 {
    now_ns().saturating_sub(STARTED_AT.load(Ordering::Relaxed))
}

/// Sets up what a heap needs; false if the OS refuses. Allocates nothing.
pub fn begin() -> bool {
    if STAGE.load(Ordering::Acquire) != 0 {
        return true;
    }
    let _guard = LOCK.lock();
    if STAGE.load(Ordering::Relaxed) != 0 {
        return true;
    }
    if !space::init() || !pool::init() || !heap::common::make() || !heap::keep_spare() {
        return false;
    }
    STARTED_AT.store(now_ns_once(), Ordering::Relaxed);
    let options = Options::read();
    if let Some(dir) = options.live_dir {
        live::start(dir);
    }
    // SAFETY: under the lock, and nobody reads before the store below.
    unsafe { (*OPTIONS.0.get()).write(options) };
    STAGE.store(1, Ordering::Release);
    true
}

/// Sets the hooks, once, on a thread that has its heap: they may allocate.
pub fn begin_late() {
    if STAGE.load(Ordering::Acquire) == 3 {
        return;
    }
    if STAGE
        .compare_exchange(1, 2, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
    {
        // Another thread is at it, and the exit key is its first step. In the child of a fork it may never
        // come back; then the wait ends.
        for _ in 0..100_000 {
            if STAGE.load(Ordering::Acquire) != 2 {
                break;
            }
            // SAFETY: sched_yield has no preconditions.
            unsafe { libc::sched_yield() };
        }
        return;
    }
    let mut key = 0;
    // SAFETY: `key` is valid; the hooks are functions of this library, which is never unloaded.
    unsafe {
        if libc::pthread_key_create(&mut key, Some(on_thread_exit)) == 0 {
            EXIT_KEY.store(key + 1, Ordering::Release);
        }
        STAGE.store(3, Ordering::Release);
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_parent),
            Some(after_fork_child),
        );
        libc::atexit(at_exit);
    }
}

/// Puts the calling thread, which has ended its heap, where it finds none.
pub fn end_thread() {
    let _guard = LOCK.lock();
    // SAFETY: the lock is held, here and over a fork.
    word::set(unsafe { word::dead() });
}

/// Locks over a fork, in this order: visits may take any of the others, and `begin` takes the space's lock while it holds
/// its own.
unsafe extern "C" fn before_fork() {
    heap::SPARE_IN_USE.hold();
    scavenger::before_fork();
    heap::common::before_fork();
    LOCK.hold();
    space::before_fork();
    huge::before_fork();
}

unsafe extern "C" fn after_fork_parent() {
    huge::after_fork();
    space::after_fork();
    LOCK.unlock();
    heap::common::after_fork();
    scavenger::after_fork_parent();
    heap::SPARE_IN_USE.unlock();
}

unsafe extern "C" fn after_fork_child() {
    huge::after_fork();
    space::after_fork();
    LOCK.unlock();
    heap::common::after_fork();
    scavenger::after_fork_child();
    heap::SPARE_IN_USE.unlock();
    if let Some(dir) = options().and_then(|o| o.live_dir) {
        live::forget();
        live::start(dir);
    }
    heap::orphan_all_but(current().map(heap::Heap::id));
}

/// At exit: blocks freed last are checked like all others, then the figures go out if asked for.
extern "C" fn at_exit() {
    with_current(heap::Heap::settle_all);
    if let Some(options) = options() {
        stats::at_exit(&options, age_ns);
    }
}
