//! The address space: where everything lies, found by arithmetic from one base.
//!
//! ```text
//!   heap records | pool descriptors | their remote halves | sub-region descriptors | pool of chunk | tags | partitions 0..9
//!                                                                                                         ^ base
//! ```
//! One reservation holds it all, at an address of the kernel's choice. Where that is refused the
//! space is **narrow**: partition 0 only, of a smaller span; and where even that may not be reserved
//! it is **piecewise**: every piece is mapped at its place when it is needed.
//!
//! There are tags for all addresses that a process can have, so that `free` need not ask whether an address is one of the
//! space. In a piecewise space addresses a multiple of 1 TiB apart share one.
//!
//! The base is written once, under the lock; tables only ever become accessible, and stay so.

mod layout;
mod tables;

use crate::num::ids::*;
use crate::num::size::*;
use crate::os::{Os, Refused, System};
use crate::sync::{AtomicBool, AtomicUsize, Lock, Ordering};

pub(crate) use layout::{HEAP_BYTES, SUBREGION_BYTES, UNIT_BYTES};
pub(crate) use tables::*;

/// Address of partition 0; 0 before [`init`].
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Address of the tags, and the part of a chunk's number that is the place of its own.
static MAP: AtomicUsize = AtomicUsize::new(0);
static MASK: AtomicUsize = AtomicUsize::new(0);
/// Address of the tag of partition 0's first chunk.
static TAGS: AtomicUsize = AtomicUsize::new(0);
/// Bytes of partition 0 in a narrow space, at most.
const SPAN_MAX: usize = 64 << 30;
/// Bytes of partition 0 that may be used.
static SPAN: AtomicUsize = AtomicUsize::new(0);
/// Only partition 0 exists.
static NARROW: AtomicBool = AtomicBool::new(false);
/// Nothing is reserved beforehand.
static PIECEWISE: AtomicBool = AtomicBool::new(false);
/// Serialises [`init`] and the growth of tables.
static LOCK: Lock = Lock::new();

/// Address of partition 0; 0 before [`init`].
#[inline(always)]
pub fn base() -> usize {
    // Relaxed: whoever holds a pointer into the space got it from a thread that saw the base.
    BASE.load(Ordering::Relaxed)
}

/// Whether only partition 0 exists.
pub fn is_narrow() -> bool {
    NARROW.load(Ordering::Relaxed)
}

/// Whether address space is mapped piece by piece.
pub fn is_piecewise() -> bool {
    PIECEWISE.load(Ordering::Relaxed)
}

/// Whether an address beyond the space has a tag that a small block's may have as well.
pub fn shares_tag(addr: usize) -> bool {
    let offset = addr.wrapping_sub(base());
    shares(
        offset,
        SPAN.load(Ordering::Relaxed),
        MASK.load(Ordering::Relaxed),
    )
}

/// Whether the byte at an offset is beyond a space of `span` bytes, and its chunk's number a part of that of one in it.
fn shares(offset: usize, span: usize, mask: usize) -> bool {
    offset >= span && (offset >> CHUNK_SHIFT & mask) < span >> CHUNK_SHIFT
}

/// Regions of a partition that may be used.
pub fn usable_regions(p: PartitionId) -> usize {
    match (is_narrow(), p.0) {
        (false, _) => p.regions(),
        (true, 0) => SPAN.load(Ordering::Relaxed) >> p.region_shift(),
        (true, _) => 0,
    }
}

/// Address space held now, tables included, in bytes; without the pieces of a piecewise space.
pub fn reserved_bytes() -> usize {
    if base() == 0 {
        0
    } else if is_piecewise() {
        metadata_bytes() + layout::PIECEWISE_TAGS
    } else {
        layout::BELOW
            + if is_narrow() {
                SPAN.load(Ordering::Relaxed)
            } else {
                layout::PARTITIONS_BYTES
            }
    }
}

/// Sets the space up once; true if it is usable.
pub fn init() -> bool {
    if BASE.load(Ordering::Acquire) != 0 {
        return true;
    }
    let _guard = LOCK.lock();
    if BASE.load(Ordering::Relaxed) != 0 {
        return true;
    }
    let found = full().or_else(narrow).or_else(piecewise);
    let Some(base) = found else { return false };
    // Release: a thread that sees the base sees the mode and the tags mapped.
    BASE.store(base, Ordering::Release);
    true
}

fn full() -> Option<usize> {
    let base = reserve(layout::PARTITIONS_BYTES, layout::BASE_ALIGN)?;
    SPAN.store(1 << PARTITION_SHIFT, Ordering::Relaxed);
    Some(base)
}

