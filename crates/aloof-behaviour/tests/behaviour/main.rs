//! One program for all behaviours: linking is what takes long.

mod blocks;
mod cxx;
mod deaths;
mod first_call;
mod library;
mod process;
mod rules;
mod threads;

/// The address space of `ulimit -v 524288`.
const SMALL: u64 = 524_288 << 10;
