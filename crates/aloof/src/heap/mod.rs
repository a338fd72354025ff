//! The thread heap: caches in front, pools, arenas and runs behind.
//!
//! A request comes down from `api`: magazine ([`magazine`], sized by [`capacity`], emptied by [`flush`]; none while a class is
//! [`young`]), slot and pools ([`small`]), chunks
//! ([`medium`]) and runs ([`runs`]), and of both those freed last ([`medium_cache`]). Blocks of other threads stay in magazines as
//! [`guests`], or go through the outbox ([`outbox`]) and come back through the inbox ([`collect`]). What a busy thread does not
//! use goes back ([`idle`]). [`life`] opens, ends and adopts. A heap is a record of 192 KiB that is recycled but never unmapped;
//! all but the inbox and the link is its thread's alone, or, of the one that all threads use ([`common`]), whose turn it is. [`pools`]
//! pass between that and the others.

mod bin;
mod capacity;
mod collect;
pub(crate) mod common;
mod flush;
mod fork;
mod guests;
mod huge_pages;
mod idle;
mod lending;
mod life;
mod magazine;
mod medium;
mod medium_cache;
mod outbox;
mod pools;
mod registry;
mod runs;
pub(crate) mod scavenge;
mod small;
pub(crate) mod tally;
mod young;

use crate::num::class::{CLASSES, MAGAZINE_BYTES, SizeClass};
use crate::num::ids::*;
use crate::num::size::*;
use crate::pool::STOCKS;
use crate::remote::Inbox;
use crate::space::{self, Tags};
use crate::sub::Shelf;
use crate::sync::{AtomicU32, Gate, Owned8, Owned32, Owned64, OwnedPtr, OwnedSize, Private};

pub(crate) use fork::orphan_all_but;
pub(crate) use life::{Place, locate};
pub(crate) use magazine::EMPTY_MAGAZINE;
pub(crate) use medium_cache::CACHED_MAX;
pub(crate) use registry::{
    SPARE_IN_USE, acquire, borrow_spare, counts, give_spare_back, keep_spare,
};

/// What the hot paths read: the head of every heap, and all there is of a heap that does not exist.
#[repr(C)]
pub struct Front {
    /// Address of partition 0.
    pub base: Private<usize>,
    /// See [`space::tags`]; one that is 0 where there are none.
    pub tags: Private<Tags>,
    /// `id << 8`: tag of a pool of this heap, less the class.
    pub tag: Private<u32>,
    /// The heap; one of [`EMPTY`] and [`DEAD`] if there is none.
    pub id: Owned32,
    /// Tops of the magazines: the newest block is at `top - 1`.
    pub hot: [OwnedPtr<usize>; CLASSES],
    /// Tags of the heap's pools.
    pub class_tags: [Private<u32>; CLASSES],
    /// Where `malloc` looks when a magazine is empty.
    pub slots: [Slot; CLASSES],
}

/// No heap yet. It and [`DEAD`] are above all ids of heaps.
pub const EMPTY: u32 = 0x00ff_ffff;
/// The thread has ended its heap.
pub const DEAD: u32 = 0x00ff_fffe;

/// One word of a pool, being handed out.
#[repr(C)]
pub struct Slot {
    /// Blocks left.
    bits: Owned64,
    /// Address of the word's first block.
    base: OwnedSize,
    /// Bytes of a block.
    size: Owned32,
    pool: Owned32,
    word: Owned8,
    /// Whether the blocks read as zeros.
    zeroed: Owned8,
    /// 1 while the class has nothing used, and borrows; see [`lending`].
    dry: Owned8,
    /// Loads of never used memory since the class's magazine was flushed last.
    grown: Owned8,
    /// 1 if the class lent since the last of them.
    lent: Owned8,
    /// Loads in place of what it had lent, all of them.
    replaced: Owned8,
}

impl Slot {
    /// A slot without blocks.
    pub const fn none() -> Slot {
        Slot {
            bits: Owned64::new(0),
            base: OwnedSize::new(0),
            size: Owned32::new(0),
            pool: Owned32::new(0),
            word: Owned8::new(0),
            zeroed: Owned8::new(0),
            dry: Owned8::new(0),
            grown: Owned8::new(0),
            lent: Owned8::new(0),
            replaced: Owned8::new(0),
        }
    }

    /// Has no blocks, and no memory of the last thread's.
    fn clear(&self) {
        self.bits.set(0);
        for field in [&self.dry, &self.grown, &self.lent, &self.replaced] {
            field.set(0);
        }
    }

    /// The lowest block left.
    #[inline(always)]
    pub fn take(&self) -> Option<Small> {
        let bits = self.bits.get();
        if bits == 0 {
            return None;
        }
        self.bits.set(bits & (bits - 1));
        let addr = self.base.get() + bits.trailing_zeros() as usize * self.size.get() as usize;
        Some(Small {
            addr,
            zeroed: self.zeroed.get() != 0,
        })
    }
}

