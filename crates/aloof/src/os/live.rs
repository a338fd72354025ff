//! Two figures that another process may watch: a file of 16 bytes, mapped and kept up to date.

use core::ptr;

use super::linux::keep_errno;
use super::message::Line;
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Address of the mapping, 0 if nobody watches.
static FIGURES: AtomicUsize = AtomicUsize::new(0);

/// Starts to keep `<dir>/<pid>.live`: live bytes and committed bytes, as little-endian `u64`. A file that cannot be
/// made is not kept.
pub fn start(dir: &[u8]) {
    keep_errno(|| {
        let path = Line::path_of_process(dir, ".live");
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
        // SAFETY: the path is null-terminated: the options refuse one that does not fit. The file is ours, and the
        // mapping goes where the kernel chooses.
        unsafe {
            // Raw calls: those of the C library are points at which a thread may be cancelled.
            let (path, zeros) = (path.as_bytes().as_ptr(), [0u64; 2].as_ptr());
            let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, 0o644) as i32;
            if fd < 0 {
                return;
            }
            if libc::syscall(libc::SYS_write, fd, zeros, 16) == 16 {
                let prot = libc::PROT_READ | libc::PROT_WRITE;
                let at = libc::mmap(ptr::null_mut(), 16, prot, libc::MAP_SHARED, fd, 0);
                if at != libc::MAP_FAILED {
                    FIGURES.store(at.expose_provenance(), Ordering::Release);
                }
            }
            libc::syscall(libc::SYS_close, fd);
        }
    });
}

/// In the child of a fork: the file is the parent's.
pub fn forget() {
    FIGURES.store(0, Ordering::Relaxed);
}

/// Shows the figures, if somebody watches.
#[inline]
pub fn show(figures: impl FnOnce() -> [u64; 2]) {
    let at = FIGURES.load(Ordering::Acquire);
    if at != 0 {
        for (i, figure) in figures().into_iter().enumerate() {
            // SAFETY: the mapping has two words and is never unmapped.
            let word = unsafe { &*ptr::with_exposed_provenance::<AtomicU64>(at + 8 * i) };
            word.store(figure.to_le(), Ordering::Relaxed);
        }
    }
}
