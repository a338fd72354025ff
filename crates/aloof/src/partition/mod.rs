//! The backend: pieces of 1..=64 sub-regions, taken and given by compare-and-swap.
//!
//! State: the masks of every region ([`region`], legal steps in [`masks`]) and summaries of where to
//! look ([`summary`]). Any thread writes any of it; a sub-region belongs to whoever claimed its bit.
//! Memory comes from the OS when a fresh sub-region is claimed and goes back by [`decay`].

pub(crate) mod masks;
pub(crate) mod region;
pub(crate) mod summary;

#[cfg(not(loom))]
pub(crate) mod decay;
#[cfg(not(loom))]
mod pieces;
#[cfg(not(loom))]
pub(crate) use pieces::*;
