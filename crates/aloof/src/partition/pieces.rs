//! Acquiring and releasing pieces in all regions.

use super::decay;
use super::masks::{Claim, Masks};
use super::region::Region;
use super::summary::Summary;
use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::*;
use crate::os::{Os, Refused, System, limit};
use crate::space;
use crate::sync::{AtomicUsize, Lock, Ordering};

static REGION: [Region; REGIONS] = [const { Region::new() }; REGIONS];

/// Levels of free runs: of at least 1, 2, 4, ... 64 sub-regions.
const LEVELS: usize = FANOUT_SHIFT as usize + 1;

/// Where to look in one partition.
struct Index {
    /// Regions with a free run of at least `2^level`.
    free: [Summary<true>; LEVELS],
    /// Regions with something pending.
    pending: Summary<false>,
    /// Regions with something abandoned: arenas, and run arenas.
    abandoned: [Summary<false>; 2],
}

static INDEX: [Index; PARTITIONS] = [const {
    Index {
        free: [const { Summary::new() }; LEVELS],
        pending: Summary::new(),
        abandoned: [const { Summary::new() }; 2],
    }
}; PARTITIONS];

/// Bytes accessible in partitions, and the most there ever were.
static COMMITTED: AtomicUsize = AtomicUsize::new(0);
static PEAK_COMMITTED: AtomicUsize = AtomicUsize::new(0);
/// Bytes of it that are free.
static PENDING: AtomicUsize = AtomicUsize::new(0);

/// Held while pending memory goes back, and over a fork.
pub static PURGES: Lock = Lock::new();

/// A piece just acquired.
#[derive(Clone, Copy)]
pub struct Piece {
    /// Its first sub-region.
    pub first: SubRegionId,
    /// Whether all of it reads as zeros.
    pub zeroed: bool,
}

/// Bytes accessible now, at most so far, and free of those accessible now.
pub fn committed_bytes() -> (usize, usize, usize) {
    (
        COMMITTED.load(Ordering::Relaxed),
        PEAK_COMMITTED.load(Ordering::Relaxed),
        PENDING.load(Ordering::Relaxed),
    )
}

/// Takes and commits `n` (1..=64) neighbouring sub-regions: warm ones first, then the lowest. Finding
/// them costs O(1) in the number of regions. None if the OS refuses or the partition is full.
pub fn acquire(p: PartitionId, n: u32) -> Option<Piece> {
    if n == 1
        && let Some(id) = first_pending(p)
        && let Ok(Some(piece)) = acquire_in(id, n)
    {
        return Some(piece);
    }
    let limit = space::usable_regions(p);
    let k = n.next_power_of_two().ilog2();
    let level = &INDEX[p.0 as usize].free[k as usize];
    let mut from = 0;
    while let Some(i) = level.find(from, limit) {
        from = i;
        match acquire_in(p.region(i), n) {
            Ok(Some(piece)) => return Some(piece),
            Ok(None) => {
                level.clear(i, || {
                    REGION[p.region(i).0 as usize].masks().level() >= Some(k)
                });
                from = i + 1;
            }
            Err(Refused::Occupied) => {}
            Err(Refused::NoMemory) => return None,
        }
    }
    None
}

/// Whether the partition has free sub-regions whose pages may be there. A hint.
pub fn has_pending(p: PartitionId) -> bool {
    first_pending(p).is_some()
}

/// The first region of a partition with something pending. A hint.
fn first_pending(p: PartitionId) -> Option<RegionId> {
    let (pending, limit) = (&INDEX[p.0 as usize].pending, space::usable_regions(p));
    while let Some(i) = pending.find(0, limit) {
        let id = p.region(i);
        let has_some = || REGION[id.0 as usize].masks().pending != 0;
        if has_some() {
            return Some(id);
        }
        // Who took the last of a region left its bit.
        pending.clear(i, has_some);
    }
    None
}

/// Tries one region. `Occupied`: something foreign was found; the region is worth another try.
fn acquire_in(id: RegionId, n: u32) -> Result<Option<Piece>, Refused> {
    match space::make_ready(id) {
        // Something foreign lies where its tables would: the next region may do.
        Err(Refused::Occupied) => return Ok(None),
        made => made?,
    }
    let region = &REGION[id.0 as usize];
    if !space::is_piecewise() {
        region.set_reserved(u64::MAX);
    }
    let Some(claim) = region.try_claim(n, || announce(id)) else {
        return Ok(None);
    };
    if claim.warm != 0 {
        PENDING.fetch_sub(bytes(id, claim.warm), Ordering::Relaxed);
    }
    let Err((why, foreign)) = commit(id, claim) else {
        return Ok(Some(Piece {
            first: id.sub(claim.at),
            zeroed: claim.warm == 0,
        }));
    };
    // What is foreign stays claimed for ever; the rest goes back.
    if claim.warm != 0 {
        retire_warm(id, claim.warm);
    }
    region.retire_cold(claim.fresh() & !foreign, !space::is_piecewise());
    announce(id);
    Err(why)
}

