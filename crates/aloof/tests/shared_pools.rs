//! Chunks that all threads share, and pools that pass from one to another.

mod support;

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use aloof::raw;
use support::block::{block, free_all};
use support::{Block, KIB, MIB, Random, child, memory, on_a_thread, plain};

const SMALL: [usize; 4] = [48, 500, 1000, 20 * KIB];

fn blocks(n: usize, size: usize) -> Vec<Block> {
    (0..n).map(|_| block(size)).collect()
}

/// Nothing goes back to the OS by itself, and no page is there that was not asked for.
const AS_USED: [(&str, &str); 3] = [
    ("ALOOF_DECAY_MS", "never"),
    ("ALOOF_BACKGROUND", "0"),
    ("ALOOF_HUGE_PAGES", "0"),
];

/// A thread that has freed most of its blocks, and goes on, leaves their room to others, whatever they ask for: also where the
/// few that it keeps lie in all arenas.
#[test]
fn what_a_living_thread_gave_back_serves_another() {
    let name = "what_a_living_thread_gave_back_serves_another";
    child::isolated_with(name, &AS_USED, || {
        const BYTES: usize = 64 * MIB;
        for (first, then) in [(48, 1000), (1000, 20 * KIB), (20 * KIB, 500)] {
            let (freed, wait) = channel();
            let (leave, stay) = channel::<()>();
            let other = thread::spawn(move || {
                let mut kept = Vec::new();
                for (i, block) in blocks(BYTES / first, first).into_iter().enumerate() {
                    if i.is_multiple_of(MIB / first) {
                        kept.push(block);
                    } else {
                        block.free();
                    }
                }
                freed.send(()).expect("somebody waits");
                let _ = stay.recv();
                free_all(kept);
            });
            wait.recv().expect("the thread sends once");
            let before = memory::resident();
            let mine = on_a_thread(|| blocks(BYTES / then, then));
            let more = memory::resident().saturating_sub(before);
            // The list of the blocks grows by moving.
            let list = 4 * size_of::<Block>() * (BYTES / then);
            assert!(
                more < list + BYTES / 4,
                "{more} bytes more of {then} beside {BYTES} of {first} that are free"
            );
            free_all(mine);
            drop(leave);
            other.join().expect("the thread ends well");
        }
    });
}

/// A thread that frees a block which an ended thread left, and has no pool of the class, goes on in that one's: it is handed
/// the block next.
#[test]
fn who_frees_what_an_ended_thread_left_goes_on_in_it() {
    let name = "who_frees_what_an_ended_thread_left_goes_on_in_it";
    child::isolated(name, || {
        for size in SMALL {
            let left = on_a_thread(|| blocks(2, size));
            on_a_thread(move || {
                let mut mine = Vec::new();
                for block_of_other in left {
                    let addr = block_of_other.addr();
                    block_of_other.free();
                    mine.push(block(size));
                    assert_eq!(mine[mine.len() - 1].addr(), addr, "{size}");
                }
                free_all(mine);
            });
        }
    });
}

/// A thread that frees what ended threads left, and allocates nothing, does not keep it from one that does.
#[test]
fn who_only_frees_what_ended_threads_left_leaves_it_to_others() {
    let name = "who_only_frees_what_ended_threads_left_leaves_it_to_others";
    child::isolated_with(name, &AS_USED, || {
        for size in SMALL {
            let n = 8 * MIB / size;
            let left: Vec<Block> = (0..4)
                .flat_map(|_| on_a_thread(|| blocks(n / 4, size)))
                .collect();
            let places: HashSet<usize> = left.iter().map(Block::addr).collect();
            let (freed, wait) = channel();
            let (leave, stay) = channel::<()>();
            let frees = thread::spawn(move || {
                free_all(left);
                freed.send(()).expect("somebody waits");
                let _ = stay.recv();
            });
            wait.recv().expect("the thread sends once");
            let again = on_a_thread(|| blocks(n, size));
            let reused = again.iter().filter(|b| places.contains(&b.addr())).count();
            assert!(reused * 10 >= n * 8, "{reused} of {n} of {size}");
            free_all(again);
            drop(leave);
            frees.join().expect("the thread ends well");
        }
    });
}

/// Threads hand their blocks on and end, again and again: what is resident does not creep.
#[test]
fn hand_overs_do_not_creep() {
    child::isolated_with("hand_overs_do_not_creep", &AS_USED, || {
        let pass_on = |generations: usize, seeds: &mut Random| {
            let lines: Vec<_> = (0..4)
                .map(|_| {
                    let mut random = Random::new(seeds.next());
                    thread::spawn(move || {
                        let mut live: Vec<Block> = Vec::new();
                        for _ in 0..generations {
                            let seed = random.next();
                            let next = move || replace_some(live, seed);
                            live = thread::spawn(next).join().expect("no assertion fails");
                        }
                        free_all(live);
                    })
                })
                .collect();
            lines
                .into_iter()
                .for_each(|line| line.join().expect("no assertion fails"));
            memory::resident()
        };
        let mut seeds = Random::new(5);
        let before = pass_on(20, &mut seeds);
        let after = pass_on(400, &mut seeds);
        assert!(after < 2 * before, "{before} bytes grew to {after}");
    });
}

