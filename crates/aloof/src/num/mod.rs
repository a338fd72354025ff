//! Every number and every index of the allocator.
//!
//! Sizes and shifts ([`size`]), the table of size classes ([`class`]), indices as types ([`ids`])
//! arithmetic on 64-bit masks ([`bits`]) and on rows of addresses ([`series`]). Nothing here holds state.

pub(crate) mod bits;
pub(crate) mod class;
pub(crate) mod ids;
pub(crate) mod series;
pub(crate) mod size;