fn bytes(id: RegionId, mask: u64) -> usize {
    mask.count_ones() as usize * id.partition().subregion()
}

/// Contiguous stretches of a mask: bit and length of each.
fn stretches(mut mask: u64) -> impl Iterator<Item = (u32, u32)> {
    core::iter::from_fn(move || {
        let at = (mask != 0).then(|| mask.trailing_zeros())?;
        let n = (!(mask >> at)).trailing_zeros();
        mask &= !bits::run(at, n);
        Some((at, n))
    })
}

/// Makes the fresh part of a claim accessible. On refusal none of it is, and the mask tells where
/// something foreign lies.
fn commit(id: RegionId, claim: Claim) -> Result<(), (Refused, u64)> {
    let size = id.partition().subregion();
    for (at, n) in stretches(claim.fresh()) {
        let (addr, len) = (space::base() + id.sub(at).offset(), n as usize * size);
        let made = if space::is_piecewise() {
            System::map_at(addr, len)
        } else {
            // SAFETY: the claim makes the range ours, and the space is reserved.
            unsafe { System::commit(addr, len) }
        };
        if let Err(why) = made {
            decommit(id, claim.fresh() & bits::low(at));
            return Err((
                why,
                if why == Refused::Occupied {
                    bits::run(at, n)
                } else {
                    0
                },
            ));
        }
    }
    REGION[id.0 as usize].set_reserved(claim.fresh());
    let fresh = bytes(id, claim.fresh());
    let now = COMMITTED.fetch_add(fresh, Ordering::Relaxed) + fresh;
    limit::count_accessible(fresh, 0);
    // What grows will be given back, perhaps by threads that make no other call then.
    decay::BELL.ring();
    PEAK_COMMITTED.fetch_max(now, Ordering::Relaxed);
    Ok(())
}

/// Gives the memory of claimed sub-regions back to the OS; returns those it took.
fn decommit(id: RegionId, mask: u64) -> u64 {
    let size = id.partition().subregion();
    let mut done = 0;
    for (at, n) in stretches(mask) {
        let (addr, len) = (space::base() + id.sub(at).offset(), n as usize * size);
        // SAFETY: the claim makes the range ours, and nothing in it is in use.
        let taken = unsafe {
            if space::is_piecewise() {
                System::unmap(addr, len);
                true
            } else {
                System::decommit(addr, len).is_ok()
            }
        };
        if taken {
            done |= bits::run(at, n);
        }
    }
    done
}

fn retire_warm(id: RegionId, mask: u64) {
    PENDING.fetch_add(bytes(id, mask), Ordering::Relaxed);
    REGION[id.0 as usize].retire_warm(mask);
}

/// Gives claimed memory back to the OS; what the OS does not take stays pending. Returns what it took.
fn retire_cold(id: RegionId, mask: u64) -> u64 {
    let done = decommit(id, mask);
    COMMITTED.fetch_sub(bytes(id, done), Ordering::Relaxed);
    limit::count_accessible(0, bytes(id, done));
    REGION[id.0 as usize].retire_cold(done, !space::is_piecewise());
    if mask & !done != 0 {
        retire_warm(id, mask & !done);
    }
    done
}

/// Gives a piece of `n` sub-regions back. The caller has cleared its descriptors.
pub fn release(first: SubRegionId, n: u32) {
    let (id, mask) = (first.region(), bits::run(first.bit(), n));
    retire_warm(id, mask);
    announce(id);
    decay::step();
}

/// The same for a piece without pages: it is not kept for reuse.
pub fn release_cold(first: SubRegionId, n: u32) {
    let id = first.region();
    retire_cold(id, bits::run(first.bit(), n));
    announce(id);
}

/// Bytes that are free and accessible.
pub fn pending_bytes() -> usize {
    PENDING.load(Ordering::Relaxed)
}

/// Gives pending memory back to the OS until at most `kept` bytes are left, the largest pieces and highest
/// addresses first; returns the bytes given.
pub fn purge_down_to(kept: usize) -> usize {
    // One at a time, so that what another is at is back as well when this returns.
    let _guard = PURGES.lock();
    purge_locked(kept)
}

/// The same, unless somebody is at it: for callers that may be between the handlers of a fork.
pub fn try_purge_down_to(kept: usize) {
    if let Some(_guard) = PURGES.try_lock() {
        purge_locked(kept);
    }
}

