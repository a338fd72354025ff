//! Blocks of 32 KiB to 1 MiB that were freed last are kept whole, few of them, and given up where they are in the way.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aloof::raw;
use support::block::Request;
use support::plain::{cached, free, malloc};
use support::{Block, KIB, MIB, child, on_a_thread};

/// Sizes that runs and that chunks serve.
const SIZES: [usize; 6] = [
    40 * KIB,
    64 * KIB,
    100_000,
    256 * KIB,
    1_000_000,
    1024 * KIB,
];

#[test]
fn the_block_freed_last_serves_the_next_request_of_its_size() {
    child::isolated(
        "the_block_freed_last_serves_the_next_request_of_its_size",
        || {
            for size in SIZES {
                let row = [(); 3].map(|()| malloc(size));
                free(row[0]);
                free(row[1]);
                // Of another size, which takes neither.
                let other = malloc(size / 4 * 5);
                // First fit would find the lowest.
                assert_eq!(malloc(size), row[1], "{size}");
                assert_eq!(malloc(size), row[0], "{size}");
                row.into_iter().chain([other]).for_each(free);
            }
        },
    );
}

#[test]
fn a_power_of_two_is_aligned_to_itself_though_a_run_of_its_size_was_freed() {
    child::isolated(
        "a_power_of_two_is_aligned_to_itself_though_a_run_of_its_size_was_freed",
        || {
            // A page keeps the run behind it from being aligned.
            let odd = malloc(36 * KIB);
            let run = malloc(64 * KIB - 1);
            // SAFETY: the block is live.
            assert_eq!(unsafe { raw::usable_size(run) }, 64 * KIB);
            assert!(!run.addr().is_multiple_of(64 * KIB));
            free(run);
            let chunk = malloc(64 * KIB);
            assert!(chunk.addr().is_multiple_of(64 * KIB));
            assert_eq!(malloc(64 * KIB - 1), run);
            [odd, run, chunk].into_iter().for_each(free);
        },
    );
}

#[test]
fn few_bytes_are_kept() {
    child::isolated("few_bytes_are_kept", || {
        for size in SIZES {
            let blocks: Vec<_> = (0..50).map(|_| malloc(size)).collect();
            let before = cached();
            blocks.into_iter().for_each(free);
            let kept = cached();
            assert!(kept > before.min(size), "nothing of {size} is kept");
            assert!(kept <= 2 * MIB, "{kept} bytes of {size} are kept");
        }
        let large = malloc(1100 * KIB);
        let before = cached();
        free(large);
        assert_eq!(cached(), before, "too large to be kept");
        raw::purge();
        assert_eq!(cached(), 0, "after a purge");
    });
}

#[test]
fn a_block_grows_over_its_neighbour_that_was_freed() {
    child::isolated("a_block_grows_over_its_neighbour_that_was_freed", || {
        for size in [40 * KIB, 100_000, 1_000_000] {
            let row = [(); 3].map(|()| malloc(size));
            assert!(row[0] < row[1] && row[1] < row[2]);
            free(row[1]);
            // SAFETY: the block is live, and replaced by itself.
            let grown = unsafe { raw::realloc(row[0], size / 4 * 7) };
            assert_eq!(grown, row[0], "{size}");
            [row[0], row[2]].into_iter().for_each(free);
        }
    });
}

#[test]
fn a_quiet_thread_keeps_nothing_for_long() {
    child::isolated("a_quiet_thread_keeps_nothing_for_long", || {
        let (freed, go_on) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                // So much that somebody looks around.
                let much: Vec<_> = (0..600).map(|_| malloc(100_000)).collect();
                much.into_iter().for_each(free);
                freed.wait();
                go_on.wait();
                // The heap works as before.
                free(malloc(100_000));
            });
            freed.wait();
            assert!(cached() >= 700_000, "{} bytes are kept", cached());
            let end = Instant::now() + Duration::from_secs(20);
            while cached() > 0 && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(cached(), 0, "bytes are kept still");
            go_on.wait();
        });
    });
}

#[test]
fn the_child_of_a_fork_uses_what_other_threads_had_kept() {
    child::isolated(
        "the_child_of_a_fork_uses_what_other_threads_had_kept",
        || {
            for size in [64 * KIB, 100_000, 512 * KIB] {
                let (freed, go_on) = (Barrier::new(2), Barrier::new(2));
                let kept = AtomicUsize::new(0);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let row = [(); 4].map(|()| malloc(size));
                        free(row[1]);
                        kept.store(row[1].addr(), Ordering::Relaxed);
                        freed.wait();
                        go_on.wait();
                        [row[0], row[2], row[3]].into_iter().for_each(free);
                    });
                    freed.wait();
                    let kept = kept.load(Ordering::Relaxed);
                    let found = child::forked(|| (0..200).any(|_| malloc(size).addr() == kept));
                    go_on.wait();
                    assert!(found, "a block of {size} is lost");
                });
            }
        },
    );
}

