//! Which regions of a partition are worth a look: one bit a region, and one bit a word of them.
//!
//! A bit is a hint. It may be set though nothing is there (the finder clears it), but it is never
//! clear for good while something is: whoever makes something available sets the bit after it, and
//! whoever clears a bit looks again after it.

use crate::sync::{AtomicU64, Ordering};

#[cfg(not(loom))]
const WORDS: usize = 64;
#[cfg(loom)]
const WORDS: usize = 1;

/// Bits for up to 4096 regions. `FULL` says that all are set at the start.
pub struct Summary<const FULL: bool> {
    /// Bit `w` set: some bit of word `w` is set.
    top: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const FULL: bool> Summary<FULL> {
    /// Stored inverted if full at the start, so that zeroed memory is the first state.
    const FLIP: u64 = if FULL { u64::MAX } else { 0 };

    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Summary {
            top: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    #[cfg(loom)]
    pub fn new() -> Self {
        Summary {
            top: AtomicU64::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn raise(word: &AtomicU64, bit: u64) {
        // Release: the finder sees what the bit announces. Acquire: see `clear`.
        if FULL {
            word.fetch_and(!bit, Ordering::AcqRel);
        } else {
            word.fetch_or(bit, Ordering::AcqRel);
        }
    }

    /// Clears and returns the word as it is then.
    fn lower(word: &AtomicU64, bit: u64) -> u64 {
        // Acquire: sees what a `raise` before it announced, so that the second look finds it.
        if FULL {
            (word.fetch_or(bit, Ordering::AcqRel) ^ Self::FLIP) & !bit
        } else {
            word.fetch_and(!bit, Ordering::AcqRel) & !bit
        }
    }

    fn read(word: &AtomicU64) -> u64 {
        word.load(Ordering::Acquire) ^ Self::FLIP
    }

    /// Announces that region `i` has something.
    pub fn set(&self, i: usize) {
        Self::raise(&self.words[i / 64], 1 << (i % 64));
        Self::raise(&self.top, 1 << (i / 64));
    }

    /// Withdraws the bit of region `i` unless `look` finds something there after all.
    pub fn clear(&self, i: usize, look: impl Fn() -> bool) {
        let word = &self.words[i / 64];
        if Self::lower(word, 1 << (i % 64)) == 0 {
            let top = 1 << (i / 64);
            Self::lower(&self.top, top);
            if Self::read(word) != 0 {
                Self::raise(&self.top, top);
            }
        }
        if look() {
            self.set(i);
        }
    }

    /// The first region from `from` and below `limit` whose bit is set.
    pub fn find(&self, from: usize, limit: usize) -> Option<usize> {
        let mut w = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while w * 64 < limit {
            let found = Self::read(&self.words[w]) & mask;
            if found != 0 {
                let i = w * 64 + found.trailing_zeros() as usize;
                return (i < limit).then_some(i);
            }
            mask = u64::MAX;
            let above = if w + 1 >= WORDS {
                0
            } else {
                Self::read(&self.top) & u64::MAX << (w + 1)
            };
            if above == 0 {
                return None;
            }
            w = above.trailing_zeros() as usize;
        }
        None
    }
}

#[cfg(not(loom))]
impl<const FULL: bool> Summary<FULL> {
    /// The last region below `limit` whose bit is set.
    pub fn find_last(&self, limit: usize) -> Option<usize> {
        let mut end = limit;
        while end > 0 {
            let w = (end - 1) / 64;
            let found = Self::read(&self.words[w]) & u64::MAX >> (63 - (end - 1) % 64);
            if found != 0 {
                return Some(w * 64 + found.ilog2() as usize);
            }
            let below = Self::read(&self.top) & !(u64::MAX << w);
            end = below.checked_ilog2().map_or(0, |w| w as usize * 64 + 64);
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sets_clears_and_finds<const FULL: bool>() {
        let s = Summary::<FULL>::new();
        let all = |s: &Summary<FULL>| {
            let mut found = Vec::new();
            let mut at = 0;
            while let Some(i) = s.find(at, 4096) {
                found.push(i);
                at = i + 1;
                if at >= 4096 {
                    break;
                }
            }
            found
        };
        let start: Vec<usize> = if FULL {
            (0..4096).collect()
        } else {
            Vec::new()
        };
        assert_eq!(all(&s), start);
        (0..4096).for_each(|i| s.clear(i, || false));
        assert_eq!(all(&s), []);
        for i in [4095, 0, 63, 64, 130, 2000] {
            s.set(i);
        }
        assert_eq!(all(&s), [0, 63, 64, 130, 2000, 4095]);
        s.clear(64, || false);
        s.clear(130, || true);
        assert_eq!(all(&s), [0, 63, 130, 2000, 4095]);
        assert_eq!(s.find(131, 2000), None);
        assert_eq!(s.find(131, 2001), Some(2000));
        let mut last = 4096;
        for i in [4095, 2000, 130, 63, 0] {
            assert_eq!(s.find_last(last), Some(i));
            last = i;
        }
        assert_eq!(s.find_last(0), None);
    }

    #[test]
    fn a_summary_finds_just_the_set_bits_in_order() {
        sets_clears_and_finds::<false>();
        sets_clears_and_finds::<true>();
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    /// One thread makes something available while another, that found nothing, withdraws the bit:
    /// at rest the bit is set if something is there.
    fn no_announcement_is_lost<const FULL: bool>() {
        loom::model(|| {
            let s = Arc::new(Summary::<FULL>::new());
            let there = Arc::new(AtomicBool::new(false));
            let giver = {
                let (s, there) = (s.clone(), there.clone());
                thread::spawn(move || {
                    there.store(true, Ordering::Release);
                    s.set(3);
                })
            };
            s.clear(3, || there.load(Ordering::Acquire));
            giver.join().unwrap();
            assert_eq!(s.find(0, 4), if FULL { Some(0) } else { Some(3) });
            assert_eq!(s.find(3, 4), Some(3));
        });
    }

    #[test]
    fn loom_summary_keeps_announcements() {
        no_announcement_is_lost::<false>();
        no_announcement_is_lost::<true>();
    }

    /// Two regions of one word: withdrawing one never hides the other behind the top word.
    #[test]
    fn loom_summary_top_covers_its_words() {
        loom::model(|| {
            let s = Arc::new(Summary::<false>::new());
            s.set(1);
            let giver = {
                let s = s.clone();
                thread::spawn(move || s.set(2))
            };
            s.clear(1, || false);
            giver.join().unwrap();
            assert_eq!(Summary::<false>::read(&s.top), 1);
            assert_eq!(s.find(0, 4), Some(2));
        });
    }
}
