//! The C and C++ door: every name a program may expect of its process's allocator, over `aloof::raw`.
//!
//! Each export is a thin wrapper over a private function of the core. No export is ever called by name from inside: the
//! compiler knows what `malloc` and `free` mean and would rewrite such calls.
//!
//! - `c`: the C family and its POSIX and BSD relatives;
//! - `glibc`: what glibc adds (tuning, statistics, the `__libc_` names);
//! - `cxx`, `cxx_fail` and `cxx_replaced`: operator new and delete, what operator new does when it is refused, and what the other
//!   forms do where the program has basic ones of its own;
//! - `own` and `stats`: the `aloof_` functions of `include/aloof.h`.
//!
//! errno belongs to this door: the core's cold path sets ENOMEM for it when it refuses a request, so the wrappers of the
//! hot calls test nothing; what a wrapper refuses by itself it marks with `refuse`.
#![no_std]

mod c;
mod cxx;
mod cxx_fail;
mod cxx_replaced;
mod glibc;
mod own;
mod stats;
mod text;

use core::ffi::{c_int, c_void};
use core::panic::PanicInfo;

// Without std nothing else asks for the C library.
#[link(name = "c")]
unsafe extern "C" {}

/// Sets errno and returns null.
#[cold]
fn refuse(error: c_int) -> *mut c_void {
    // SAFETY: errno's address is valid for the whole life of the calling thread.
    unsafe { *libc::__errno_location() = error };
    core::ptr::null_mut()
}

/// Writes one line to stderr and aborts.
#[cold]
fn die(line: &[u8]) -> ! {
    // SAFETY: the buffer is readable for its length; write and abort have no other condition.
    unsafe {
        libc::write(2, line.as_ptr().cast(), line.len());
        libc::abort()
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    die(b"aloof: internal error: a check inside the allocator failed\n")
}

// The precompiled core library carries unwind tables that name this routine. Nothing here unwinds, so it is never called;
// it is weak, so that a program with a Rust runtime of its own keeps the real one.
core::arch::global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\",@progbits",
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality,@function",
    "rust_eh_personality:",
    "ud2",
    ".size rust_eh_personality, . - rust_eh_personality",
    ".popsection",
);