/// Nor if one that was taken comes back where another has come meanwhile.
#[test]
fn few_bytes_are_kept_of_blocks_of_several_sizes() {
    child::isolated("few_bytes_are_kept_of_blocks_of_several_sizes", || {
        let row = [900 * KIB, 100 * KIB, 1000 * KIB].map(malloc);
        let other = malloc(1000 * KIB);
        row.into_iter().for_each(free);
        let (last, _) = (malloc(1000 * KIB), malloc(100 * KIB));
        // In the place of the second.
        free(other);
        free(last);
        assert!(cached() <= 2 * MIB, "{} bytes are kept", cached());
    });
}

fn block(size: usize) -> Block {
    Block::new(Request::of(size), size as u64).expect("there is memory")
}

/// Nothing is in use, nor counted as such.
fn assert_nothing_lives() {
    raw::purge();
    let stats = raw::stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
}

/// A block that was freed and taken again, so that the cache knows it.
fn known(size: usize) -> Block {
    block(size).free();
    let known = block(size);
    assert_eq!(cached(), 0);
    known
}

/// Frees a block where one of 150 KiB was before: the next of that size does not reach into what lies behind it.
fn free_before(shorter: Block, behind: Block) {
    shorter.free();
    let again = block(150 * KIB);
    behind.verify();
    [behind, again].into_iter().for_each(Block::free);
}

/// Of the block taken last the cache remembers the size. It does not when that has changed.
#[test]
fn a_block_that_shrank_is_freed_as_what_it_is() {
    child::isolated("a_block_that_shrank_is_freed_as_what_it_is", || {
        let mut shrunk = known(150 * KIB);
        let at = shrunk.addr();
        assert!(shrunk.resize(100 * KIB));
        assert_eq!(shrunk.addr(), at);
        let behind = block(48 * KIB);
        assert_eq!(behind.addr(), at + 100 * KIB);
        free_before(shrunk, behind);
    });
}

#[test]
fn a_block_that_grew_is_freed_as_what_it_is() {
    child::isolated("a_block_that_grew_is_freed_as_what_it_is", || {
        // Of chunks, and of units.
        for size in [256 * KIB, 100 * KIB] {
            let mut grown = known(size);
            let at = grown.addr();
            assert!(grown.resize(size * 7 / 4));
            assert_eq!(grown.addr(), at, "{size}");
            let usable = grown.usable();
            grown.free();
            assert_eq!(cached(), usable);
            assert_nothing_lives();
        }
    });
}

/// Nor when another thread freed it and something else is there.
#[test]
fn a_block_that_another_thread_freed_is_forgotten() {
    child::isolated("a_block_that_another_thread_freed_is_forgotten", || {
        let gone = known(150 * KIB);
        let at = gone.addr();
        on_a_thread(|| gone.free());
        let (first, second) = (block(100 * KIB), block(48 * KIB));
        assert_eq!((first.addr(), second.addr()), (at, at + 100 * KIB));
        free_before(first, second);
    });
}

/// Blocks that were taken from the cache are freed in any order, by anybody.
#[test]
fn blocks_taken_from_the_cache_are_freed_in_any_order() {
    child::isolated("blocks_taken_from_the_cache_are_freed_in_any_order", || {
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        for order in orders.into_iter().cycle().take(30) {
            let mut row = [(); 3].map(|()| Some(block(100 * KIB)));
            let mut take = |at: usize| row[at].take().expect("each once");
            take(order[0]).free();
            let second = take(order[1]);
            on_a_thread(|| second.free());
            take(order[2]).free();
        }
        assert_nothing_lives();
    });
}

/// But only once.
#[test]
fn a_second_free_of_a_block_taken_from_the_cache_is_found() {
    let name = "a_second_free_of_a_block_taken_from_the_cache_is_found";
    // As many as there are places, too.
    let all = [7, 6, 5, 4, 3, 2, 1, 0];
    let one_more = [all.as_slice(), &[7]].concat();
    let orders = [&[1, 0, 1][..], &[0, 1, 0], &[0, 0], &[1, 1], &one_more];
    if let Some(role) = child::role() {
        let row = [(); 8].map(|()| malloc(100 * KIB));
        row.into_iter().for_each(free);
        let row = [(); 8].map(|()| malloc(100 * KIB));
        let order: usize = role.parse().expect("a number");
        orders[order].iter().for_each(|&at| free(row[at]));
        // At once: a thread that ends would find it as well.
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    for order in 0..orders.len() {
        child::run(name, &order.to_string()).assert_fault("free");
    }
}

/// Nor after its pages moved to another place.
#[test]
fn a_free_of_a_block_whose_pages_moved_is_found() {
    let name = "a_free_of_a_block_whose_pages_moved_is_found";
    if child::role().is_none() {
        child::run(name, "fault").assert_fault("freed already");
        return;
    }
    let mut moved = known(MIB);
    let (old, behind) = (moved.as_ptr(), block(MIB));
    assert!(moved.resize(4 * MIB));
    assert_ne!(moved.as_ptr(), old);
    behind.verify();
    free(old);
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}
