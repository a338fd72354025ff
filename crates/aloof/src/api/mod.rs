//! The doors: C-like functions ([`raw`]) and Rust's global allocator ([`global`]).
//!
//! [`fast`] is what nearly all calls run; [`route`] decides which tier serves a request that the magazine
//! does not; [`resize`] is realloc; [`config`] holds a Rust program's settings.

mod config;
mod fast;
mod global;
pub mod raw;
mod resize;
mod route;

pub use config::{Config, Configured};
pub use global::Aloof;
