//! A class that has nothing used left hands out what a slightly larger one has to spare, before memory that was never used.

mod support;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;

use aloof::{Aloof, raw};
use support::block::Request;
use support::plain::{free, malloc};
use support::{Block, KIB, Random, child, memory};

/// Sizes of two classes of which the second may stand for the first, small and large.
const PAIRS: [(usize, usize); 5] = [
    (144, 160),
    (288, 320),
    (1152, 1280),
    (5120, 6144),
    (24 * KIB, 32 * KIB),
];

fn usable(block: *mut u8) -> usize {
    // SAFETY: a live block.
    unsafe { raw::usable_size(block) }
}

/// Uses classes enough to have magazines, and leaves nothing of theirs.
fn grown_up(sizes: &[usize]) {
    for &size in sizes {
        freed(size, 400);
    }
    raw::purge();
}

/// Makes so many blocks of a size and frees them; where they were.
fn freed(size: usize, count: usize) -> HashSet<*mut u8> {
    let blocks: Vec<_> = (0..count).map(|_| malloc(size)).collect();
    blocks.iter().for_each(|&block| free(block));
    blocks.into_iter().collect()
}

#[test]
fn what_a_larger_class_freed_is_handed_out() {
    child::isolated("what_a_larger_class_freed_is_handed_out", || {
        for (size, lender) in PAIRS {
            // Of small blocks some stay in the magazine and some are in pools; all are found.
            for count in [8, 400] {
                grown_up(&[lender]);
                // Half of them stay, and their pools with them.
                let row: Vec<_> = (0..2 * count).map(|_| malloc(lender)).collect();
                let spare: HashSet<_> = row.iter().copied().step_by(2).collect();
                spare.iter().for_each(|&block| free(block));
                let lent: HashSet<_> = (0..count / 2).map(|_| malloc(size)).collect();
                assert_eq!(lent.len(), count / 2, "some are handed out twice");
                let from_there = lent.intersection(&spare).count();
                assert!(from_there * 2 > lent.len(), "{size}: {from_there}");
                for block in lent.intersection(&spare) {
                    assert_eq!(usable(*block), lender);
                }
                lent.into_iter().for_each(free);
                row.into_iter().skip(1).step_by(2).for_each(free);
            }
        }
    });
}

/// Also after it borrowed for want of its own, and however many there are.
#[test]
fn a_class_uses_its_own_first() {
    child::isolated("a_class_uses_its_own_first", || {
        for (size, lender) in [(144, 160), (288, 320)] {
            grown_up(&[size, lender]);
            let row: Vec<_> = (0..2000).map(|_| malloc(size)).collect();
            freed(lender, 100);
            let borrowed = (0..1000).map(|_| malloc(size)).any(|b| usable(b) == lender);
            assert!(borrowed, "{size}");
            let own: HashSet<_> = row.into_iter().step_by(2).collect();
            own.iter().for_each(|&block| free(block));
            freed(lender, 100);
            for i in 0..own.len() {
                let block = malloc(size);
                assert!(own.contains(&block), "block {i} of {size}");
            }
        }
    });
}

/// Where each class has some to spare, no block is less aligned than all of its class are.
#[test]
fn what_is_lent_is_aligned() {
    child::isolated("what_is_lent_is_aligned", || {
        let mut random = Random::new(1);
        for round in 0..4 {
            raw::purge();
            let spare: Vec<_> = (1..=512).map(|i| i * 64).collect();
            spare.iter().for_each(|&size| drop(freed(size, 12)));
            let mut blocks = Vec::new();
            for _ in 0..4000 {
                let align = 32 << random.below(8);
                let size = align * (1 + random.below(8));
                if size <= 32 * KIB {
                    let request = Request::aligned(size, align);
                    blocks.push(Block::new(request, round).expect("there is memory"));
                }
            }
            blocks.into_iter().for_each(Block::free);
        }
    });
}

