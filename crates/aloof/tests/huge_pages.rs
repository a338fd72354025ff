//! Huge pages: where a heap is dense, in large blocks of programs that fill such, in blocks that grow; and their end.

mod support;

use std::fs;

use aloof::raw;
use support::block::{block, doubled};
use support::{Block, KIB, MIB, child, memory};

/// Bytes of the process in huge pages.
fn in_huge_pages() -> usize {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("/proc is mounted");
    let line = rollup
        .lines()
        .find_map(|l| l.strip_prefix("AnonHugePages:"))
        .expect("the kernel counts them");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .expect("a number")
        * KIB
}

/// Mappings of blocks for which huge pages are asked: the kernel fills them with such in time, what went back among it.
/// (Tags of addresses that are not the allocator's are only ever read.)
fn asking_for_huge_pages() -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("/proc is mounted");
    let flags = smaps
        .lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"));
    flags
        .filter(|flags| {
            ["wr", "hg"]
                .iter()
                .all(|has| flags.split(' ').any(|flag| flag == *has))
        })
        .count()
}

/// Whether the kernel gives huge pages to those who ask.
fn kernel_has_huge_pages() -> bool {
    let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    enabled.is_ok_and(|e| e.contains("[madvise]") || e.contains("[always]"))
}

/// Huge pages are for the block that grew: whoever has its memory next may touch it here and there.
#[test]
fn what_a_grown_block_leaves_gets_small_pages() {
    child::isolated("what_a_grown_block_leaves_gets_small_pages", || {
        let first = doubled(64, 32 * MIB);
        // SAFETY: live blocks, of which bytes inside are written.
        unsafe {
            // Behind it, so that it moves.
            let between = raw::malloc(4 * MIB);
            let moved = raw::realloc(first, 64 * MIB);
            if kernel_has_huge_pages() {
                assert_ne!(asking_for_huge_pages(), 0);
            }
            let before = memory::resident();
            let sparse = [(); 8].map(|()| raw::malloc(4 * MIB));
            for block in sparse {
                block.write(1);
                block.add(2 * MIB).write(1);
            }
            let touched = memory::resident() - before;
            assert!(touched < 4 * MIB, "{touched}");
            raw::free(moved);
            assert_eq!(asking_for_huge_pages(), 0);
            sparse
                .into_iter()
                .chain([between])
                .for_each(|block| raw::free(block));
        }
    });
}

/// Fills `bytes` of small blocks, keeps them, and says how much of it is in huge pages.
fn fill(bytes: usize) -> usize {
    let blocks: Vec<_> = (0..bytes / 1000).map(|_| block(1000)).collect();
    let huge = in_huge_pages();
    blocks.into_iter().for_each(Block::free);
    huge
}

#[test]
fn large_dense_heaps_are_in_huge_pages_and_small_ones_are_not() {
    let name = "large_dense_heaps_are_in_huge_pages_and_small_ones_are_not";
    let off = [("ALOOF_HUGE_PAGES", "0")];
    match child::role().as_deref() {
        None => {
            child::run(name, "small").assert_success("small");
            child::run(name, "middling").assert_success("middling");
            child::run(name, "large").assert_success("large");
            child::run_with(name, "switched off", &off).assert_success("switched off");
        }
        Some("middling") => {
            let huge = fill(20 * MIB);
            assert_eq!(huge >= 8 * MIB, kernel_has_huge_pages(), "{huge}");
        }
        Some("large") => {
            let huge = fill(128 * MIB);
            assert_eq!(huge >= 64 * MIB, kernel_has_huge_pages(), "{huge}");
            let before = in_huge_pages();
            // SAFETY: the block has the bytes written, and is replaced by what it moved to.
            unsafe {
                let mut at = raw::malloc(64 * KIB);
                for i in 1..64 {
                    at = raw::realloc(at, i * MIB);
                    ((i - 1) * MIB..i * MIB)
                        .step_by(memory::PAGE)
                        .for_each(|byte| at.add(byte).write_volatile(1));
                }
            }
            let grown = in_huge_pages().saturating_sub(before);
            assert_eq!(grown >= 32 * MIB, kernel_has_huge_pages(), "{grown}");
        }
        Some(role) => {
            let huge = fill(if role == "small" { 7 } else { 128 } * MIB);
            assert_eq!(huge, 0, "{role}");
        }
    }
}

/// Bytes of a large block that is no power of two.
const LARGE: usize = 7_000_000;

