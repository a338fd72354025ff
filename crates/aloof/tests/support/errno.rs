//! The calling thread's errno.

/// No error of Linux has this number: an untouched errno is told by it.
pub const UNTOUCHED: i32 = 4242;

pub fn get() -> i32 {
    // SAFETY: the address of errno is valid for the life of the thread.
    unsafe { *libc::__errno_location() }
}

pub fn set(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}

/// Runs `f` from an errno that no call sets; what `f` returns and what errno is after it.
pub fn after<T>(f: impl FnOnce() -> T) -> (T, i32) {
    set(UNTOUCHED);
    let result = f();
    (result, get())
}
