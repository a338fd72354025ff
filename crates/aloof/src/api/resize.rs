//! realloc: in place where the block has room or its neighbours give it, else by moving its pages or copying.

use super::route;
use crate::direct;
use crate::heap::{Heap, Place, common, locate};
use crate::num::class::SizeClass;
use crate::num::ids::SubRegionId;
use crate::num::size::*;
use crate::os::limit;
use crate::os::message::fault;
use crate::os::options::Setting;
use crate::os::{Os, Share, System, filled_share};
use crate::pool::Pool;
use crate::run;
use crate::space;
use crate::sub::{Kind, SubRegion};
use crate::thread::{current, front, with_current, with_heap};

/// Bytes of the block at `addr`; ends the process if there is none.
#[inline]
pub fn usable(operation: &str, addr: usize) -> usize {
    match front().tag_at(addr) {
        Some(tag) => usable_small(operation, addr, tag),
        None => usable_slow(operation, addr),
    }
}

/// The same where a pool with this tag is.
#[inline(always)]
fn usable_small(operation: &str, addr: usize, tag: u32) -> usize {
    let class = SizeClass(tag as u8);
    check_start(operation, addr, class);
    class.size()
}

/// The same for what is not of a pool, or by a thread without a heap.
#[inline(never)]
fn usable_slow(operation: &str, addr: usize) -> usize {
    match locate(addr) {
        Err(why) => fault(operation, addr, why),
        Ok(Place::Pool(tag)) => usable_small(operation, addr, tag),
        Ok(Place::Chunk(id, _, n)) => (n as usize) << id.partition().chunk_shift(),
        Ok(Place::Run(id, at)) => {
            (run::block_units(SubRegion::of(id), at) as usize) << id.partition().unit_shift()
        }
        Ok(Place::Direct(id)) => direct::bytes(id, SubRegion::of(id)),
        Ok(Place::Huge(bytes)) => bytes,
    }
}

/// Ends the process unless a block starts at `addr`, where a pool of this class is.
#[inline(always)]
pub fn check_start(operation: &str, addr: usize, class: SizeClass) {
    if !Pool::starts_block(addr.wrapping_sub(space::base()), class) {
        fault(operation, addr, "not the start of a block");
    }
}

/// Whether a block of `have` bytes may serve `size`: without wasting more than half, or because a new block
/// would be no smaller.
#[inline]
pub fn fits(have: usize, size: usize) -> bool {
    size <= have && (size >= have / 2 || (have <= SMALL_MAX && SizeClass::of(size).size() == have))
}

/// Whether a small block of `have` bytes grows to `size` by little, as a buffer does that is appended to.
#[inline]
pub fn grows_by_little(have: usize, size: usize) -> bool {
    size.wrapping_sub(have) <= have / 8
}

/// What to ask for when a small block of `have` bytes grows by little: some room, so that it moves half as often.
pub fn roomy(have: usize, size: usize) -> usize {
    size.max(have + have / 4).min(SMALL_MAX)
}

/// Makes the block at `addr` hold `size` bytes where it is; false if it cannot. `have` is what it holds.
pub fn in_place(addr: usize, have: usize, size: usize) -> bool {
    if have <= SMALL_MAX || size <= SMALL_MAX {
        return fits(have, size);
    }
    if size > have && limit::is_watched() && !route::has_room_for(growth(addr, have, size)) {
        return false;
    }
    let resize = |heap: &Heap| {
        let me = heap.id();
        match locate(addr) {
            Ok(Place::Run(id, at))
                if SubRegion::of(id).owner() == me && (size > have || stays(id, size)) =>
            {
                heap.resize_run_block(id, at, size)
            }
            Ok(Place::Chunk(id, at, _))
                if SubRegion::of(id).owner() == me
                    && size > have
                    && (id.partition() == route::GROWING || size <= grown_among_others(size)) =>
            {
                heap.resize_chunk_block(id, at, size)
            }
            _ => fits(have, size).then_some(have),
        }
    };
    let resized = with_owner(addr, resize).unwrap_or_else(|| fits(have, size).then_some(have));
    if let Some(bytes) = resized
        && bytes > have
    {
        grown(addr, have, bytes);
    }
    resized.is_some()
}

/// Bytes to which a chunk block that grows to `size` does so where others are.
fn grown_among_others(size: usize) -> usize {
    if size.is_power_of_two() {
        route::GROWING_MIN
    } else {
        CHUNK_MAX
    }
}

/// Bytes that the block at `addr` gets if it grows to `size` where it is.
fn growth(addr: usize, have: usize, size: usize) -> usize {
    let step = match locate(addr) {
        Ok(Place::Run(id, _)) => 1 << id.partition().unit_shift(),
        Ok(Place::Chunk(id, ..)) => 1 << id.partition().chunk_shift(),
        _ => 1,
    };
    align_up(size, step) - have
}

/// Moves the content of a large block to a new one, and frees it; null if that is refused. Pages move rather than bytes
/// where the new block has none yet, is whole sub-regions or large chunks: nothing is there twice, or faulted in anew.
///
/// # Safety
/// `addr` is a live block of `have` bytes, not used by others meanwhile.
pub unsafe fn relocate(addr: usize, have: usize, size: usize, align: usize) -> *mut u8 {
    let new = if size > have && have >= MOVE_MIN {
        route::allocate_growing(size, align)
    } else {
        route::allocate(size, align)
    };
    let Some(new) = new else {
        return core::ptr::null_mut();
    };
    let len = have.min(size);
    let page = System::page_size();
    let pages = len & !(page - 1);
    let aligned = (addr | new.addr).is_multiple_of(page);
    // SAFETY: both blocks are ours, live, and hold `len` bytes.
    let moved = unsafe {
        let moved = if aligned && are_moved(len, new) {
            // Twice: others may ask for huge pages there, or for small ones, meanwhile.
            let advised = is_advised(addr);
            let moved = move_pages(addr, new.addr, pages);
            if advised || is_advised(addr) {
                keep_advice(new, pages);
            }
            moved
        } else {
            copy(addr, new.addr, pages);
            false
        };
        copy(addr + pages, new.addr + pages, len - pages);
        moved
    };
    let to = route::pointer(Some(new));
    if size > have {
        grown(new.addr, len, new.bytes);
    }
    with_heap(|heap| {
        if moved && pages == have {
            heap.free_emptied(addr);
        } else {
            heap.free(addr);
        }
    });
    to
}

