//! Sizes of partitions, regions, sub-regions and chunks. Partition `p` scales each by `2^p`.

/// Partitions of the address space, each with its own piece sizes.
pub const PARTITIONS: usize = 9;
/// log2 of the bytes of a partition: 1 TiB.
pub const PARTITION_SHIFT: u32 = 40;
/// log2 of the bytes of a sub-region of partition 0: 4 MiB.
pub const SUBREGION_SHIFT: u32 = 22;
/// log2 of the bytes of a chunk of partition 0: 64 KiB.
pub const CHUNK_SHIFT: u32 = 16;
/// log2 of the sub-regions of a region, of the chunks of a sub-region and of the bits of a mask.
pub const FANOUT_SHIFT: u32 = 6;
/// Sub-regions of a region, chunks of a sub-region, bits of a mask.
pub const FANOUT: usize = 1 << FANOUT_SHIFT;
/// log2 of the bytes of a region of partition 0: 256 MiB.
pub const REGION_SHIFT: u32 = SUBREGION_SHIFT + FANOUT_SHIFT;
/// Chunks of partition 0, the only partition with pools.
pub const CHUNKS: usize = 1 << (PARTITION_SHIFT - CHUNK_SHIFT);
/// Regions of partition 0.
pub const REGIONS_0: usize = 1 << (PARTITION_SHIFT - REGION_SHIFT);
/// Regions of all partitions: 4096 + 2048 + ... + 16.
pub const REGIONS: usize = 2 * REGIONS_0 - (REGIONS_0 >> (PARTITIONS - 1));
/// Sub-regions of all partitions.
pub const SUBREGIONS: usize = REGIONS * FANOUT;

/// Bytes of a huge page of the system.
pub const HUGE_PAGE: usize = 2 << 20;
/// Bytes from which blocks that grow, and are filled, get huge pages: the unused part of the last is an eighth at most.
pub const GROWN_HUGE: usize = 16 << 20;
/// Bytes of a chunk of partition 0.
pub const CHUNK: usize = 1 << CHUNK_SHIFT;
/// Largest request served by pools.
pub const SMALL_MAX: usize = 32 << 10;
/// Largest request served by chunks when it is a power of two.
pub const CHUNK_MAX: usize = 4 << 20;
/// Largest request served by runs, or by one sub-region when it is a power of two.
pub const RUN_MAX: usize = 256 << 20;
/// Largest request served by the partitions; larger ones go to the OS.
pub const DIRECT_MAX: usize = 8 << 30;
/// Largest request at all.
pub const REQUEST_MAX: usize = isize::MAX as usize;
/// Alignment of every block of 16 bytes and more on the C door.
pub const MIN_ALIGN: usize = 16;

/// log2 of the units of a run arena.
pub const UNITS_SHIFT: u32 = 10;
/// Units of a run arena: a sub-region cut in 1024.
pub const UNITS: usize = 1 << UNITS_SHIFT;
/// log2 of the bytes of a unit in partition 0.
pub const UNIT_SHIFT: u32 = SUBREGION_SHIFT - UNITS_SHIFT;
/// Words of 64 bits that describe the units of a run arena.
pub const UNIT_WORDS: usize = UNITS / 64;

/// Blocks described by one word of a pool.
pub const WORD_BLOCKS: usize = 64;
/// Words of a pool at most: one summary word describes them.
pub const POOL_WORDS: usize = 64;
/// Blocks of a pool at most.
pub const POOL_BLOCKS: usize = WORD_BLOCKS * POOL_WORDS;

/// Heap records at most, and so threads that have one at the same time, but for those of nobody, the common heap, the spare one and
/// the last.
pub const HEAPS: usize = 1 << 19;

const _: () = assert!(REGIONS == 8176);
const _: () = assert!(REGION_SHIFT == 28);
const _: () = assert!(UNIT_SHIFT == 12);
const _: () = assert!(CHUNK_MAX == CHUNK << 6);

/// The smallest multiple of `align` (a power of two) not below `n`; wraps at the top of the address space.
pub const fn align_up(n: usize, align: usize) -> usize {
    n.wrapping_add(align - 1) & !(align - 1)
}

/// The largest multiple of `align` (a power of two) not above `n`.
pub const fn align_down(n: usize, align: usize) -> usize {
    n & !(align - 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn alignment_rounds_both_ways() {
        for align in [1, 2, 16, 4096, 1 << 30] {
            for n in [0, 1, align - 1, align, align + 1, 3 * align + align / 2] {
                let (down, up) = (align_down(n, align), align_up(n, align));
                assert!(down <= n && n <= up && up - down <= align);
                assert_eq!((down % align, up % align), (0, 0));
                assert_eq!(up == down, n % align == 0);
            }
        }
    }
}
