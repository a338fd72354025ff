//! Blocks that grow: where they are if there is room, else by their pages.

mod support;

use std::fs;

use aloof::raw;
use support::block::{block, doubled};
use support::memory::peak;
use support::{Block, KIB, MIB, child, memory};

fn peak_of_growth(to: usize, next: impl Fn(usize) -> usize) -> usize {
    let before = peak();
    let mut block = block(64);
    let mut size = 64;
    while size < to {
        size = next(size);
        assert!(block.resize(size), "{size}");
    }
    let peak = peak() - before;
    block.free();
    peak * 100 / size
}

/// Content is checked at every step: see `Block`.
#[test]
fn what_grows_is_never_there_twice() {
    let name = "what_grows_is_never_there_twice";
    for role in ["by an eighth", "by half", "doubling", "by a thousand"] {
        if child::role().is_none() {
            child::run(name, role).assert_success(role);
        }
    }
    let Some(role) = child::role() else { return };
    let percent = match role.as_str() {
        "by an eighth" => peak_of_growth(100 * MIB, |n| n + n / 8),
        "by half" => peak_of_growth(100 * MIB, |n| n + n / 2),
        "doubling" => peak_of_growth(128 * MIB, |n| n * 2),
        _ => peak_of_growth(60 * MIB, |n| n * 1000),
    };
    println!("{percent} % of the final size");
    assert!(percent <= 105, "{percent} % of the final size");
}

#[test]
fn chunks_grow_into_free_neighbours_and_not_into_others() {
    child::isolated(
        "chunks_grow_into_free_neighbours_and_not_into_others",
        || {
            for size in [64 * KIB, 128 * KIB, MIB, 4 * MIB] {
                let mut blocks = [(); 5].map(|()| block(size));
                blocks.sort_by_key(Block::addr);
                let [mut first, mut second, third, fourth, fifth] = blocks;
                let at = second.addr();
                assert_eq!(at + 3 * size, fifth.addr(), "five neighbours");
                // In the way.
                assert!(first.resize(2 * size));
                assert!(first.addr() < at - size || first.addr() > at);
                third.free();
                fourth.free();
                assert!(second.resize(2 * size) && second.addr() == at);
                assert!(second.resize(3 * size) && second.addr() == at);
                let usable = second.usable();
                assert!(at + usable <= fifth.addr());
                // What it took is not handed out, and what it gives back is.
                let others = [(); 10].map(|()| block(size));
                assert!(
                    others
                        .iter()
                        .all(|b| b.addr() < at || b.addr() >= at + usable)
                );
                others.into_iter().for_each(Block::free);
                assert!(second.resize(4 * size));
                assert_ne!(second.addr(), at, "the fifth is in the way");
                [first, second, fifth].into_iter().for_each(Block::free);
            }
        },
    );
}

/// Pages move also to where pages are: those give way, instead of both staying.
#[test]
fn what_moves_to_memory_used_before_is_not_there_twice() {
    child::isolated(
        "what_moves_to_memory_used_before_is_not_there_twice",
        || {
            // SAFETY: live blocks of the bytes written and read, each freed or replaced once.
            unsafe {
                let first = raw::malloc(64 * MIB);
                first.write_bytes(1, 64 * MIB);
                let small = raw::malloc(32 * MIB);
                small.write_bytes(2, 32 * MIB);
                raw::free(first);
                let large = raw::realloc(small, 64 * MIB);
                assert_eq!(large, first);
                let bytes = std::slice::from_raw_parts(large, 32 * MIB);
                assert!(bytes.iter().all(|&byte| byte == 2));
                let resident = memory::resident();
                println!("{} MiB resident", resident / MIB);
                assert!(resident < 80 * MIB);
                raw::free(large);
            }
        },
    );
}

/// Whatever small arenas it passes through: those around it depend on what else there is.
#[test]
fn what_grows_finds_the_pages_of_what_grew_before() {
    child::isolated("what_grows_finds_the_pages_of_what_grew_before", || {
        let before = memory::resident();
        for _ in 0..8 {
            let large = doubled(64, 64 * MIB);
            let small = [(); 200].map(|()| doubled(16, 16 * KIB));
            let other = doubled(5000, 10_000_000);
            // SAFETY: live blocks, each freed once.
            unsafe {
                [large, other]
                    .into_iter()
                    .chain(small)
                    .for_each(|block| raw::free(block))
            };
        }
        let most = peak() - before;
        println!("{} MiB at most", most / MIB);
        assert!(most < 100 * MIB);
    });
}

/// A step that moves pages away leaves a place that the next block has to fault in anew.
#[test]
fn what_doubles_again_and_again_faults_in_nothing() {
    child::isolated("what_doubles_again_and_again_faults_in_nothing", || {
        let round = |_| {
            let large = doubled(64, 32 * MIB);
            let small = [(); 200].map(|()| doubled(16, 16 * KIB));
            let other = doubled(5000, 10_000_000);
            // SAFETY: live blocks, each freed once.
            unsafe {
                [other]
                    .into_iter()
                    .chain(small)
                    .chain([large])
                    .for_each(|block| raw::free(block))
            };
        };
        (0..4).for_each(round);
        let before = memory::faults();
        (0..10).for_each(round);
        let faults = memory::faults() - before;
        println!("{faults} page faults");
        assert!(faults < 1000, "{faults} page faults");
    });
}

