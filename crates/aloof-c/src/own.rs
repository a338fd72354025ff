//! The functions of `include/aloof.h`: the allocator under its own names, whatever `malloc` the process uses.

use crate::c::{aligned, resize};
use crate::refuse;
use crate::stats::{Totals, gather};
use crate::text::VERSION;
use core::ffi::{c_char, c_int, c_void};
use core_aloof::{Setting, raw};
use libc::ENOMEM;

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_malloc(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    unsafe { raw::malloc(size).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: any size will do.
        Some(total) => unsafe { raw::malloc_zeroed(total).cast() },
        None => refuse(ENOMEM),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's duty is realloc's.
    unsafe { resize(block, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_aligned_alloc(align: usize, size: usize) -> *mut c_void {
    aligned(size, align)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_free(block: *mut c_void) {
    // SAFETY: the caller's duty is free's.
    unsafe { raw::free(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_usable_size(block: *const c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: the caller passes a live block.
    unsafe { raw::usable_size(block.cast()) }
}

/// Changes a setting by its name in the environment, less `ALOOF_`, in lower case. Returns 0, or EINVAL if there is no such
/// setting or it cannot have this value.
#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_set(name: *const c_char, value: u64) -> c_int {
    if name.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the caller passes a C string.
    let setting = match unsafe { core::ffi::CStr::from_ptr(name) }.to_bytes() {
        b"huge_pages" => Setting::HugePages,
        b"background" => Setting::Background,
        b"decay_ms" => Setting::DecayMs,
        b"retain" => Setting::Retain,
        b"limit" => Setting::Limit,
        _ => return libc::EINVAL,
    };
    // The environment is read at the first allocation, and must not come later.
    // SAFETY: a block that nobody uses.
    unsafe { raw::free(raw::malloc(1)) };
    if setting.set(value) { 0 } else { libc::EINVAL }
}

/// See [`raw::on_soft_limit`]; a null function removes it.
#[unsafe(no_mangle)]
extern "C" fn aloof_on_soft_limit(
    bytes: usize,
    function: Option<core_aloof::OnSoftLimit>,
    data: *mut c_void,
) {
    extern "C" fn nothing(_: usize, _: usize) {}
    match function {
        Some(function) => raw::on_soft_limit(bytes, function, data.expose_provenance()),
        None => raw::on_soft_limit(usize::MAX, nothing, 0),
    }
}

#[unsafe(no_mangle)]
extern "C" fn aloof_purge() -> c_int {
    c_int::from(raw::purge())
}

/// Fills as much of the struct as the caller's header knew of; returns the size of the whole.
#[unsafe(no_mangle)]
unsafe extern "C" fn aloof_stats(out: *mut c_void, size: usize) -> usize {
    let totals = gather();
    let known = size_of::<Totals>();
    // SAFETY: the caller passes `size` writable bytes, and no more than the struct holds are copied.
    unsafe {
        core::ptr::copy_nonoverlapping(
            (&raw const totals).cast::<u8>(),
            out.cast(),
            size.min(known),
        )
    };
    known
}

#[unsafe(no_mangle)]
extern "C" fn aloof_print_stats() {
    raw::print_stats();
}

#[unsafe(no_mangle)]
extern "C" fn aloof_version() -> *const c_char {
    VERSION.as_ptr()
}
