//! A lock for the rare paths that call the OS: spins a little, then yields, then sleeps.
//!
//! It never allocates, can be held over `fork` and needs no destructor. Who holds it may take it once more: a fork holds all
//! locks, and handlers of other libraries may run between ours; and a handler of SIGABRT may run after a fault that was found
//! under one.

use super::{AtomicUsize, Ordering, Owned32};

/// Mutual exclusion without poisoning, queueing or memory of its own.
pub struct Lock {
    /// The thread that holds it, 0 if none does.
    holder: AtomicUsize,
    /// How often the holder took it and did not give it back yet.
    depth: Owned32,
}

/// Releases its [`Lock`] when dropped.
pub struct Guard<'a> {
    lock: &'a Lock,
}

/// A number that no other thread has; the thread of a fork has it in the child, too.
fn this_thread() -> usize {
    // SAFETY: pthread_self has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

impl Lock {
    /// A free lock.
    pub const fn new() -> Lock {
        Lock {
            holder: AtomicUsize::new(0),
            depth: Owned32::new(0),
        }
    }

    /// Waits for the lock, unless the thread holds it already.
    pub fn lock(&self) -> Guard<'_> {
        let me = this_thread();
        // Relaxed: a thread sees its own stores, and no other's is its own number.
        if self.holder.load(Ordering::Relaxed) == me {
            self.depth.set(self.depth.get() + 1);
            return Guard { lock: self };
        }
        let mut spins = 0;
        loop {
            if let Some(guard) = self.take(me) {
                return guard;
            }
            spins += 1;
            if spins < 64 {
                core::hint::spin_loop();
            } else {
                super::gate::pause(spins - 64);
            }
        }
    }

    /// The lock, if it is free: not to its holder either.
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        self.take(this_thread())
    }

    fn take(&self, me: usize) -> Option<Guard<'_>> {
        // Acquire: sees all that the last holder wrote.
        self.holder
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| {
                self.depth.set(1);
                Guard { lock: self }
            })
    }

    /// Waits for the lock and keeps it beyond this scope, over a fork for one, until [`Lock::unlock`].
    pub fn hold(&self) {
        core::mem::forget(self.lock());
    }

    /// Gives the lock back once; after a fork in the parent and in the child. The caller took it by [`Lock::hold`].
    pub fn unlock(&self) {
        let left = self.depth.get() - 1;
        self.depth.set(left);
        if left == 0 {
            // Release: hands on all that was written under the lock.
            self.holder.store(0, Ordering::Release);
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_holder_may_take_it_again_and_nobody_else_until_it_is_given_back_as_often() {
        static LOCK: Lock = Lock::new();
        let others_get_it = || {
            let try_it = || LOCK.try_lock().is_some();
            std::thread::spawn(try_it).join().unwrap()
        };
        LOCK.hold();
        {
            let _again = LOCK.lock();
            assert!(LOCK.try_lock().is_none());
            LOCK.hold();
            assert!(!others_get_it());
            LOCK.unlock();
        }
        assert!(!others_get_it());
        LOCK.unlock();
        assert!(others_get_it() && LOCK.try_lock().is_some());
    }
}
