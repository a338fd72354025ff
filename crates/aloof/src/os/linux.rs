//! Linux with glibc, x86-64.

use core::ptr;

use super::message::fault;
use super::{Os, Refused};
use crate::num::size::{HUGE_PAGE, align_down, align_up};
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE};
use libc::{PROT_NONE, PROT_READ, PROT_WRITE};

/// The real thing.
pub struct Linux;

pub(crate) use crate::sync::keep_errno;

/// Sets errno to ENOMEM: an allocation was refused.
#[cold]
pub(crate) fn set_errno_no_memory() {
    // SAFETY: the address of errno is valid for the life of the thread.
    unsafe { *libc::__errno_location() = libc::ENOMEM };
}

fn mmap(addr: usize, len: usize, prot: i32, flags: i32) -> Result<usize, Refused> {
    keep_errno(|| {
        // SAFETY: the callers either let the kernel choose, ask for an unoccupied range
        // (MAP_FIXED_NOREPLACE), or replace a range of their own (MAP_FIXED).
        let got = unsafe {
            libc::mmap(
                ptr::without_provenance_mut(addr),
                len,
                prot,
                MAP_PRIVATE | MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            // SAFETY: the address of errno is valid for the life of the thread.
            let occupied = unsafe { *libc::__errno_location() } == libc::EEXIST;
            return Err(if occupied {
                Refused::Occupied
            } else {
                Refused::NoMemory
            });
        }
        // Exposed: blocks are derived from the addresses of their mapping.
        let got = got.expose_provenance();
        if flags & MAP_FIXED_NOREPLACE != 0 && got != addr {
            // A kernel or an emulator that does not know the flag treats the address as a wish.
            // SAFETY: the range was mapped just now.
            unsafe { libc::munmap(ptr::without_provenance_mut(got), len) };
            return Err(Refused::Occupied);
        }
        Ok(got)
    })
}

/// # Safety
/// The range must be the caller's.
unsafe fn protect(addr: usize, len: usize, prot: i32) -> Result<(), Refused> {
    keep_errno(|| {
        // SAFETY: the caller's promise.
        let failed = unsafe { libc::mprotect(ptr::without_provenance_mut(addr), len, prot) } != 0;
        if failed {
            Err(Refused::NoMemory)
        } else {
            Ok(())
        }
    })
}

/// A place where nothing is mapped just now and that lies towards huge pages as `addr` does, so that they, and tables
/// of pages, move whole; 0 if there is none.
fn free_place_like(addr: usize, len: usize) -> usize {
    let Ok(start) = mmap(0, len + 2 * HUGE_PAGE, PROT_NONE, MAP_NORESERVE) else {
        return 0;
    };
    // SAFETY: mapped just now, for us alone.
    unsafe { libc::munmap(ptr::without_provenance_mut(start), len + 2 * HUGE_PAGE) };
    align_up(start, HUGE_PAGE) + addr % HUGE_PAGE
}

/// Huge pages under sparse blocks cost memory.
fn no_huge_pages(addr: usize, len: usize) {
    // SAFETY: the callers mapped the range just now; the advice changes no content.
    unsafe { advise(addr, len, libc::MADV_NOHUGEPAGE) };
}

/// Whether the page at an address is resident; none if nothing is mapped there.
fn residence(addr: usize) -> Option<bool> {
    let page = align_down(addr, Linux::page_size());
    let mut state = 0u8;
    // SAFETY: one page, one byte for its state; a page that is not mapped is an error.
    let told = keep_errno(|| unsafe {
        libc::mincore(ptr::with_exposed_provenance_mut(page), 1, &mut state)
    });
    (told == 0).then_some(state & 1 != 0)
}

/// Gives advice; false if it is refused.
///
/// # Safety
/// The range must be the caller's, and the advice must not lose content that matters.
unsafe fn advise(addr: usize, len: usize, advice: i32) -> bool {
    keep_errno(|| {
        // SAFETY: the caller's promise.
        unsafe { libc::madvise(ptr::without_provenance_mut(addr), len, advice) == 0 }
    })
}

impl Os for Linux {
    fn page_size() -> usize {
        // Not sysconf: its jump table alone brings 64 KiB of the C library into every small process.
        // SAFETY: getauxval has no preconditions.
        unsafe { libc::getauxval(libc::AT_PAGESZ) as usize }
    }

    fn reserve(len: usize) -> Result<usize, Refused> {
        let addr = mmap(0, len, PROT_NONE, MAP_NORESERVE)?;
        no_huge_pages(addr, len);
        Ok(addr)
    }

    fn map_zeros_at(addr: usize, len: usize) -> Result<(), Refused> {
        mmap(addr, len, PROT_READ, MAP_NORESERVE | MAP_FIXED_NOREPLACE).map(drop)
    }

    unsafe fn show_zeros(addr: usize, len: usize) -> Result<(), Refused> {
        // SAFETY: the caller reserved the range.
        unsafe { protect(addr, len, PROT_READ) }
    }

    fn map_at(addr: usize, len: usize) -> Result<(), Refused> {
        mmap(addr, len, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE).map(drop)
    }

    fn map(len: usize) -> Result<usize, Refused> {
        mmap(0, len, PROT_READ | PROT_WRITE, 0)
    }

    unsafe fn commit(addr: usize, len: usize) -> Result<(), Refused> {
        // SAFETY: the caller reserved the range.
        unsafe { protect(addr, len, PROT_READ | PROT_WRITE) }
    }

    unsafe fn decommit(addr: usize, len: usize) -> Result<(), Refused> {
        // A new mapping over the old one also returns the commit charge, which mprotect does not.
        mmap(addr, len, PROT_NONE, MAP_NORESERVE | MAP_FIXED)?;
        // As before, so that the mapping merges with its neighbours.
        no_huge_pages(addr, len);
        Ok(())
    }

    unsafe fn prefer_huge_pages(addr: usize, len: usize, yes: bool) {
        let advice = if yes {
            libc::MADV_HUGEPAGE
        } else {
            libc::MADV_NOHUGEPAGE
        };
        // SAFETY: the caller's promise; this advice changes no content.
        unsafe { advise(addr, len, advice) };
    }

    fn is_resident(addr: usize) -> bool {
        residence(addr) == Some(true)
    }

    unsafe fn move_pages(from: usize, to: usize, len: usize) -> bool {
        keep_errno(|| {
            let remap = |from: usize, flags: i32, to: usize| {
                // SAFETY: the caller's promise; all ranges stay mapped throughout.
                let got = unsafe {
                    libc::mremap(
                        ptr::with_exposed_provenance_mut(from),
                        len,
                        len,
                        libc::MREMAP_MAYMOVE | flags,
                        ptr::with_exposed_provenance_mut::<libc::c_void>(to),
                    )
                };
                (got != libc::MAP_FAILED).then(|| got.expose_provenance())
            };
            // By a place of the kernel's choice: a refusal to move to a fixed one may come after that was unmapped.
            // What is refused here is left as it was; what is moved is one mapping, which moves on as a whole.
            let hint = if len >= HUGE_PAGE {
                free_place_like(from, len)
            } else {
                0
            };
            let Some(between) = remap(from, libc::MREMAP_DONTUNMAP, hint) else {
                return false;
            };
            if remap(between, libc::MREMAP_FIXED, to) == Some(to) {
                return true;
            }
            // Refused before `to` was unmapped, if there are as many mappings as the kernel allows, or after it, as a whole.
            let is_there = residence(to).is_some() && residence(to + len - 1).is_some();
            if !is_there && Self::map_at(to, len).is_err() {
                fault("realloc", from, "the system lost its pages");
            }
            // SAFETY: both are mapped, and `between` is no one else's.
            unsafe {
                ptr::copy_nonoverlapping(
                    ptr::with_exposed_provenance::<u8>(between),
                    ptr::with_exposed_provenance_mut::<u8>(to),
                    len,
                );
                libc::munmap(ptr::without_provenance_mut(between), len);
            }
            true
        })
    }

    unsafe fn discard(addr: usize, len: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { advise(addr, len, libc::MADV_DONTNEED) }
    }

    fn barrier_everywhere() -> bool {
        // Of linux/membarrier.h.
        const PRIVATE_EXPEDITED: i32 = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
        keep_errno(|| {
            // SAFETY: membarrier touches no memory of ours.
            let call = |command: i32| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
            // Registering again is cheap, and a fork or an exec forgets it.
            call(PRIVATE_EXPEDITED) == 0
                || call(REGISTER_PRIVATE_EXPEDITED) == 0 && call(PRIVATE_EXPEDITED) == 0
        })
    }

    unsafe fn unmap(addr: usize, len: usize) {
        keep_errno(|| {
            // SAFETY: the caller owns the range.
            unsafe { libc::munmap(ptr::without_provenance_mut(addr), len) };
        });
    }
}

/// The beginning of a file, as much as fits; nothing if it cannot be read.
pub(crate) fn read_file<'a>(path: &core::ffi::CStr, text: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: the path is a C string, the buffer has its length, and the descriptor is ours.
    unsafe {
        // Raw calls: those of the C library are points at which a thread may be cancelled.
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0);
        if fd < 0 {
            return &[];
        }
        let n = libc::syscall(libc::SYS_read, fd, text.as_mut_ptr(), text.len());
        libc::syscall(libc::SYS_close, fd);
        &text[..n.max(0) as usize]
    }
}

