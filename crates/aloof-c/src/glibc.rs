//! What glibc adds to the C family: tuning, statistics, and its own names for the plain functions, which a program may
//! call and free with `free`.

use crate::c::{aligned_into, aligned_up, page_size, resize, whole_pages};
use crate::refuse;
use crate::stats::{HUGE, TIER_NAMES, Totals, gather};
use crate::text::{Text, VERSION};
use core::ffi::{c_int, c_void};
use core_aloof::raw;
use libc::{EINVAL, ENOMEM, FILE};

/// Gives free memory back to the system; 1 if more went back than pages between live blocks. The padding speaks of a heap top,
/// and there is none here.
#[unsafe(no_mangle)]
extern "C" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(raw::purge())
}

/// 1 for parameters that tune machinery this allocator does not have: ignoring them is all they ask. 0 for unknown ones
/// and for those whose effect would be missed (M_PERTURB, M_CHECK_ACTION).
#[unsafe(no_mangle)]
extern "C" fn mallopt(parameter: c_int, _value: c_int) -> c_int {
    const HARMLESS: [c_int; 7] = [
        libc::M_MXFAST,
        libc::M_TRIM_THRESHOLD,
        libc::M_TOP_PAD,
        libc::M_MMAP_THRESHOLD,
        libc::M_MMAP_MAX,
        libc::M_ARENA_TEST,
        libc::M_ARENA_MAX,
    ];
    c_int::from(HARMLESS.contains(&parameter))
}

/// Bytes held in the heap proper, outside the blocks that come straight from the system.
fn heap_bytes(totals: &Totals) -> u64 {
    totals
        .committed_bytes
        .saturating_sub(totals.tiers[HUGE].live_bytes)
}

/// glibc's fields, as far as they mean something here: held, live, free, and what the system serves itself.
#[unsafe(no_mangle)]
extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let totals = gather();
    let heap = heap_bytes(&totals);
    let huge = totals.tiers[HUGE].live_bytes;
    let live = totals.live_bytes.saturating_sub(huge);
    libc::mallinfo2 {
        arena: heap as usize,
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: huge as usize,
        usmblks: 0,
        fsmblks: 0,
        uordblks: live as usize,
        fordblks: heap.saturating_sub(live) as usize,
        keepcost: 0,
    }
}

/// As `mallinfo2`, each figure at most INT_MAX.
#[unsafe(no_mangle)]
extern "C" fn mallinfo() -> libc::mallinfo {
    let wide = mallinfo2();
    let narrow = |figure: usize| c_int::try_from(figure).unwrap_or(c_int::MAX);
    libc::mallinfo {
        arena: narrow(wide.arena),
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: narrow(wide.hblkhd),
        usmblks: 0,
        fsmblks: 0,
        uordblks: narrow(wide.uordblks),
        fordblks: narrow(wide.fordblks),
        keepcost: 0,
    }
}

/// The statistics as XML, in glibc's vocabulary where it has a word for them.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_info(options: c_int, stream: *mut FILE) -> c_int {
    if options != 0 {
        return EINVAL;
    }
    let totals = gather();
    let mut text = Text::new();
    text.text("<malloc version=\"aloof-")
        .text(VERSION.to_str().unwrap_or_default())
        .text("\">\n");
    for (name, tier) in TIER_NAMES.iter().zip(&totals.tiers) {
        text.text("<tier name=\"").text(name);
        text.text("\" count=\"").number(tier.allocations);
        text.text("\" size=\"").number(tier.live_bytes);
        text.text("\" max=\"")
            .number(tier.peak_bytes)
            .text("\"/>\n");
    }
    text.text("<total type=\"live\" count=\"")
        .number(totals.live_blocks);
    text.text("\" size=\"")
        .number(totals.live_bytes)
        .text("\"/>\n");
    for (element, kind, size) in [
        ("system", "current", totals.committed_bytes),
        ("system", "max", totals.peak_committed_bytes),
        ("aspace", "total", totals.reserved_bytes),
        ("metadata", "total", totals.metadata_bytes),
    ] {
        text.text("<")
            .text(element)
            .text(" type=\"")
            .text(kind)
            .text("\" size=\"")
            .number(size)
            .text("\"/>\n");
    }
    text.text("</malloc>\n");
    let bytes = text.bytes();
    // SAFETY: the caller passes an open stream; the buffer is readable for its length.
    let written = unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stream) };
    if written == bytes.len() { 0 } else { -1 }
}

/// A summary on stderr.
#[unsafe(no_mangle)]
extern "C" fn malloc_stats() {
    raw::print_stats();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    unsafe { raw::malloc(size).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: any size will do.
        Some(total) => unsafe { raw::malloc_zeroed(total).cast() },
        None => refuse(ENOMEM),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's duty is realloc's.
    unsafe { resize(block, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_free(block: *mut c_void) {
    // SAFETY: the caller's duty is free's.
    unsafe { raw::free(block.cast()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    aligned_up(align, size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_valloc(size: usize) -> *mut c_void {
    aligned_up(page_size(), size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_pvalloc(size: usize) -> *mut c_void {
    whole_pages(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: the caller's duty is posix_memalign's.
    unsafe { aligned_into(out, align, size) }
}
