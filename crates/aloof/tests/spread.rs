//! Few live blocks do not keep many pages: they come to lie together, and caches that are not used go back.

mod support;

use std::sync::Mutex;
use std::thread;

use aloof::raw;
use support::block::Request;
use support::{Block, KIB, MIB, Random, child, memory};

/// Blocks of one size, each written.
struct Blocks {
    size: usize,
    at: Vec<*mut u8>,
}

impl Blocks {
    fn new(size: usize, count: usize) -> Blocks {
        let at = Vec::with_capacity(count);
        let mut blocks = Blocks { size, at };
        (0..count).for_each(|_| blocks.add());
        blocks
    }

    fn add(&mut self) {
        // SAFETY: any size will do.
        let block = unsafe { raw::malloc(self.size) };
        assert!(!block.is_null());
        // SAFETY: a block of that many bytes, the first and last of which are written.
        unsafe {
            block.write(1);
            block.add(self.size - 1).write(1);
        }
        self.at.push(block);
    }

    fn remove_any(&mut self, random: &mut Random) {
        let block = self.at.swap_remove(random.below(self.at.len()));
        // SAFETY: a live block, from `add`.
        unsafe { raw::free(block) };
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: live blocks, from `add`.
        self.at
            .drain(..)
            .for_each(|block| unsafe { raw::free(block) });
    }
}

/// A data set shrinks to a fifth by lot and is replaced by lot a few times. The blocks left are then in a few full pools
/// rather than in a page each.
#[test]
fn what_is_left_of_many_blocks_comes_together() {
    child::isolated("what_is_left_of_many_blocks_comes_together", || {
        for size in [48, 96, 512, 2048] {
            let mut random = Random::new(size as u64);
            let mut blocks = Blocks::new(size, 64 * MIB / size);
            let before = memory::resident();
            let left = blocks.at.len() / 5;
            while blocks.at.len() > left {
                blocks.remove_any(&mut random);
            }
            let mut replaced = 0;
            while replaced < 12 * left {
                let n = 1 + random.below(600);
                (0..n).for_each(|_| blocks.remove_any(&mut random));
                (0..n).for_each(|_| blocks.add());
                replaced += n;
            }
            raw::purge();
            let after = memory::resident();
            let freed = (64 * MIB - left * size) as f64;
            let back = (before as f64 - after as f64) / freed;
            assert!(
                back > 0.9,
                "blocks of {size} bytes stay scattered: {back:.3}"
            );
        }
    });
}

/// Blocks from all over the memory stay in the caches of many sizes; then the thread is busy with other sizes.
#[test]
fn caches_of_sizes_that_are_not_used_go_back() {
    child::isolated("caches_of_sizes_that_are_not_used_go_back", || {
        let mut random = Random::new(5);
        for size in (1..=16).map(|n| n * 64) {
            let mut blocks = Blocks::new(size, MIB / size * 2);
            while !blocks.at.is_empty() {
                blocks.remove_any(&mut random);
            }
        }
        let small = raw::stats().cached_bytes;
        drop(Blocks::new(100 * KIB, 10));
        let idle = raw::stats().cached_bytes;
        assert!(small > 400 * KIB as u64, "{small} bytes in caches");
        assert!(
            idle >= small + 700 * KIB as u64,
            "{} bytes of the larger",
            idle - small
        );
        // So large that no cache keeps them.
        for size in [1100 * KIB, 1100] {
            for _ in 0..60 {
                drop(Blocks::new(size, 100));
            }
        }
        let cached = raw::stats().cached_bytes;
        assert!(
            cached < idle / 4,
            "{cached} of {idle} bytes are cached still"
        );
    });
}

/// Many short threads, a few at a time, each of which leaves blocks of all sizes behind and frees older ones of others': what
/// ended threads left is used again, and the memory in use does not grow with their number.
#[test]
fn short_threads_use_what_others_left() {
    child::isolated("short_threads_use_what_others_left", || {
        let places: Mutex<Vec<Option<Block>>> = Mutex::new((0..4096).map(|_| None).collect());
        let work = |seed: u64| {
            let mut random = Random::new(seed);
            for i in 0..100 {
                let most = if i % 20 == 0 { 100_000 } else { 2_000 };
                let new = Block::new(Request::of(16 + random.below(most)), random.next());
                assert!(new.is_some());
                let old = {
                    let place = &mut places.lock().unwrap()[random.below(4096)];
                    std::mem::replace(place, new)
                };
                if let Some(old) = old {
                    old.verify();
                    old.free();
                }
            }
        };
        for round in 0..3000 {
            thread::scope(|scope| {
                for k in 0..4 {
                    let work = &work;
                    scope.spawn(move || work(round * 4 + k + 1));
                }
            });
        }
        for block in places.into_inner().unwrap().into_iter().flatten() {
            block.free();
        }
        let peak = raw::stats().peak_committed_bytes;
        assert!(peak < 112 * MIB as u64, "{} MiB committed", peak >> 20);
    });
}
