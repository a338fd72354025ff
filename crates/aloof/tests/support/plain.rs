//! Blocks of [`aloof::raw`] of which only the address matters.

use aloof::raw;

pub fn malloc(size: usize) -> *mut u8 {
    // SAFETY: any size will do.
    let block = unsafe { raw::malloc(size) };
    assert!(!block.is_null());
    block
}

pub fn free(block: *mut u8) {
    // SAFETY: the tests free what they allocated, once; in those of faults this is the fault, or what leads to it.
    unsafe { raw::free(block) }
}

/// Bytes that lie free in caches of threads.
pub fn cached() -> usize {
    raw::stats().cached_bytes as usize
}
