//! Counting: what each tier handed out, kept by heap and added up by whoever asks.

use super::{Heap, registry};
use crate::num::ids::HeapId;
use crate::os::live;
use crate::partition::{self, decay};
use crate::sync::{AtomicI64, AtomicU64, Ordering, Owned64};

/// Who served a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Tier {
    /// Pools: up to 32 KiB.
    Pool = 0,
    /// Chunks: powers of two up to 4 MiB, and larger ones that grew.
    Chunk = 1,
    /// Runs: other sizes up to 256 MiB.
    Run = 2,
    /// Whole sub-regions: larger powers of two, and all up to 8 GiB.
    Direct = 3,
    /// Mappings of the OS.
    Huge = 4,
}

/// Tiers.
pub const TIERS: usize = 5;
/// A heap reports to the totals when it is this many bytes off.
const STEP: i64 = 256 << 10;

/// A heap's own counts.
#[repr(C)]
pub struct Tally {
    allocations: [Owned64; TIERS],
    /// Blocks and bytes (two's complement) not yet in the totals.
    blocks: [Owned64; TIERS],
    bytes: [Owned64; TIERS],
}

/// Totals of one tier, off by what heaps have not reported.
struct Total {
    allocations: AtomicU64,
    blocks: AtomicI64,
    bytes: AtomicI64,
    peak: AtomicI64,
}

static TOTALS: [Total; TIERS] = [const {
    Total {
        allocations: AtomicU64::new(0),
        blocks: AtomicI64::new(0),
        bytes: AtomicI64::new(0),
        peak: AtomicI64::new(0),
    }
}; TIERS];

/// Sums of one tier.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum {
    /// Blocks handed out so far.
    pub allocations: u64,
    /// Blocks out now.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes there were.
    pub peak: u64,
}

fn report(tier: Tier, blocks: i64, bytes: i64) {
    let total = &TOTALS[tier as usize];
    total.blocks.fetch_add(blocks, Ordering::Relaxed);
    let now = total.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
    total.peak.fetch_max(now, Ordering::Relaxed);
    live::show(|| {
        let live: i64 = TOTALS.iter().map(|t| t.bytes.load(Ordering::Relaxed)).sum();
        [live.max(0) as u64, partition::committed_bytes().0 as u64]
    });
}

/// Counts blocks that no heap owns: handed out if positive.
pub fn count_shared(tier: Tier, blocks: i64, bytes: i64) {
    if blocks > 0 {
        TOTALS[tier as usize]
            .allocations
            .fetch_add(blocks as u64, Ordering::Relaxed);
    }
    report(tier, blocks, bytes);
}

impl Heap {
    /// Counts blocks of a tier: handed out if positive, back if negative.
    #[inline]
    pub(super) fn count(&self, tier: Tier, blocks: i64, bytes: i64) {
        let (t, i) = (&self.tally, tier as usize);
        if blocks > 0 {
            t.allocations[i].add(blocks as u64);
        }
        t.blocks[i].add(blocks as u64);
        t.bytes[i].add(bytes as u64);
        if (t.bytes[i].get() as i64).abs() >= STEP {
            self.report(tier);
        }
    }

    #[cold]
    fn report(&self, tier: Tier) {
        let (t, i) = (&self.tally, tier as usize);
        if (t.bytes[i].get() as i64) < 0 {
            decay::BELL.ring();
        }
        report(tier, t.blocks[i].get() as i64, t.bytes[i].get() as i64);
        t.blocks[i].set(0);
        t.bytes[i].set(0);
    }

    /// Reports all and starts from zero: the heap ends.
    pub(super) fn report_all(&self) {
        for (i, tier) in [Tier::Pool, Tier::Chunk, Tier::Run, Tier::Direct, Tier::Huge]
            .into_iter()
            .enumerate()
        {
            TOTALS[i]
                .allocations
                .fetch_add(self.tally.allocations[i].get(), Ordering::Relaxed);
            self.tally.allocations[i].set(0);
            self.report(tier);
        }
    }
}

/// Sums over the process: totals, and what live heaps have not reported.
pub fn sums() -> [Sum; TIERS] {
    let mut sums = [Sum::default(); TIERS];
    for (i, sum) in sums.iter_mut().enumerate() {
        let total = &TOTALS[i];
        let (mut blocks, mut bytes) = (
            total.blocks.load(Ordering::Relaxed),
            total.bytes.load(Ordering::Relaxed),
        );
        sum.allocations = total.allocations.load(Ordering::Relaxed);
        for id in registry::live() {
            let tally = &Heap::of(id).tally;
            sum.allocations += tally.allocations[i].get();
            blocks += tally.blocks[i].get() as i64;
            bytes += tally.bytes[i].get() as i64;
        }
        sum.blocks = blocks.max(0) as u64;
        sum.bytes = bytes.max(0) as u64;
        sum.peak = total.peak.load(Ordering::Relaxed).max(bytes).max(0) as u64;
    }
    sums
}

/// Blocks and bytes that lie in the caches of live heaps: counted as handed out, but free.
pub fn cached() -> (u64, u64) {
    registry::live()
        .map(|id: HeapId| Heap::of(id).cached())
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}
