//! The owner's list of nodes with posts: many push, the owner takes all.
//!
//! A Treiber stack (R. K. Treiber, 1986) that is only ever emptied whole, which spares it the ABA
//! problem: a push depends on nothing but the head being what it linked to.

use crate::sync::{AtomicU32, Ordering};

/// Heads the list of nodes, or says that nobody reads it any more.
pub struct Inbox {
    head: AtomicU32,
}

/// No node.
pub const END: u32 = 0;
/// The owner has ended.
const CLOSED: u32 = u32::MAX;

impl Inbox {
    /// An open, empty inbox.
    #[cfg(loom)]
    pub fn new() -> Inbox {
        Inbox {
            head: AtomicU32::new(END),
        }
    }

    /// Whether something may have arrived.
    #[inline(always)]
    pub fn has_mail(&self) -> bool {
        // Relaxed: a hint; `take_all` synchronises.
        self.head.load(Ordering::Relaxed) != END
    }

    /// Whether the owner has ended.
    pub fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire) == CLOSED
    }

    /// Pushes a node whose link is `next`; false if the inbox is closed.
    pub fn push(&self, node: u32, next: &AtomicU32) -> bool {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == CLOSED {
                return false;
            }
            next.store(head, Ordering::Relaxed);
            // Release: publishes the link and the post before it.
            match self
                .head
                .compare_exchange_weak(head, node, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes the list; the owner's right. Returns its first node, [`END`] if there is none.
    pub fn take_all(&self) -> u32 {
        // Acquire: sees links and posts of all pushes, which form one release sequence.
        self.head.swap(END, Ordering::AcqRel)
    }

    /// Closes the inbox and takes what is in it.
    pub fn close(&self) -> u32 {
        let first = self.head.swap(CLOSED, Ordering::AcqRel);
        if first == CLOSED { END } else { first }
    }

    /// Opens a closed inbox for a new owner.
    pub fn open(&self) {
        self.head.store(END, Ordering::Release);
    }
}
