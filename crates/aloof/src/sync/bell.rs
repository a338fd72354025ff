//! A bell that wakes one sleeper. Ringing one that rang already is a load.

use super::{AtomicU32, Ordering, keep_errno};

/// The bell.
pub struct Bell {
    rang: AtomicU32,
}

impl Bell {
    /// Has not rung.
    pub const fn new() -> Bell {
        Bell {
            rang: AtomicU32::new(0),
        }
    }

    /// Rings.
    #[inline(always)]
    pub fn ring(&self) {
        // Relaxed: a hint to go and look, which publishes nothing.
        if self.rang.load(Ordering::Relaxed) == 0 {
            self.ring_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn ring_slow(&self) {
        if self.rang.swap(1, Ordering::Relaxed) == 0 {
            self.futex(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
        }
    }

    /// Whether it rang since it was last silenced.
    #[inline(always)]
    pub fn rang(&self) -> bool {
        self.rang.load(Ordering::Relaxed) != 0
    }

    /// Silences it.
    pub fn silence(&self) {
        self.rang.store(0, Ordering::Relaxed);
    }

    /// Sleeps until it rings.
    pub fn wait(&self) {
        while !self.rang() {
            self.futex(libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 0);
        }
    }

    fn futex(&self, operation: i32, value: u32) {
        // SAFETY: the word outlives the call.
        keep_errno(|| unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.rang.as_ptr(),
                operation,
                value,
                core::ptr::null::<libc::timespec>(),
            );
        });
    }
}
