//! The state of a region as a value: six masks of 64 sub-regions, and which steps are legal.
//!
//! | reserved | committed | pending | active | abandoned | a sub-region that is |
//! |---|---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | 0 | no address space held (piecewise spaces only) |
//! | 1 | 0 | 0 | 0 | 0 | free, not accessible |
//! | 1 | 1 | 1 | 0 | 0 | free, accessible, dirty: the first choice |
//! | 1 | 1 | 0 | 0 | 0 | handed whole to the program, or being moved between states |
//! | 1 | 1 | 0 | 1 | 0 | in a heap's hands |
//! | 1 | 1 | 0 | 1 | 1 | orphaned: its owner ended |
//! | 0 | 1 | 0 | 0 | 0 | unusable: something foreign is mapped there |
//!
//! `ranges` has a one on every sub-region of a piece but the last. Who sets a bit of `committed` or
//! clears a bit of `pending` owns the sub-region and alone writes its other bits.

use crate::num::bits;

/// The six masks, read one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Masks {
    /// Address space is held.
    pub reserved: u64,
    /// Accessible, or claimed by whoever makes it so.
    pub committed: u64,
    /// Joined with the next sub-region in one piece.
    pub ranges: u64,
    /// In a heap's hands rather than handed whole to the program.
    pub active: u64,
    /// Orphaned: may be adopted.
    pub abandoned: u64,
    /// Free but accessible.
    pub pending: u64,
}

/// A piece to be taken: `mask` is contiguous, `warm` the part of it that is pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The lowest sub-region.
    pub at: u32,
    /// All sub-regions.
    pub mask: u64,
    /// Those that are accessible and dirty.
    pub warm: u64,
}

impl Claim {
    /// The part that must be committed.
    pub fn fresh(self) -> u64 {
        self.mask & !self.warm
    }
}

impl Masks {
    /// Sub-regions that can be taken.
    pub fn free(self) -> u64 {
        self.pending | !self.committed
    }

    /// Chooses `n` (1..=64) neighbouring free sub-regions: all warm if possible, else the lowest.
    pub fn plan(self, n: u32) -> Option<Claim> {
        let at = bits::find_run(self.pending, n).or_else(|| bits::find_run(self.free(), n))?;
        let mask = bits::run(at, n);
        Some(Claim {
            at,
            mask,
            warm: mask & self.pending,
        })
    }

    /// `pending` after the warm part of a claim is taken, if it is all still there.
    pub fn take_warm(pending: u64, claim: Claim) -> Option<u64> {
        (pending & claim.warm == claim.warm).then_some(pending & !claim.warm)
    }

    /// `committed` after the fresh part of a claim is taken, if it is all still free.
    pub fn take_fresh(committed: u64, claim: Claim) -> Option<u64> {
        (committed & claim.fresh() == 0).then_some(committed | claim.fresh())
    }

    /// Bits of `ranges` of a piece.
    pub fn inner(mask: u64) -> u64 {
        mask & mask >> 1
    }

    /// Longest free run as a level: the largest `k` with a run of at least `2^k`, none if nothing is free.
    pub fn level(self) -> Option<u32> {
        bits::longest_run(self.free()).checked_ilog2()
    }

