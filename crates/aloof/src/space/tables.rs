//! The tables below the base: the one file that turns an index into the address of its record.

use core::ptr;

use super::{LOCK, MAP, MASK, TAGS, base, commit_table, layout};
use crate::num::ids::*;
use crate::num::size::*;
use crate::os::{Os, Refused, System};
use crate::sync::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// By region: the steps of [`make_ready`] that succeeded, or [`IS_READY`] when its descriptors are accessible; written
/// under the lock.
static READY: [AtomicU8; REGIONS] = [const { AtomicU8::new(0) }; REGIONS];
const IS_READY: u8 = u8::MAX;
/// Units of pool descriptors that are accessible; written under the lock.
static UNITS_READY: AtomicU32 = AtomicU32::new(0);
/// Bytes of tables made accessible.
static METADATA: AtomicUsize = AtomicUsize::new(0);
/// Units made accessible at once.
const UNITS_STEP: u32 = ((64 << 10) / layout::UNIT_BYTES) as u32;

/// Bytes of tables made accessible so far (what is resident is less).
pub fn metadata_bytes() -> usize {
    METADATA.load(Ordering::Relaxed)
}

fn below<T>(distance: usize, index: usize, stride: usize) -> *mut T {
    ptr::with_exposed_provenance_mut(base() - distance + index * stride)
}

/// Where the hot paths find tags.
#[derive(Clone, Copy)]
pub struct Tags {
    /// Of any address: at its chunk, masked.
    pub all: *const AtomicU32,
    /// See `all`.
    pub mask: usize,
    /// Of an address in partition 0: at its chunk.
    pub own: *const AtomicU32,
}

/// The tables of tags.
pub fn tags() -> Tags {
    let table = |addr: usize| ptr::with_exposed_provenance::<AtomicU32>(addr);
    Tags {
        all: table(MAP.load(Ordering::Relaxed)),
        mask: MASK.load(Ordering::Relaxed),
        own: table(TAGS.load(Ordering::Relaxed)).wrapping_sub(base() >> CHUNK_SHIFT),
    }
}

/// The tag of a chunk.
#[inline(always)]
pub fn tag(chunk: ChunkId) -> &'static AtomicU32 {
    // SAFETY: tags of all chunks that may be used are readable from the start, and writable once their region is ready.
    unsafe { &*ptr::with_exposed_provenance(TAGS.load(Ordering::Relaxed) + chunk.0 as usize * 4) }
}

/// Pool of a chunk: `id << 3 | distance from the pool's first chunk`; its region must be ready.
#[inline(always)]
pub fn pool_of(chunk: ChunkId) -> &'static AtomicU32 {
    // SAFETY: the caller knows the region to be ready, so the entry is accessible.
    unsafe { &*below::<AtomicU32>(layout::POOL_OF, chunk.0 as usize, 4) }
}

/// The descriptor of a sub-region, [`layout::SUBREGION_BYTES`] long; its region must be ready.
#[inline(always)]
pub fn subregion<T>(id: SubRegionId) -> *mut T {
    below(layout::SUBS, id.0 as usize, layout::SUBREGION_BYTES)
}

/// The owner's half of a pool descriptor.
#[inline(always)]
pub fn pool_own<T>(id: PoolId) -> *mut T {
    below(layout::POOL_OWN, id.0 as usize, layout::UNIT_BYTES)
}

/// The other threads' half of a pool descriptor.
#[inline(always)]
pub fn pool_remote<T>(id: PoolId) -> *mut T {
    below(layout::POOL_REMOTE, id.0 as usize, layout::UNIT_BYTES)
}

/// The record of a heap, [`layout::HEAP_BYTES`] long.
#[inline(always)]
pub fn heap<T>(id: HeapId) -> *mut T {
    below(layout::HEAPS_AT, id.0 as usize, layout::HEAP_BYTES)
}

/// Whether the descriptors of a region are accessible.
#[inline(always)]
pub fn is_ready(region: RegionId) -> bool {
    // Acquire: pairs with the release in make_ready, after the tables were made accessible.
    READY[region.0 as usize].load(Ordering::Acquire) == IS_READY
}

