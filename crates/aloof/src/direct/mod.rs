//! Blocks without an owner: whole sub-regions straight from the partitions, and mappings of the OS.
//!
//! A direct block is a piece of sub-regions; its first descriptor says so and holds their number. Any
//! thread frees it, by compare-and-swap on the kind. Huge blocks ([`huge`]) are mappings of their own.

pub(crate) mod huge;

use crate::num::ids::*;
use crate::num::size::align_up;
use crate::partition;
use crate::space;
use crate::sub::{Kind, SubRegion};

/// A block just taken: its address, and whether it reads as zeros.
#[derive(Clone, Copy)]
pub struct Block {
    /// Address of the first byte.
    pub addr: usize,
    /// Bytes of it.
    pub bytes: usize,
    /// Whether all of it reads as zeros.
    pub zeroed: bool,
}

/// Takes a piece of at least `size` bytes from a partition, aligned to its sub-region.
pub fn take(p: PartitionId, size: usize) -> Option<Block> {
    let bytes = align_up(size, p.subregion());
    let n = (bytes >> p.subregion_shift()) as u32;
    let piece = partition::acquire(p, n)?;
    let sub = SubRegion::of(piece.first);
    sub.reset();
    sub.joined.set(n.into());
    sub.set_owner(HeapId::NONE);
    sub.set_kind(Kind::Direct);
    Some(Block {
        addr: space::base() + piece.first.offset(),
        bytes,
        zeroed: piece.zeroed,
    })
}

/// Bytes of the direct block that starts with this sub-region.
pub fn bytes(id: SubRegionId, sub: &SubRegion) -> usize {
    (sub.joined.get() as usize) << id.partition().subregion_shift()
}

/// Frees a direct block; its bytes, or none if another thread was faster. `emptied`: its pages were moved away.
pub fn give(id: SubRegionId, sub: &SubRegion, emptied: bool) -> Option<usize> {
    let n = sub.joined.get() as u32;
    let bytes = bytes(id, sub);
    sub.end_direct().then(|| {
        if sub.asks_for_huge_pages() {
            // Who has it next may touch it here and there.
            partition::prefer_huge_pages(id, n, false);
        }
        if emptied {
            partition::release_cold(id, n);
        } else {
            partition::release(id, n);
        }
        bytes
    })
}
