//! The scavenger: a thread that gives free memory back while the program's own are elsewhere.
//!
//! It starts when there is something to give back for the first time, looks around twice in a half-life, and
//! sleeps when nothing is left. `ALOOF_BACKGROUND=0`, or a refused thread, leaves the looks to the slow paths. It
//! takes no signals, is gone in the child of a fork until it is needed there, and ends with the process.

use core::ptr;

use super::with_heap;
use crate::heap::scavenge::{Reach, VISITS, pass};
use crate::os::limit;
use crate::os::linux::{now_ns, read_file};
use crate::os::options::Setting;
use crate::partition::{self, decay};
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// 0: none yet; 1: it runs or is being started; 2: it cannot be had.
static STATE: AtomicU8 = AtomicU8::new(NONE);
const NONE: u8 = 0;
const RUNS: u8 = 1;
const REFUSED: u8 = 2;

/// Processes with less memory than this need no scavenger.
const START_AT: usize = 32 << 20;
/// Looks in vain before it sleeps.
const LOOKS_IN_VAIN: u32 = 2;
/// Bytes of sub-regions given back in one look at most: a fork waits for it.
const STEP: usize = 1 << 30;
/// Stack of the thread, beside what the program's thread-local storage takes.
const STACK: usize = 256 << 10;

/// Time of the last look of a slow path.
static LAST_RIDE: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds between two looks.
fn period_ns() -> u64 {
    Setting::DecayMs
        .get()
        .clamp(2, 60_000)
        .saturating_mul(500_000)
}

/// After a slow path that allocates: the bell rang. Outside all locks and gates.
#[inline]
pub fn rang() {
    // In a small process it stays ringing: each ring of a silent bell is a system call.
    if STATE.load(Ordering::Relaxed) != RUNS && partition::committed_bytes().0 >= START_AT {
        rang_slow();
    }
}

/// The same in a process that has much memory and no scavenger.
#[cold]
#[inline(never)]
fn rang_slow() {
    let state = STATE.load(Ordering::Relaxed);
    if state == RUNS || Setting::DecayMs.get() == u64::MAX {
        return;
    }
    if state == REFUSED || !Setting::Background.is_on() {
        ride();
    } else if STATE
        .compare_exchange(NONE, RUNS, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
    {
        // Before it: it may end at once, and say so.
        decay::leave_to_scavenger(true);
        if !start() {
            decay::leave_to_scavenger(false);
            STATE.store(REFUSED, Ordering::Relaxed);
        }
    }
}

/// A look by a thread of the program, if it is time.
fn ride() {
    let (now, last) = (now_ns(), LAST_RIDE.load(Ordering::Relaxed));
    // Relaxed: of several threads one looks; it publishes nothing.
    if now.saturating_sub(last) < period_ns()
        || LAST_RIDE
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    {
        return;
    }
    decay::BELL.silence();
    with_heap(|me| pass(me, Reach::Cold));
    // What is pending goes back though nothing more is released; it rings again for the next look.
    decay::step();
}

/// Starts the thread; false if it is refused. errno stays as it was.
fn start() -> bool {
    crate::os::linux::keep_errno(|| {
        // SAFETY: the attributes are initialised before use; all signals are blocked while the thread inherits its mask,
        // and the caller's mask is put back.
        unsafe {
            let mut attributes = core::mem::zeroed();
            if libc::pthread_attr_init(&mut attributes) != 0 {
                return false;
            }
            libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
            libc::pthread_attr_setstacksize(&mut attributes, STACK);
            let (mut all, mut before) = (core::mem::zeroed(), core::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let mut thread = core::mem::zeroed();
            let create = |attributes: *const libc::pthread_attr_t, thread: &mut libc::pthread_t| {
                libc::pthread_create(thread, attributes, run, ptr::null_mut()) == 0
            };
            let started = create(&attributes, &mut thread) || {
                // Thread-local storage that is larger than the stack: as large as the program's own.
                libc::pthread_attr_init(&mut attributes) == 0
                    && libc::pthread_attr_setdetachstate(
                        &mut attributes,
                        libc::PTHREAD_CREATE_DETACHED,
                    ) == 0
                    && create(&attributes, &mut thread)
            };
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            libc::pthread_attr_destroy(&mut attributes);
            started
        }
    })
}

extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: names this thread.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"aloof".as_ptr()) };
    let mut in_vain = 0;
    if !limit::is_near() {
        // Nothing is cold yet, and a program that ends soon is not disturbed.
        sleep_a_period();
    }
    loop {
        decay::BELL.silence();
        if program_is_gone() {
            // The last thread that returns ends the process.
            return ptr::null_mut();
        }
        if !Setting::Background.is_on() {
            // Who switches it on again has it started again.
            decay::leave_to_scavenger(false);
            STATE.store(NONE, Ordering::Relaxed);
            return ptr::null_mut();
        }
        let mut more = false;
        if Setting::DecayMs.get() != u64::MAX {
            let reach = if limit::is_near() {
                Reach::All
            } else {
                Reach::Cold
            };
            more = with_heap(|me| pass(me, reach)).unwrap_or(false);
            more |= decay::tick(STEP);
            if reach == Reach::All {
                partition::purge_down_to(0);
            }
        }
        in_vain = if more || decay::BELL.rang() {
            0
        } else {
            in_vain + 1
        };
        if in_vain >= LOOKS_IN_VAIN {
            decay::BELL.wait();
            in_vain = 0;
        }
        sleep_a_period();
    }
}

fn sleep_a_period() {
    let period = period_ns();
    let time = libc::timespec {
        tv_sec: (period / 1_000_000_000) as i64,
        tv_nsec: (period % 1_000_000_000) as i64,
    };
    // SAFETY: `time` is valid. No signal comes to this thread.
    unsafe { libc::nanosleep(&time, ptr::null_mut()) };
}

/// Whether all threads but this one have ended, the first by `pthread_exit`: the process then ends with the last thread,
/// but for this one.
fn program_is_gone() -> bool {
    let mut text = [0; 512];
    let stat = read_file(c"/proc/self/stat", &mut text);
    // Behind the name, which may hold anything: the state, and 17 fields on the number of threads.
    let Some(end) = stat.iter().rposition(|&c| c == b')') else {
        return false;
    };
    let mut fields = stat[end..].split(|&c| c == b' ').skip(1);
    fields.next() == Some(b"Z") && fields.nth(16) == Some(b"2")
}

/// Before a fork: it visits nobody and gives nothing back. After the lock of the spare record, before all others.
pub fn before_fork() {
    VISITS.hold();
    partition::PURGES.hold();
}

/// After a fork, in the parent.
pub fn after_fork_parent() {
    partition::PURGES.unlock();
    VISITS.unlock();
}

/// After a fork, in the child, where it does not run.
pub fn after_fork_child() {
    partition::PURGES.unlock();
    VISITS.unlock();
    if STATE.load(Ordering::Relaxed) == RUNS {
        STATE.store(NONE, Ordering::Relaxed);
        decay::leave_to_scavenger(false);
    }
    decay::BELL.silence();
}