/// What grows begins where there is room, not behind large blocks that were freed and are kept.
#[test]
fn what_grows_again_and_again_stays_where_it_was() {
    child::isolated("what_grows_again_and_again_stays_where_it_was", || {
        let round = |odd: usize| {
            let first = [(); 2].map(|()| doubled(48 * KIB, 384 * KIB));
            let other = doubled(570_000 + odd * 4096, 570_000 + odd * 4096);
            let last = doubled(48 * KIB, 3 * MIB);
            // SAFETY: live blocks, each freed once.
            unsafe {
                for block in [last, first[1], other, first[0]] {
                    raw::free(block);
                }
            }
        };
        round(0);
        let before = peak();
        (0..20).for_each(|i| round(i % 7));
        let more = peak() - before;
        println!("{} KiB more", more / KIB);
        assert!(more < MIB);
    });
}

/// Memory that pages were moved away from is as good as new.
#[test]
fn what_was_moved_away_from_can_be_used_again() {
    child::isolated("what_was_moved_away_from_can_be_used_again", || {
        for round in 0..20 {
            let mut blocks: Vec<_> = [MIB, 3 * MIB + 5, 8 * MIB, 20 * MIB, 700 * KIB]
                .into_iter()
                .map(|size| (block(size), size))
                .collect();
            for (block, size) in &mut blocks {
                *size = *size * 3 + round;
                assert!(block.resize(*size));
            }
            // SAFETY: blocks of zeros that are read only.
            unsafe {
                for size in [MIB, 3 * MIB, 8 * MIB] {
                    let zeros = raw::malloc_zeroed(size);
                    let words = std::slice::from_raw_parts(zeros.cast::<u64>(), size / 8);
                    assert!(
                        words.iter().all(|&word| word == 0),
                        "{size} in round {round}"
                    );
                    raw::free(zeros);
                }
            }
            blocks.into_iter().for_each(|(block, _)| block.free());
        }
    });
}

/// An arena that its last block left by moving its pages has none.
#[test]
fn what_a_moved_block_left_empty_reads_as_zeros() {
    child::isolated("what_a_moved_block_left_empty_reads_as_zeros", || {
        // SAFETY: live blocks, of which bytes inside are written and read.
        unsafe {
            let mut block = raw::malloc(4 * MIB);
            for shift in 1..8 {
                block = raw::realloc(block, (4 * MIB) << shift);
                block.add(((4 * MIB) << shift) - 1).write(1);
            }
            let before = memory::resident();
            let zeros = raw::malloc_zeroed(4 * MIB);
            assert!((0..4 * MIB).step_by(KIB).all(|i| zeros.add(i).read() == 0));
            let touched = memory::resident() - before;
            assert!(touched < MIB, "{touched}");
            raw::free(zeros);
            raw::free(block);
        }
    });
}

/// Mappings, as many as the kernel allows but for a few.
struct Crowd {
    start: usize,
    split: usize,
}

impl Crowd {
    /// Makes and undoes pairs of mappings.
    fn protect(&self, i: usize, how: i32) -> bool {
        let page = (self.start + (2 * i + 2) * memory::PAGE) as *mut libc::c_void;
        // SAFETY: a page of the crowd's own, which nobody uses.
        unsafe { libc::mprotect(page, memory::PAGE, how) == 0 }
    }

    fn new() -> Crowd {
        let most = fs::read_to_string("/proc/sys/vm/max_map_count").expect("/proc is mounted");
        let pages = 2 * most.trim().parse::<usize>().expect("a number") + 2;
        // SAFETY: a mapping of the test's own.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                pages * memory::PAGE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        } as usize;
        let mut crowd = Crowd { start, split: 0 };
        crowd.grow();
        crowd
    }

    fn grow(&mut self) {
        while self.protect(self.split, libc::PROT_READ) {
            self.split += 1;
        }
    }

    /// Leaves room for so many pairs of mappings; the first page of the crowd is free for others.
    fn leave(&mut self, pairs: usize) {
        self.grow();
        for _ in 0..pairs {
            self.split -= 1;
            assert!(self.protect(self.split, libc::PROT_NONE));
        }
    }
}

/// The kernel refuses moves then, the second half of one among them; a block stays as it was or is copied.
#[test]
fn content_is_kept_at_the_kernels_limit_of_mappings() {
    child::isolated("content_is_kept_at_the_kernels_limit_of_mappings", || {
        let mut crowd = Crowd::new();
        let mut grown = 0;
        for slack in 0..24 {
            crowd.leave(100);
            let mut block = block(5_000_000);
            crowd.leave(slack / 2);
            // One mapping more or less.
            // SAFETY: the first page is the crowd's own, which nobody uses.
            unsafe {
                let how = [libc::PROT_NONE, libc::PROT_READ][slack % 2];
                libc::mprotect(crowd.start as *mut libc::c_void, memory::PAGE, how);
            }
            grown += usize::from(block.resize(100_000_000));
            crowd.leave(100);
            block.verify();
            block.free();
            raw::purge();
        }
        assert!(grown >= 12, "{grown} times");
    });
}
