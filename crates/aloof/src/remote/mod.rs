//! Frees by threads that do not own the block: remote words, and how the owner hears of them.
//!
//! A **node** is what has an owner and remote words: a pool, or a sub-region cut in chunks or units.
//! Any thread posts to a node; its owner collects. State, all atomic ([`RemoteHead`] and the words):
//!
//! 1. *post*: the freer sets the block's bit in a word; then, in one step on the node's state, it marks the
//!    word's group, lists the node and adds the block to the count of those posted. Whoever finds the node
//!    not listed pushes it on its owner's [`Inbox`] ([`settle`](protocol::settle)).
//! 2. *collect*: the owner takes its whole inbox, clears `listed` and takes groups and words.
//! 3. *release*: a node whose blocks are all free may be dissolved when the count equals what was
//!    collected (no freer is between its two steps) and it is not listed (no list links to it).
//! 4. *exit*: the owner closes its inbox, collects, and gives its nodes up: pools to the common heap, sub-regions to nobody
//!    (owner 0). Nobody pushes to a closed inbox or to nobody: whoever becomes the owner collects the node.
//!
//! A freer reads the owner after its step on the state, an adopter takes the groups after it became the
//! owner, both by read-modify-write: so one of them sees the other, and no post is forgotten.

mod inbox;
#[cfg(all(test, loom))]
mod models;
mod protocol;

pub(crate) use inbox::Inbox;
pub(crate) use protocol::{Node, RemoteHead, World, collect, post, unlist};