/// Reserves the tables and `span` bytes of partitions from an aligned base on, and makes the tags readable.
fn reserve(span: usize, align: usize) -> Option<usize> {
    let len = layout::BELOW + span + align;
    let start = System::reserve(len).ok()?;
    let base = align_up(start + layout::BELOW, align);
    let map = base - layout::MAP;
    // SAFETY: the tags lie within the reservation made just now.
    if unsafe { System::show_zeros(map, layout::MAP_BYTES) }.is_err() {
        // SAFETY: nothing of it was used.
        unsafe { System::unmap(start, len) };
        return None;
    }
    let tags = map + (base >> CHUNK_SHIFT) * 4;
    MAP.store(map, Ordering::Relaxed);
    MASK.store(layout::MAP_MASK, Ordering::Relaxed);
    TAGS.store(tags, Ordering::Relaxed);
    // What is only ever read is the page of zeros; the huge one, where somebody has every page mapped (mlockall). But not for
    // the sake of null.
    for (from, to) in [
        (map + HUGE_PAGE, tags),
        (tags + layout::TAGS_BYTES, map + layout::MAP_BYTES),
    ] {
        // SAFETY: the range lies within the tags.
        unsafe { System::prefer_huge_pages(from, to - from, true) };
    }
    Some(base)
}

fn narrow() -> Option<usize> {
    [SPAN_MAX, 8 << 30].into_iter().find_map(|span| {
        let base = reserve(span, layout::NARROW_ALIGN)?;
        NARROW.store(true, Ordering::Relaxed);
        SPAN.store(span, Ordering::Relaxed);
        Some(base)
    })
}

/// Looks for a stretch of addresses that nothing uses, far from where the kernel puts mappings, and not a multiple of 1 TiB
/// from there, as those mappings would share tags with it.
fn piecewise() -> Option<usize> {
    let probe = System::map(System::page_size()).ok()?;
    // SAFETY: mapped just now.
    unsafe { System::unmap(probe, System::page_size()) };
    let below = |gib: usize| probe.checked_sub(gib << 30);
    let above = |gib: usize| probe.checked_add(gib << 30);
    let candidates = [
        below(8 << 10 | 512),
        below(2 << 10 | 400),
        below(300),
        above(192),
        above(2 << 10 | 512),
    ];
    candidates.into_iter().flatten().find_map(|at| {
        let base = align_down(at, layout::NARROW_ALIGN);
        // Null, and what is a multiple of 1 TiB from it, has a tag of its own.
        let first = (base >> CHUNK_SHIFT) & layout::PIECEWISE_MASK;
        if base <= layout::BELOW || first == 0 || first + (SPAN_MAX >> CHUNK_SHIFT) > CHUNKS {
            return None;
        }
        let map = base - layout::PIECEWISE_TAGS;
        System::map_zeros_at(map, layout::PIECEWISE_TAGS).ok()?;
        MAP.store(map, Ordering::Relaxed);
        MASK.store(layout::PIECEWISE_MASK, Ordering::Relaxed);
        TAGS.store(map + first * 4, Ordering::Relaxed);
        NARROW.store(true, Ordering::Relaxed);
        PIECEWISE.store(true, Ordering::Relaxed);
        SPAN.store(SPAN_MAX, Ordering::Relaxed);
        Some(base)
    })
}

/// Makes a part of a table accessible; the caller holds the lock and asks once for each byte.
fn commit_table(addr: usize, len: usize) -> Result<(), Refused> {
    let page = System::page_size();
    let (start, end) = (align_down(addr, page), align_up(addr + len, page));
    if is_piecewise() {
        System::map_at(start, end - start)
    } else {
        // SAFETY: tables lie within the reservation.
        unsafe { System::commit(start, end - start) }
    }
}

/// Holds the lock over a fork.
pub fn before_fork() {
    LOCK.hold();
}

/// Frees the lock in the parent and in the child.
pub fn after_fork() {
    LOCK.unlock();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn addresses_a_multiple_of_the_masks_reach_apart_share_tags() {
        const GIB: usize = 1 << 30;
        const TIB: usize = 1 << 40;
        let piecewise = |offset| shares(offset, SPAN_MAX, layout::PIECEWISE_MASK);
        for within in [0, 1, CHUNK, 30 * GIB, SPAN_MAX - 1] {
            assert!(!piecewise(within), "{within} is in the space");
            for apart in [1, 2, 100] {
                assert!(piecewise(within + apart * TIB), "{within} {apart}");
                let below = within.wrapping_sub(apart * TIB);
                assert!(piecewise(below), "{within} -{apart}");
            }
        }
        for beyond in [SPAN_MAX, 300 * GIB, TIB - 1] {
            assert!(!piecewise(beyond) && !piecewise(beyond + TIB), "{beyond}");
        }
        let full = |offset| shares(offset, TIB, layout::MAP_MASK);
        for user in [
            0,
            TIB - 1,
            TIB,
            20 * TIB,
            100 * TIB,
            0usize.wrapping_sub(20 * TIB),
        ] {
            assert!(!full(user), "{user}");
        }
        assert!(full(1 << 48));
    }
}
