//! Flushes: blocks of a magazine go back to their pools.
//!
//! Each block costs a look at its chunk's pool, a division and a bit; blocks that follow each other in memory, up or
//! down, share all of it. What a pool needs once however many blocks it got, its place on the lists, comes last.

use super::{Heap, SizeClass};
use crate::num::class::ClassInfo;
use crate::num::ids::*;
use crate::num::{bits, series};
use crate::os::message::fault;
use crate::pool::{Fault, Pool};

/// Tells the program of its fault and ends it.
#[cold]
pub(super) fn block_fault(addr: usize, why: Fault) -> ! {
    let what = match why {
        Fault::Interior => "not the start of a block",
        Fault::DoubleFree => "double free: the block is free already",
    };
    fault("free", addr, what)
}

/// Pools that got blocks, each once, to be put where they belong.
struct Visited {
    pools: [PoolId; Visited::MOST],
    n: usize,
}

impl Visited {
    const MOST: usize = 32;

    const fn none() -> Visited {
        Visited {
            pools: [PoolId::NONE; Visited::MOST],
            n: 0,
        }
    }
}

impl Heap {
    /// Returns the oldest `n` blocks of a magazine to their pools.
    pub(super) fn flush(&self, class: SizeClass, n: usize) {
        let hot = &self.front.hot[class.index()];
        let bottom = self.magazine_bottom(class);
        let len = self.magazine_len(class);
        // SAFETY: `n` <= `len` entries from the bottom on are blocks, and nobody else's.
        let oldest = unsafe { core::slice::from_raw_parts_mut(bottom, n) };
        let own = if self.guests[class.index()].leave(n, len) {
            self.send_guests(class, oldest)
        } else {
            n
        };
        self.give_blocks(class, &oldest[..own]);
        // SAFETY: the rest moves down.
        unsafe { core::ptr::copy(bottom.wrapping_add(n), bottom, len - n) };
        hot.set(bottom.wrapping_add(len - n));
        self.count_pool_blocks(class, -(own as i64));
        self.front.slots[class.index()].shrink();
    }

    /// Returns blocks to their pools.
    #[inline(always)]
    pub(super) fn give_blocks(&self, class: SizeClass, blocks: &[usize]) {
        let size = class.size();
        let mut visited = Visited::none();
        let mut at = 0;
        while at < blocks.len() {
            let addr = blocks[at];
            let (id, _) = Pool::of_chunk(ChunkId::at(addr.wrapping_sub(self.base())));
            let pool = Pool::of(id);
            let block = self.block_of(pool, class.info(), addr);
            let step = blocks.get(at + 1).map_or(0, |next| next.wrapping_sub(addr));
            at += if step == size || step == size.wrapping_neg() {
                self.give_series(class, id, block, step, &blocks[at..])
            } else {
                self.give_bits(class, id, pool, block / 64, 1 << (block % 64));
                pool.count_given(1);
                1
            };
            if !pool.is_visited() {
                pool.set_visited(true);
                visited.pools[visited.n] = id;
                visited.n += 1;
                if visited.n == Visited::MOST {
                    self.restock_all(&mut visited);
                }
            }
        }
        self.restock_all(&mut visited);
    }

    #[inline(never)]
    fn restock_all(&self, visited: &mut Visited) {
        for &id in &visited.pools[..visited.n] {
            Pool::of(id).set_visited(false);
            self.restock(id);
        }
        visited.n = 0;
    }

    /// Index of the block that starts at `addr` in its pool.
    #[inline(always)]
    pub(super) fn block_of(&self, pool: &Pool, info: &ClassInfo, addr: usize) -> usize {
        let within = addr.wrapping_sub(self.base() + pool.offset());
        info.block_from(within)
            .unwrap_or_else(|| block_fault(addr, Fault::Interior))
    }

    /// Returns the first of these blocks, which is `block` of its pool, and those that follow it by `step`, as far as
    /// they are of the pool; their number.
    #[inline(always)]
    fn give_series(
        &self,
        class: SizeClass,
        id: PoolId,
        block: usize,
        step: usize,
        series: &[usize],
    ) -> usize {
        let pool = Pool::of(id);
        let (low, n) = if step == class.size() {
            let n = series::len(series, usize::from(class.info().blocks) - block, step);
            (block, n)
        } else {
            let n = series::len(series, block + 1, step);
            (block + 1 - n, n)
        };
        let (mut at, end) = (low, low + n);
        while at < end {
            let part = (64 - at % 64).min(end - at);
            let mask = bits::run((at % 64) as u32, part as u32);
            self.give_bits(class, id, pool, at / 64, mask);
            at += part;
        }
        pool.count_given(n as u32);
        n
    }

    /// Returns blocks of one word to their pool, which counts them later.
    #[inline(always)]
    fn give_bits(&self, class: SizeClass, id: PoolId, pool: &Pool, word: usize, mask: u64) {
        let word = word as u32;
        if self.slot_has(class, id, word, mask) || pool.give_uncounted(word, mask).is_err() {
            self.double_free(id, pool, word, mask);
        }
    }

    /// Tells of the first block among those of a word that is free already, in its pool or in the slot.
    #[cold]
    #[inline(never)]
    pub(super) fn double_free(&self, id: PoolId, pool: &Pool, word: u32, mask: u64) -> ! {
        let class = pool.class();
        let mut twice = mask & pool.free_in(word);
        if self.slot_has(class, id, word, mask) {
            twice |= mask & self.front.slots[class.index()].bits.get();
        }
        let first = word as usize * 64 + twice.trailing_zeros() as usize;
        block_fault(
            self.base() + pool.offset() + first * class.size(),
            Fault::DoubleFree,
        );
    }

    /// Returns all blocks of all caches: the heap ends, or the program does.
    pub fn flush_all(&self) {
        SizeClass::all().for_each(|class| self.flush_class(class));
        self.flush_medium();
    }

    /// Returns the small blocks of one class.
    pub(super) fn flush_class(&self, class: SizeClass) {
        let len = self.magazine_len(class);
        if len > 0 {
            self.flush(class, len);
        }
        self.return_slot(class);
    }
}
