//! Blocks that grow: where they are if there is room, else by their pages; and huge pages where a heap is dense.

mod support;

use std::fs;

use aloof::raw;
use support::block::Request;
use support::{Block, KIB, MIB, child, memory};

fn block(size: usize) -> Block {
    Block::new(Request::of(size), size as u64).expect("there is memory")
}

/// Peak resident bytes of the process.
fn peak() -> usize {
    // SAFETY: a rusage of zeros is valid.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage.ru_maxrss as usize * KIB
    }
}

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

/// Mappings for which huge pages are asked: the kernel fills them with such in time, what went back among it.
fn asking_for_huge_pages() -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("/proc is mounted");
    let flags = smaps
        .lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"));
    flags
        .filter(|flags| flags.split(' ').any(|flag| flag == "hg"))
        .count()
}

/// Whether the kernel gives huge pages to those who ask.
fn kernel_has_huge_pages() -> bool {
    let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    enabled.is_ok_and(|e| e.contains("[madvise]") || e.contains("[always]"))
}

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

/// A block of `to` bytes that doubled from `from` on, each page written when it came and read at the end.
fn doubled(from: usize, to: usize) -> *mut u8 {
    let mark = |at: usize| (at / (4 * KIB)) as u8 | 1;
    // SAFETY: a live block of the bytes written and read.
    unsafe {
        let (mut block, mut size, mut new) = (raw::malloc(from), from, 0);
        loop {
            (new..size)
                .step_by(4 * KIB)
                .for_each(|at| block.add(at).write(mark(at)));
            if size >= to {
                break;
            }
            (size, new) = (size * 2, size.next_multiple_of(4 * KIB));
            block = raw::realloc(block, size);
        }
        assert!(
            (0..size)
                .step_by(4 * KIB)
                .all(|at| block.add(at).read() == mark(at))
        );
        block
    }
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
            child::run(name, "large").assert_success("large");
            child::run_with(name, "switched off", &off).assert_success("switched off");
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
            let huge = fill(if role == "small" { 16 } else { 128 } * MIB);
            assert_eq!(huge, 0, "{role}");
        }
    }
}

/// Blocks of a few megabytes, of which each page, or only the ends, are written.
fn large_blocks(count: usize, filled: bool) -> Vec<*mut u8> {
    let size = 7_000_000;
    let one = |_| {
        // SAFETY: the block has so many bytes.
        unsafe {
            let at = raw::malloc(size);
            let step = if filled { memory::PAGE } else { size - 1 };
            (0..size)
                .step_by(step)
                .for_each(|i| at.add(i).write_volatile(1));
            at
        }
    };
    (0..count).map(one).collect()
}

#[test]
fn large_blocks_are_in_huge_pages_if_those_before_them_were_filled() {
    child::isolated(
        "large_blocks_are_in_huge_pages_if_those_before_them_were_filled",
        || {
            large_blocks(12, false);
            assert_eq!(in_huge_pages(), 0);
            large_blocks(12, true);
            let huge = in_huge_pages();
            assert_eq!(huge >= 40 * MIB, kernel_has_huge_pages(), "{huge}");
        },
    );
}

/// A thread that has had no large block yet goes by what others did.
#[test]
fn the_first_large_block_of_a_thread_is_like_those_of_others() {
    let name = "the_first_large_block_of_a_thread_is_like_those_of_others";
    child::isolated(name, || {
        let first_of_a_thread = || {
            std::thread::spawn(|| {
                let before = in_huge_pages();
                large_blocks(1, true);
                in_huge_pages() - before
            })
            .join()
            .expect("the thread ends well")
        };
        assert_eq!(first_of_a_thread(), 0);
        large_blocks(3, true);
        let huge = first_of_a_thread();
        assert_eq!(huge >= 4 * MIB, kernel_has_huge_pages(), "{huge}");
        // Nor do threads that have one each all go by the first.
        let sparse = std::thread::spawn(|| large_blocks(1, false).len());
        assert_eq!(sparse.join().expect("the thread ends well"), 1);
        assert_eq!(first_of_a_thread(), 0);
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
