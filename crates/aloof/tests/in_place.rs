//! Hands off: blocks are resized where they are if there is room, memory that was never used is not touched
//! to clear it, and nothing but the program ever reads or writes a block.

mod support;

use std::collections::HashMap;

use aloof::raw;
use support::block::block;
use support::{Block, GIB, KIB, MIB, child, memory};

/// Sizes of each tier but the OS's mappings.
const SIZES: [usize; 12] = [
    8,
    48,
    1000,
    20 * KIB,
    32 * KIB,
    64 * KIB,
    MIB,
    4 * MIB,
    33_000,
    3 * MIB,
    5 * MIB,
    8 * MIB,
];

#[test]
fn realloc_keeps_the_content_between_all_tiers() {
    let sizes = [
        1,
        16,
        100,
        5000,
        32 * KIB,
        33_000,
        64 * KIB,
        100_000,
        MIB,
        3 * MIB,
        8 * MIB,
        20 * MIB,
    ];
    for from in sizes.into_iter().chain([300 * MIB, 9 * GIB]) {
        for to in sizes.into_iter().chain([300 * MIB, 9 * GIB]) {
            // Copies of the largest take their time.
            if from.min(to) > 20 * MIB && from != to {
                continue;
            }
            let mut block = block(from);
            assert!(block.resize(to), "{from} to {to}");
            block.free();
        }
    }
}

#[test]
fn a_block_stays_where_it_is_while_its_class_allows() {
    for size in [100, 1000, 20 * KIB, 64 * KIB, MIB, 8 * MIB, 300 * MIB] {
        let mut block = block(size);
        let at = block.addr();
        let usable = block.usable();
        for to in [usable, usable - usable / 4, usable / 2 + 1, usable] {
            assert!(block.resize(to));
            assert_eq!(block.addr(), at, "{size} to {to}");
        }
        block.free();
    }
}

#[test]
fn a_buffer_that_is_appended_to_moves_seldom() {
    // SAFETY: the block is replaced by what it moved to, and freed once.
    unsafe {
        let (mut at, mut moves, mut size) = (raw::malloc(1000), 0, 1000);
        while size < 20_000 {
            size += 100;
            let now = raw::realloc(at, size);
            moves += usize::from(now != at);
            at = now;
        }
        raw::free(at);
        // Each class in turn would be 36; a factor of 5/4 makes it 14.
        assert!(moves <= 20, "{moves} moves");
        // One step that is large gets what it asks for.
        at = raw::realloc(raw::malloc(1000), 3000);
        assert!(raw::usable_size(at) < 3100);
        raw::free(at);
    }
}

/// Three blocks of runs, each right behind the one before.
fn neighbours(size: usize) -> [Block; 3] {
    let blocks = [(); 3].map(|()| block(size));
    for pair in blocks.windows(2) {
        assert_eq!(pair[0].addr() + pair[0].usable(), pair[1].addr(), "{size}");
    }
    blocks
}

/// Odd sizes of runs of several partitions.
const RUNS: [usize; 4] = [100_000, 700_001, 5 * MIB + 1, 40 * MIB + 1];

#[test]
fn a_run_grows_into_free_neighbours_and_not_into_others() {
    child::isolated(
        "a_run_grows_into_free_neighbours_and_not_into_others",
        || {
            for size in RUNS {
                let [mut first, mut second, third] = neighbours(size);
                let at = (first.addr(), second.addr());
                // Its neighbour is in the way: it moves, and its place is free.
                assert!(first.resize(2 * size));
                assert_ne!(first.addr(), at.0);
                first.free();
                // The neighbour behind goes: there is room, up to its end and no further.
                third.free();
                assert!(second.resize(size + size / 2));
                assert_eq!(second.addr(), at.1, "{size}");
                assert!(second.resize(2 * second.usable() - size));
                assert_eq!(second.addr(), at.1, "{size}");
                // What is taken is taken.
                let other = block(size);
                let (start, end) = (second.addr(), second.addr() + second.usable());
                assert!(!(start..end).contains(&other.addr()) && second.is_intact());
                other.free();
                second.free();
            }
        },
    );
}

#[test]
fn a_run_that_shrinks_gives_its_tail_to_others() {
    child::isolated("a_run_that_shrinks_gives_its_tail_to_others", || {
        // Near the largest sizes of their partitions, so that more than half of each is of the same.
        for size in (0..7).map(|p| ((500 * KIB) << p) + 1) {
            let [first, mut second, third] = neighbours(size);
            let (at, end) = (second.addr(), second.addr() + second.usable());
            assert!(second.resize(size * 2 / 5));
            assert_eq!(second.addr(), at);
            assert!(second.usable() < size / 2, "{} of {size}", second.usable());
            let tail = block(size * 11 / 20);
            assert!(
                (at..end).contains(&tail.addr()),
                "{tail:?} is not in {at:#x}..{end:#x}"
            );
            [first, second, third, tail]
                .into_iter()
                .for_each(Block::free);
        }
    });
}

