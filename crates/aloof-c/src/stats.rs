//! The statistics as C sees them: `aloof_stats_t` of `include/aloof.h`. The only place that reads the core's `Stats`.

use core_aloof::raw;

/// What one tier serves.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Tier {
    pub(crate) allocations: u64,
    pub(crate) live_bytes: u64,
    pub(crate) peak_bytes: u64,
}

/// Field by field the `aloof_stats_t` of the header; fields are only ever added at the end.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
    pub(crate) committed_bytes: u64,
    pub(crate) peak_committed_bytes: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) cached_bytes: u64,
    pub(crate) reserved_bytes: u64,
    pub(crate) metadata_bytes: u64,
    pub(crate) threads_started: u64,
    pub(crate) threads_peak: u64,
    pub(crate) tiers: [Tier; TIERS],
}

pub(crate) const TIERS: usize = 5;

/// The tiers' names, in the order of `Totals::tiers`.
pub(crate) const TIER_NAMES: [&str; TIERS] = ["pool", "chunk", "run", "direct", "huge"];

/// The index of the tier that the system itself serves.
pub(crate) const HUGE: usize = 4;

pub(crate) fn gather() -> Totals {
    let stats = raw::stats();
    Totals {
        live_bytes: stats.live_bytes,
        live_blocks: stats.live_blocks,
        committed_bytes: stats.committed_bytes,
        peak_committed_bytes: stats.peak_committed_bytes,
        pending_bytes: stats.pending_bytes,
        cached_bytes: stats.cached_bytes,
        reserved_bytes: stats.reserved_bytes,
        metadata_bytes: stats.metadata_bytes,
        threads_started: stats.threads_started,
        threads_peak: stats.threads_peak,
        tiers: stats.tiers.map(|tier| Tier {
            allocations: tier.allocations,
            live_bytes: tier.bytes,
            peak_bytes: tier.peak,
        }),
    }
}
