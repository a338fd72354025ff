//! Operator new and delete under their Itanium ABI names (`m` is `size_t` on every 64-bit Linux).
//!
//! `n` = new, `d` = delete, `w`/`l` = single object, `a` = array; then the parameters: `m` a size, `St11align_val_t` an
//! alignment, `RKSt9nothrow_t` the request to return null instead of throwing.

use crate::cxx_fail::{new_slow, nothrow_slow};
use crate::cxx_replaced;
use core::ffi::c_void;
use core_aloof::raw;

/// The alignment that plain operator new asks for: none beyond malloc's.
const PLAIN: usize = 0;

/// One attempt at a block for operator new; null when refused. An alignment that is not a power of two is refused.
#[inline]
pub(crate) fn attempt(size: usize, align: usize) -> *mut c_void {
    if align == PLAIN {
        // SAFETY: any size will do.
        return unsafe { raw::malloc(size).cast() };
    }
    if !align.is_power_of_two() {
        return core::ptr::null_mut();
    }
    // SAFETY: the alignment is a power of two.
    unsafe { raw::malloc_aligned(size, align).cast() }
}

/// Plain operator new: what the thread has at hand, or the long way.
#[inline]
unsafe fn new_plain(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    let block = unsafe { raw::malloc_cached(size) };
    if block.is_null() {
        // SAFETY: any size will do.
        return unsafe { new(size, PLAIN) };
    }
    block.cast()
}

#[inline]
unsafe fn new_plain_nothrow(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    let block = unsafe { raw::malloc_cached(size) };
    if block.is_null() {
        // SAFETY: any size will do.
        return unsafe { new_nothrow(size, PLAIN) };
    }
    block.cast()
}

/// Never returns null: the failure path throws or aborts. The call to it is the last act, so that optimised code leaves
/// by a jump and no frame of this crate is on the stack when the exception flies.
#[inline(never)]
unsafe fn new(size: usize, align: usize) -> *mut c_void {
    let block = attempt(size, align);
    if block.is_null() {
        // SAFETY: the failure path accepts any size and alignment.
        return unsafe { new_slow(size, align) };
    }
    block
}

#[inline(never)]
unsafe fn new_nothrow(size: usize, align: usize) -> *mut c_void {
    let block = attempt(size, align);
    if block.is_null() {
        return nothrow_slow(size, align);
    }
    block
}

macro_rules! operators {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            // SAFETY: the duties of the operator of that name are the caller's.
            unsafe { $body }
        }
    )*};
}

type Nothrow = *const c_void;

/// An operator that is not basic: the program's own basic one, if it has one, or else what ours does.
macro_rules! or_ours {
    ($basic:ident($($argument:expr),*), $ours:expr) => {
        match cxx_replaced::$basic() {
            None => $ours,
            Some(operator) => operator($($argument),*),
        }
    };
}

operators! {
    _Znwm(size: usize) -> *mut c_void = new_plain(size);
    _ZnwmSt11align_val_t(size: usize, align: usize) -> *mut c_void = new(size, align);
    _ZdlPv(block: *mut c_void) = raw::free(block.cast());
    _ZdlPvSt11align_val_t(block: *mut c_void, _align: usize) = raw::free(block.cast());

    _Znam(size: usize) -> *mut c_void = or_ours!(new(size), new_plain(size));
    _ZnamSt11align_val_t(size: usize, align: usize) -> *mut c_void = or_ours!(new_aligned(size, align), new(size, align));
    _ZnwmRKSt9nothrow_t(size: usize, tag: Nothrow) -> *mut c_void = or_ours!(nothrow(size, tag), new_plain_nothrow(size));
    _ZnamRKSt9nothrow_t(size: usize, tag: Nothrow) -> *mut c_void = or_ours!(nothrow_array(size, tag), new_plain_nothrow(size));
    _ZnwmSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, tag: Nothrow) -> *mut c_void =
        or_ours!(nothrow_aligned(size, align, tag), new_nothrow(size, align));
    _ZnamSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, tag: Nothrow) -> *mut c_void =
        or_ours!(nothrow_array_aligned(size, align, tag), new_nothrow(size, align));

    _ZdaPv(block: *mut c_void) = or_ours!(delete(block), raw::free(block.cast()));
    _ZdlPvm(block: *mut c_void, _size: usize) = or_ours!(delete(block), raw::free(block.cast()));
    _ZdaPvm(block: *mut c_void, _size: usize) = or_ours!(delete_array(block), raw::free(block.cast()));
    _ZdlPvRKSt9nothrow_t(block: *mut c_void, _tag: Nothrow) = or_ours!(delete(block), raw::free(block.cast()));
    _ZdaPvRKSt9nothrow_t(block: *mut c_void, _tag: Nothrow) = or_ours!(delete_array(block), raw::free(block.cast()));
    _ZdaPvSt11align_val_t(block: *mut c_void, align: usize) = or_ours!(delete_aligned(block, align), raw::free(block.cast()));
    _ZdlPvmSt11align_val_t(block: *mut c_void, _size: usize, align: usize) =
        or_ours!(delete_aligned(block, align), raw::free(block.cast()));
    _ZdaPvmSt11align_val_t(block: *mut c_void, _size: usize, align: usize) =
        or_ours!(delete_array_aligned(block, align), raw::free(block.cast()));
    _ZdlPvSt11align_val_tRKSt9nothrow_t(block: *mut c_void, align: usize, _tag: Nothrow) =
        or_ours!(delete_aligned(block, align), raw::free(block.cast()));
    _ZdaPvSt11align_val_tRKSt9nothrow_t(block: *mut c_void, align: usize, _tag: Nothrow) =
        or_ours!(delete_array_aligned(block, align), raw::free(block.cast()));
}

/// Addresses of our basic operators, in the order of `cxx_replaced`.
pub(crate) fn basic() -> [usize; 8] {
    [
        _Znwm as *const () as usize,
        _Znam as *const () as usize,
        _ZnwmSt11align_val_t as *const () as usize,
        _ZnamSt11align_val_t as *const () as usize,
        _ZdlPv as *const () as usize,
        _ZdaPv as *const () as usize,
        _ZdlPvSt11align_val_t as *const () as usize,
        _ZdaPvSt11align_val_t as *const () as usize,
    ]
}
