//! Operators new and delete that the program has of its own.
//!
//! In C++ a program may replace the basic operators alone, say to put a header before each block, and rely on the others to call
//! them: `delete[]` calls `delete`, and so does the form with a size, which compilers prefer. The C++ runtime's own do so; in its
//! place, so do ours.
//!
//! Which operators the program's calls meet is asked by name, when this library is initialised or, if some other's
//! initialisation is faster, at the first call: later the loader's lock may be held by who waits for the caller. Without a
//! loader there is nothing to ask: the linker refuses a second definition beside the archive's.

use crate::cxx_fail::{find_visible, is_defined, out_of_sight};
use core::ffi::{CStr, c_void};
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

type New = unsafe extern "C" fn(usize) -> *mut c_void;
type NewAligned = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Nothrow = unsafe extern "C" fn(usize, *const c_void) -> *mut c_void;
type NothrowAligned = unsafe extern "C" fn(usize, usize, *const c_void) -> *mut c_void;
type Delete = unsafe extern "C" fn(*mut c_void);
type DeleteAligned = unsafe extern "C" fn(*mut c_void, usize);

/// What is known of the program's operators.
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
/// Whoever calls meanwhile gets ours: that is the loader, or another thread before the program begins.
const LOOKING: u8 = 1;
const ALL_OURS: u8 = 2;
const SOME_REPLACED: u8 = 3;

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
/// Those that call a basic one and return null where it throws, in the same order: the C++ runtime's can do that.
const NOTHROW: [&CStr; 4] = [
    c"_ZnwmRKSt9nothrow_t",
    c"_ZnamRKSt9nothrow_t",
    c"_ZnwmSt11align_val_tRKSt9nothrow_t",
    c"_ZnamSt11align_val_tRKSt9nothrow_t",
];

/// Basic ones of the program; null where there is none.
static REPLACED: [AtomicPtr<c_void>; BASIC.len()] =
    [const { AtomicPtr::new(null_mut()) }; BASIC.len()];
/// The runtime's, if any basic one is replaced.
static RUNTIMES: [AtomicPtr<c_void>; NOTHROW.len()] =
    [const { AtomicPtr::new(null_mut()) }; NOTHROW.len()];

#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = look;

/// Fills the tables, once.
#[cold]
extern "C" fn look() {
    // Relaxed: before there are threads, or by whoever is first.
    if STATE
        .compare_exchange(UNKNOWN, LOOKING, Ordering::Relaxed, Ordering::Relaxed)
        .is_err()
    {
        return;
    }
    let mut state = ALL_OURS;
    for ((name, ours), replaced) in BASIC.iter().zip(crate::cxx::basic()).zip(&REPLACED) {
        let visible = find_visible(name);
        if !visible.is_null() && visible.addr() != ours && is_defined(visible) {
            replaced.store(visible.cast_mut(), Ordering::Relaxed);
            state = SOME_REPLACED;
        }
    }
    if state == SOME_REPLACED {
        for (name, own) in NOTHROW.iter().zip(&RUNTIMES) {
            own.store(out_of_sight(name).cast_mut(), Ordering::Relaxed);
        }
    }
    // Release: comes with the tables.
    STATE.store(state, Ordering::Release);
}

/// The first operator of a table at these places.
#[inline]
fn first(table: &[AtomicPtr<c_void>], places: &[usize]) -> Option<*mut c_void> {
    // Relaxed: once so it stays so, and nothing is read after it.
    if STATE.load(Ordering::Relaxed) == ALL_OURS {
        return None;
    }
    first_slow(table, places)
}

#[cold]
#[inline(never)]
fn first_slow(table: &[AtomicPtr<c_void>], places: &[usize]) -> Option<*mut c_void> {
    if STATE.load(Ordering::Relaxed) == UNKNOWN {
        look();
    }
    // Acquire: sees the tables.
    if STATE.load(Ordering::Acquire) != SOME_REPLACED {
        return None;
    }
    places
        .iter()
        .map(|&place| table[place].load(Ordering::Relaxed))
        .find(|operator| !operator.is_null())
}

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $table:ident $($place:literal),+;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name() -> Option<$type> {
            let operator = first(&$table, &[$($place),+])?;
            // SAFETY: the names at these places are those of operators of this type.
            Some(unsafe { transmute::<*mut c_void, $type>(operator) })
        }
    )*};
}

operators! {
    /// The program's `operator new(size_t)`, which the one for arrays calls.
    new: New = REPLACED 0;
    /// `operator new(size_t, align_val_t)`.
    new_aligned: NewAligned = REPLACED 2;
    /// The runtime's `operator new(size_t, nothrow_t)`, which calls the program's.
    nothrow: Nothrow = RUNTIMES 0;
    /// The same for arrays.
    nothrow_array: Nothrow = RUNTIMES 1;
    /// `operator new(size_t, align_val_t, nothrow_t)`.
    nothrow_aligned: NothrowAligned = RUNTIMES 2;
    /// The same for arrays.
    nothrow_array_aligned: NothrowAligned = RUNTIMES 3;
    /// The program's `operator delete(void *)`.
    delete: Delete = REPLACED 4;
    /// `operator delete[](void *)`, or what that would call.
    delete_array: Delete = REPLACED 5, 4;
    /// `operator delete(void *, align_val_t)`.
    delete_aligned: DeleteAligned = REPLACED 6;
    /// `operator delete[](void *, align_val_t)`, or what that would call.
    delete_array_aligned: DeleteAligned = REPLACED 7, 6;
}