/// Writes a byte in so many of a block of `size` bytes, its first among them.
fn touch_each(step: usize, at: *mut u8, size: usize) {
    // SAFETY: the block has so many bytes.
    (0..size)
        .step_by(step)
        .for_each(|i| unsafe { at.add(i).write_volatile(1) });
}

/// Writes each page of a block of `size` bytes, or only its ends and its middle.
fn touch(at: *mut u8, size: usize, filled: bool) {
    let step = if filled { memory::PAGE } else { (size - 1) / 2 };
    touch_each(step, at, size);
}

/// Blocks of a few megabytes, of which each page, or only the ends and the middle, are written.
fn large_blocks(count: usize, filled: bool) -> Vec<*mut u8> {
    let one = |_| {
        // SAFETY: no preconditions.
        let at = unsafe { raw::malloc(LARGE) };
        touch(at, LARGE, filled);
        at
    };
    (0..count).map(one).collect()
}

/// The first is taken for one that will be filled: what is written in its middle costs a huge page.
#[test]
fn large_blocks_are_in_huge_pages_if_those_before_them_were_filled() {
    child::isolated(
        "large_blocks_are_in_huge_pages_if_those_before_them_were_filled",
        || {
            large_blocks(12, false);
            let huge = in_huge_pages();
            assert!(huge <= 2 * MIB, "{huge}");
            large_blocks(12, true);
            let huge = in_huge_pages();
            assert_eq!(huge >= 40 * MIB, kernel_has_huge_pages(), "{huge}");
        },
    );
}

/// Of units, and of a sub-region of its own.
#[test]
fn the_first_large_block_is_in_huge_pages() {
    let name = "the_first_large_block_is_in_huge_pages";
    let size = match child::role().as_deref() {
        None => {
            child::run(name, "units").assert_success("units");
            return child::run(name, "sub-region").assert_success("sub-region");
        }
        Some("units") => LARGE,
        Some(_) => 16 * MIB,
    };
    // Large blocks alone give a thread no heap that learns of them.
    let small = block(1);
    // SAFETY: no preconditions.
    touch(unsafe { raw::malloc(size) }, size, true);
    small.free();
    let huge = in_huge_pages();
    assert_eq!(huge >= size / 2, kernel_has_huge_pages(), "{huge}");
}

/// Blocks that are not in use yet tell nothing. What they may cost in huge pages has a bound.
#[test]
fn large_blocks_that_nobody_touched_yet_are_trusted_up_to_a_bound() {
    let name = "large_blocks_that_nobody_touched_yet_are_trusted_up_to_a_bound";
    child::isolated(name, || {
        // Their sub-region is in huge pages from the second on.
        large_blocks(3, true);
        let before = in_huge_pages();
        // SAFETY: no preconditions.
        let all = [(); 80].map(|()| unsafe { raw::malloc(LARGE) });
        let (first, rest) = all.split_at(8);
        first.iter().for_each(|&at| touch(at, LARGE, true));
        let huge = in_huge_pages() - before;
        assert_eq!(huge >= 16 * MIB, kernel_has_huge_pages(), "{huge}");
        rest.iter().for_each(|&at| touch_each(MIB, at, LARGE));
        let huge = in_huge_pages() - before;
        assert!(huge <= 136 * MIB, "{huge}");
    });
}

/// A program that fills blocks on one thread is not one that fills all.
#[test]
fn filled_blocks_of_one_thread_do_not_vouch_for_those_of_another() {
    let name = "filled_blocks_of_one_thread_do_not_vouch_for_those_of_another";
    child::isolated(name, || {
        let untouched = || {
            // SAFETY: no preconditions.
            (0..20).map(|_| unsafe { raw::malloc(LARGE) }.expose_provenance())
        };
        let mut all: Vec<usize> = Vec::new();
        for _ in 0..4 {
            all.extend(untouched());
            // Of other sub-regions, which are in huge pages from then on.
            let filler = std::thread::spawn(|| {
                for _ in 0..2 {
                    // SAFETY: no preconditions, and a live block.
                    unsafe {
                        let at = raw::malloc(3 * LARGE);
                        touch(at, 3 * LARGE, true);
                        raw::free(at);
                    }
                }
            });
            filler.join().expect("the thread ends well");
        }
        let before = in_huge_pages();
        for at in all {
            touch_each(MIB, std::ptr::with_exposed_provenance_mut(at), LARGE);
        }
        let huge = in_huge_pages().saturating_sub(before);
        assert!(huge <= 136 * MIB, "{huge}");
    });
}

