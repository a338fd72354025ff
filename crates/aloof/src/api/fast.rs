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
    // SAFETY: the front is this thread's own, and the table has CHUNKS + 1 readable entries.
    let class = unsafe {
        let chunk = opaque(addr.wrapping_sub(front.base.get()) >> CHUNK_SHIFT);
        // Addresses outside partition 0 (null among them) are looked up in the entry after the last: no tag.
        let chunk = opaque(core::hint::select_unpredictable(
            chunk < CHUNKS,
            chunk,
            CHUNKS,
        ));
        ((*front.tags.get().wrapping_add(chunk)).load(Ordering::Relaxed) ^ front.tag.get()) as usize
    };
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
    let front = front();
    // SAFETY: as in `free`.
    let class = unsafe {
        let chunk = addr.wrapping_sub(front.base.get()) >> CHUNK_SHIFT;
        if chunk >= CHUNKS {
            return None;
        }
        (*front.tags.get().wrapping_add(chunk)).load(Ordering::Relaxed) ^ front.tag.get()
    };
    ((class as usize) < CLASSES).then_some(SizeClass(class as u8))
}

/// free of a small block whose class is known. The tag is read all the same: it tells the owner, and a
/// block of another class is left to the slow path.
///
/// # Safety
/// As for [`super::raw::free`].
#[inline(always)]
pub unsafe fn free_sized(block: *mut u8, class: SizeClass) {
    let front = front();
    let addr = block.expose_provenance();
    // SAFETY: as in `free`.
    let own = unsafe {
        let chunk = addr.wrapping_sub(front.base.get()) >> CHUNK_SHIFT;
        chunk < CHUNKS
            && (*front.tags.get().wrapping_add(chunk)).load(Ordering::Relaxed) ^ front.tag.get()
                == u32::from(class.0)
    };
    let hot = &front.hot[class.index()];
    let top = hot.get();
    if !own || top.addr().is_multiple_of(MAGAZINE_BYTES) {
        return super::route::free_slow(addr);
    }
    // SAFETY: as in `free`.
    unsafe {
        if top.wrapping_sub(1).read() == addr {
            return super::route::free_slow(addr);
        }
        top.write(addr);
    }
    hot.set(top.wrapping_add(1));
}

/// Keeps the compiler from folding the shift into the comparison, which would need a longer constant, and from
/// extending what is extended already.
#[inline(always)]
fn opaque(mut x: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags))
    };
    x
}
