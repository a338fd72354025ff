//! The allocator as plain functions, for a C door or for direct use.
//!
//! All are thread-safe, callable at any time in the life of a thread, from constructors, destructors,
//! exit handlers and in the child of a fork, but not from signal handlers. A refused request returns null
//! and sets errno to ENOMEM; nothing else touches errno. A pointer that is not the start of a live block
//! ends the process with one line on stderr: at the call, or, for a small block freed by its own
//! thread, when the thread's cache is next flushed, at the latest when the thread or the process ends.

use core::ptr;

use super::{fast, resize, route};
use crate::heap::tally::Tier;
use crate::heap::{Place, locate};
use crate::num::class::SizeClass;
use crate::num::size::*;
use crate::os::linux::{keep_errno, set_errno_no_memory};
use crate::stats::Stats;
use crate::thread::front;

/// A block of at least `size` bytes, aligned to 16, or to 8 if `size` is at most 8. Constant time up to 32 KiB.
/// `malloc(0)` is a block of its own.
///
/// # Safety
/// None beyond the caller's use of the block; unsafe as the counterpart of [`free`].
#[inline(always)]
pub unsafe fn malloc(size: usize) -> *mut u8 {
    fast::malloc(size)
}

/// A block as from [`malloc`] if the thread has one at hand, else null, which is no refusal: the caller goes on to
/// [`malloc`]. For callers whose own way on from a refusal would burden the hot path.
///
/// # Safety
/// As for [`malloc`].
#[inline(always)]
pub unsafe fn malloc_cached(size: usize) -> *mut u8 {
    fast::malloc_cached(size)
}

/// The same, all zeros. Memory that was never used is known to be zero and not cleared again.
///
/// # Safety
/// As for [`malloc`].
#[inline]
pub unsafe fn malloc_zeroed(size: usize) -> *mut u8 {
    if size > SMALL_MAX {
        // SAFETY: the block has `size` bytes.
        return unsafe { zeroed(route::allocate(size, MIN_ALIGN), size) };
    }
    // SAFETY: the class has at least `size` bytes.
    unsafe { small_zeroed(SizeClass::of(size), size) }
}

/// Zeroed blocks up to here, which lie in at most two pages, are taken to be written: only pages of larger ones may never
/// be touched.
const WRITTEN_MAX: usize = 4096;

/// A block of a class, its first `size` bytes zeros.
///
/// # Safety
/// The class has at least `size` bytes.
#[inline]
pub(super) unsafe fn small_zeroed(class: SizeClass, size: usize) -> *mut u8 {
    let addr = fast::pop(front(), class);
    if addr == 0 {
        // An alignment that all blocks of the class have, so that the route leads to this class.
        let align = MIN_ALIGN.min(class.size() & class.size().wrapping_neg());
        // SAFETY: the caller's promise.
        return unsafe { zeroed(route::allocate(class.size(), align), size) };
    }
    let block = ptr::with_exposed_provenance_mut::<u8>(addr);
    // SAFETY: the block has `size` bytes.
    unsafe { block.write_bytes(0, size) };
    block
}

/// # Safety
/// A block must have at least `size` bytes.
unsafe fn zeroed(block: Option<crate::direct::Block>, size: usize) -> *mut u8 {
    let at = route::pointer(block);
    match block {
        // SAFETY: the caller's promise.
        Some(block) if !block.zeroed => unsafe { at.write_bytes(0, size) },
        // Who reads a page first gets the page of zeros, and has it replaced, on all processors, when he writes.
        Some(_) if (1..=WRITTEN_MAX).contains(&size) => {
            // SAFETY: the caller's promise.
            unsafe {
                at.write_volatile(0);
                at.add(size - 1).write_volatile(0);
            }
        }
        _ => {}
    }
    at
}

/// A block of at least `size` bytes aligned to `align`, a power of two.
///
/// # Safety
/// `align` is a power of two.
#[inline]
pub unsafe fn malloc_aligned(size: usize, align: usize) -> *mut u8 {
    if align <= MIN_ALIGN && size >= align {
        return fast::malloc(size);
    }
    aligned_slow(size, align)
}

#[inline(never)]
fn aligned_slow(size: usize, align: usize) -> *mut u8 {
    if let Some(class) = SizeClass::of_aligned(size.max(1), align) {
        let addr = fast::pop(front(), class);
        if addr != 0 {
            return ptr::with_exposed_provenance_mut(addr);
        }
    }
    route::pointer(route::allocate(size, align))
}

/// The same as [`malloc_aligned`], all zeros.
///
/// # Safety
/// `align` is a power of two.
pub unsafe fn malloc_aligned_zeroed(size: usize, align: usize) -> *mut u8 {
    if align <= MIN_ALIGN && size >= align {
        // SAFETY: as for this function.
        return unsafe { malloc_zeroed(size) };
    }
    if let Some(class) = SizeClass::of_aligned(size.max(1), align) {
        // SAFETY: the class has at least `size` bytes.
        return unsafe { small_zeroed(class, size) };
    }
    // SAFETY: the block has `size` bytes.
    unsafe { zeroed(route::allocate(size, align), size) }
}

/// Frees a block; null is ignored. Constant time amortised. Any thread may free any block.
///
/// # Safety
/// `block` is null or the start of a live block of this allocator that nobody uses any more.
#[inline(always)]
pub unsafe fn free(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { fast::free(block) }
}