/// What a trusted block left untouched is no better known for the blocks that come after it.
#[test]
fn what_a_trusted_block_leaves_gets_small_pages() {
    child::isolated("what_a_trusted_block_leaves_gets_small_pages", || {
        // SAFETY: live blocks, of which bytes inside are written.
        unsafe {
            let [first, kept] = [(); 2].map(|()| raw::malloc(LARGE));
            kept.write(1);
            assert_eq!(
                asking_for_huge_pages(),
                2 * usize::from(kernel_has_huge_pages())
            );
            raw::free(first);
            assert_eq!(asking_for_huge_pages(), kernel_has_huge_pages().into());
            raw::free(kept);
            assert_eq!(asking_for_huge_pages(), 0);
        }
    });
}

/// A block that is filled and freed before the next is taken tells of the next all the same.
#[test]
fn a_large_block_is_judged_when_it_is_freed() {
    child::isolated("a_large_block_is_judged_when_it_is_freed", || {
        for size in [LARGE, 16 * MIB] {
            for _ in 0..40 {
                // SAFETY: no preconditions, and a live block.
                unsafe {
                    let at = raw::malloc(size);
                    touch(at, size, true);
                    raw::free(at);
                    // Its pages go back.
                    raw::purge();
                }
            }
            // SAFETY: no preconditions.
            touch(unsafe { raw::malloc(size) }, size, true);
            let huge = in_huge_pages();
            assert_eq!(huge >= size / 2, kernel_has_huge_pages(), "{huge}");
        }
    });
}

/// Huge pages, which are all there where each has a byte in use, do not speak for themselves.
#[test]
fn large_blocks_used_here_and_there_are_not_taken_for_filled_ones() {
    let name = "large_blocks_used_here_and_there_are_not_taken_for_filled_ones";
    child::isolated(name, || {
        const SIZE: usize = 60_000_000;
        for _ in 0..6 {
            // SAFETY: no preconditions.
            touch_each(MIB, unsafe { raw::malloc(SIZE) }, SIZE);
        }
        let huge = in_huge_pages();
        assert!(huge <= SIZE, "{huge}");
    });
}

/// A block that nobody touched yet may begin in a huge page of the block before it, which is there.
#[test]
fn a_large_block_is_not_judged_by_the_end_of_the_one_before() {
    let name = "a_large_block_is_not_judged_by_the_end_of_the_one_before";
    child::isolated(name, || {
        // From the second on, in huge pages all.
        let before_it = large_blocks(2, true)[1].addr();
        let other = std::thread::spawn(move || {
            // SAFETY: no preconditions.
            let [second, third] = [(); 2].map(|()| unsafe { raw::malloc(LARGE) });
            assert_eq!((second.addr() - before_it) / (8 * MIB), 0, "side by side");
            let before = in_huge_pages();
            touch(third, LARGE, true);
            in_huge_pages().saturating_sub(before)
        });
        let huge = other.join().expect("the thread ends well");
        assert_eq!(huge >= 2 * MIB, kernel_has_huge_pages(), "{huge}");
    });
}

/// A thread that has had no large block yet goes by what others did.
#[test]
fn the_first_large_block_of_a_thread_is_like_those_of_others() {
    let name = "the_first_large_block_of_a_thread_is_like_those_of_others";
    child::isolated(name, || {
        let in_a_thread = |filled| {
            std::thread::spawn(move || {
                let before = in_huge_pages();
                large_blocks(1, filled);
                in_huge_pages().saturating_sub(before)
            })
            .join()
            .expect("the thread ends well")
        };
        for _ in 0..40 {
            let huge = in_a_thread(true);
            assert_eq!(huge >= 2 * MIB, kernel_has_huge_pages(), "{huge}");
        }
        // Nor do threads that have one each all go by the first.
        in_a_thread(false);
        assert_eq!(in_a_thread(false), 0);
        assert_eq!(in_a_thread(true), 0);
        let huge = in_a_thread(true);
        assert_eq!(huge >= 2 * MIB, kernel_has_huge_pages(), "{huge}");
        // By the last one, whoever had the heap before.
        large_blocks(2, false);
        assert_eq!(in_a_thread(true), 0);
    });
}

