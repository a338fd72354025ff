//! What the process was started with, noted before the Rust runtime's own start changes it.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

/// One bit for each of descriptors 0, 1, 2 that was closed, then the two dispositions.
static NOTED: AtomicU8 = AtomicU8::new(0);
const SIGPIPE_IGNORED: u8 = 1 << 3;
const SIGCHLD_IGNORED: u8 = 1 << 4;

// The C library calls this before `main`, thus before the runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    let mut noted = 0;
    for descriptor in 0..3 {
        // SAFETY: F_GETFD reads a flag of a descriptor number, valid or not.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            noted |= 1 << descriptor;
        }
    }
    if is_ignored(libc::SIGPIPE) {
        noted |= SIGPIPE_IGNORED;
    }
    if is_ignored(libc::SIGCHLD) {
        noted |= SIGCHLD_IGNORED;
    }
    // One thread, nothing published: the order does not matter.
    NOTED.store(noted, Ordering::Relaxed);
}

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only reads the old one into `action`, which is large enough.
    let read = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call succeeded, so it filled `action`.
    read == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Puts dispositions and standard descriptors back, right before an exec. Async-signal-safe.
pub fn restore() {
    let noted = NOTED.load(Ordering::Relaxed);
    for (signal, bit) in [
        (libc::SIGPIPE, SIGPIPE_IGNORED),
        (libc::SIGCHLD, SIGCHLD_IGNORED),
    ] {
        let disposition = if noted & bit != 0 {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        // SAFETY: SIG_IGN and SIG_DFL are valid dispositions of these two signals.
        unsafe { libc::signal(signal, disposition) };
    }
    for descriptor in 0..3 {
        if noted & (1 << descriptor) != 0 {
            // SAFETY: the runtime opened it on /dev/null for itself; the process is about to become another program.
            unsafe { libc::close(descriptor) };
        }
    }
}