#[test]
fn what_is_lent_is_cleared_where_zeros_are_asked_for() {
    child::isolated("what_is_lent_is_cleared_where_zeros_are_asked_for", || {
        for (size, lender) in PAIRS {
            grown_up(&[lender]);
            let row: Vec<_> = (0..50).map(|_| malloc(lender)).collect();
            for &block in &row {
                // SAFETY: the block has that many bytes.
                unsafe { block.write_bytes(0xa5, lender) };
            }
            row.into_iter().for_each(free);
            let blocks: Vec<_> = (0..20)
                .map(|i| Block::new(Request::zeroed(size), i).expect("there is memory"))
                .collect();
            assert!(blocks.iter().any(|block| block.usable() == lender));
            blocks.into_iter().for_each(Block::free);
        }
    });
}

/// By Rust's door a block is freed as what it was asked for. It goes home all the same.
#[test]
fn what_was_lent_goes_home() {
    child::isolated("what_was_lent_goes_home", || {
        for (size, lender) in PAIRS {
            grown_up(&[size, lender]);
            let before = raw::stats();
            freed(lender, 30);
            let layout = Layout::from_size_align(size, 16).expect("a layout");
            // SAFETY: the layout is not empty, and the block is freed with it, once.
            let block = unsafe {
                let block = Aloof.alloc(layout);
                assert_eq!(usable(block), lender);
                Aloof.dealloc(block, layout);
                block
            };
            assert_eq!(malloc(lender), block, "{size}: the newest of its class");
            free(block);
            raw::purge();
            let after = raw::stats();
            assert_eq!(after.live_bytes, before.live_bytes, "{size}");
            assert_eq!(after.live_blocks, before.live_blocks, "{size}");
        }
    });
}

#[test]
fn a_second_free_of_a_lent_block_is_found() {
    let name = "a_second_free_of_a_lent_block_is_found";
    if child::role().is_none() {
        child::run(name, "twice").assert_fault("double free");
        return;
    }
    grown_up(&[320]);
    freed(320, 30);
    let (block, other) = (malloc(288), malloc(288));
    assert_eq!(usable(block), 320);
    free(block);
    free(other);
    free(block);
    raw::purge();
}

/// Tides of one size after the other, of each of which an eighth stays: what a larger class left serves the smaller.
#[test]
fn tides_of_many_sizes_share_their_memory() {
    child::isolated("tides_of_many_sizes_share_their_memory", || {
        const BLOCKS: usize = 4000;
        let sizes = [512, 480, 448, 416, 384, 352, 320, 288];
        let before = memory::anonymous();
        let mut kept = Vec::new();
        for size in sizes {
            let tide: Vec<_> = (0..BLOCKS).map(|_| malloc(size)).collect();
            for (i, &block) in tide.iter().enumerate() {
                // SAFETY: the block has that many bytes, and is freed once.
                unsafe { block.write_bytes(1, size) };
                if i % 8 == 0 {
                    kept.push(block);
                } else {
                    free(block);
                }
            }
        }
        let grown = memory::anonymous() - before;
        let highest = BLOCKS * sizes[0];
        let all: usize = sizes.iter().map(|size| BLOCKS * size).sum();
        assert!(grown < all / 2, "{grown} of {all}, the highest {highest}");
        kept.into_iter().for_each(free);
    });
}

/// A class that takes new memory in place of what it lent again and again stops lending.
#[test]
fn a_class_that_needs_its_memory_does_not_lend_it() {
    child::isolated("a_class_that_needs_its_memory_does_not_lend_it", || {
        const BLOCKS: usize = 20_000;
        for (size, lender) in &PAIRS[..4] {
            grown_up(&[*lender]);
            let borrows = |_: &usize| {
                // The same few in turn.
                freed(*lender, 20);
                usable(malloc(*size)) == *lender
            };
            let lent = (0..BLOCKS).filter(borrows).count();
            assert!(lent < BLOCKS / 2, "{lent} of {size}");
        }
    });
}