/// Makes a block hold `size` bytes, where it is or elsewhere; its content is kept up to the smaller size.
/// Null (the block stays as it was) if refused. A null `block` is [`malloc`]; size 0 is size 1.
///
/// # Safety
/// As for [`free`], and the returned block replaces `block`.
#[inline]
pub unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        // SAFETY: no preconditions.
        return unsafe { malloc(size) };
    }
    let addr = block.expose_provenance();
    if let Some(class) = fast::own_class(addr)
        && size <= SMALL_MAX
    {
        resize::check_start("realloc", addr, class);
        if resize::fits(class.size(), size) {
            return block;
        }
        // SAFETY: the caller's promise.
        return unsafe { realloc_small(block, class, size) };
    }
    // SAFETY: the caller's promise.
    unsafe { realloc_slow(block, size) }
}

/// [`realloc`] of an own small block to another class. A block that grows by little gets room to grow more.
///
/// # Safety
/// As for [`realloc`]; the block is of this class.
#[inline(never)]
unsafe fn realloc_small(block: *mut u8, class: SizeClass, size: usize) -> *mut u8 {
    let have = class.size();
    if resize::grows_by_little(have, size) {
        // SAFETY: the caller's promise.
        return unsafe { realloc_roomy(block, have, size) };
    }
    // SAFETY: the caller's promise; the class's size is what the block holds.
    unsafe { copy(block, have, size, MIN_ALIGN) }
}

/// Moves the content to a block with some room beyond `size` or, if that is refused, of `size`.
///
/// # Safety
/// As for [`realloc_aligned`].
#[inline(never)]
unsafe fn realloc_roomy(block: *mut u8, have: usize, size: usize) -> *mut u8 {
    let roomy = resize::roomy(have, size);
    // SAFETY: the caller's promise.
    let new = keep_errno(|| unsafe { copy(block, have, roomy, MIN_ALIGN) });
    if !new.is_null() {
        return new;
    }
    // SAFETY: the caller's promise; the block is still there.
    unsafe { copy(block, have, size, MIN_ALIGN) }
}

/// [`realloc`] of any other block.
///
/// # Safety
/// As for [`realloc`].
#[inline(never)]
unsafe fn realloc_slow(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { realloc_aligned(block, size, MIN_ALIGN) }
}

/// Moves the content of a block of `have` bytes to a new one, and frees it; null if that is refused.
///
/// # Safety
/// As for [`realloc_aligned`].
unsafe fn copy(block: *mut u8, have: usize, size: usize, align: usize) -> *mut u8 {
    // SAFETY: both blocks have the bytes copied, and do not overlap as both are live.
    unsafe {
        let new = malloc_aligned(size, align);
        if !new.is_null() {
            ptr::copy_nonoverlapping(block, new, have.min(size));
            free(block);
        }
        new
    }
}

/// [`realloc`] of a block that was aligned to `align` and stays so; `block` is not null.
///
/// # Safety
/// As for [`realloc`]; `align` is a power of two.
pub unsafe fn realloc_aligned(block: *mut u8, size: usize, align: usize) -> *mut u8 {
    let size = size.max(1);
    let addr = block.expose_provenance();
    let have = resize::usable("realloc", addr);
    if size > REQUEST_MAX {
        set_errno_no_memory();
        return core::ptr::null_mut();
    }
    if resize::in_place(addr, have, size) {
        return block;
    }
    if have.min(size) > SMALL_MAX {
        // SAFETY: the caller's promise.
        return unsafe { resize::relocate(addr, have, size, align) };
    }
    // SAFETY: the caller's promise.
    unsafe { copy(block, have, size, align) }
}

/// Bytes that may be used of the block, at least those asked for.
///
/// # Safety
/// `block` is null (0 bytes) or the start of a live block.
pub unsafe fn usable_size(block: *const u8) -> usize {
    if block.is_null() {
        0
    } else {
        resize::usable("malloc_usable_size", block.expose_provenance())
    }
}

/// Which tier serves the block: `"pool"`, `"chunk"`, `"run"`, `"direct"` or `"huge"`; none if no block is there.
pub fn tier_of(block: *const u8) -> Option<Tier> {
    Some(match locate(block.expose_provenance()).ok()? {
        Place::Pool(..) => Tier::Pool,
        Place::Chunk(..) => Tier::Chunk,
        Place::Run(..) => Tier::Run,
        Place::Direct(_) => Tier::Direct,
        Place::Huge(_) => Tier::Huge,
    })
}

/// Gives free memory back to the OS now: what the calling thread has cached, free pages in all heaps whose threads are not inside
/// the allocator, and all free sub-regions. True if some of the last went back. Takes time proportional to the number of free
/// pieces; other threads may allocate meanwhile.
pub fn purge() -> bool {
    route::purge()
}

/// Calls `function` with the bytes that are resident and `data`, on the thread that allocates, each time resident memory
/// passes `bytes`, before the request that does so returns; once, until it is below again. It may free and
/// allocate. There is one such function; `usize::MAX` bytes remove it. Memory is looked at when pools are made
/// and when more than 32 KiB are asked for.
pub fn on_soft_limit(bytes: usize, function: crate::os::limit::OnSoftLimit, data: usize) {
    crate::os::limit::set_soft(bytes, function, data);
}

/// Figures of the process.
pub fn stats() -> Stats {
    Stats::now(crate::thread::age_ns())
}

/// Prints the figures on stderr.
pub fn print_stats() {
    stats().print(2);
}
