//! Distances below the base, and the sizes of the tables.

use crate::num::size::*;

/// Bytes of all partitions.
pub const PARTITIONS_BYTES: usize = PARTITIONS << PARTITION_SHIFT;
/// Alignment of the base: the largest region.
pub const BASE_ALIGN: usize = 1 << (REGION_SHIFT as usize + PARTITIONS - 1);
/// Alignment of the base of a narrow space: the largest alignment it serves, 1 GiB.
pub const NARROW_ALIGN: usize = 1 << 30;

/// Bits of an address by which its tag is found: all that are not the same in every address of a process.
const ADDRESS_BITS: u32 = 48;
/// Chunks of all addresses, less one: the index of an address's tag is a part of the address.
pub const MAP_MASK: usize = (1 << (ADDRESS_BITS - CHUNK_SHIFT)) - 1;
/// Tags of all addresses, one `u32` a chunk. Those that are not of partition 0 are never written.
pub const MAP_BYTES: usize = (MAP_MASK + 1) * 4;
/// Distance of the tags of all addresses below the base. Their end guards the tables against what comes from the base.
pub const MAP: usize = MAP_BYTES;
/// Bytes of the tags of partition 0.
pub const TAGS_BYTES: usize = CHUNKS * 4;
/// In a piecewise space the tags are found by this part of a chunk: addresses a multiple of 1 TiB apart have one tag.
pub const PIECEWISE_MASK: usize = CHUNKS - 1;
/// Distance of these below the base, a guard behind them.
pub const PIECEWISE_TAGS: usize = TAGS_BYTES + (64 << 10);
/// Distance of the table of pools by chunk, one `u32` a chunk.
pub const POOL_OF: usize = MAP + CHUNKS * 4;
/// Bytes of a sub-region's descriptor.
pub const SUBREGION_BYTES: usize = 512;
/// Distance of the sub-region descriptors.
pub const SUBS: usize = POOL_OF + SUBREGIONS * SUBREGION_BYTES;
/// Bytes of a unit of pool descriptors: a cache line.
pub const UNIT_BYTES: usize = 64;
/// Units of pool descriptors.
pub const UNITS_MAX: usize = 1 << 28;
/// Distance of the remote halves of pool descriptors.
pub const POOL_REMOTE: usize = SUBS + UNITS_MAX * UNIT_BYTES;
/// Distance of the pool descriptors.
pub const POOL_OWN: usize = POOL_REMOTE + UNITS_MAX * UNIT_BYTES;
/// Bytes of a heap record.
pub const HEAP_BYTES: usize = 192 << 10;
/// Distance of the heap records.
pub const HEAPS_AT: usize = POOL_OWN + HEAPS * HEAP_BYTES;
/// Bytes below the base.
pub const BELOW: usize = HEAPS_AT;

const _: () = assert!(SUBS.is_multiple_of(SUBREGION_BYTES));
const _: () = assert!(POOL_OWN.is_multiple_of(UNIT_BYTES));
const _: () = assert!(HEAPS_AT.is_multiple_of(64 << 10));
