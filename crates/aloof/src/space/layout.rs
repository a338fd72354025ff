//! Distances below the base, and the sizes of the tables.

use crate::num::size::*;

/// Bytes of all partitions.
pub const PARTITIONS_BYTES: usize = PARTITIONS << PARTITION_SHIFT;
/// Alignment of the base: the largest region.
pub const BASE_ALIGN: usize = 1 << (REGION_SHIFT as usize + PARTITIONS - 1);
/// Alignment of the base of a narrow space: the largest alignment it serves, 1 GiB.
pub const NARROW_ALIGN: usize = 1 << 30;

/// A readable page of zeros after the last tag: addresses outside partition 0 are looked up there.
const GUARD: usize = 64 << 10;
/// Tags, one `u32` a chunk of partition 0, and the guard.
pub const TAGS_BYTES: usize = CHUNKS * 4 + GUARD;
/// Distance of the tags below the base.
pub const TAGS: usize = TAGS_BYTES;
/// Distance of the table of pools by chunk, one `u32` a chunk.
pub const POOL_OF: usize = TAGS + CHUNKS * 4;
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
