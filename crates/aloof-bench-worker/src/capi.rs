//! The C allocator interface of the process, with the results hidden from the optimiser: LLVM
//! knows these names and would otherwise remove pairs that nobody looks at.

use aloof_bench_kit::fail;
use std::hint::black_box;

/// `malloc`; ends the process when it is refused.
#[inline(always)]
pub fn malloc(size: usize) -> *mut u8 {
    // SAFETY: malloc takes any size.
    granted(unsafe { libc::malloc(size) })
}

/// `calloc(1, size)`; ends the process when it is refused.
#[inline(always)]
pub fn calloc(size: usize) -> *mut u8 {
    // SAFETY: calloc takes any sizes.
    granted(unsafe { libc::calloc(1, size) })
}

/// `aligned_alloc`; ends the process when it is refused or the block is not aligned.
#[inline(always)]
pub fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    // SAFETY: aligned_alloc takes any power of two and size.
    let p = granted(unsafe { libc::aligned_alloc(align, size) });
    if p.addr() & (align - 1) != 0 {
        fail("aligned_alloc returned a block that is not aligned");
    }
    p
}

/// `realloc`; ends the process when it is refused.
///
/// # Safety
/// `p` is null or a live block of this interface, and is given up.
#[inline(always)]
pub unsafe fn realloc(p: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise.
    granted(unsafe { libc::realloc(black_box(p).cast(), size) })
}

/// `free`.
///
/// # Safety
/// `p` is null or a live block of this interface.
#[inline(always)]
pub unsafe fn free(p: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { libc::free(black_box(p).cast()) }
}

#[inline(always)]
fn granted(p: *mut libc::c_void) -> *mut u8 {
    let p = black_box(p.cast::<u8>());
    if p.is_null() {
        refused();
    }
    p
}

#[cold]
#[inline(never)]
fn refused() -> ! {
    fail("the allocator returned null")
}