fn purge_locked(kept: usize) -> usize {
    let mut given = 0;
    for p in PartitionId::all().rev() {
        let index = &INDEX[p.0 as usize].pending;
        let mut limit = space::usable_regions(p);
        while let Some(i) = index.find_last(limit) {
            let id = p.region(i);
            let region = &REGION[id.0 as usize];
            while pending_bytes() > kept
                && let Some(top) = region.masks().pending.checked_ilog2()
            {
                let mask = region.claim_pending(1 << top);
                PENDING.fetch_sub(bytes(id, mask), Ordering::Relaxed);
                let done = retire_cold(id, mask);
                given += bytes(id, done);
                announce(id);
                if done != mask {
                    return given;
                }
            }
            if pending_bytes() <= kept {
                return given;
            }
            index.clear(i, || region.masks().pending != 0);
            limit = i;
        }
    }
    given
}

/// Tells the summaries what has become free in the region.
fn announce(id: RegionId) {
    let now = REGION[id.0 as usize].masks();
    let index = &INDEX[id.partition().0 as usize];
    if let Some(level) = now.level() {
        index.free[..=level as usize]
            .iter()
            .for_each(|free| free.set(id.index()));
    }
    if now.pending != 0 {
        index.pending.set(id.index());
    }
}

/// The masks of a region.
pub fn masks(id: RegionId) -> Masks {
    REGION[id.0 as usize].masks()
}

/// Asks for huge pages under `n` acquired sub-regions where they have no pages yet, or for small ones again.
pub fn prefer_huge_pages(id: SubRegionId, n: u32, yes: bool) {
    let addr = space::base() + id.offset();
    let len = (n as usize) << id.partition().subregion_shift();
    // SAFETY: the sub-regions are the caller's.
    unsafe { System::prefer_huge_pages(addr, len, yes) };
}

/// Marks an acquired sub-region as in a heap's hands.
pub fn activate(id: SubRegionId) {
    REGION[id.region().0 as usize].activate(id.bit());
}

/// Offers a sub-region for adoption, by those who look for `runs` or for others; the caller has given up all it knows
/// of it.
pub fn abandon(id: SubRegionId, runs: bool) {
    REGION[id.region().0 as usize].abandon(id.bit());
    INDEX[id.partition().0 as usize].abandoned[usize::from(runs)].set(id.region().index());
}

/// Adopts a certain sub-region, if it is abandoned and nobody else is faster.
pub fn adopt(id: SubRegionId) -> bool {
    REGION[id.region().0 as usize].adopt(id.bit())
}

/// Adopts the lowest abandoned sub-region of a partition that was abandoned with `runs`, as `is_runs` tells, and is not
/// too full, as `has_room` tells. Between the look and the adoption it may have become of the other kind: the caller asks again.
pub fn adopt_any(
    p: PartitionId,
    runs: bool,
    is_runs: impl Fn(SubRegionId) -> bool,
    has_room: impl Fn(SubRegionId) -> bool,
) -> Option<SubRegionId> {
    let index = &INDEX[p.0 as usize].abandoned[usize::from(runs)];
    let limit = space::usable_regions(p);
    let mut from = 0;
    while let Some(i) = index.find(from, limit) {
        let id = p.region(i);
        let region = &REGION[id.0 as usize];
        let wanted = || {
            let mask = region.masks().abandoned;
            (0..FANOUT as u32)
                .filter(move |bit| mask >> bit & 1 != 0)
                .filter(|&bit| is_runs(id.sub(bit)) == runs)
        };
        if let Some(bit) = wanted().find(|&bit| has_room(id.sub(bit)) && region.adopt(bit)) {
            return Some(id.sub(bit));
        }
        index.clear(i, || wanted().next().is_some());
        from = i + 1;
    }
    None
}

/// The first abandoned sub-region of a partition from this number on.
pub fn next_abandoned(p: PartitionId, from: u32) -> Option<SubRegionId> {
    let limit = space::usable_regions(p);
    let first = p.region(0).sub(0).0;
    let start = from.max(first);
    let mut i = (start - first) as usize / FANOUT;
    let mut mask = u64::MAX << (start % FANOUT as u32);
    while i < limit {
        let id = p.region(i);
        let found = masks(id).abandoned & mask;
        if found != 0 {
            return Some(id.sub(found.trailing_zeros()));
        }
        mask = u64::MAX;
        let next = |kind: usize| INDEX[p.0 as usize].abandoned[kind].find(i + 1, limit);
        i = [next(0), next(1)].into_iter().flatten().min()?;
    }
    None
}

/// Every sub-region in a heap's hands.
pub fn active() -> impl Iterator<Item = SubRegionId> {
    PartitionId::all().flat_map(|p| {
        (0..space::usable_regions(p))
            .filter(move |&i| space::is_ready(p.region(i)))
            .flat_map(move |i| {
                let id = p.region(i);
                let mask = masks(id).active;
                (0..FANOUT as u32)
                    .filter(move |bit| mask >> bit & 1 != 0)
                    .map(move |bit| id.sub(bit))
            })
    })
}
