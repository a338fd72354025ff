//! The one room that talks to the operating system unsafely: what the process inherited, exec, signals, wait.
//!
//! A program run on aloof must start as if aloof had not been there. The Rust runtime changes three things on the way
//! in (SIGPIPE ignored, closed standard descriptors opened, handlers for stack overflow) and `std::process` two on the
//! way out (signal mask emptied, SIGPIPE reset); `inherited` notes the first and `exec` undoes both.

#![expect(
    unsafe_code,
    reason = "exec, signal masks, wait4 and dispositions have no safe door in std or rustix"
)]

mod exec;
mod inherited;
mod signal;

pub use exec::{Changed, Image, Pid, Usage, spawn, wait};
pub use signal::{Received, Waited, die_by, stop_by};
