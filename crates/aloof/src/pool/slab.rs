//! Descriptors of pools: cut from the table in order, recycled by size.
//!
//! Recycled ones lie on Treiber stacks whose heads carry a version against ABA; a descriptor that is
//! popped by one thread while another looks at its link does no harm, because it stays accessible.

use super::Pool;
use crate::num::class::MAX_UNITS;
use crate::num::ids::PoolId;
use crate::space;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// First unit never used; unit 0 is no descriptor.
static NEXT: AtomicU32 = AtomicU32::new(1);
/// Stacks of recycled descriptors by units: `version << 32 | id`.
static RECYCLED: [AtomicU64; MAX_UNITS + 1] = [const { AtomicU64::new(0) }; MAX_UNITS + 1];

/// Makes the first descriptors accessible, so that most programs never wait for more.
pub fn init() -> bool {
    space::make_units_ready(1)
}

/// A descriptor of `units` units, with a freers' half that is all zero but for its count.
pub fn take(units: u8) -> Option<PoolId> {
    let stack = &RECYCLED[usize::from(units)];
    // Acquire: sees the descriptor as its last user left it.
    let mut head = stack.load(Ordering::Acquire);
    while head as u32 != 0 {
        let id = PoolId(head as u32);
        let next = Pool::of(id).next.get();
        let new = ((head >> 32) + 1) << 32 | u64::from(next);
        match stack.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(id),
            Err(seen) => head = seen,
        }
    }
    let mut at = NEXT.load(Ordering::Relaxed);
    loop {
        let end = at.checked_add(units.into())?;
        // The remote words of any pool may be addressed up to POOL_WORDS.
        if end + MAX_UNITS as u32 > 1 << 28 || !space::make_units_ready(end + MAX_UNITS as u32) {
            return None;
        }
        // Relaxed: only the number counts.
        match NEXT.compare_exchange_weak(at, end, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(PoolId(at)),
            Err(seen) => at = seen,
        }
    }
}

/// Recycles a descriptor.
pub fn give(id: PoolId, units: u8) {
    let stack = &RECYCLED[usize::from(units)];
    let mut head = stack.load(Ordering::Relaxed);
    loop {
        Pool::of(id).next.set(head as u32);
        let new = ((head >> 32) + 1) << 32 | u64::from(id.0);
        // Release: hands the descriptor on.
        match stack.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(seen) => head = seen,
        }
    }
}
