//! A gate that one thread passes all the time at the price of a store and a load, and others now and then.
//!
//! The owner says that it is inside and then looks for a visitor; a visitor announces itself and then looks
//! whether the owner is inside (Dekker). Each needs its store seen before its load: the visitor pays for both with a
//! barrier on all processors (`membarrier`; Dice, Huang and Yang, "Asymmetric Dekker synchronization", 2001). A
//! visitor never waits: if the owner is inside it goes away.

use super::{AtomicU32, Ordering};

/// The gate. Visitors are one at a time, by a lock of theirs.
pub struct Gate {
    /// How often the owner entered and did not leave yet. Written by the owner.
    inside: AtomicU32,
    /// 1 while a visitor looks or is inside. Written by the visitor.
    visitor: AtomicU32,
}

#[cfg(not(loom))]
fn light_barrier() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

#[cfg(loom)]
fn light_barrier() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Yields; after a while sleeps, because a thread of higher priority would yield to nobody else.
pub(super) fn pause(waits: u32) {
    #[cfg(loom)]
    {
        let _ = waits;
        loom::thread::yield_now();
    }
    #[cfg(not(loom))]
    // SAFETY: sched_yield has no preconditions, and the time is valid. The system call itself, since the C library's function
    // ends threads that are cancelled.
    super::keep_errno(|| unsafe {
        if waits < 32 {
            libc::sched_yield();
        } else {
            let time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 50_000,
            };
            let left = core::ptr::null_mut::<libc::timespec>();
            libc::syscall(libc::SYS_nanosleep, &raw const time, left);
        }
    });
}

impl Gate {
    /// Nobody inside.
    #[cfg(loom)]
    pub fn new() -> Gate {
        Gate {
            inside: AtomicU32::new(0),
            visitor: AtomicU32::new(0),
        }
    }

    /// The owner enters; it may be inside already. Waits while a visitor is inside.
    #[inline(always)]
    pub fn enter(&self) {
        // Relaxed: only the owner writes it.
        self.inside
            .store(self.inside.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        light_barrier();
        // Acquire: sees what the last visitor did.
        if self.visitor.load(Ordering::Acquire) != 0 {
            self.wait();
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        // A visitor that has not looked yet finds us inside and goes away.
        let mut waits = 0;
        while self.visitor.load(Ordering::Acquire) != 0 {
            pause(waits);
            waits += 1;
        }
    }

    /// The owner leaves, as often as it entered.
    #[inline(always)]
    pub fn leave(&self) {
        // Release: the next visitor sees what the owner did.
        self.inside
            .store(self.inside.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    /// A visitor enters, if the owner is not inside. `barrier` makes all processors' stores before it visible to all
    /// loads after it; false if it cannot.
    pub fn try_visit(&self, barrier: impl FnOnce() -> bool) -> bool {
        self.announce();
        self.admits(barrier())
    }

    /// A visitor says that it comes, to several gates before one barrier for all.
    pub fn announce(&self) {
        self.visitor.store(1, Ordering::Relaxed);
    }

    /// A visitor that was announced before a barrier enters, if the owner is not inside, or goes away. `passed`: whether there
    /// was a barrier.
    pub fn admits(&self, passed: bool) -> bool {
        // Acquire: sees what the owner did.
        let free = passed && self.inside.load(Ordering::Acquire) == 0;
        if !free {
            self.end_visit();
        }
        free
    }

    /// The visitor leaves.
    pub fn end_visit(&self) {
        // Release: the owner sees what the visitor did.
        self.visitor.store(0, Ordering::Release);
    }

    /// Whether the owner or a visitor is inside, for assertions.
    #[cfg(not(loom))]
    pub fn is_held(&self) -> bool {
        self.inside.load(Ordering::Relaxed) != 0 || self.visitor.load(Ordering::Relaxed) != 0
    }

    /// In the child of a fork: nobody is inside any more.
    #[cfg(not(loom))]
    pub fn reset(&self) {
        self.inside.store(0, Ordering::Relaxed);
        self.visitor.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Owner and visitor are never inside together, and each sees what the other did.
    #[test]
    fn loom_gate_excludes() {
        loom::model(|| {
            let shared = Arc::new((Gate::new(), UnsafeCell::new(0)));
            let visitor = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (gate, state) = &*shared;
                    let barrier = || {
                        loom::sync::atomic::fence(Ordering::SeqCst);
                        true
                    };
                    let mut visits = 0;
                    for _ in 0..2 {
                        if gate.try_visit(barrier) {
                            // SAFETY: the gate excludes the owner; loom reports a race if it does not.
                            state.with_mut(|s| unsafe { *s += 1 });
                            gate.end_visit();
                            visits += 1;
                        }
                    }
                    visits
                })
            };
            let (gate, state) = &*shared;
            for _ in 0..2 {
                gate.enter();
                // SAFETY: as above.
                state.with_mut(|s| unsafe { *s += 1 });
                gate.leave();
            }
            let visits = visitor.join().unwrap();
            gate.enter();
            // SAFETY: as above.
            state.with(|s| assert_eq!(unsafe { *s }, 2 + visits));
            gate.leave();
        });
    }
}
