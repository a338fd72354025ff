//! The masks of one region as shared words, and the two claims that make a sub-region somebody's.
//!
//! A piece is claimed by clearing its bits of `pending` (warm part) and setting its bits of
//! `committed` (fresh part), each with one compare-and-swap; a claim that fails half way gives back
//! what it had. All other bits are written by the owner of the claim only.

use super::masks::{Claim, Masks};
use crate::sync::{AtomicU64, Ordering};

/// Six words on one cache line.
#[repr(align(64))]
pub struct Region {
    reserved: AtomicU64,
    committed: AtomicU64,
    ranges: AtomicU64,
    active: AtomicU64,
    abandoned: AtomicU64,
    pending: AtomicU64,
}

macro_rules! new_region {
    ($($qualifier:tt)*) => {
        /// All free, nothing reserved.
        pub $($qualifier)* fn new() -> Region {
            Region {
                reserved: AtomicU64::new(0),
                committed: AtomicU64::new(0),
                ranges: AtomicU64::new(0),
                active: AtomicU64::new(0),
                abandoned: AtomicU64::new(0),
                pending: AtomicU64::new(0),
            }
        }
    };
}

impl Region {
    #[cfg(not(loom))]
    new_region!(const);
    #[cfg(loom)]
    new_region!();

    /// The masks, each as it was at some moment of the call.
    pub fn masks(&self) -> Masks {
        // Acquire: a claim that builds on these bits sees the memory as their writer left it.
        Masks {
            reserved: self.reserved.load(Ordering::Acquire),
            committed: self.committed.load(Ordering::Acquire),
            ranges: self.ranges.load(Ordering::Acquire),
            active: self.active.load(Ordering::Acquire),
            abandoned: self.abandoned.load(Ordering::Acquire),
            pending: self.pending.load(Ordering::Acquire),
        }
    }

    /// Claims `n` neighbouring free sub-regions, if there are. `gave_back` is called when bits that were
    /// claimed for a moment, and may have been missed by others, are free again.
    pub fn try_claim(&self, n: u32, gave_back: impl Fn()) -> Option<Claim> {
        loop {
            let claim = self.masks().plan(n)?;
            if claim.warm != 0 && !update(&self.pending, |p| Masks::take_warm(p, claim)) {
                continue;
            }
            if claim.fresh() == 0 || update(&self.committed, |c| Masks::take_fresh(c, claim)) {
                // Relaxed: the bits are the claimant's; who learns of the piece learns it from him.
                self.ranges
                    .fetch_or(Masks::inner(claim.mask), Ordering::Relaxed);
                return Some(claim);
            }
            // The fresh part went to another: the warm part goes back.
            if claim.warm != 0 {
                self.pending.fetch_or(claim.warm, Ordering::Release);
                gave_back();
            }
        }
    }

    /// Claims pending sub-regions among `mask`, to give their memory back; returns those claimed.
    pub fn claim_pending(&self, mask: u64) -> u64 {
        // Acquire: the memory is as its last owner left it.
        self.pending.fetch_and(!mask, Ordering::AcqRel) & mask
    }

    /// Notes that the address space of claimed sub-regions is held.
    pub fn set_reserved(&self, mask: u64) {
        self.reserved.fetch_or(mask, Ordering::Relaxed);
    }

    /// Gives a claimed piece back: free and accessible.
    pub fn retire_warm(&self, mask: u64) {
        self.clear_marks(mask);
        // Release: whoever claims these bits sees the marks cleared and our last writes.
        self.pending.fetch_or(mask, Ordering::Release);
    }

    /// Gives claimed sub-regions back: free and not accessible; `keep` tells whether their address space is kept.
    pub fn retire_cold(&self, mask: u64, keep: bool) {
        self.clear_marks(mask);
        if !keep {
            self.reserved.fetch_and(!mask, Ordering::Relaxed);
        }
        // Release: as above.
        self.committed.fetch_and(!mask, Ordering::Release);
    }

    fn clear_marks(&self, mask: u64) {
        // Relaxed: the bits are the claimant's until the release that follows.
        self.ranges.fetch_and(!mask, Ordering::Relaxed);
        self.active.fetch_and(!mask, Ordering::Relaxed);
    }

    /// Marks a claimed sub-region as in a heap's hands.
    pub fn activate(&self, bit: u32) {
        self.active.fetch_or(1 << bit, Ordering::Relaxed);
    }

    /// Offers an active sub-region for adoption.
    pub fn abandon(&self, bit: u32) {
        // Release: the adopter sees the sub-region as its last owner left it.
        self.abandoned.fetch_or(1 << bit, Ordering::Release);
    }

    /// Adopts an abandoned sub-region; of several that try, one succeeds.
    pub fn adopt(&self, bit: u32) -> bool {
        // Relaxed look first: a failed adoption should not own the line.
        if self.abandoned.load(Ordering::Relaxed) & (1 << bit) == 0 {
            return false;
        }
        // Acquire: pairs with `abandon`.
        self.abandoned.fetch_and(!(1 << bit), Ordering::AcqRel) & (1 << bit) != 0
    }
}

