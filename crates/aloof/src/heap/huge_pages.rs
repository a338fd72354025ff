//! Huge pages for large blocks where the program fills such, and their end.

use core::ops::Range;

use super::Heap;
use crate::direct::Block;
use crate::num::ids::*;
use crate::num::size::{HUGE_PAGE, align_down, align_up};
use crate::os::options::Setting;
use crate::os::{Os, Share, System, filled_share};
use crate::partition;
use crate::sub::{HUGE, Kind, PART_HUGE, SMALL, SubRegion};
use crate::sync::{AtomicBool, AtomicUsize, Ordering, Owned8, OwnedSize};

/// Blocks of units from this partition on may get huge pages, and those of one sub-region.
const HUGE_FROM: u8 = 4;
/// Blocks above this tell whether the program fills large blocks, and hold a whole huge page: those of these partitions'
/// own, not such as are put there for want of room.
const HUGE_BLOCK: usize = 2 * HUGE_PAGE;
/// Whether the large block judged last in any heap was in use and not filled: heaps whose own one does not tell go by it.
static LAST_SPARSE: AtomicBool = AtomicBool::new(false);
/// Bytes of blocks that got huge pages though nothing told that they will be filled, and were not found to be.
static TRUSTED: AtomicUsize = AtomicUsize::new(0);
/// Such bytes at most: what a program that then touches those blocks here and there can have too much.
const TRUSTED_MAX: usize = 128 << 20;

/// The large block that a heap's thread was handed last, with pages to come: by it the next is judged.
#[repr(C)]
pub(super) struct LastLarge {
    /// 0 before there is one.
    addr: OwnedSize,
    bytes: OwnedSize,
    /// Whether nothing told that it will be filled.
    trusted: Owned8,
    /// What was found of it, [`FILLED`] or [`SPARSE`]; 0 before it is judged.
    found: Owned8,
}

const FILLED: u8 = 1;
const SPARSE: u8 = 2;

impl LastLarge {
    /// Forgets it.
    pub fn forget(&self) {
        self.addr.set(0);
        self.found.set(0);
    }

    fn set(&self, addr: usize, bytes: usize, trusted: bool) {
        self.addr.set(addr);
        self.bytes.set(bytes);
        self.trusted.set(trusted.into());
        self.found.set(0);
    }

    /// Whether the program filled it; none if there is none, or if nothing of its own huge pages is in use yet. Where it was
    /// trusted these do not tell, since a byte in each has them there: its ends do, which are in small ones.
    fn is_filled(&self) -> Option<bool> {
        let (addr, bytes) = (self.addr.get(), self.bytes.get());
        if addr == 0 {
            return None;
        }
        let own = own_huge_pages(addr, bytes);
        let is_all = |range: &Range<usize>| filled_share(range.start, range.len()) == Share::All;
        match filled_share(own.start, own.len()) {
            Share::None => None,
            Share::Some => Some(false),
            Share::All if self.trusted.get() == 0 => Some(true),
            Share::All => Some([addr..own.start, own.end..addr + bytes].iter().all(is_all)),
        }
    }
}

/// The huge pages that lie in a block, without those of its first and its last byte, which may be all that is written: one
/// at least, if it is larger than [`HUGE_BLOCK`].
fn own_huge_pages(addr: usize, bytes: usize) -> Range<usize> {
    align_up(addr + 1, HUGE_PAGE)..align_down(addr + bytes - 1, HUGE_PAGE)
}

