//! Rust's door.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use super::{fast, raw, route};
use crate::heap::CACHED_MAX;
use crate::num::class::SizeClass;
use crate::num::size::*;
use crate::thread::front;

/// The allocator, for `#[global_allocator]`:
///
/// ```
/// #[global_allocator]
/// static GLOBAL: aloof::Aloof = aloof::Aloof;
/// # fn main() { assert_eq!(vec![1; 1000].iter().sum::<i32>(), 1000) }
/// ```
///
/// A layout known at compile time is resolved at compile time: the call becomes a handful of
/// instructions in place.
#[derive(Clone, Copy, Default, Debug)]
pub struct Aloof;

/// The class of a layout that pools serve; the same for alloc, dealloc and realloc.
#[inline(always)]
pub(super) fn class_of(layout: Layout) -> Option<SizeClass> {
    let (size, align) = (layout.size(), layout.align());
    if size > SMALL_MAX {
        None
    } else if align <= 8 {
        Some(SizeClass::of_align_8(size))
    } else if align <= MIN_ALIGN {
        Some(SizeClass::of(size.max(align)))
    } else {
        None
    }
}

/// alloc of what no pool serves.
///
/// One way would do. Several keep `alloc` too long to be put in place where the size is not known: the compiler's inliner
/// weighs what is left of a function once its arguments are known, and these are left only then. Put in place everywhere,
/// `alloc` kept functions of the program, `format!` among them, from being put in place themselves.
#[inline(always)]
fn large(layout: Layout) -> *mut u8 {
    let (size, align) = (layout.size(), layout.align());
    if size <= CHUNK {
        large_slow::<0>(size, align)
    } else if size <= CACHED_MAX {
        large_slow::<1>(size, align)
    } else if size <= CHUNK_MAX {
        large_slow::<2>(size, align)
    } else if size <= RUN_MAX {
        large_slow::<3>(size, align)
    } else if size <= DIRECT_MAX {
        large_slow::<4>(size, align)
    } else {
        large_slow::<5>(size, align)
    }
}

#[cold]
#[inline(never)]
fn large_slow<const WAY: usize>(size: usize, align: usize) -> *mut u8 {
    // SAFETY: a layout's alignment is a power of two.
    unsafe { raw::malloc_aligned(size, align) }
}

// SAFETY: blocks are at least as large and as aligned as asked, live until freed, and never overlap.
unsafe impl GlobalAlloc for Aloof {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            return large(layout);
        };
        let front = front();
        let addr = fast::pop(front, class);
        if addr == 0 {
            return route::small_slow(front, class);
        }
        ptr::with_exposed_provenance_mut(addr)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(layout) {
            // SAFETY: the caller's promise.
            Some(class) => unsafe { fast::free_sized(block, class) },
            // Aligned to more than 16: its tag tells the class.
            // SAFETY: as above.
            None if layout.size() <= SMALL_MAX => unsafe { fast::free(block) },
            None => route::free_slow(block.expose_provenance()),
        }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // The class by which the block will be freed.
        if let Some(class) = class_of(layout) {
            // SAFETY: the class has at least the bytes of the layout.
            return unsafe { raw::small_zeroed(class, layout.size()) };
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { raw::malloc_aligned_zeroed(layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: a layout of the new size with the same alignment is valid, by the caller's promise.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if let Some(class) = class_of(new) {
            if class_of(layout) == Some(class) {
                return block;
            }
            // Also what shrinks from beyond the pools: a block whose layout has a class is a pool's.
            // SAFETY: the caller's promise; both blocks have the bytes copied.
            return unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    ptr::copy_nonoverlapping(block, to, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                to
            };
        }
        // SAFETY: the caller's promise.
        unsafe { raw::realloc_aligned(block, new_size, layout.align()) }
    }
}