    /// Whether the state is one of the table above, at rest.
    #[cfg(test)]
    pub fn is_legal(self) -> bool {
        let unusable = self.committed & !self.reserved;
        let held = self.committed & self.reserved;
        self.pending & !held == 0
            && self.active & !(held & !self.pending) == 0
            && self.abandoned & !self.active == 0
            && self.ranges & !(held & !self.pending) == 0
            && (self.pending | self.active | self.ranges) & unusable == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// All legal states of `width` sub-regions; the others are unusable.
    fn legal_states(width: u32) -> Vec<Masks> {
        // A sub-region's own state, 7 of them, times whether it is joined to the next.
        let outside = !bits::low(width);
        let mut states = vec![Masks {
            committed: outside,
            ..Masks::default()
        }];
        for bit in (0..width).map(|i| 1u64 << i) {
            let mut next = Vec::new();
            for s in states {
                let held = Masks {
                    reserved: s.reserved | bit,
                    committed: s.committed | bit,
                    ..s
                };
                let own = [
                    s,
                    Masks {
                        reserved: s.reserved | bit,
                        ..s
                    },
                    Masks {
                        pending: s.pending | bit,
                        ..held
                    },
                    held,
                    Masks {
                        active: s.active | bit,
                        ..held
                    },
                    Masks {
                        active: s.active | bit,
                        abandoned: s.abandoned | bit,
                        ..held
                    },
                    Masks {
                        committed: s.committed | bit,
                        ..s
                    },
                ];
                next.extend(own);
                next.extend([Masks {
                    ranges: s.ranges | bit,
                    ..held
                }]);
            }
            states = next;
        }
        states
    }

    #[test]
    fn every_plan_in_every_state_takes_free_neighbours_only() {
        for s in legal_states(5) {
            assert!(s.is_legal(), "{s:?}");
            for n in 1..=5 {
                let possible = (0..=5 - n).any(|at| bits::run(at, n) & !s.free() == 0);
                let warm_possible = (0..=5 - n).any(|at| bits::run(at, n) & !s.pending == 0);
                let Some(c) = s.plan(n) else {
                    assert!(!possible, "{s:?} {n}");
                    continue;
                };
                assert_eq!(c.mask, bits::run(c.at, n));
                assert_eq!(c.mask & !s.free(), 0, "takes what is not free: {s:?} {n}");
                assert_eq!(c.warm, c.mask & s.pending);
                assert!(
                    !warm_possible || c.warm == c.mask,
                    "prefers fresh to warm: {s:?} {n}"
                );
                // The two steps, then the bits that the owner writes.
                let pending = Masks::take_warm(s.pending, c).expect("warm part is there");
                let committed = Masks::take_fresh(s.committed, c).expect("fresh part is there");
                let after = Masks {
                    pending,
                    committed,
                    reserved: s.reserved | c.mask,
                    ranges: s.ranges | Masks::inner(c.mask),
                    ..s
                };
                assert!(after.is_legal(), "{s:?} -> {after:?}");
                assert_eq!(after.free(), s.free() & !c.mask);
                // Nobody else can take any of it now.
                assert!(c.warm == 0 || Masks::take_warm(after.pending, c).is_none());
                assert!(c.fresh() == 0 || Masks::take_fresh(after.committed, c).is_none());
                // And back.
                let back = Masks {
                    ranges: after.ranges & !c.mask,
                    pending: after.pending | c.mask,
                    ..after
                };
                assert!(back.is_legal() && back.free() == s.free());
            }
        }
    }

    #[test]
    fn a_claim_fails_when_any_of_it_is_gone() {
        let s = Masks {
            reserved: !0,
            committed: 0b0110 | !0 << 6,
            pending: 0b0110,
            ..Masks::default()
        };
        let c = s.plan(3).expect("three are free");
        assert_eq!((c.mask, c.warm), (0b111, 0b110));
        for lost in [0b010, 0b100] {
            assert_eq!(Masks::take_warm(s.pending & !lost, c), None);
        }
        assert_eq!(Masks::take_fresh(s.committed | 1, c), None);
    }

    #[test]
    fn the_level_is_the_log_of_the_longest_free_run() {
        let with = |free: u64| {
            Masks {
                reserved: !0,
                committed: !free,
                ..Masks::default()
            }
            .level()
        };
        assert_eq!(with(0), None);
        assert_eq!(with(0b101), Some(0));
        assert_eq!(with(0b0111), Some(1));
        assert_eq!(with(!1), Some(5));
        assert_eq!(with(!0), Some(6));
    }
}