/// # Safety
/// Both ranges have `len` bytes of the caller's.
unsafe fn copy(from: usize, to: usize, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::copy_nonoverlapping(
            core::ptr::with_exposed_provenance::<u8>(from),
            core::ptr::with_exposed_provenance_mut::<u8>(to),
            len,
        );
    }
}

/// Moves whole pages; true if all of them went, and no byte was copied. A range that is several mappings moves in parts:
/// halving finds their borders, but for that which the last move made.
///
/// # Safety
/// As for [`copy`], and both are aligned to pages.
unsafe fn move_pages(from: usize, to: usize, len: usize) -> bool {
    let page = System::page_size();
    // A part up to `border` was refused; from `done` to there it may be one mapping now.
    let (mut done, mut border, mut try_to) = (0, len, len);
    if let Some(heap) = current() {
        let likely = heap.moved_to.get().wrapping_sub(from);
        if (1..len).contains(&likely) {
            try_to = likely;
        }
        heap.moved_to.set(to + len);
    }
    while done < len {
        // SAFETY: the caller's promise.
        if unsafe { System::move_pages(from + done, to + done, try_to - done) } {
            done = try_to;
            if done == border {
                border = len;
            }
            try_to = border;
        } else if try_to - done > page {
            border = try_to;
            try_to = done + ((try_to - done) / 2).next_multiple_of(page);
        } else {
            // Not for a border: the rest would be refused as well.
            // SAFETY: the caller's promise.
            unsafe { copy(from + done, to + done, len - done) };
            return false;
        }
    }
    true
}

/// A large block grew from `before` to `bytes`. From some size on, if what there was is filled, the new part will be
/// too and gets huge pages, the one in which it ends among them.
fn grown(addr: usize, before: usize, bytes: usize) {
    let from = align_up(addr + before, HUGE_PAGE);
    let to = align_up(addr + bytes, HUGE_PAGE);
    let wanted = bytes >= GROWN_HUGE && from < to && Setting::HugePages.is_on();
    if wanted
        && let Some((_, sub)) = sub_region(addr)
        && filled_share(addr, before) == Share::All
    {
        // By the gate: a visitor may be giving pages of the sub-region back, which ends the advice.
        with_owner(addr, |_| {
            sub.note_part_huge();
            // SAFETY: the range is the block's and, behind its end, its sub-region's, which holds whole huge pages;
            // the advice changes no content.
            unsafe { System::prefer_huge_pages(from, to - from, true) };
        });
    }
}

/// Blocks of at least so many bytes move by pages. Less would gain little, and each may cost a mapping, of which a
/// process has 65,530.
const MOVE_MIN: usize = 1 << 20;
/// The same for a new block that may have pages already: what is copied then stays there twice.
const MOVE_ONTO_MIN: usize = 4 << 20;

/// Whether `len` bytes move by pages. Onto used memory they do where the block is whole sub-regions or large chunks: each
/// move may leave borders of mappings among blocks that stay, and of small blocks there would be ever more.
fn are_moved(len: usize, new: direct::Block) -> bool {
    if new.zeroed {
        return len >= MOVE_MIN;
    }
    len >= MOVE_ONTO_MIN
        && sub_region(new.addr).is_some_and(|(id, sub)| match sub.kind() {
            Kind::Direct => true,
            Kind::Arena => id.partition() == route::GROWING,
            _ => false,
        })
}

/// After `pages` bytes moved with the advice to use huge pages: it ends with the sub-region they came to; in an arena now,
/// unless the block is one whose advice ends with it.
fn keep_advice(to: direct::Block, pages: usize) {
    let noted = sub_region(to.addr).and_then(|(id, sub)| {
        if sub.kind() == Kind::Arena && (id.partition().0 == 0 || to.bytes < GROWN_HUGE) {
            return None;
        }
        // By the gate: a visitor may be giving pages of the sub-region back, which ends the advice.
        with_owner(to.addr, |_| sub.note_part_huge())
    });
    if noted.is_none() {
        // SAFETY: the range is the block's; the advice changes no content.
        unsafe { System::prefer_huge_pages(to.addr, pages, false) };
    }
}

/// Runs `f` on the heap in whose gate the block at `addr` is changed: the common one, if the block is its, else the calling
/// thread's.
fn with_owner<R>(addr: usize, f: impl FnOnce(&Heap) -> R) -> Option<R> {
    if sub_region(addr).is_some_and(|(_, sub)| common::is_common(sub.owner())) {
        Some(f(&common::enter()))
    } else {
        with_current(f)
    }
}

fn is_advised(addr: usize) -> bool {
    sub_region(addr).is_some_and(|(_, sub)| sub.asks_for_huge_pages())
}

fn sub_region(addr: usize) -> Option<(SubRegionId, &'static SubRegion)> {
    SubRegion::at(addr.wrapping_sub(space::base()))
}

/// Whether a run of this size still belongs in its partition: a much shrunk one moves to a smaller.
fn stays(id: SubRegionId, size: usize) -> bool {
    size >= 16 << id.partition().unit_shift() || id.partition().0 == 0
}
