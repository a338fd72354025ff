//! Indices as types, and the address arithmetic between them. All offsets are from the base of partition 0.

use super::size::*;

/// A partition, 0..9.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartitionId(pub u8);

/// A region, numbered through all partitions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RegionId(pub u32);

/// A sub-region, numbered through all partitions: region * 64 + bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SubRegionId(pub u32);

/// A chunk of partition 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ChunkId(pub u32);

/// A thread heap; 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeapId(pub u32);

/// A pool, by the place of its descriptor; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolId(pub u32);

impl HeapId {
    /// Nobody: orphaned memory.
    pub const NONE: HeapId = HeapId(0);
    /// The heap that all threads use in turn; the first there is.
    pub const COMMON: HeapId = HeapId(1);
}

impl PoolId {
    /// No pool.
    pub const NONE: PoolId = PoolId(0);

    /// Whether there is a pool.
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

impl PartitionId {
    /// All nine.
    pub fn all() -> impl DoubleEndedIterator<Item = PartitionId> {
        (0..PARTITIONS as u8).map(PartitionId)
    }

    /// log2 of the bytes of a region.
    pub const fn region_shift(self) -> u32 {
        REGION_SHIFT + self.0 as u32
    }

    /// log2 of the bytes of a sub-region.
    pub const fn subregion_shift(self) -> u32 {
        SUBREGION_SHIFT + self.0 as u32
    }

    /// Bytes of a sub-region.
    pub const fn subregion(self) -> usize {
        1 << self.subregion_shift()
    }

    /// log2 of the bytes of a chunk.
    pub const fn chunk_shift(self) -> u32 {
        CHUNK_SHIFT + self.0 as u32
    }

    /// log2 of the bytes of a unit of a run arena.
    pub const fn unit_shift(self) -> u32 {
        UNIT_SHIFT + self.0 as u32
    }

    /// Regions of this partition.
    pub const fn regions(self) -> usize {
        REGIONS_0 >> self.0
    }

    /// The first region of this partition: those of the partitions before it are 4096 + 2048 + ...
    pub const fn first_region(self) -> u32 {
        (2 * REGIONS_0 - ((2 * REGIONS_0) >> self.0)) as u32
    }

    /// The region `index` of this partition.
    pub const fn region(self, index: usize) -> RegionId {
        RegionId(self.first_region() + index as u32)
    }
}

impl RegionId {
    /// The partition the region is of: the one whose numbers it falls in.
    pub const fn partition(self) -> PartitionId {
        // Partition p starts at 8192 - 8192 >> p, so the distance to 8192 tells p.
        let left = (2 * REGIONS_0) as u32 - self.0 - 1;
        PartitionId((2 * REGIONS_0).trailing_zeros() as u8 - 1 - left.ilog2() as u8)
    }

    /// Place of the region within its partition.
    pub const fn index(self) -> usize {
        (self.0 - self.partition().first_region()) as usize
    }

    /// Offset of the region from the base.
    pub const fn offset(self) -> usize {
        let p = self.partition();
        ((p.0 as usize) << PARTITION_SHIFT) + (self.index() << p.region_shift())
    }

    /// Its sub-region at `bit`.
    pub const fn sub(self, bit: u32) -> SubRegionId {
        SubRegionId(self.0 << FANOUT_SHIFT | bit)
    }
}

impl SubRegionId {
    /// The region it is of.
    pub const fn region(self) -> RegionId {
        RegionId(self.0 >> FANOUT_SHIFT)
    }

    /// Its bit in the masks of the region.
    pub const fn bit(self) -> u32 {
        self.0 & (FANOUT as u32 - 1)
    }

    /// The partition it is of.
    pub const fn partition(self) -> PartitionId {
        self.region().partition()
    }

    /// Offset from the base.
    pub const fn offset(self) -> usize {
        self.region().offset() + ((self.bit() as usize) << self.partition().subregion_shift())
    }

    /// The sub-region that holds the byte at `offset`, if any partition does.
    pub const fn at(offset: usize) -> Option<SubRegionId> {
        let p = offset >> PARTITION_SHIFT;
        if p >= PARTITIONS {
            return None;
        }
        let p = PartitionId(p as u8);
        let within = offset & ((1 << PARTITION_SHIFT) - 1);
        Some(SubRegionId(
            (p.first_region() << FANOUT_SHIFT) + (within >> p.subregion_shift()) as u32,
        ))
    }

    /// For a sub-region of partition 0, its first chunk.
    pub const fn first_chunk(self) -> ChunkId {
        ChunkId(self.0 << FANOUT_SHIFT)
    }
}

impl ChunkId {
    /// The chunk of partition 0 that holds the byte at `offset`, or at one a multiple of 1 TiB from it: always a chunk.
    pub const fn at(offset: usize) -> ChunkId {
        ChunkId((offset >> CHUNK_SHIFT & (CHUNKS - 1)) as u32)
    }

    /// Offset from the base.
    pub const fn offset(self) -> usize {
        (self.0 as usize) << CHUNK_SHIFT
    }

    /// The sub-region of partition 0 it is of.
    pub const fn subregion(self) -> SubRegionId {
        SubRegionId(self.0 >> FANOUT_SHIFT)
    }

    /// Its bit in the masks of the sub-region.
    pub const fn bit(self) -> u32 {
        self.0 & (FANOUT as u32 - 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_region_lies_in_its_partition_after_the_one_before() {
        let mut next = 0;
        for p in PartitionId::all() {
            assert_eq!(p.first_region(), next);
            for i in 0..p.regions() {
                let r = p.region(i);
                assert_eq!((r.partition(), r.index()), (p, i));
                assert_eq!(r.offset(), ((p.0 as usize) << 40) + i * (256 << 20 << p.0));
            }
            next += p.regions() as u32;
        }
        assert_eq!(next as usize, REGIONS);
    }

    #[test]
    fn a_sub_region_is_found_from_any_byte_of_it() {
        for r in (0..REGIONS as u32).step_by(7).map(RegionId) {
            for bit in [0, 1, 31, 63] {
                let s = r.sub(bit);
                let size = s.partition().subregion();
                for offset in [s.offset(), s.offset() + size / 2, s.offset() + size - 1] {
                    assert_eq!(SubRegionId::at(offset), Some(s));
                }
            }
        }
        assert_eq!(SubRegionId::at(PARTITIONS << PARTITION_SHIFT), None);
        assert_eq!(SubRegionId::at(usize::MAX), None);
        let c = SubRegionId(5).first_chunk();
        assert_eq!(
            (c.subregion(), c.bit(), c.offset()),
            (SubRegionId(5), 0, SubRegionId(5).offset())
        );
    }
}