impl Heap {
    /// Before the use of a large block, of which the program asked for `size` bytes, by this heap's thread: if that filled the
    /// last such block, it will fill this one too, and its sub-region gets huge pages for those that are to come. So
    /// does most of the first block, and of one after those that are not in use yet, up to a bound. Who touches large
    /// blocks here and there keeps, or gets again, small ones. The caller is in the gate of the block's owner, if it has
    /// one.
    pub fn judge_filled(&self, block: Block, size: usize) {
        let Some((id, sub)) = SubRegion::at(block.addr - self.base()) else {
            return;
        };
        let p = id.partition();
        let is_direct = sub.kind() == Kind::Direct;
        let large =
            size > HUGE_BLOCK && (p.0 >= HUGE_FROM || is_direct) && block.bytes <= p.subregion();
        // Else its pages are there.
        let to_come = block.zeroed
            || !is_direct && sub.dense.get() != SMALL && self.last_large.addr.get() != block.addr;
        if !large || !to_come || !Setting::HugePages.is_on() {
            return;
        }
        let own = own_huge_pages(block.addr, size);
        let filled = self.filled_last();
        // Relaxed: a guess.
        let trusted = filled.is_none() && !LAST_SPARSE.load(Ordering::Relaxed) && trust(own.len());
        match filled {
            Some(true) if sub.dense.get() != HUGE => {
                // First: who moves pages from here takes the advice along, and asks whether there is any.
                sub.dense.set(HUGE);
                partition::prefer_huge_pages(id, 1, true);
            }
            Some(true) => {}
            Some(false) => {
                small_pages(id, sub);
                sub.dense.set(SMALL);
            }
            None => {
                // Others may have huge pages there.
                small_pages_in(sub, block.addr, block.bytes);
                if trusted || sub.asks_for_huge_pages() {
                    sub.dense.set(PART_HUGE);
                }
                if trusted {
                    // SAFETY: the range is the block's; the advice changes no content.
                    unsafe { System::prefer_huge_pages(own.start, own.len(), true) };
                }
            }
        }
        self.last_large.set(block.addr, size, trusted);
    }

    /// Before the large block at `addr` is freed by this heap's thread: judged now, since its pages may go back.
    pub(super) fn judge_freed(&self, addr: usize) {
        if self.last_large.addr.get() == addr {
            self.filled_last();
        }
    }

    /// Whether the program filled this heap's last large block, if that tells. Others will go by it, so that it is asked
    /// when a heap ends, too: the program may start a thread for each such block.
    pub fn filled_last(&self) -> Option<bool> {
        let last = &self.last_large;
        if last.found.get() != 0 {
            return Some(last.found.get() == FILLED);
        }
        let filled = last.is_filled()?;
        last.found.set(if filled { FILLED } else { SPARSE });
        // Relaxed: a guess, and a count.
        LAST_SPARSE.store(!filled, Ordering::Relaxed);
        if filled && last.trusted.get() != 0 {
            let own = own_huge_pages(last.addr.get(), last.bytes.get());
            TRUSTED.fetch_sub(own.len(), Ordering::Relaxed);
        }
        Some(filled)
    }
}

/// Whether a block with `bytes` of its own huge pages is trusted to be filled though nothing tells.
fn trust(bytes: usize) -> bool {
    // Relaxed: a count.
    let trusted = TRUSTED.fetch_add(bytes, Ordering::Relaxed) + bytes <= TRUSTED_MAX;
    if !trusted {
        TRUSTED.fetch_sub(bytes, Ordering::Relaxed);
    }
    trusted
}

/// After a block of units was freed: in part of a sub-region the advice is the block's, and ends with it.
pub(super) fn small_pages_after(sub: &SubRegion, addr: usize, bytes: usize) {
    if bytes > HUGE_BLOCK && sub.dense.get() == PART_HUGE {
        small_pages_in(sub, addr, bytes);
    }
}

/// Ends the use of huge pages for what of a sub-region is not there yet, or not any more: who has it next may touch it
/// here and there, and the kernel would in time fill the gaps in huge pages of which a part went back.
pub(super) fn small_pages(id: SubRegionId, sub: &SubRegion) {
    if sub.asks_for_huge_pages() {
        partition::prefer_huge_pages(id, 1, false);
        sub.dense.set(SMALL);
    }
}

/// The same for `len` bytes in an arena of large chunks: what else there is keeps its own.
pub(super) fn small_pages_in(sub: &SubRegion, addr: usize, len: usize) {
    if sub.asks_for_huge_pages() {
        // SAFETY: the range is the caller's, who gives it back; the advice changes no content.
        unsafe { System::prefer_huge_pages(addr, len, false) };
    }
}