/// One life: 1000 blocks, of which most are replaced by others of other sizes.
fn replace_some(mut live: Vec<Block>, seed: u64) -> Vec<Block> {
    let mut random = Random::new(seed);
    for _ in 0..3000 {
        if live.len() == 1000 {
            live.swap_remove(random.below(1000)).free();
        }
        live.push(block(8 + random.below(1000)));
    }
    live
}

/// Threads begin, end, and free and take over what others left, all at once: each block keeps its content, none is handed out
/// twice, and all that is free is found again.
#[test]
fn pools_pass_between_threads_that_free_meanwhile() {
    let name = "pools_pass_between_threads_that_free_meanwhile";
    child::isolated(name, || {
        const LEFT: usize = 4000;
        let left: Mutex<VecDeque<Block>> = Mutex::new(VecDeque::new());
        let before = raw::stats().live_blocks;
        for round in 0..40 {
            thread::scope(|scope| {
                let live = |seed: u64| {
                    let left = &left;
                    scope.spawn(move || {
                        let mut random = Random::new(round * 6 + seed);
                        for _ in 0..20 {
                            let mine = blocks(random.below(200), SMALL[random.below(4)]);
                            let mut all = left.lock().expect("no thread panics");
                            all.extend(mine);
                            let more = all.len().saturating_sub(LEFT) + random.below(100);
                            let n = more.min(all.len());
                            let gone: Vec<Block> = all.drain(..n).collect();
                            drop(all);
                            free_all(gone);
                        }
                    })
                };
                let threads: Vec<_> = (0..6).map(live).collect();
                // To their very end, where they leave their pools.
                let end = |t: thread::ScopedJoinHandle<()>| t.join().expect("no assertion fails");
                threads.into_iter().for_each(end);
            });
        }
        free_all(left.into_inner().expect("no thread panics").into());
        raw::purge();
        let after = raw::stats();
        assert!(after.live_blocks <= before + 16, "{before} {after:?}");
        assert!(after.committed_bytes <= 24 << 20, "{after:?}");
    });
}

/// Addresses of `n` blocks of 1000 bytes.
fn some(n: usize) -> Vec<usize> {
    let one = |_| plain::malloc(1000).expose_provenance();
    (0..n).map(one).collect()
}

/// Frees what is, or was, a block.
fn free(addr: usize) {
    plain::free(std::ptr::with_exposed_provenance_mut(addr));
}

extern "C" fn allocates(_: i32) {
    std::hint::black_box(some(500));
    println!("HANDLED once.");
    // SAFETY: ends the process.
    unsafe { libc::_exit(7) }
}

/// A second free that is found by whoever collects from pools of ended threads ends the process, and a handler of SIGABRT
/// that allocates meanwhile does not wait for it.
#[test]
fn a_handler_of_abort_allocates_after_a_fault_among_shared_pools() {
    let name = "a_handler_of_abort_allocates_after_a_fault_among_shared_pools";
    if child::role().is_none() {
        let outcome = child::run_with(name, "fault", &AS_USED);
        assert_eq!(outcome.status.code(), Some(7), "{outcome:#?}");
        assert!(outcome.stderr.contains("double free"), "{outcome:#?}");
        assert_eq!(outcome.printed("HANDLED "), Some("once."));
        return;
    }
    // SAFETY: the handler ends the process.
    unsafe { libc::signal(libc::SIGABRT, allocates as *const () as libc::sighandler_t) };
    let left = on_a_thread(|| some(64));
    for size in [5000, 6000] {
        // By threads that have a pool of the class, and so post.
        on_a_thread(|| {
            std::hint::black_box(some(3));
            free(left[5]);
        });
        on_a_thread(|| block(size).free());
    }
}

/// A second free by a thread that takes the pool over ends the process as well, before the block is handed out twice.
#[test]
fn a_second_free_that_takes_the_pool_over_is_found() {
    let name = "a_second_free_that_takes_the_pool_over_is_found";
    if child::role().is_none() {
        child::run_with(name, "fault", &AS_USED).assert_fault("double free");
        return;
    }
    let left = on_a_thread(|| some(64));
    on_a_thread(|| {
        std::hint::black_box(some(3));
        free(left[5]);
    });
    on_a_thread(|| block(5000).free());
    on_a_thread(|| {
        free(left[5]);
        std::hint::black_box(some(200));
        // SAFETY: ends the process, before it would be found anyway.
        unsafe { libc::_exit(0) }
    });
}