/// Makes the descriptors of a region accessible.
pub fn make_ready(region: RegionId) -> Result<(), Refused> {
    if is_ready(region) {
        return Ok(());
    }
    let _guard = LOCK.lock();
    if is_ready(region) {
        return Ok(());
    }
    // Each step is remembered, so that a refusal half way is taken up again later.
    let steps: [(usize, usize); 3] = [
        (
            base() - layout::SUBS + region.0 as usize * FANOUT * layout::SUBREGION_BYTES,
            FANOUT * layout::SUBREGION_BYTES,
        ),
        (
            base() - layout::POOL_OF + region.0 as usize * FANOUT * FANOUT * 4,
            FANOUT * FANOUT * 4,
        ),
        (
            TAGS.load(Ordering::Relaxed) + region.0 as usize * FANOUT * FANOUT * 4,
            FANOUT * FANOUT * 4,
        ),
    ];
    let only_subs = region.partition().0 != 0;
    let ready = &READY[region.0 as usize];
    let done = ready.load(Ordering::Relaxed);
    for (i, &(addr, len)) in steps.iter().enumerate() {
        if i < usize::from(done) || (only_subs && i > 0) {
            continue;
        }
        if i == 2 {
            commit_tags(addr, len)?;
        } else {
            commit_table(addr, len)?;
        }
        METADATA.fetch_add(len, Ordering::Relaxed);
        ready.store(i as u8 + 1, Ordering::Relaxed);
    }
    ready.store(IS_READY, Ordering::Release);
    Ok(())
}

/// Tags are readable already; they become writable.
fn commit_tags(addr: usize, len: usize) -> Result<(), Refused> {
    let page = System::page_size();
    let (start, end) = (align_down(addr, page), align_up(addr + len, page));
    // SAFETY: the tags are mapped in every mode.
    unsafe { System::commit(start, end - start) }
}

/// Makes pool descriptors accessible up to unit `end`; false if the OS refuses or the table ends.
pub fn make_units_ready(end: u32) -> bool {
    // Acquire: pairs with the release below.
    if end <= UNITS_READY.load(Ordering::Acquire) {
        return true;
    }
    let _guard = LOCK.lock();
    loop {
        let have = UNITS_READY.load(Ordering::Relaxed);
        if end <= have {
            return true;
        }
        if (have + UNITS_STEP) as usize > layout::UNITS_MAX {
            return false;
        }
        let (at, len) = (
            have as usize * layout::UNIT_BYTES,
            UNITS_STEP as usize * layout::UNIT_BYTES,
        );
        // The remote half first: its success is remembered by its own counter.
        if REMOTE_READY.load(Ordering::Relaxed) == have {
            if commit_table(base() - layout::POOL_REMOTE + at, len).is_err() {
                return false;
            }
            REMOTE_READY.store(have + UNITS_STEP, Ordering::Relaxed);
        }
        if commit_table(base() - layout::POOL_OWN + at, len).is_err() {
            return false;
        }
        METADATA.fetch_add(2 * len, Ordering::Relaxed);
        UNITS_READY.store(have + UNITS_STEP, Ordering::Release);
    }
}

/// Units whose remote half is accessible; under the lock.
static REMOTE_READY: AtomicU32 = AtomicU32::new(0);

/// Heap records that are accessible: ids from [`HeapId::COMMON`] up to here; written under the lock.
static HEAPS_READY: AtomicU32 = AtomicU32::new(HeapId::COMMON.0);

/// Ids of all heap records that exist.
pub fn heaps() -> impl Iterator<Item = HeapId> {
    // Acquire: pairs with the release in new_heap.
    (HeapId::COMMON.0..HEAPS_READY.load(Ordering::Acquire)).map(HeapId)
}

/// A new heap record, all zero; none if the OS refuses or all ids are in use.
pub fn new_heap() -> Option<HeapId> {
    let _guard = LOCK.lock();
    let id = HeapId(HEAPS_READY.load(Ordering::Relaxed));
    if id.0 as usize >= HEAPS || commit_table(heap::<u8>(id).addr(), layout::HEAP_BYTES).is_err() {
        return None;
    }
    METADATA.fetch_add(layout::HEAP_BYTES, Ordering::Relaxed);
    HEAPS_READY.store(id.0 + 1, Ordering::Release);
    Some(id)
}
