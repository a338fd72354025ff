//! Blocks that are mappings of their own, listed in a table under a lock.
//!
//! There are few: above 8 GiB, 128 TiB of addresses hold 16,384.

use super::Block;
use crate::num::size::align_up;
use crate::os::{Os, System, limit};
use crate::space;
use crate::sync::{AtomicU32, Lock, Ordering, OwnedSize};

/// Entries of the table.
const MAX: usize = 16_384;

/// A mapping and the block in it; `addr` 0 if unused.
struct Entry {
    addr: OwnedSize,
    bytes: OwnedSize,
    start: OwnedSize,
    mapped: OwnedSize,
}

static TABLE: [Entry; MAX] = [const {
    Entry {
        addr: OwnedSize::new(0),
        bytes: OwnedSize::new(0),
        start: OwnedSize::new(0),
        mapped: OwnedSize::new(0),
    }
}; MAX];
/// Entries ever used.
static USED: AtomicU32 = AtomicU32::new(0);
/// Guards all entries.
static LOCK: Lock = Lock::new();

/// Maps a block of at least `size` bytes, aligned to `align`.
pub fn take(size: usize, align: usize) -> Option<Block> {
    let page = System::page_size();
    let bytes = size.checked_add(page - 1)? & !(page - 1);
    let spare = if align > page { align } else { 0 };
    let mapped = bytes.checked_add(spare)?;
    let start = System::map(mapped).ok()?;
    let addr = align_up(start, align.max(page));
    if space::shares_tag(addr) {
        // `free` would take it for a small block. That takes a piecewise space and an unlikely address.
        // SAFETY: mapped just now.
        unsafe { System::unmap(start, mapped) };
        return None;
    }
    let _guard = LOCK.lock();
    let used = USED.load(Ordering::Relaxed) as usize;
    let free = TABLE[..used].iter().position(|e| e.addr.get() == 0);
    let Some(entry) = free.or((used < MAX).then_some(used)) else {
        // SAFETY: mapped just now.
        unsafe { System::unmap(start, mapped) };
        return None;
    };
    USED.fetch_max(entry as u32 + 1, Ordering::Relaxed);
    let entry = &TABLE[entry];
    entry.addr.set(addr);
    entry.bytes.set(bytes);
    entry.start.set(start);
    entry.mapped.set(mapped);
    limit::count_accessible(mapped, 0);
    Some(Block {
        addr,
        bytes,
        zeroed: true,
    })
}

fn find(addr: usize) -> Option<&'static Entry> {
    let used = USED.load(Ordering::Relaxed) as usize;
    if addr == 0 {
        None
    } else {
        TABLE[..used].iter().find(|e| e.addr.get() == addr)
    }
}

/// Bytes of the huge block at `addr`, if there is one.
#[cold]
#[inline(never)]
pub fn bytes(addr: usize) -> Option<usize> {
    if USED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let _guard = LOCK.lock();
    find(addr).map(|e| e.bytes.get())
}

/// Unmaps the huge block at `addr`; its bytes, none if there is no such block.
pub fn give(addr: usize) -> Option<usize> {
    if USED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let guard = LOCK.lock();
    let entry = find(addr)?;
    let (bytes, start, mapped) = (entry.bytes.get(), entry.start.get(), entry.mapped.get());
    entry.addr.set(0);
    drop(guard);
    limit::count_accessible(0, mapped);
    // SAFETY: the entry was the mapping's only owner.
    unsafe { System::unmap(start, mapped) };
    Some(bytes)
}

/// Holds the lock over a fork.
pub fn before_fork() {
    LOCK.hold();
}

/// Frees the lock in the parent and in the child.
pub fn after_fork() {
    LOCK.unlock();
}