#[test]
fn large_zeroed_blocks_are_not_touched_when_their_memory_is_new() {
    child::isolated(
        "large_zeroed_blocks_are_not_touched_when_their_memory_is_new",
        || {
            let sizes = [
                64 * KIB,
                100_000,
                MIB,
                4 * MIB,
                5 * MIB,
                8 * MIB,
                100 * MIB,
                256 * MIB,
                GIB,
                9 * GIB,
            ];
            for size in sizes {
                for align in [16, 4 * KIB] {
                    // SAFETY: alignments are powers of two; the block is freed as it is.
                    unsafe {
                        let at = raw::malloc_aligned_zeroed(size, align);
                        assert!(!at.is_null());
                        let looked_at = size.min(GIB);
                        assert_eq!(memory::resident_pages(at.addr(), looked_at), 0, "{size}");
                        // Freed as it is: its place is dirty to the allocator from here on.
                        at.write(1);
                        at.add(size - 1).write(1);
                        assert_eq!(
                            memory::resident_pages(at.addr(), looked_at),
                            if size > GIB { 1 } else { 2 }
                        );
                    }
                }
            }
        },
    );
}

#[test]
fn small_zeroed_blocks_of_more_than_a_page_are_not_touched_when_new() {
    child::isolated(
        "small_zeroed_blocks_of_more_than_a_page_are_not_touched_when_new",
        || {
            // SAFETY: the blocks are only looked at.
            let blocks = (0..100).map(|_| unsafe { raw::malloc_zeroed(20 * KIB) }.addr());
            let touched: usize = blocks.map(|at| memory::resident_pages(at, 20 * KIB)).sum();
            assert_eq!(touched, 0);
        },
    );
}

/// What the program never touched has no memory, however often it is allocated, resized and freed.
#[test]
fn the_allocator_touches_no_block() {
    child::isolated("the_allocator_touches_no_block", || {
        for size in SIZES {
            let count = (16 * MIB / size).clamp(4, 3000);
            let mut seen = Vec::new();
            for round in 0..4 {
                // SAFETY: the blocks are freed once, by this thread or another.
                unsafe {
                    let mut blocks: Vec<_> = (0..count).map(|_| Held(raw::malloc(size))).collect();
                    for held in blocks.iter_mut().step_by(3) {
                        // In place, or it would be a copy.
                        let kept = raw::realloc(held.0, raw::usable_size(held.0) - 1);
                        assert_eq!(kept, held.0);
                    }
                    seen.extend(blocks.iter().map(|b| b.0.addr()));
                    let free = |blocks: Vec<Held>| blocks.into_iter().for_each(|b| raw::free(b.0));
                    if round % 2 == 0 {
                        free(blocks);
                    } else {
                        let remote = move || free(blocks);
                        std::thread::spawn(remote)
                            .join()
                            .expect("frees do not fail");
                    }
                }
            }
            seen.sort_unstable();
            seen.dedup();
            let (first, last) = (seen[0], seen[seen.len() - 1] + size);
            assert!(last - first < 4 * GIB, "{size}");
            let touched: usize = seen
                .iter()
                .map(|&at| memory::resident_pages(at, size))
                .sum();
            assert_eq!(touched, 0, "pages of {} blocks of {size}", seen.len());
        }
    });
}

/// A block that another thread may free.
struct Held(*mut u8);
// SAFETY: the holder's alone.
unsafe impl Send for Held {}

/// Sizes that heaps keep sub-regions for; whole ones may go back to the OS at any time.
fn sizes_of_heaps() -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(|&size| size != 8 * MIB)
}

/// The bytes of a block are as its last user left them when it is handed out again.
#[test]
fn a_block_comes_back_as_it_was_left() {
    child::isolated("a_block_comes_back_as_it_was_left", || {
        for size in sizes_of_heaps() {
            let count = (8 * MIB / size).clamp(2, 2000);
            // Keeps the sub-region from going back to the OS.
            let anchor = block(size);
            let mut left = HashMap::new();
            let mut again = 0;
            for round in 0..3usize {
                // SAFETY: blocks have `size` bytes, which were written in an earlier round if they are known.
                unsafe {
                    let blocks: Vec<_> = (0..count).map(|_| raw::malloc(size)).collect();
                    for (i, &at) in blocks.iter().enumerate() {
                        let bytes = std::slice::from_raw_parts_mut(at, size);
                        if let Some(&mark) = left.get(&at.addr()) {
                            again += 1;
                            let as_left = bytes.iter().all(|&b| b == mark);
                            assert!(as_left, "{size} at {at:p} in round {round}");
                        }
                        let mark = (i * 3 + round * 101) as u8;
                        bytes.fill(mark);
                        left.insert(at.addr(), mark);
                    }
                    // In order, and every other.
                    blocks.iter().step_by(2).for_each(|&at| raw::free(at));
                    blocks
                        .iter()
                        .skip(1)
                        .step_by(2)
                        .for_each(|&at| raw::free(at));
                }
            }
            assert!(again >= count, "blocks of {size} were reused {again} times");
            anchor.free();
        }
    });
}
