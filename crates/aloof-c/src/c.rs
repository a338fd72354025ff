//! The C family: ISO C, POSIX and the BSD and Solaris relatives that programs still call.

use crate::refuse;
use core::ffi::{c_int, c_void};
use core_aloof::raw;
use libc::{EINVAL, ENOMEM};

/// The size of one page, read at run time.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no condition.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    unsafe { raw::malloc(size).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller passes null or a live block; anything else the core detects.
    unsafe { raw::free(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: any size will do.
        Some(total) => unsafe { raw::malloc_zeroed(total).cast() },
        None => refuse(ENOMEM),
    }
}

/// `realloc(block, 0)` frees the block and returns null, as glibc does; `realloc(NULL, n)` is `malloc(n)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's duty is realloc's.
    unsafe { resize(block, size) }
}

#[inline]
pub(crate) unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    if size == 0 && !block.is_null() {
        // SAFETY: the caller passes a live block and gives it up.
        unsafe { raw::free(block.cast()) };
        return core::ptr::null_mut();
    }
    // SAFETY: the caller passes null or a live block.
    unsafe { raw::realloc(block.cast(), size).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's duty is realloc's.
        Some(total) => unsafe { resize(block, total) },
        None => refuse(ENOMEM),
    }
}

/// The size need not be a multiple of the alignment; an alignment that is not a power of two is EINVAL.
#[inline]
pub(crate) fn aligned(size: usize, align: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        return refuse(EINVAL);
    }
    // SAFETY: the alignment is a power of two.
    unsafe { raw::malloc_aligned(size, align).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    aligned(size, align)
}

/// Rounds the alignment up to a power of two, as glibc does.
#[inline]
pub(crate) fn aligned_up(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => aligned(size, align),
        None => refuse(EINVAL),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned_up(align, size)
}

#[inline]
pub(crate) unsafe fn aligned_into(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return EINVAL;
    }
    // SAFETY: the alignment is a power of two.
    let block = unsafe { raw::malloc_aligned(size, align) };
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller passes a place for the pointer; it is written on success only.
    unsafe { *out = block.cast() };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: the caller's duty is posix_memalign's.
    unsafe { aligned_into(out, align, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned(size, page_size())
}

/// Whole pages: at least one.
#[inline]
pub(crate) fn whole_pages(size: usize) -> *mut c_void {
    let page = page_size();
    match size.max(1).checked_next_multiple_of(page) {
        Some(size) => aligned(size, page),
        None => refuse(ENOMEM),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    whole_pages(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *const c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: the caller passes a live block.
    unsafe { raw::usable_size(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: the caller's duty is free's.
    unsafe { raw::free(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: the caller's duty is free's.
    unsafe { raw::free(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: the caller's duty is free's.
    unsafe { raw::free(block.cast()) }
}
