//! `errno`, which no call of the allocator changes but to refuse.

/// Runs `f` and puts errno back as it was.
pub(crate) fn keep_errno<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the address of errno is valid for the life of the thread.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let result = f();
        *errno = before;
        result
    }
}