/// Bytes of the process that are in transparent huge pages now, as the kernel counts them; takes time proportional to
/// the resident memory.
pub(crate) fn huge_page_bytes() -> u64 {
    let mut text = [0; 2048];
    let lines = keep_errno(|| read_file(c"/proc/self/smaps_rollup", &mut text));
    let kib = lines.split(|&c| c == b'\n').find_map(|line| {
        let value = line.strip_prefix(b"AnonHugePages:")?;
        let value = core::str::from_utf8(value).ok()?.trim();
        value.strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kib.unwrap_or(0) << 10
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(|t| {
        // SAFETY: `t` is a valid timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, t) };
    })
}

/// The same, once a process: by a system call, because `clock_gettime` is on pages of the C library that a program which never
/// asks for the time need not map.
pub(crate) fn now_ns_once() -> u64 {
    nanoseconds(|t| {
        // SAFETY: `t` is a valid timespec.
        unsafe {
            libc::syscall(
                libc::SYS_clock_gettime,
                libc::CLOCK_MONOTONIC,
                core::ptr::from_mut(t),
            )
        };
    })
}

/// The time that `read` writes.
#[inline(always)]
fn nanoseconds(read: impl FnOnce(&mut libc::timespec)) -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    read(&mut t);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// User time, system time (nanoseconds) and peak resident memory (bytes) of this process.
pub(crate) fn usage() -> (u64, u64, u64) {
    // SAFETY: a rusage of zeros is valid.
    let mut u: libc::rusage = unsafe { core::mem::zeroed() };
    // SAFETY: `u` is a valid rusage.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut u) };
    let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    (ns(u.ru_utime), ns(u.ru_stime), u.ru_maxrss as u64 * 1024)
}