#[test]
fn memory_of_filled_blocks_serves_sparse_ones_with_small_pages() {
    child::isolated(
        "memory_of_filled_blocks_serves_sparse_ones_with_small_pages",
        || {
            let filled = large_blocks(3, true);
            let huge = in_huge_pages();
            assert_eq!(huge > 0, kernel_has_huge_pages(), "{huge}");
            // SAFETY: live blocks.
            filled.into_iter().for_each(|at| unsafe { raw::free(at) });
            // Where the filled ones were there still are pages, so four seem to follow a filled one.
            large_blocks(4, false);
            let before = in_huge_pages();
            large_blocks(4, false);
            assert_eq!(in_huge_pages(), before);
        },
    );
}

#[test]
fn where_pages_went_back_none_are_huge_again() {
    child::isolated("where_pages_went_back_none_are_huge_again", || {
        let blocks: Vec<_> = (0..128 * MIB / 1000).map(|_| block(1000)).collect();
        assert_eq!(asking_for_huge_pages() > 0, kernel_has_huge_pages());
        let mut left = Vec::new();
        for (i, block) in blocks.into_iter().enumerate() {
            match i % 10 {
                0 => left.push(block),
                _ => block.free(),
            }
        }
        raw::purge();
        assert_eq!(asking_for_huge_pages(), 0);
        left.into_iter().for_each(Block::free);
    });
}

/// Of a run, and of sub-regions without an owner.
#[test]
fn memory_of_a_block_that_grew_serves_others_with_small_pages() {
    child::isolated(
        "memory_of_a_block_that_grew_serves_others_with_small_pages",
        || {
            for sizes in [(1..64).collect(), vec![32, 64]] {
                // SAFETY: the block has the bytes written, and is replaced by what it moved to.
                unsafe {
                    let mut at = raw::malloc(64 * KIB);
                    for size in &sizes {
                        at = raw::realloc(at, size * MIB);
                        (0..size * MIB)
                            .step_by(memory::PAGE)
                            .for_each(|byte| at.add(byte).write_volatile(1));
                    }
                    assert_eq!(asking_for_huge_pages() > 0, kernel_has_huge_pages());
                    raw::free(at);
                }
                assert_eq!(asking_for_huge_pages(), 0, "{sizes:?}");
            }
        },
    );
}

/// Pages take the advice to use huge pages along.
#[test]
fn memory_that_huge_pages_moved_to_serves_others_with_small_pages() {
    let name = "memory_that_huge_pages_moved_to_serves_others_with_small_pages";
    child::isolated(name, || {
        const SIZE: usize = 130_000_000;
        // SAFETY: the blocks have the bytes written, and one is replaced by what it moved to.
        unsafe {
            let [first, second] = [(); 2].map(|()| {
                let at = raw::malloc(SIZE);
                at.write_bytes(1, SIZE);
                at
            });
            let left = raw::realloc(second, 3 * MIB + 1);
            assert_ne!(left, second);
            assert_eq!(asking_for_huge_pages() > 1, kernel_has_huge_pages());
            raw::free(left);
            raw::free(first);
        }
        assert_eq!(asking_for_huge_pages(), 0);
    });
}

#[test]
fn a_block_that_grows_unfilled_gets_no_huge_pages() {
    child::isolated("a_block_that_grows_unfilled_gets_no_huge_pages", || {
        // SAFETY: the block has the bytes written, and is replaced by what it moved to.
        unsafe {
            let (mut at, mut size) = (raw::malloc(64 * KIB), 64 * KIB);
            while size < 200 * MIB {
                size += size / 8;
                at = raw::realloc(at, size);
                at.add(size - 1).write_volatile(1);
            }
            assert_eq!(in_huge_pages(), 0);
            raw::free(at);
        }
    });
}

/// The statistics say how much of the process is in huge pages.
#[test]
fn the_statistics_tell_what_is_in_huge_pages() {
    let name = "the_statistics_tell_what_is_in_huge_pages";
    if child::role().is_some() {
        fill(96 * MIB);
        println!("kernel: {}", in_huge_pages());
        return raw::print_stats();
    }
    let outcome = child::run(name, "allocates");
    outcome.assert_success(name);
    let (_, rest) = outcome.stderr.split_once("huge_page_bytes ").expect("told");
    let told: usize = rest.lines().next().unwrap().parse().expect("a number");
    let kernel: usize = outcome.printed("kernel:").unwrap().parse().unwrap();
    assert!(told.abs_diff(kernel) <= 4 * MIB, "{told}, and {kernel}");
    assert!(told > 24 * MIB || !kernel_has_huge_pages(), "{told} bytes");
}
