//! Operators new and delete that the program has of its own.
//!
//! In C++ a program may replace the basic operators alone, say to put a header before each block, and rely on the others to call
//! them: `delete[]` calls `delete`, and so does the form with a size, which compilers prefer. The C++ runtime's own do so; in its
//! place, so do ours. Which operators the program's calls meet is asked once, by name. Without a loader there is nothing to
//! ask: the linker refuses a second definition beside the archive's.

use crate::cxx_fail::find_visible;
use core::ffi::{CStr, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

type New = unsafe extern "C" fn(usize) -> *mut c_void;
type NewAligned = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Delete = unsafe extern "C" fn(*mut c_void);
type DeleteAligned = unsafe extern "C" fn(*mut c_void, usize);

/// False until it is known that no basic operator is the program's.
static ALL_OURS: AtomicBool = AtomicBool::new(false);
static IS_KNOWN: AtomicBool = AtomicBool::new(false);

/// The operators that others call, by their names.
const BASIC: [&CStr; 8] = [
    c"_Znwm",
    c"_Znam",
    c"_ZnwmSt11align_val_t",
    c"_ZnamSt11align_val_t",
    c"_ZdlPv",
    c"_ZdaPv",
    c"_ZdlPvSt11align_val_t",
    c"_ZdaPvSt11align_val_t",
];

/// Those of the program; null where there is none.
static REPLACED: [AtomicPtr<c_void>; BASIC.len()] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; BASIC.len()];

/// The program's operator that stands at this place, or at one that the operator there would call.
#[inline]
fn replaced(places: &[usize]) -> Option<*mut c_void> {
    // Relaxed: once true, it stays so, and nothing is read after it.
    if ALL_OURS.load(Ordering::Relaxed) {
        return None;
    }
    replaced_slow(places)
}

#[cold]
#[inline(never)]
fn replaced_slow(places: &[usize]) -> Option<*mut c_void> {
    // Acquire: sees the table.
    if !IS_KNOWN.load(Ordering::Acquire) {
        look();
    }
    places
        .iter()
        .map(|&place| REPLACED[place].load(Ordering::Relaxed))
        .find(|operator| !operator.is_null())
}

/// Fills the table; several threads may do so, with the same content.
fn look() {
    let mut all_ours = true;
    for ((name, ours), replaced) in BASIC.iter().zip(crate::cxx::basic()).zip(&REPLACED) {
        let visible = find_visible(name);
        if !visible.is_null() && visible.addr() != ours {
            replaced.store(visible.cast_mut(), Ordering::Relaxed);
            all_ours = false;
        }
    }
    IS_KNOWN.store(true, Ordering::Release);
    ALL_OURS.store(all_ours, Ordering::Relaxed);
}

macro_rules! basic {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $($place:literal),+;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name() -> Option<$type> {
            let operator = replaced(&[$($place),+])?;
            // SAFETY: the names at these places are those of operators of this type.
            Some(unsafe { transmute::<*mut c_void, $type>(operator) })
        }
    )*};
}

basic! {
    /// The program's `operator new(size_t)`, which the one for arrays and the nothrow one call.
    new: New = 0;
    /// Its `operator new[](size_t)`, for the nothrow form.
    new_array: New = 1, 0;
    /// `operator new(size_t, align_val_t)`.
    new_aligned: NewAligned = 2;
    /// `operator new[](size_t, align_val_t)`.
    new_array_aligned: NewAligned = 3, 2;
    /// `operator delete(void *)`.
    delete: Delete = 4;
    /// `operator delete[](void *)`.
    delete_array: Delete = 5, 4;
    /// `operator delete(void *, align_val_t)`.
    delete_aligned: DeleteAligned = 6;
    /// `operator delete[](void *, align_val_t)`.
    delete_array_aligned: DeleteAligned = 7, 6;
}
