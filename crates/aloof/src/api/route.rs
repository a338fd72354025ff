//! Which tier serves a request, and the ways to it.
//!
//! | request | served by |
//! |---|---|
//! | up to 32 KiB, aligned to at most that | pools |
//! | up to 4 MiB, power of two | chunks of an arena |
//! | up to 256 MiB, other sizes | runs |
//! | up to 256 MiB, power of two | one sub-region |
//! | up to 8 GiB | sub-regions, the size rounded up to a power of two |
//! | more | the OS |
//!
//! A block that grew by realloc beyond 2 MiB takes chunks of 4 MiB, up to 128 MiB. An alignment above what a tier
//! gives makes the size a power of two. If a tier is refused memory the next that can serve the size is asked: smaller
//! partitions, then a mapping of its own.

use super::fast;
use crate::direct::{self, Block, huge};
use crate::heap::common;
use crate::heap::tally::{Tier, count_shared};
use crate::heap::{CACHED_MAX, Front, Heap};
use crate::num::class::SizeClass;
use crate::num::ids::PartitionId;
use crate::num::size::*;
use crate::os::limit::{self, Verdict};
use crate::os::linux::set_errno_no_memory;
use crate::partition;
use crate::space;
use crate::thread::{after_allocation, current, front, with_current, with_heap};

/// What serves a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// A pool of this class.
    Pool(SizeClass),
    /// `2^p` chunks of 64 KiB.
    Chunk(PartitionId),
    /// Units of a run arena of this partition.
    Run(PartitionId),
    /// Sub-regions of this partition, the size rounded up to this.
    Direct(PartitionId, usize),
    /// A mapping.
    Huge,
}

/// Units that a run arena has for a block at least: the smaller the block, the less its last unit is wasted.
const RUN_SHARE_SHIFT: u32 = 3;

/// Partition of the arenas with the largest chunks, in which blocks of a power of two grow beyond [`GROWING_MIN`]: all in
/// one, so that each finds the pages that the one before left.
pub const GROWING: PartitionId = PartitionId((CHUNK_MAX.ilog2() - CHUNK_SHIFT) as u8);
/// Bytes to which they grow elsewhere: at most what a step copies, so that the pages stay there for the next.
pub const GROWING_MIN: usize = 2 << 20;
/// Bytes for which a growing block takes chunks, at most: half of an arena. Where it is it may grow on to the end.
const GROWING_MAX: usize = 128 << 20;

/// The route of a request of `size` >= 1 bytes, aligned to `align` (a power of two).
pub fn route(size: usize, align: usize) -> Route {
    if let Some(class) = SizeClass::of_aligned(size, align) {
        return Route::Pool(class);
    }
    let irregular = !size.is_power_of_two() && align <= 1 << UNIT_SHIFT && size > SMALL_MAX;
    if irregular && size <= RUN_MAX {
        let log = (size - 1).ilog2() + 1 + RUN_SHARE_SHIFT;
        let p = log
            .saturating_sub(SUBREGION_SHIFT)
            .min(PARTITIONS as u32 - 1);
        return Route::Run(PartitionId(p as u8));
    }
    if size > DIRECT_MAX || align > PartitionId(PARTITIONS as u8 - 1).subregion() {
        return Route::Huge;
    }
    let size = size.max(align).next_power_of_two().max(CHUNK);
    if size <= CHUNK_MAX {
        Route::Chunk(PartitionId((size.ilog2() - CHUNK_SHIFT) as u8))
    } else {
        let p = (size.ilog2() - SUBREGION_SHIFT).min(PARTITIONS as u32 - 1);
        Route::Direct(PartitionId(p as u8), size)
    }
}

/// A block of at least `size` bytes aligned to `align`, by its route or, where that is refused, another. A block of
/// units that is `growing` comes from twice as large a sub-region, so that it moves half as often, and one of a power
/// of two from an arena, unless there are whole sub-regions whose pages are there.
fn take(size: usize, align: usize, growing: bool) -> Option<Block> {
    match route(size, align) {
        Route::Pool(class) => with_heap(|heap| heap.take_small(class))
            .flatten()
            .map(|small| Block {
                addr: small.addr,
                bytes: class.size(),
                zeroed: small.zeroed,
            }),
        Route::Chunk(p) => take_chunks(p).or_else(|| take_huge(size, align)),
        Route::Run(p) => {
            let roomy = (p.0 + u8::from(growing)).min(PARTITIONS as u8 - 1);
            take_run(PartitionId(roomy), size).or_else(|| take_huge(size, align))
        }
        Route::Direct(p, rounded) => {
            let chunks = if growing && !partition::has_pending(p) {
                take_growing_chunks(rounded, align)
            } else {
                None
            };
            chunks
                .or_else(|| take_direct(p, size, rounded, align))
                .or_else(|| take_huge(size, align))
        }
        Route::Huge => take_huge(size, align),
    }
}

