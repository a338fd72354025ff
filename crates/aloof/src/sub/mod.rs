//! Descriptors of sub-regions: what one is used for, by whom, and the half that other threads write.
//!
//! A descriptor is found by its number. `kind` and `owner` are read by all and written by the claimant of
//! the sub-region; the rest belongs to the owner, except the remote half (see room `remote`), and in arenas of pools `stirred` and `dense`.

mod shelf;

use crate::num::ids::*;
use crate::num::size::*;
use crate::remote::{Node, RemoteHead};
use crate::space;
use crate::sync::{AtomicU32, AtomicU64, Ordering, Owned32, Owned64};

pub(crate) use shelf::Shelf;

/// What a sub-region is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Nothing, or the inside of a piece.
    Free = 0,
    /// 64 chunks: pools and chunk blocks.
    Arena = 1,
    /// 1024 units: run blocks.
    Runs = 2,
    /// The first of a piece handed whole to the program.
    Direct = 3,
}

/// The descriptor.
#[repr(C, align(64))]
pub struct SubRegion {
    kind: AtomicU32,
    owner: AtomicU32,
    /// Arena: free chunks.
    pub free: Owned64,
    /// Arena: chunks used since the memory was zero. Run arena: the lowest unit never used since.
    pub touched: Owned64,
    /// Arena: chunks joined with the next in one block or pool. Direct: sub-regions of the piece.
    pub joined: Owned64,
    /// Run arena: units in use.
    pub used_units: Owned32,
    /// Blocks collected from the remote half so far, wrapping.
    pub collected: Owned32,
    /// Which pages it is on: 0, [`HUGE`], [`PART_HUGE`] or [`SMALL`]. An arena of partition 0 where this is not 0 was opened for small
    /// pools.
    pub dense: Owned32,
    /// 2 when something was taken or given here, one less at each look of the scavenger.
    pub stirred: Owned32,
    /// Neighbours on the owner's shelf, as number + 1.
    next: Owned32,
    prev: Owned32,
    /// Level on the shelf.
    level: Owned32,
    /// The freers' half, on lines of its own.
    pub remote: RemoteHead,
    _rest_of_line: [AtomicU64; 6],
    /// A bit a block (arena: word 0, a bit a chunk): freed by other threads.
    pub remote_words: [AtomicU64; UNIT_WORDS],
    /// Blocks in use start here (arena: word 0; chunk blocks, not pools).
    starts: [AtomicU64; UNIT_WORDS],
    /// Run arena: units joined with the next in one block.
    joined_units: [AtomicU64; UNIT_WORDS],
}

const _: () = {
    assert!(size_of::<SubRegion>() == space::SUBREGION_BYTES);
    assert!(core::mem::offset_of!(SubRegion, remote).is_multiple_of(64));
    assert!(core::mem::offset_of!(SubRegion, starts).is_multiple_of(64));
};

/// Looks of the scavenger that something is spared after it was used last.
pub const STIRRED: u32 = 2;

/// On huge pages.
pub const HUGE: u32 = 1;
/// In part on huge pages: a block grew in it, or one is trusted to be filled.
pub const PART_HUGE: u32 = 3;
/// On small pages: a run arena whose user was last found to need no others, or what was on huge pages until some of it
/// went back. 0 means that nobody has asked yet.
pub const SMALL: u32 = 2;

/// Marks nodes that are sub-regions.
const NODE_BIT: u32 = 1 << 31;

