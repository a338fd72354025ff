//! The hot paths. One screen: what is not served here goes to a function named `_slow`.

use crate::heap::Front;
use crate::num::class::{CLASSES, MAGAZINE_BYTES, SizeClass};
use crate::num::size::*;
use crate::sync::Ordering;
use crate::thread::front;

/// Takes the newest block of a class's magazine; 0 if it is empty.
#[inline(always)]
pub fn pop(front: &Front, class: SizeClass) -> usize {
    let hot = &front.hot[class.index()];
    let newest = hot.get().wrapping_sub(1);
    // SAFETY: below the top lies a block or the sentinel 0.
    let addr = unsafe { newest.read() };
    if addr != 0 {
        hot.set(newest);
    }
    addr
}

/// malloc.
#[inline(always)]
pub fn malloc(size: usize) -> *mut u8 {
    if size > SMALL_MAX {
        return super::route::large_slow(size);
    }
    let class = SizeClass::of(size);
    let front = front();
    let addr = pop(front, class);
    if addr == 0 {
        return super::route::small_slow(front, class);
    }
    core::ptr::with_exposed_provenance_mut(addr)
}

/// The part of malloc that a magazine serves; null where it does not.
#[inline(always)]
pub fn malloc_cached(size: usize) -> *mut u8 {
    if size > SMALL_MAX {
        return core::ptr::null_mut();
    }
    core::ptr::with_exposed_provenance_mut(pop(front(), SizeClass::of(size)))
}

/// free.
///
/// # Safety
/// As for [`super::raw::free`].
#[inline(always)]
pub unsafe fn free(block: *mut u8) {
    let front = front();
    let addr = block.expose_provenance();
    let class = front.class_at(addr);
    if class >= CLASSES {
        return super::route::free_slow(addr);
    }
    let hot = &front.hot[class];
    let top = hot.get();
    if top.addr().is_multiple_of(MAGAZINE_BYTES) {
        return super::route::push_slow(addr, class);
    }
    // SAFETY: a top that is not at the end has a free place at it, and a block or the sentinel below.
    unsafe {
        if top.wrapping_sub(1).read() == addr {
            return super::route::push_slow(addr, class);
        }
        top.write(addr);
    }
    hot.set(top.wrapping_add(1));
}

/// The class of the pool of this thread's heap that holds the address, if one does.
#[inline(always)]
pub fn own_class(addr: usize) -> Option<SizeClass> {
    let class = front().class_at(addr);
    (class < CLASSES).then_some(SizeClass(class as u8))
}

/// free of a small block that was asked for by this class. The tag is read all the same: it tells the owner, and a block that a
/// larger class lent is left to the slow path.
///
/// # Safety
/// As for [`super::raw::free`]; and the block lies in partition 0, as a pool's does.
#[inline(always)]
pub unsafe fn free_sized(block: *mut u8, class: SizeClass) {
    let front = front();
    let addr = block.expose_provenance();
    let hot = &front.hot[class.index()];
    let top = hot.get();
    // First: where there are no tags, no class has a magazine.
    if top.addr().is_multiple_of(MAGAZINE_BYTES) {
        // SAFETY: the caller's promise.
        return unsafe { super::route::free_sized_slow(block) };
    }
    // SAFETY: live small blocks lie in partition 0; the rest as in `free`.
    unsafe {
        let tag = (*front.tags.get().own.wrapping_add(addr >> CHUNK_SHIFT)).load(Ordering::Relaxed);
        if tag != front.class_tags[class.index()].get() || top.wrapping_sub(1).read() == addr {
            return super::route::free_sized_slow(block);
        }
        top.write(addr);
    }
    hot.advance();
}

impl Front {
    /// The class of the heap's pool at an address, or at another one that shares its tag: what is there is no block then, which
    /// whoever looks for it in the pool finds out. At least [`CLASSES`] if there is no such pool.
    #[inline(always)]
    fn class_at(&self, addr: usize) -> usize {
        // SAFETY: the front is this thread's own.
        (self.shared_tag_at(addr) ^ unsafe { self.tag.get() }) as usize
    }
}
