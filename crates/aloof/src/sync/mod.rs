//! The one door to atomics: `core` in the product, `loom` under `--cfg loom`.
//!
//! Which word is written by whom, and what each ordering publishes, is listed in
//! `docs/concurrency.md`.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
    fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
mod errno;
#[cfg(not(loom))]
pub(crate) use errno::keep_errno;
mod gate;
pub(crate) use gate::Gate;
#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
pub(crate) use bell::Bell;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
pub(crate) use lock::{Guard, Lock};
#[cfg(not(loom))]
mod owned;
#[cfg(not(loom))]
pub(crate) use owned::{Owned8, Owned32, Owned64, OwnedPtr, OwnedSize, Private};