/// Replaces the word by `next` of it; false if `next` says no.
fn update(word: &AtomicU64, next: impl Fn(u64) -> Option<u64>) -> bool {
    // Relaxed first read: only a guess for the compare-and-swap.
    let mut now = word.load(Ordering::Relaxed);
    loop {
        let Some(new) = next(now) else { return false };
        // Acquire: the claimant sees what the last owner released with these bits.
        match word.compare_exchange_weak(now, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(seen) => now = seen,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_sets_and_a_retirement_clears_all_marks() {
        let r = Region::new();
        let a = r.try_claim(3, || ()).expect("a new region is free");
        assert_eq!((a.at, a.warm), (0, 0));
        r.set_reserved(a.mask);
        assert_eq!(r.masks().ranges, 0b011);
        let b = r.try_claim(1, || ()).expect("61 are free");
        r.set_reserved(b.mask);
        r.activate(b.at);
        r.abandon(b.at);
        assert!(r.masks().is_legal());
        assert!(r.adopt(b.at) && !r.adopt(b.at));
        r.retire_warm(a.mask);
        r.retire_cold(b.mask, true);
        let m = r.masks();
        assert!(m.is_legal());
        assert_eq!(
            (m.pending, m.committed, m.ranges, m.active),
            (0b111, 0b111, 0, 0)
        );
        assert_eq!(
            r.try_claim(1, || ()).map(|c| c.warm),
            Some(1),
            "warm before fresh"
        );
        assert!(r.try_claim(64, || ()).is_none());
        assert_eq!(r.claim_pending(!0), 0b110);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// A region of which only the lowest `width` sub-regions exist.
    fn small(width: u32) -> Arc<Region> {
        let r = Region::new();
        r.committed
            .store(!crate::num::bits::low(width), Ordering::Relaxed);
        Arc::new(r)
    }

    /// Two threads claim pieces of a region that is part warm, part fresh; pieces never overlap, and what
    /// is given back is all free again.
    #[test]
    fn loom_region_claims_are_exclusive() {
        for (first, second) in [(1, 1), (2, 1), (2, 2), (3, 2)] {
            loom::model(move || {
                let r = small(3);
                let warm = r.try_claim(1, || ()).unwrap();
                r.retire_warm(warm.mask);
                let other = {
                    let r = r.clone();
                    thread::spawn(move || r.try_claim(second, || ()).map(|c| c.mask))
                };
                let mine = r.try_claim(first, || ()).map(|c| c.mask);
                let theirs = other.join().unwrap();
                assert_eq!(
                    mine.unwrap_or(0) & theirs.unwrap_or(0),
                    0,
                    "the same sub-region twice"
                );
                let taken = mine.unwrap_or(0) | theirs.unwrap_or(0);
                assert!(taken != 0, "one of the two must succeed");
                assert_eq!(r.masks().free(), 0b111 & !taken);
            });
        }
    }

    /// A claim races with a retirement and with the return of pending memory to the OS.
    #[test]
    fn loom_region_release_and_decommit() {
        loom::model(|| {
            let r = small(2);
            let a = r.try_claim(1, || ()).unwrap();
            let giver = {
                let r = r.clone();
                thread::spawn(move || r.retire_warm(a.mask))
            };
            let cold = {
                let r = r.clone();
                thread::spawn(move || {
                    let mine = r.claim_pending(!0);
                    if mine != 0 {
                        r.retire_cold(mine, true);
                    }
                })
            };
            let got = r.try_claim(2, || ()).or_else(|| r.try_claim(1, || ()));
            giver.join().unwrap();
            cold.join().unwrap();
            let mask = got.map_or(0, |c| c.mask);
            assert!(mask != 0, "the second sub-region was free all the time");
            assert_eq!(r.masks().free(), 0b11 & !mask);
        });
    }

    /// Of two adopters one wins, and sees what the last owner wrote.
    #[test]
    fn loom_region_adoption_is_exclusive() {
        loom::model(|| {
            let r = small(1);
            let state = Arc::new(loom::cell::UnsafeCell::new(0));
            let c = r.try_claim(1, || ()).unwrap();
            r.activate(c.at);
            let adopters: Vec<_> = (0..2)
                .map(|_| {
                    let (r, state) = (r.clone(), state.clone());
                    thread::spawn(move || {
                        let won = r.adopt(0);
                        if won {
                            // SAFETY: the winner owns the state; loom reports a race if it does not.
                            state.with_mut(|s| unsafe { *s += 1 });
                        }
                        won
                    })
                })
                .collect();
            // SAFETY: not offered yet, so still this thread's.
            state.with_mut(|s| unsafe { *s = 1 });
            r.abandon(0);
            let wins = adopters
                .into_iter()
                .filter_map(|t| t.join().unwrap().then_some(()))
                .count();
            assert!(wins <= 1);
        });
    }
}
