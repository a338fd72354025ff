//! The address space: where everything lies, found by arithmetic from one base.
//!
//! ```text
//!   heap records | pool descriptors | their remote halves | sub-region descriptors | pool of chunk | tags | guard | partitions 0..9
//!                                                                                                                 ^ base
//! ```
//! One reservation holds it all, at an address of the kernel's choice. Where that is refused the
//! space is **narrow**: partition 0 only, of a smaller span; and where even that may not be reserved
//! it is **piecewise**: every piece is mapped at its place when it is needed.
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
        metadata_bytes() + layout::TAGS_BYTES
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
    // SAFETY: the tags lie within the reservation made just now.
    if unsafe { System::show_zeros(base - layout::TAGS, layout::TAGS_BYTES) }.is_err() {
        // SAFETY: nothing of it was used.
        unsafe { System::unmap(start, len) };
        return None;
    }
    Some(base)
}

fn narrow() -> Option<usize> {
    [64usize << 30, 8 << 30].into_iter().find_map(|span| {
        let base = reserve(span, layout::NARROW_ALIGN)?;
        NARROW.store(true, Ordering::Relaxed);
        SPAN.store(span, Ordering::Relaxed);
        Some(base)
    })
}

/// Looks for a stretch of addresses that nothing uses, far from where the kernel puts mappings.
fn piecewise() -> Option<usize> {
    let probe = System::map(System::page_size()).ok()?;
    // SAFETY: mapped just now.
    unsafe { System::unmap(probe, System::page_size()) };
    let far = |tib: usize| probe.checked_sub(tib << 40);
    let near = |gib: usize| probe.checked_sub(gib << 30);
    let candidates = [
        far(8),
        far(2),
        near(300),
        probe.checked_add(128 << 30),
        probe.checked_add(2 << 40),
    ];
    candidates.into_iter().flatten().find_map(|at| {
        let base = align_down(at, layout::NARROW_ALIGN);
        if base <= layout::BELOW {
            return None;
        }
        System::map_zeros_at(base - layout::TAGS, layout::TAGS_BYTES).ok()?;
        NARROW.store(true, Ordering::Relaxed);
        PIECEWISE.store(true, Ordering::Relaxed);
        SPAN.store(64 << 30, Ordering::Relaxed);
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