fn take_chunks(p: PartitionId) -> Option<Block> {
    let own = |p: PartitionId, n| with_heap(|heap| heap.take_chunk_block(p, n)).flatten();
    let whole = || if space::is_narrow() { None } else { own(p, 1) };
    // Without the partition, as many chunks of the first.
    whole().or_else(|| {
        if p.0 == 0 && !space::is_narrow() {
            None
        } else {
            own(PartitionId(0), 1 << p.0)
        }
    })
}

/// Chunks for a growing block of a power of two beyond [`CHUNK_MAX`].
fn take_growing_chunks(size: usize, align: usize) -> Option<Block> {
    if space::is_narrow() || size > GROWING_MAX || align > CHUNK_MAX {
        return None;
    }
    let n = (size >> GROWING.chunk_shift()) as u32;
    with_heap(|heap| heap.take_chunk_block(GROWING, n)).flatten()
}

fn take_run(p: PartitionId, size: usize) -> Option<Block> {
    let in_partition = |p: PartitionId| {
        with_heap(|heap| {
            heap.before_medium(p);
            let fills = || heap.filled_last() == Some(true);
            // In the gate of the heap whose the block is.
            let from = |owner: &Heap| {
                let block = owner.take_run_block(p, size, fills)?;
                heap.judge_filled(block, size);
                Some(block)
            };
            if common::serves(size) {
                from(&common::enter())
            } else {
                from(heap)
            }
        })
        .flatten()
    };
    // Smaller partitions need less memory to be committed at once.
    let runs = (0..=p.0)
        .rev()
        .map(PartitionId)
        .filter(|q| size <= q.subregion() && (q.0 == 0 || !space::is_narrow()));
    runs.into_iter().find_map(in_partition).or_else(|| {
        // What does not fit a sub-region of a narrow space takes several.
        let piece = space::is_narrow() && size > PartitionId(0).subregion();
        if piece {
            counted(direct::take(PartitionId(0), size))
        } else {
            None
        }
    })
}

fn take_direct(p: PartitionId, size: usize, rounded: usize, align: usize) -> Option<Block> {
    if !crate::thread::begin() {
        return None;
    }
    if !space::is_narrow() {
        let block = direct::take(p, rounded)?;
        with_current(|heap| heap.judge_filled(block, size));
        return counted(Some(block));
    }
    let first = PartitionId(0);
    if size > RUN_MAX || align > first.subregion() {
        None
    } else {
        counted(direct::take(first, size))
    }
}

fn counted(block: Option<Block>) -> Option<Block> {
    if let Some(block) = block {
        count_shared(Tier::Direct, 1, block.bytes as i64);
    }
    block
}

fn take_huge(size: usize, align: usize) -> Option<Block> {
    if !crate::thread::begin() {
        return None;
    }
    let block = huge::take(size, align)?;
    count_shared(Tier::Huge, 1, block.bytes as i64);
    Some(block)
}

/// A block of at least `size` bytes aligned to `align`; None, with errno set, if it is refused.
pub fn allocate(size: usize, align: usize) -> Option<Block> {
    allocate_for(size, align, false)
}

/// The same for a large block that has grown, and may again: see [`take`].
pub fn allocate_growing(size: usize, align: usize) -> Option<Block> {
    allocate_for(size, align, true)
}

fn allocate_for(size: usize, align: usize, growing: bool) -> Option<Block> {
    let size = size.max(1);
    let take = || {
        if size > REQUEST_MAX || align > REQUEST_MAX || !is_within_limit(size) {
            None
        } else {
            take(size, align, growing)
        }
    };
    let block = take_cached(size, align)
        .or_else(take)
        .or_else(|| again_slow(size, take));
    after_allocation();
    block
}

/// A block of chunks or of units that was freed before.
#[inline]
fn take_cached(size: usize, align: usize) -> Option<Block> {
    if size > CACHED_MAX {
        return None;
    }
    let (bytes, align) = match route(size, align) {
        Route::Chunk(p) => (1 << p.chunk_shift(), 1 << p.chunk_shift()),
        Route::Run(p) => (align_up(size, 1 << p.unit_shift()), align),
        _ => return None,
    };
    let addr = with_current(|heap| heap.take_cached(bytes, align)).flatten()?;
    Some(Block {
        addr,
        bytes,
        zeroed: false,
    })
}

/// Whether a large request is within the limit of memory. Pools ask when they are made.
fn is_within_limit(size: usize) -> bool {
    size <= SMALL_MAX || has_room_for(size)
}

/// Whether so many bytes more are within the limit, perhaps after all that is free went back.
pub(super) fn has_room_for(bytes: usize) -> bool {
    limit::admit(bytes) == Verdict::Granted || (purge(), limit::admit(bytes)).1 == Verdict::Granted
}

/// A request that was refused, once more after free memory of other sizes went back to the OS; sets errno if it
/// is refused for good.
#[cold]
#[inline(never)]
fn again_slow<T>(size: usize, take: impl FnOnce() -> Option<T>) -> Option<T> {
    let (committed, ..) = partition::committed_bytes();
    let block = if size <= committed.max(SMALL_MAX) {
        purge();
        take()
    } else {
        None
    };
    if block.is_none() {
        set_errno_no_memory();
    }
    block
}

