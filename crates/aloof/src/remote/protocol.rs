//! Posting, notifying and collecting.

use super::inbox::{END, Inbox};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A pool (its id) or, with the top bit, a sub-region; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node(pub u32);

/// What freers write besides the words; zero at first.
#[repr(C)]
pub struct RemoteHead {
    /// A [`State`].
    state: AtomicU64,
    /// Link of the inbox.
    next: AtomicU32,
}

/// The freers' word as a value:
/// `blocks posted so far, wrapping << 32 | visitors << 17 | listed << 16 | groups with posts`.
///
/// A group is a sixteenth of the node's words. A freer enters its posts, lists the node and signs off in one
/// step: after it he touches the node only if he was the one to list it. A node that is listed, or has a
/// visitor (who unlists it and then looks again, see [`settle`]), is not dissolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const GROUPS: u32 = 16;
    const SUMMARY: u64 = (1 << Self::GROUPS) - 1;
    const LISTED: u64 = 1 << Self::GROUPS;
    const VISITOR: u64 = Self::LISTED << 1;
    const VISITORS: u64 = (1 << 32) - Self::VISITOR;

    fn is_listed(self) -> bool {
        self.0 & Self::LISTED != 0
    }

    fn done(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// After posts to `summary`, `count` blocks in all.
    fn posted(self, summary: u64, count: u32) -> State {
        State((self.0 | summary | Self::LISTED).wrapping_add(u64::from(count) << 32))
    }
}

/// Bit of the summary for a word.
fn group(word: usize, words: usize) -> u64 {
    1 << (word / words.div_ceil(State::GROUPS as usize))
}

/// Where nodes, their owners and the inboxes are found.
pub trait World {
    /// The freers' half of a node.
    fn head(&self, node: Node) -> &RemoteHead;
    /// The heap that owns the node now (acquire), 0 if none.
    fn owner(&self, node: Node) -> u32;
    /// The inbox of a heap.
    fn inbox(&self, heap: u32) -> &Inbox;
}

impl RemoteHead {
    #[cfg(loom)]
    pub fn new() -> RemoteHead {
        RemoteHead {
            state: AtomicU64::new(0),
            next: AtomicU32::new(0),
        }
    }

    fn state(&self) -> State {
        // Acquire: sees what freers did before they signed off.
        State(self.state.load(Ordering::Acquire))
    }

    /// Blocks posted so far by freers that signed off, wrapping.
    pub fn done(&self) -> u32 {
        self.state().done()
    }

    /// Whether a node of which `collected` blocks were collected may be dissolved, all blocks being free.
    pub fn is_quiet(&self, collected: u32) -> bool {
        let state = self.state();
        state.done() == collected && state.0 & (State::LISTED | State::VISITORS) == 0
    }

    /// In the child of a fork: a freer may have ended between its two steps, so every word is worth a look.
    #[cfg(not(loom))]
    pub fn expect_posts(&self) {
        self.state.fetch_or(State::SUMMARY, Ordering::Relaxed);
    }

    /// In the child of a fork: no freer is left, whatever it was at.
    #[cfg(not(loom))]
    pub fn forget_freers(&self, collected: u32) {
        self.state
            .store(u64::from(collected) << 32, Ordering::Relaxed);
        self.next.store(END, Ordering::Relaxed);
    }
}

/// Posts blocks of one word of a node; if some of them were posted before (freed twice), returns those and
/// goes no further.
pub fn post<W: World>(world: &W, node: Node, words: &[AtomicU64], word: usize, mask: u64) -> u64 {
    // Release: the freer's accesses to the blocks come before their reuse. Acquire: a second post
    // of the same word joins the first one's release.
    let twice = words[word].fetch_or(mask, Ordering::AcqRel) & mask;
    if twice != 0 {
        return twice;
    }
    let (head, summary) = (world.head(node), group(word, words.len()));
    let mut now = head.state.load(Ordering::Relaxed);
    loop {
        let next = State(now).posted(summary, mask.count_ones());
        // Release: who takes the summary finds the bits of the words; who sees the count knows that this freer
        // is gone. Acquire: if the owner took the summary before, his becoming the owner is seen by `settle`.
        match head
            .state
            .compare_exchange_weak(now, next.0, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) => break,
            Err(seen) => now = seen,
        }
    }
    if !State(now).is_listed() {
        settle(world, node);
    }
    0
}

/// Brings a listed node that is on no inbox to its owner's, or unlists it if it has none.
pub fn settle<W: World>(world: &W, node: Node) {
    let head = world.head(node);
    loop {
        let owner = world.owner(node);
        if owner != 0 && world.inbox(owner).push(node.0, &head.next) {
            return;
        }
        // A freer that found the node listed relied on us: it is seen from here on (acquire), and if an
        // adopter took the summary before its post, so is the adopter. In the same step we become a
        // visitor: without that the adopter could dissolve the node while we look again.
        let step = State::VISITOR.wrapping_sub(State::LISTED);
        let state = State(head.state.fetch_add(step, Ordering::AcqRel));
        let owner = world.owner(node);
        let again = owner != 0
            && !world.inbox(owner).is_closed()
            && state.0 & State::SUMMARY != 0
            && !State(head.state.fetch_or(State::LISTED, Ordering::AcqRel)).is_listed();
        // Release: our last look comes before the node is dissolved.
        head.state.fetch_sub(State::VISITOR, Ordering::Release);
        if !again {
            return;
        }
    }
}

/// Goes through a list taken from the inbox of heap `me`: unlists what is its own and hands it to `mine`;
/// what is not any more goes to its owner.
pub fn unlist<W: World>(world: &W, me: u32, first: u32, mut mine: impl FnMut(Node)) {
    let mut at = first;
    while at != END {
        let node = Node(at);
        let head = world.head(node);
        // Relaxed: published by the push. Read before the node can be listed again.
        at = head.next.load(Ordering::Relaxed);
        if world.owner(node) == me {
            // Before the summary is taken: a freer that comes after must list the node again.
            head.state.fetch_and(!State::LISTED, Ordering::AcqRel);
            mine(node);
        } else {
            settle(world, node);
        }
    }
}

/// Takes all posts of a node; the owner's right. Calls `take(word, mask)` and returns the number of blocks.
pub fn collect(head: &RemoteHead, words: &[AtomicU64], mut take: impl FnMut(usize, u64)) -> u32 {
    // Acquire and release: see `post`.
    let mut summary = head.state.fetch_and(!State::SUMMARY, Ordering::AcqRel) & State::SUMMARY;
    let per_group = words.len().div_ceil(State::GROUPS as usize);
    let mut count = 0;
    while summary != 0 {
        let first = summary.trailing_zeros() as usize * per_group;
        summary &= summary - 1;
        for (w, word) in words.iter().enumerate().skip(first).take(per_group) {
            // Relaxed: a glance; what is posted after it comes with another summary bit.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Acquire: the freers' accesses to the blocks come before their reuse.
            let mask = word.swap(0, Ordering::AcqRel);
            count += mask.count_ones();
            take(w, mask);
        }
    }
    count
}