/// A block of a slot.
#[derive(Clone, Copy)]
pub struct Small {
    /// Address of the first byte.
    pub addr: usize,
    /// Whether all of it reads as zeros.
    pub zeroed: bool,
}

/// Pools of a class: a doubly linked list for each [`Stock`](crate::pool::Stock).
#[repr(C)]
struct Bin {
    lists: [Pools; STOCKS],
    /// Pools of the class, and how many of them are on the list of the sparse.
    pools: Owned32,
    sparse: Owned32,
    /// 1 while the blocks in use are spread over too many pools; see [`small`].
    spread: Owned32,
}

/// A list of pools.
#[repr(C)]
struct Pools {
    first: Owned32,
    last: Owned32,
}

/// Blocks of one word of another's pool, freed and not yet posted.
#[repr(C)]
struct Parcel {
    key: Owned64,
    mask: Owned64,
}

/// Parcels of the outbox.
const PARCELS: usize = 256;

/// Parcels in sets that are a line each.
#[repr(C, align(64))]
struct Outbox([Parcel; PARCELS]);

/// The record.
#[repr(C, align(64))]
pub struct Heap {
    /// See [`Front`].
    pub front: Front,
    outbox_blocks: Owned32,
    outbox_bytes: Owned32,
    /// Posts to pools of ended threads so far, wrapping.
    orphan_posts: Owned32,
    /// The sub-region to sweep next, if it is an orphan.
    sweep_from: Owned32,
    /// Slow paths so far, wrapping.
    slow_paths: Owned32,
    last_large: huge_pages::LastLarge,
    /// Where the pages end that the thread moved last: likely the border of a mapping.
    pub moved_to: OwnedSize,
    seen_medium: Owned64,
    /// Rounds of thread-exit destructors seen.
    pub exit_rounds: Owned32,
    tally: tally::Tally,
    /// Passed by the thread in all that is not a hot path, and by the scavenger while the thread is elsewhere.
    pub gate: Gate,
    shared: Shared,
    medium_cache: medium_cache::MediumCache,
    /// By class; see [`guests`].
    guests: [guests::Guests; CLASSES],
    /// By class; see [`capacity`].
    capacities: [capacity::Capacity; CLASSES],
    /// By class; see [`young`].
    ages: [Owned8; CLASSES],
    // Blank while the record is unused ([`Heap::is_blank`]): a heap that does little touches little of it.
    /// By partition, and last the dense ones of partition 0.
    arenas: [Shelf; PARTITIONS + 1],
    /// Chunks of all pools, where this is the common heap.
    pool_chunks: Owned32,
    runs: [Shelf; PARTITIONS],
    bins: [Bin; CLASSES],
    /// What the caches of a class looked like last time; see [`idle`].
    seen: [Owned64; CLASSES],
    outbox: Outbox,
}

/// What others write.
#[repr(C, align(128))]
struct Shared {
    inbox: Inbox,
    /// Next record on the list of unused ones.
    next: AtomicU32,
    /// 1 while a thread has it.
    live: AtomicU32,
}

/// Where the magazines start in the record.
const MAGAZINES: usize = 16 << 10;

const _: () = assert!(size_of::<Heap>() <= MAGAZINES);
const _: () = assert!(MAGAZINES + CLASSES * MAGAZINE_BYTES <= space::HEAP_BYTES);

impl Heap {
    /// The record of a heap that was acquired at some time.
    #[inline(always)]
    pub fn of(id: HeapId) -> &'static Heap {
        // SAFETY: records stay accessible for ever, are zero at first, and all fields are atomic.
        unsafe { &*space::heap::<Heap>(id) }
    }

    /// The heap whose front this is; not one that stands for no heap.
    #[inline(always)]
    pub fn of_front(front: &'static Front) -> &'static Heap {
        debug_assert!(front.id.get() != EMPTY && front.id.get() != DEAD);
        // SAFETY: fronts of heaps are the head of a record, and records stay accessible for ever.
        unsafe { &*core::ptr::from_ref(front).cast::<Heap>() }
    }

    /// Its id.
    #[inline(always)]
    pub fn id(&self) -> HeapId {
        HeapId(self.front.id.get())
    }

    #[inline(always)]
    fn base(&self) -> usize {
        // SAFETY: written before the heap got its thread.
        unsafe { self.front.base.get() }
    }

    /// Address of a chunk of an arena.
    #[inline(always)]
    fn chunk_addr(&self, id: SubRegionId, at: u32) -> usize {
        self.base() + id.offset() + ((at as usize) << id.partition().chunk_shift())
    }

    /// Address of a unit of a run arena.
    #[inline(always)]
    fn unit_addr(&self, id: SubRegionId, at: u32) -> usize {
        self.base() + id.offset() + ((at as usize) << id.partition().unit_shift())
    }

    fn tag_of(&self, class: SizeClass) -> u32 {
        self.id().0 << 8 | u32::from(class.0)
    }
}
