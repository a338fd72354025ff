//! What a published prototype of the same idea got wrong: blocks handed out twice, `calloc` that clears
//! nothing, sizes that recycle a handful of addresses, large blocks, orphans and cached memory left
//! unfinished.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::thread;

use aloof::raw;
use support::block::{Request, free_all, written};

use support::{Block, GIB, KIB, MIB, Random, child, memory};

/// Live blocks of these sizes, all distinct and whole.
fn all_live(sizes: impl Iterator<Item = usize>) -> Vec<Block> {
    let blocks: Vec<Block> = sizes
        .enumerate()
        .map(|(i, size)| Block::new(Request::of(size), i as u64).expect("there is memory"))
        .collect();
    let mut ends = BTreeMap::new();
    for block in &blocks {
        let before = ends.insert(block.addr(), block.addr() + block.usable());
        assert_eq!(before, None, "{block:?} is handed out twice");
    }
    let mut last = 0;
    for (start, end) in ends {
        assert!(last <= start, "blocks overlap at {start:#x}");
        last = end;
    }
    blocks.iter().for_each(Block::verify);
    blocks
}

#[test]
fn two_blocks_of_a_size_with_another_between_are_two() {
    free_all(all_live([16, 1000, 16].into_iter()));
    // The same between the classes of every pair, twice: fresh, and from what was freed.
    for (a, b) in (0..16).flat_map(|a| (0..16).map(move |b| (1 << a, 1 << b))) {
        for _ in 0..2 {
            free_all(all_live([a, b, a, b, b, a].into_iter()));
        }
    }
}

#[test]
fn a_sequence_of_classes_hands_out_each_address_once() {
    let scattered = (0..9000).map(|i| [1, 2, 4][i % 3] * (16 << (i / 1500)));
    free_all(all_live(scattered));
    let mut random = Random::new(1);
    let blocks = all_live((0..20_000).map(|_| 1 + random.below(1000)));
    // Every second in a random order, and as many again: none of the addresses that live.
    let mut kept = Vec::new();
    for block in blocks {
        if random.below(2) == 0 {
            block.free()
        } else {
            kept.push(block)
        }
    }
    let lower: Vec<usize> = kept.iter().map(Block::addr).collect();
    let more = all_live((0..10_000).map(|_| 1 + random.below(1000)));
    for block in &more {
        assert!(!lower.contains(&block.addr()), "{block:?} lives already");
    }
    free_all(kept);
    free_all(more);
}

#[test]
fn random_sizes_up_to_1_mib_are_blocks_of_their_own() {
    let mut random = Random::new(2);
    free_all(all_live((0..1500).map(|_| 1 + random.below(MIB))));
}

#[test]
fn calloc_clears_what_others_left() {
    let sizes = [
        1,
        16,
        100,
        1000,
        30_000,
        33_000,
        64 * KIB,
        MIB,
        3 * MIB,
        8 * MIB,
    ];
    for size in sizes {
        let count = (4 * MIB / size).clamp(2, 300);
        for _ in 0..3 {
            free_all(all_live((0..count).map(|_| size)));
            // Blocks check that they are zero when they are new.
            let zeroed = (0..count).map(|i| Block::new(Request::zeroed(size), i as u64 + 7));
            let zeroed: Vec<Block> = zeroed.map(|b| b.expect("there is memory")).collect();
            free_all(zeroed);
        }
    }
}

#[test]
fn large_blocks_are_served_reused_and_given_back() {
    child::isolated("large_blocks_are_served_reused_and_given_back", || {
        for size in [300 * MIB, GIB, 5 * GIB] {
            let request = Request::of(size);
            let Some(block) = Block::new(request, 1) else {
                assert!(memory::os_refuses(2 * size), "{size} is refused");
                continue;
            };
            let at = block.addr();
            block.free();
            let again = Block::new(request, 2).expect("it was there a moment ago");
            assert_eq!(again.addr(), at, "{size}: free space is not reused");
            again.free();
            let held = raw::stats().committed_bytes;
            assert!(held >= size as u64);
            assert!(raw::purge());
            assert!(raw::stats().committed_bytes + size as u64 <= held);
        }
    });
}

#[test]
fn warm_pieces_are_taken_before_cold_ones() {
    child::isolated("warm_pieces_are_taken_before_cold_ones", || {
        let piece = || Block::new(Request::of(8 * MIB), 1).expect("there is memory");
        let (low, high) = (piece(), piece());
        let (low_at, high_at) = (low.addr(), high.addr());
        assert!(low_at < high_at);
        low.free();
        assert!(raw::purge());
        high.free();
        let (warm, cold) = (piece(), piece());
        assert_eq!((warm.addr(), cold.addr()), (high_at, low_at));
        free_all(vec![warm, cold]);
    });
}

