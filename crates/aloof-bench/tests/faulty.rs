//! A library for LD_PRELOAD, compiled by the tests: an allocator that never reuses memory, and
//! that breaks in the way the environment variable FAULT names. Without it, it works.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        len: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        off: i64,
    ) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn abort() -> !;
}

const SPACE: usize = 8 << 30;
static BASE: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static FAULT: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);

/// The first letter of FAULT: o(verlap), d(ie), n(ull); 0 for none.
fn start() -> usize {
    // SAFETY: plain libc calls; MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, read and write.
    unsafe {
        let base = mmap(std::ptr::null_mut(), SPACE, 3, 0x4022, -1, 0) as usize;
        let fault = getenv(c"FAULT".as_ptr());
        FAULT.store(
            if fault.is_null() {
                0
            } else {
                *fault as u8 as usize
            },
            Relaxed,
        );
        BASE.store(base, Relaxed);
        base
    }
}

fn take(size: usize, align: usize) -> *mut c_void {
    let base = match BASE.load(Relaxed) {
        0 => start(),
        base => base,
    };
    let room = size.max(1).next_multiple_of(16) + 16 + align;
    let at = base + NEXT.fetch_add(room, Relaxed) + 16;
    let at = at.next_multiple_of(align.max(16));
    // SAFETY: the word before the block lies in its room.
    unsafe { *((at - 8) as *mut usize) = size };
    at as *mut c_void
}

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    let block = take(size, 16);
    if size == 64 && COUNT.fetch_add(1, Relaxed) % 1000 == 999 {
        match FAULT.load(Relaxed) as u8 {
            b'o' => return LAST.load(Relaxed) as *mut c_void,
            // SAFETY: ends the process, as asked for.
            b'd' => unsafe { abort() },
            b'n' => return std::ptr::null_mut(),
            _ => {}
        }
    }
    if size == 64 {
        LAST.store(block as usize, Relaxed);
    }
    block
}

#[unsafe(no_mangle)]
extern "C" fn free(_: *mut c_void) {}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    take(count * size, 16)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    let new = take(size, 16);
    if !old.is_null() {
        // SAFETY: the old block is live, and its size stands before it.
        unsafe {
            let had = *((old as usize - 8) as *const usize);
            std::ptr::copy_nonoverlapping(old as *const u8, new as *mut u8, had.min(size));
        }
    }
    new
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    take(size, align)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { *out = take(size, align) };
    0
}
