//! Pending memory goes back with a half-life of a second, a bounded part at a time, and never the last of it.
//!
//! Whoever releases a piece looks at the clock; once a tick, one thread gives back the share
//! that the time since the last tick asks for, from the largest pieces and the highest addresses down.

use super::pieces::{pending_bytes, purge_down_to};
use crate::os::linux::now_ns;
use crate::sync::{AtomicU64, Ordering};

/// Nanoseconds between two steps.
const TICK_NS: u64 = 100_000_000;
/// Kept whatever its age: the hottest few sub-regions.
const FLOOR: usize = 32 << 20;
/// Given back in one step at most, so that nobody pays for all.
const STEP: usize = 64 << 20;

/// Time of the last step.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A step, if it is time.
pub fn step() {
    let pending = pending_bytes();
    if pending <= FLOOR {
        // Time counts from the moment the floor is crossed.
        if LAST.load(Ordering::Relaxed) != 0 {
            LAST.store(0, Ordering::Relaxed);
        }
        return;
    }
    let (now, last) = (now_ns(), LAST.load(Ordering::Relaxed));
    let ticks = now.saturating_sub(last) / TICK_NS;
    // Relaxed: of several threads one does the step; it publishes nothing.
    if ticks == 0
        || LAST
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        || last == 0
    {
        return;
    }
    // 15/16 a tick: half after eleven.
    let kept = (0..ticks.min(64)).fold(pending, |bytes, _| bytes - bytes / 16);
    purge_down_to(kept.max(FLOOR).max(pending.saturating_sub(STEP)));
}
