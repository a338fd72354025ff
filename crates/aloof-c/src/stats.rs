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
        live_bytes: stats.live_bytes as u64,
        committed_bytes: stats.committed_bytes as u64,
        metadata_bytes: stats.metadata_bytes as u64,
        ..Totals::default()
    }
}