/// One generation of threads leaves blocks of all tiers; the next must get their memory.
#[test]
fn what_a_thread_leaves_is_adopted_by_the_next() {
    child::isolated("what_a_thread_leaves_is_adopted_by_the_next", || {
        let sizes = [16, 1000, 20 * KIB, 64 * KIB, 100_000, 3 * MIB];
        let generation = |seed: u64| {
            let worker = move || {
                let mut random = Random::new(seed);
                let all = all_live((0..600).map(|_| sizes[random.below(4)]).chain(sizes));
                let (kept, gone): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .partition(|b| b.addr() % 5 == 1 || b.size() == 16);
                free_all(gone);
                kept
            };
            thread::spawn(worker).join().expect("no assertion fails")
        };
        let mut left: Vec<Vec<Block>> = (0..4).map(generation).collect();
        let before = raw::stats();
        for seed in 4..100 {
            left.push(generation(seed));
            free_all(left.remove(0));
        }
        let after = raw::stats();
        assert!(
            after.committed_bytes <= before.committed_bytes + (32 << 20),
            "{before:?} {after:?}"
        );
        assert!(
            after.live_bytes <= 2 * before.live_bytes,
            "{before:?} {after:?}"
        );
        left.into_iter().for_each(free_all);
    });
}

#[test]
fn what_is_freed_of_an_orphan_is_had_by_its_adopter() {
    child::isolated("what_is_freed_of_an_orphan_is_had_by_its_adopter", || {
        const BLOCKS: usize = 4000;
        for size in [48, 1000, 20 * KIB, 64 * KIB] {
            let count = BLOCKS.min(16 * MIB / size);
            let on_a_thread = |f: Box<dyn FnOnce() -> Vec<Block> + Send>| {
                thread::spawn(f).join().expect("no assertion fails")
            };
            let left = on_a_thread(Box::new(move || all_live((0..count).map(|_| size))));
            let places: HashSet<usize> = left.iter().map(Block::addr).collect();
            // Some live on, so that none of it can go back whole.
            let kept = on_a_thread(Box::new(move || {
                let (kept, gone) = left.into_iter().partition(|b| b.addr() / size % 10 == 3);
                free_all(gone);
                kept
            }));
            let gone = count - kept.len();
            let again = on_a_thread(Box::new(move || all_live((0..gone).map(|_| size))));
            let reused = again.iter().filter(|b| places.contains(&b.addr())).count();
            assert!(reused * 10 >= gone * 9, "{reused} of {gone} of {size}");
            free_all(kept);
            free_all(again);
        }
    });
}

#[test]
fn memory_that_is_free_goes_back_to_the_os() {
    child::isolated("memory_that_is_free_goes_back_to_the_os", || {
        for size in [100, 5000, 64 * KIB, 100_000, 3 * MIB, 8 * MIB] {
            let before = memory::resident();
            let blocks: Vec<_> = (0..100 * MIB / size).map(|_| written(size)).collect();
            let full = memory::resident();
            assert!(full > before + 95 * MIB, "{before} {full}");
            // SAFETY: each is freed once.
            blocks.into_iter().for_each(|at| unsafe { raw::free(at) });
            assert!(raw::purge());
            let after = memory::resident();
            assert!(
                after < before + 8 * MIB,
                "{size}: {before}, then {full}, then {after}"
            );
            assert!(!raw::purge(), "nothing is left to give");
        }
    });
}

/// A small zeroed block that is read before it is written costs one page fault a page, not one for the page of zeros and
/// another for its own; a large one has no page before it is used.
#[test]
fn zeroed_blocks_that_are_read_first_fault_once() {
    let name = "zeroed_blocks_that_are_read_first_fault_once";
    let small_pages = [("ALOOF_HUGE_PAGES", "0")];
    child::isolated_with(name, &small_pages, || {
        for size in [1000, 3000, 4096] {
            let before = memory::faults();
            for _ in 0..16 * MIB / size {
                // SAFETY: a live block of `size` bytes, never freed.
                unsafe {
                    let at = raw::malloc_zeroed(size);
                    assert_eq!(at.read_volatile() | at.add(size - 1).read_volatile(), 0);
                    at.write_volatile(1);
                    at.add(size - 1).write_volatile(1);
                }
            }
            let (faults, pages) = (memory::faults() - before, 16 * MIB / memory::PAGE);
            assert!(
                faults < pages * 3 / 2,
                "{faults} for {pages} pages of {size}"
            );
        }
        let before = memory::resident();
        for size in [20 * KIB, 100 * KIB, 3 * MIB] {
            // SAFETY: no preconditions; never freed.
            (0..10).for_each(|_| assert!(!unsafe { raw::malloc_zeroed(size) }.is_null()));
        }
        assert!(memory::resident() < before + MIB);
    });
}
