//! Pending memory goes back with a half-life, a bounded part at a time, and never the last of it.
//!
//! The scavenger does a step at each of its looks. Where there is none, whoever releases a piece looks at the
//! clock; once a tick, one thread gives back the share that the time since the last tick asks for, from the
//! largest pieces and the highest addresses down.

use super::pieces::{pending_bytes, try_purge_down_to};
use crate::os::linux::now_ns;
use crate::os::options::Setting;
use crate::sync::{AtomicBool, AtomicU64, Bell, Ordering};

/// Rings when something was given back to the allocator that may go back to the OS.
pub static BELL: Bell = Bell::new();

/// Ticks of a half-life: 15/16 each, half after eleven.
const TICKS: u64 = 11;
/// Given back in one step at most by a thread of the program, so that nobody pays for all.
const STEP: usize = 64 << 20;

/// Time of the last step.
static LAST: AtomicU64 = AtomicU64::new(0);
/// Whether the scavenger does the steps.
static BY_SCAVENGER: AtomicBool = AtomicBool::new(false);

/// Says who does the steps.
pub fn leave_to_scavenger(yes: bool) {
    BY_SCAVENGER.store(yes, Ordering::Relaxed);
}

/// After a release: a step, if it is time and nobody else does it.
pub fn step() {
    BELL.ring();
    if !BY_SCAVENGER.load(Ordering::Relaxed) {
        tick(STEP);
    }
}

/// A step, if it is time, of `most` bytes; true if there is more to come.
pub fn tick(most: usize) -> bool {
    let (pending, floor) = (pending_bytes(), Setting::Retain.get() as usize);
    let half_life_ms = Setting::DecayMs.get();
    if pending <= floor || half_life_ms == u64::MAX {
        // Time counts from the moment the floor is crossed.
        if LAST.load(Ordering::Relaxed) != 0 {
            LAST.store(0, Ordering::Relaxed);
        }
        return false;
    }
    let (now, last) = (now_ns(), LAST.load(Ordering::Relaxed));
    let tick_ns = (half_life_ms.saturating_mul(1_000_000) / TICKS).max(1);
    let ticks = now.saturating_sub(last) / tick_ns;
    // Relaxed: of several threads one does the step; it publishes nothing.
    if ticks == 0
        || LAST
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        || last == 0
    {
        return true;
    }
    let kept = (0..ticks.min(256)).fold(pending, |bytes, _| bytes - bytes.div_ceil(16));
    try_purge_down_to(kept.max(floor).max(pending.saturating_sub(most)));
    pending_bytes() > floor
}
