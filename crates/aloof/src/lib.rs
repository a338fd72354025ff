//! # aloof
//!
//! A general-purpose memory allocator that never touches the memory it hands out: no header, no link, no
//! tag lies in a block. All state is in side tables found by arithmetic on the address.
//!
//! ```
//! #[global_allocator]
//! static GLOBAL: aloof::Aloof = aloof::Aloof;
//! # fn main() { assert_eq!(vec![1; 1000].iter().sum::<i32>(), 1000) }
//! ```
//!
//! For speed the program is best built with `codegen-units = 1`; with `lto = "fat"` dependencies get the
//! inlined paths too. Linux x86-64 with glibc is the platform it is tested on.
//!
//! ## The rooms
//!
//! A request flows one way: [`Aloof`] or [`raw`] -> `thread` (whose heap) -> `heap` (caches) -> `pool`, `arena`, `run`,
//! `direct` (tiers) -> `sub` (descriptors), `remote` (frees by others) -> `partition` (masks) -> `space` (addresses) ->
//! `os`. Each names only those after it. `num` and `sync` serve all.

#![cfg_attr(not(any(test, loom)), no_std)]

pub(crate) mod num;
pub(crate) mod partition;
pub(crate) mod remote;
pub(crate) mod sync;

#[cfg(not(loom))]
mod product {
    pub use super::api::{Aloof, Config, Configured, raw};
    pub use super::heap::tally::{Sum, Tier};
    pub use super::os::limit::OnSoftLimit;
    pub use super::os::options::Setting;
    pub use super::stats::Stats;
}
#[cfg(not(loom))]
pub use product::*;

#[cfg(not(loom))]
mod api;
#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod direct;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod os;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod space;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod sub;
#[cfg(not(loom))]
mod thread;

#[cfg(all(feature = "fake-os", not(loom)))]
pub use os::fake;