impl SubRegion {
    /// The descriptor of a sub-region whose region is ready.
    #[inline(always)]
    pub fn of(id: SubRegionId) -> &'static SubRegion {
        // SAFETY: descriptors of ready regions are accessible, zero at first, and stay so for ever;
        // all fields are atomic.
        unsafe { &*space::subregion::<SubRegion>(id) }
    }

    /// The descriptor of the sub-region that holds `offset`, if its region was ever used.
    pub fn at(offset: usize) -> Option<(SubRegionId, &'static SubRegion)> {
        let id = SubRegionId::at(offset)?;
        space::is_ready(id.region()).then(|| (id, SubRegion::of(id)))
    }

    /// What the sub-region is used for.
    pub fn kind(&self) -> Kind {
        // Acquire: who sees the kind sees the descriptor set up.
        match self.kind.load(Ordering::Acquire) {
            1 => Kind::Arena,
            2 => Kind::Runs,
            3 => Kind::Direct,
            _ => Kind::Free,
        }
    }

    /// Sets the kind; the claimant's right.
    pub fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u32, Ordering::Release);
    }

    /// Ends the use as a direct piece; of several that try, one succeeds.
    pub fn end_direct(&self) -> bool {
        // Acquire and release: the winner gives the piece back, after all uses of it.
        self.kind
            .compare_exchange(
                Kind::Direct as u32,
                Kind::Free as u32,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// The heap that owns it, 0 if none.
    #[inline(always)]
    pub fn owner(&self) -> HeapId {
        // Acquire: see `remote`.
        HeapId(self.owner.load(Ordering::Acquire))
    }

    /// Sets the owner; the right of the claimant, the adopter or the owner that ends.
    pub fn set_owner(&self, owner: HeapId) {
        // Release: see `remote`.
        self.owner.store(owner.0, Ordering::Release);
    }

    /// Word of units joined with the next.
    pub fn joined_word(&self, w: usize) -> u64 {
        // Relaxed: as for `starts_word`.
        self.joined_units[w].load(Ordering::Relaxed)
    }

    /// Replaces a word of joined units; the owner's right.
    pub fn set_joined_word(&self, w: usize, bits: u64) {
        self.joined_units[w].store(bits, Ordering::Relaxed);
    }

    /// Word of block starts.
    pub fn starts_word(&self, w: usize) -> u64 {
        // Relaxed: whoever frees a block got it from a thread that saw it start.
        self.starts[w].load(Ordering::Relaxed)
    }

    /// Replaces a word of block starts; the owner's right.
    pub fn set_starts_word(&self, w: usize, bits: u64) {
        self.starts[w].store(bits, Ordering::Relaxed);
    }

    /// Clears all but what outlives a use: the remote half.
    pub fn reset(&self) {
        self.free.set(0);
        self.touched.set(0);
        self.joined.set(0);
        self.used_units.set(0);
        self.dense.set(0);
        self.stirred.set(STIRRED);
        self.collected.set(self.remote.done());
        self.next.set(0);
        self.prev.set(0);
        self.level.set(0);
        for w in 0..UNIT_WORDS {
            if self.starts_word(w) != 0 {
                self.set_starts_word(w, 0);
            }
            if self.joined_word(w) != 0 {
                self.set_joined_word(w, 0);
            }
        }
    }

    /// Notes that it was used. Freers read the owner on the same line, so nothing is written that stands there.
    #[inline]
    pub fn warm(&self) {
        if self.stirred.get() != STIRRED {
            self.stirred.set(STIRRED);
        }
    }

    /// Notes that 64ths of it were taken or given.
    #[inline]
    pub fn stir(&self, mask: u64) {
        self.warm();
        self.set_recent(self.recent() | mask);
    }

    /// 64ths that were taken or given since the last look of the scavenger, who clears it. An arena has no units, and a
    /// run arena no chunks, so that each has a word to spare.
    pub fn recent(&self) -> u64 {
        if self.kind() == Kind::Arena {
            self.joined_word(0)
        } else {
            self.free.get()
        }
    }

    /// See [`SubRegion::recent`]; the owner's right.
    pub fn set_recent(&self, mask: u64) {
        if self.kind() == Kind::Arena {
            self.set_joined_word(0, mask);
        } else {
            self.free.set(mask);
        }
    }

    /// Whether huge pages are asked for in it.
    pub fn asks_for_huge_pages(&self) -> bool {
        matches!(self.dense.get(), HUGE | PART_HUGE)
    }

    /// Notes that huge pages are asked for in a part of it.
    pub fn note_part_huge(&self) {
        if self.dense.get() != HUGE {
            self.dense.set(PART_HUGE);
        }
    }

    /// The node by which freers and owner speak of it.
    pub fn node(id: SubRegionId) -> Node {
        Node(id.0 | NODE_BIT)
    }

    /// The sub-region of a node, if it is one.
    pub fn of_node(node: Node) -> Option<SubRegionId> {
        (node.0 & NODE_BIT != 0).then_some(SubRegionId(node.0 & !NODE_BIT))
    }
}