/// See [`purge`](super::raw::purge).
pub fn purge() -> bool {
    with_heap(Heap::purge);
    partition::purge_down_to(0) > 0
}

/// The address of a block, null if there is none.
pub fn pointer(block: Option<Block>) -> *mut u8 {
    block.map_or(core::ptr::null_mut(), |b| {
        core::ptr::with_exposed_provenance_mut(b.addr)
    })
}

/// malloc when the magazine is empty: the slot.
#[cold]
#[inline(never)]
pub fn small_slow(front: &'static Front, class: SizeClass) -> *mut u8 {
    let slot = &front.slots[class.index()];
    match slot.take().or_else(|| front.borrow(class)) {
        Some(small) => core::ptr::with_exposed_provenance_mut(small.addr),
        None => refill_slow(class),
    }
}

/// malloc when the slot is used up as well.
#[cold]
#[inline(never)]
fn refill_slow(class: SizeClass) -> *mut u8 {
    let refill = || with_heap(|heap| heap.refill(class)).flatten();
    let small = refill().or_else(|| again_slow(class.size(), refill));
    after_allocation();
    match small {
        Some(small) => core::ptr::with_exposed_provenance_mut(small.addr),
        None => core::ptr::null_mut(),
    }
}

/// malloc of what no pool serves.
#[cold]
#[inline(never)]
pub fn large_slow(size: usize) -> *mut u8 {
    match with_current(|heap| heap.take_newest(size)).flatten() {
        Some(addr) => {
            after_allocation();
            core::ptr::with_exposed_provenance_mut(addr)
        }
        None => pointer(allocate(size, MIN_ALIGN)),
    }
}

/// free of a small block by its tag alone: one that was lent is of another class than it was asked for by.
///
/// # Safety
/// As for [`super::raw::free`].
#[cold]
#[inline(never)]
pub unsafe fn free_sized_slow(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { fast::free(block) }
}

/// free of what the hot path does not know: first the larger block that was handed out last, or a block of another heap that finds
/// a place here.
#[cold]
#[inline(never)]
pub fn free_slow(addr: usize) {
    let front = front();
    match front.tag_at(addr) {
        None if addr != 0 && with_current(|heap| heap.free_newest(addr)) == Some(true) => {}
        None => free_any_slow(addr),
        Some(tag) if front.take_in(addr, tag) => {}
        Some(_) => free_small_slow(addr),
    }
}

/// free of a block of a pool: mostly another heap's.
#[cold]
#[inline(never)]
fn free_small_slow(addr: usize) {
    if !current().is_some_and(|heap| heap.try_others(addr)) {
        free_any_slow(addr);
    }
}

/// free of any block, by a thread that may have no heap.
#[cold]
#[inline(never)]
fn free_any_slow(addr: usize) {
    if addr != 0 {
        // A thread that gets no heap for want of memory frees by the spare one.
        with_heap(|heap| heap.free(addr));
    }
}

/// free of an own small block when its magazine is full, or when it lies on top already.
#[cold]
#[inline(never)]
pub fn push_slow(addr: usize, class: usize) {
    with_heap(|heap| heap.push_slow(SizeClass(class as u8), addr));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(i: u8) -> PartitionId {
        PartitionId(i)
    }

    #[test]
    fn requests_go_the_way_of_the_table() {
        const K: usize = 1 << 10;
        const M: usize = 1 << 20;
        const G: usize = 1 << 30;
        let cases: &[(usize, usize, Route)] = &[
            (1, 1, Route::Pool(SizeClass(0))),
            (24, 8, Route::Pool(SizeClass(2))),
            (24, 16, Route::Pool(SizeClass(3))),
            (32 * K, 16, Route::Pool(SizeClass(79))),
            (100, 4096, Route::Pool(SizeClass::of(4096))),
            (32 * K + 1, 16, Route::Run(p(0))),
            (64 * K, 16, Route::Chunk(p(0))),
            (128 * K, 16, Route::Chunk(p(1))),
            (100_000, 4096, Route::Run(p(0))),
            (100_000, 8192, Route::Chunk(p(1))),
            (16, 64 * K, Route::Chunk(p(0))),
            (4 * M, 16, Route::Chunk(p(6))),
            (4 * M - 1, 16, Route::Run(p(3))),
            (4 * M + 1, 16, Route::Run(p(4))),
            (8 * M, 16, Route::Direct(p(1), 8 * M)),
            (256 * M, 16, Route::Direct(p(6), 256 * M)),
            (256 * M - 1, 16, Route::Run(p(8))),
            (256 * M + 1, 16, Route::Direct(p(7), 512 * M)),
            (8 * G, 16, Route::Direct(p(8), 8 * G)),
            (8 * G + 1, 16, Route::Huge),
            (1, G, Route::Direct(p(8), G)),
            (1, 2 * G, Route::Huge),
            (3 * M, 16 * M, Route::Direct(p(2), 16 * M)),
        ];
        for &(size, align, expected) in cases {
            assert_eq!(route(size, align), expected, "{size} aligned to {align}");
        }
    }
}
