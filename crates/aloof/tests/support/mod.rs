//! What the integration tests share.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file is a crate of its own and uses a part"
)]

pub mod block;
pub mod child;
pub mod errno;
pub mod memory;
pub mod pattern;
pub mod plain;
pub mod random;

pub use block::Block;
pub use random::Random;

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;
pub const GIB: usize = 1 << 30;

/// Runs `f` on a thread of its own, to that one's very end.
pub fn on_a_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(f).join().expect("the thread does not panic"))
}
