//! Magazines keep more where they overflow and run dry in turn, and only there.

mod support;

use std::ptr::null_mut;
use std::sync::{Barrier, Mutex};
use std::thread;

use aloof::raw;
use support::plain::{cached, free, malloc};
use support::{KIB, child};

/// Of these a magazine keeps 64 KiB, and 256 when it has grown.
const SIZES: [usize; 4] = [1024, 2048, 4096, 16 * KIB];
const FIRST: usize = 64 * KIB;

/// Takes so many blocks together and frees them, so many times.
fn bursts(size: usize, blocks: usize, times: usize) {
    let mut row = vec![null_mut(); blocks];
    for _ in 0..times {
        row.fill_with(|| malloc(size));
        row.iter().for_each(|&block| free(block));
    }
}

/// Blocks that came out of pools.
fn taken() -> u64 {
    raw::stats().tiers[0].allocations
}

#[test]
fn bursts_beyond_a_magazine_make_it_grow() {
    child::isolated("bursts_beyond_a_magazine_make_it_grow", || {
        for size in SIZES {
            let blocks = 3 * FIRST / size;
            bursts(size, blocks, 10);
            let before = taken();
            bursts(size, blocks, 1000);
            let n = taken() - before;
            assert!(n < 100, "{n} blocks of {size} came from pools");
        }
    });
}

#[test]
fn what_frees_far_more_than_it_takes_keeps_little() {
    child::isolated("what_frees_far_more_than_it_takes_keeps_little", || {
        // Of these nothing lies in a slot.
        for size in [320, 384, 512] {
            // How many blocks are left depends on how many were freed since the last flush.
            for blocks in (1300..1500).step_by(10) {
                raw::purge();
                let before = cached();
                bursts(size, blocks, 3);
                let kept = cached() - before;
                assert!(kept <= FIRST + KIB, "{kept} bytes of {blocks} of {size}");
            }
        }
    });
}

#[test]
fn a_class_that_falls_idle_starts_again() {
    child::isolated("a_class_that_falls_idle_starts_again", || {
        let size = 4096;
        bursts(size, 3 * FIRST / size, 10);
        assert!(cached() >= 3 * FIRST);
        // Slow paths of another, some hundred times as many as there are classes.
        bursts(24 * KIB, 50, 4000);
        // A burst is more than is left of the one before: a magazine of 16 blocks, and the rest of a pool's word of 32.
        bursts(size, 3 * FIRST / size, 1);
        let before = taken();
        bursts(size, 3 * FIRST / size, 1);
        assert_ne!(taken(), before);
    });
}

/// In the child of a fork what other threads had in magazines of any size is free, once, and what they had in use is not.
#[test]
fn the_child_of_a_fork_finds_what_is_in_a_magazine_that_grew() {
    let name = "the_child_of_a_fork_finds_what_is_in_a_magazine_that_grew";
    child::isolated(name, || {
        let size = 4096;
        let (ready, go_on) = (Barrier::new(2), Barrier::new(2));
        let rows = Mutex::new((Vec::new(), Vec::new()));
        thread::scope(|scope| {
            scope.spawn(|| {
                bursts(size, 3 * FIRST / size, 10);
                let mut used: Vec<_> = (0..40).map(|_| malloc(size).addr()).collect();
                let at = |addr: usize| std::ptr::with_exposed_provenance_mut(addr);
                let kept = used.split_off(6);
                kept.iter().for_each(|&addr| free(at(addr)));
                *rows.lock().unwrap() = (used.clone(), kept);
                ready.wait();
                go_on.wait();
                used.iter().for_each(|&addr| free(at(addr)));
            });
            ready.wait();
            let (used, kept) = &*rows.lock().unwrap();
            let whole = child::forked(|| {
                let (mut found, mut twice) = (0, 0);
                for _ in 0..2000 {
                    let addr = malloc(size).addr();
                    found += usize::from(kept.contains(&addr));
                    twice += usize::from(used.contains(&addr));
                }
                found == kept.len() && twice == 0
            });
            go_on.wait();
            assert!(whole, "blocks are lost, or handed out twice");
        });
    });
}
