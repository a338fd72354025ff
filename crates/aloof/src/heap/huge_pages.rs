//! Huge pages for large blocks where the program fills such, and their end.

use super::Heap;
use crate::num::ids::*;
use crate::num::size::HUGE_PAGE;
use crate::os::options::Setting;
use crate::os::{Os, System, is_filled};
use crate::partition;
use crate::sub::{HUGE, SMALL, SubRegion};
use crate::sync::{AtomicBool, Ordering};

/// Run arenas from this partition on may get huge pages.
const HUGE_RUNS: u8 = 4;
/// Blocks above this tell whether the program fills large blocks: those of these arenas' own, not such as are put there for
/// want of room.
const HUGE_BLOCK: usize = 2 * HUGE_PAGE;
/// Whether the large block judged last in any heap was filled: heaps that have not seen one yet go by it.
static FILLS: AtomicBool = AtomicBool::new(false);

impl Heap {
    /// Before the use of a large block: if the program filled the last such block, it will fill this one too, and its
    /// sub-region gets huge pages for those that are to come. Who touches large blocks here and there keeps, or gets again,
    /// small ones.
    pub(super) fn judge_filled(&self, id: SubRegionId, addr: usize, bytes: usize, untouched: bool) {
        let sub = SubRegion::of(id);
        let large = bytes > HUGE_BLOCK && id.partition().0 >= HUGE_RUNS;
        // Else its pages are there, and small.
        let to_come = untouched || sub.dense.get() != SMALL;
        if !large || !to_come || self.last_large.get() == addr || !Setting::HugePages.is_on() {
            return;
        }
        let filled = self.filled_last();
        self.last_large.set(addr);
        self.last_large_bytes.set(bytes);
        if !filled {
            small_pages(id, sub);
            sub.dense.set(SMALL);
        } else if sub.dense.get() != HUGE {
            // First: who moves pages from here takes the advice along, and asks whether there is any.
            sub.dense.set(HUGE);
            partition::prefer_huge_pages(id, 1, true);
        }
    }

    /// Whether the last large block was filled, this heap's or, before it has one, another's; others will go by it. Asked
    /// when a heap ends, too: the program may start a thread for each such block.
    pub(super) fn filled_last(&self) -> bool {
        // Relaxed: a guess.
        let last = self.last_large.get();
        if last == 0 {
            return FILLS.load(Ordering::Relaxed);
        }
        let filled = is_filled(last, self.last_large_bytes.get());
        FILLS.store(filled, Ordering::Relaxed);
        filled
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
