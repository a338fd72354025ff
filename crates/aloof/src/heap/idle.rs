//! Caches that a busy thread does not use: they go back to the pools while it uses others.
//!
//! A cached block keeps its page, and a magazine that was filled by random frees holds up to 255 blocks of as many
//! pages. So every few slow paths one class, or the cache of larger blocks, is looked at, all in turn, and is flushed if
//! nothing was taken from it or put there since the last look (compare the low-water marks of tcmalloc's thread caches).

use super::Heap;
use crate::num::class::{CLASSES, SizeClass};

/// Slow paths between two looks.
const EVERY: u32 = 16;

impl Heap {
    /// To be called on slow paths that allocate.
    #[inline(always)]
    pub(super) fn look_for_idle(&self) {
        self.slow_paths.add(1);
        if self.slow_paths.get().is_multiple_of(EVERY) {
            match self.slow_paths.get() / EVERY % (CLASSES as u32 + 1) {
                0 => self.look_at_medium(),
                n => self.look_at_class(n - 1),
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn look_at_medium(&self) {
        if self.seen_medium.get() == self.medium_cache.state() {
            self.flush_medium();
        }
        self.seen_medium.set(self.medium_cache.state());
    }

    #[cold]
    #[inline(never)]
    fn look_at_class(&self, class: u32) {
        let class = SizeClass(class as u8);
        let seen = &self.seen[class.index()];
        if seen.get() == self.cache_state(class) {
            self.flush_class(class);
            self.reset_capacity(class);
        }
        seen.set(self.cache_state(class));
    }

    /// Differs, almost surely, when the caches of a class were used.
    fn cache_state(&self, class: SizeClass) -> u64 {
        let top = self.front.hot[class.index()].get().addr() as u64;
        top.rotate_left(32) ^ self.front.slots[class.index()].bits.get()
    }
}
