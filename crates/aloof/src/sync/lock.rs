//! A lock for the rare paths that call the OS: spins a little, then yields, then sleeps.
//!
//! It never allocates, can be held over `fork` and needs no destructor.

use super::{AtomicBool, Ordering};

/// Mutual exclusion without poisoning, queueing or memory of its own.
pub struct Lock {
    held: AtomicBool,
}

/// Releases its [`Lock`] when dropped.
pub struct Guard<'a> {
    lock: &'a Lock,
}

impl Lock {
    /// A free lock.
    pub const fn new() -> Lock {
        Lock {
            held: AtomicBool::new(false),
        }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> Guard<'_> {
        let mut spins = 0;
        // Acquire: sees all that the last holder wrote.
        while self
            .held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            spins += 1;
            if spins < 64 {
                core::hint::spin_loop();
            } else {
                super::gate::pause(spins - 64);
            }
        }
        Guard { lock: self }
    }

    /// The lock, if it is free.
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        // Acquire: as for `lock`.
        self.held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| Guard { lock: self })
    }

    /// Waits for the lock and keeps it beyond this scope, over a fork for one, until [`Lock::unlock`].
    pub fn hold(&self) {
        core::mem::forget(self.lock());
    }

    /// Frees the lock; after a fork in the parent and in the child. The caller took it by [`Lock::hold`].
    pub fn unlock(&self) {
        self.held.store(false, Ordering::Release);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Release: hands on all that was written under the lock.
        self.lock.held.store(false, Ordering::Release);
    }
}
