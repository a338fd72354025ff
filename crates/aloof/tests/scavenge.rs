//! Free memory goes back by itself, from whatever heap it is in, and requests stay within a limit.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use aloof::{Setting, raw};
use support::block::{Request, touched};
use support::{Block, KIB, MIB, Random, child, memory, on_a_thread};

/// Bytes that each thread allocates.
const EACH: usize = 96 * MIB;
const THREADS: usize = 2;

/// Blocks of 16 bytes to 230 KiB, many small and few large, of `EACH` bytes together.
fn fill(seed: u64) -> Vec<Block> {
    let mut random = Random::new(seed);
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    while bytes < EACH {
        let size = 16 + random.log_uniform(18).min(230 * KIB);
        bytes += size;
        blocks.push(touched(size, random.next()).expect("there is memory"));
    }
    blocks
}

/// Waits until resident memory is at most `bytes`; what it came to.
fn settles_at(bytes: usize) -> usize {
    let end = Instant::now() + Duration::from_secs(20);
    while memory::resident() > bytes && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    memory::resident()
}

/// Which blocks a thread keeps.
fn is_kept(role: &str, i: usize, of: usize, random: &mut Random) -> bool {
    match role {
        "at random" => random.below(10) == 0,
        _ => i * 10 < of,
    }
}

/// Threads fill memory, free most of it and then block, or end; those that block go on at the end.
fn shrinks(role: &str) {
    // Neither thread fills what the other has freed: all is resident at once.
    let filled = Barrier::new(THREADS);
    let (freed, go_on) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let before = memory::resident();
    let kept_bytes = AtomicUsize::new(0);
    thread::scope(|scope| {
        for t in 0..THREADS {
            let (filled, freed, go_on, kept_bytes) = (&filled, &freed, &go_on, &kept_bytes);
            scope.spawn(move || {
                let mut random = Random::new(t as u64);
                let blocks = fill(t as u64 + 1);
                let of = blocks.len();
                filled.wait();
                let mut kept = Vec::new();
                for (i, block) in blocks.into_iter().enumerate() {
                    if is_kept(role, i, of, &mut random) {
                        kept.push(block);
                    } else {
                        block.free();
                    }
                }
                let bytes: usize = kept.iter().map(Block::usable).sum();
                kept_bytes.fetch_add(bytes, Ordering::Relaxed);
                freed.wait();
                if role == "ended" {
                    std::mem::forget(kept);
                    return;
                }
                go_on.wait();
                // What was kept is whole, and the heap works as before.
                kept.into_iter().for_each(Block::free);
                fill(9).into_iter().for_each(Block::free);
            });
        }
        freed.wait();
        let full = before + THREADS * EACH;
        let kept = kept_bytes.load(Ordering::Relaxed);
        let back = full - before - kept;
        // What is kept at random holds its pages.
        let share = if role == "at random" { 7 } else { 9 };
        let bound = full - back / 10 * share;
        if role == "never" {
            thread::sleep(Duration::from_secs(3));
            assert!(
                memory::resident() > full - back / 10,
                "it went back all the same: {} of {full} resident, {kept} kept",
                memory::resident()
            );
        } else {
            let at = settles_at(bound);
            assert!(
                at <= bound,
                "{role}: {at} bytes resident, {full} before, {kept} kept"
            );
        }
        if role != "ended" {
            go_on.wait();
        }
    });
}

#[test]
fn what_is_freed_goes_back_without_another_call() {
    let name = "what_is_freed_goes_back_without_another_call";
    if let Some(role) = child::role() {
        return shrinks(&role);
    }
    for role in ["the last", "at random", "ended"] {
        child::run_with(name, role, &[("ALOOF_RETAIN", "4M")]).assert_success(role);
    }
    let never = [("ALOOF_DECAY_MS", "never")];
    child::run_with(name, "never", &never).assert_success("never");
}

/// Without a thread for it, memory goes back on slow paths: also of a program that only uses blocks it freed just before.
#[test]
fn a_program_that_repeats_one_large_request_gives_the_rest_back() {
    let name = "a_program_that_repeats_one_large_request_gives_the_rest_back";
    let alone = [("ALOOF_BACKGROUND", "0"), ("ALOOF_RETAIN", "4M")];
    child::isolated_with(name, &alone, || {
        let size = 100_000;
        let before = memory::resident();
        let blocks: Vec<_> = (0..EACH / size)
            .map(|i| touched(size, i as u64).expect("there is memory"))
            .collect();
        blocks.into_iter().for_each(Block::free);
        let bound = before + EACH / 2;
        let end = Instant::now() + Duration::from_secs(20);
        while memory::resident() > bound && Instant::now() < end {
            for _ in 0..1000 {
                // SAFETY: a block that is freed once.
                unsafe { raw::free(raw::malloc(size)) };
            }
        }
        let now = memory::resident();
        assert!(now <= bound, "{now} bytes resident, {before} before");
    });
}

/// Threads that never stop, while the scavenger looks as often as it can: no block changes.
#[test]
fn busy_threads_and_the_scavenger_do_not_disturb_each_other() {
    let name = "busy_threads_and_the_scavenger_do_not_disturb_each_other";
    let often = [("ALOOF_DECAY_MS", "2"), ("ALOOF_RETAIN", "0")];
    child::isolated_with(name, &often, || {
        let end = Instant::now() + Duration::from_secs(4);
        thread::scope(|scope| {
            for t in 0..3 {
                scope.spawn(move || {
                    let mut random = Random::new(t);
                    let mut blocks: Vec<Block> = Vec::new();
                    let mut round = 0;
                    while Instant::now() < end {
                        for _ in 0..200 {
                            let size = random.log_uniform(19);
                            let block = Request::of(size);
                            blocks.push(Block::new(block, random.next()).expect("there is memory"));
                        }
                        while blocks.len() > if round % 8 == 0 { 0 } else { 600 } {
                            let i = random.below(blocks.len());
                            blocks.swap_remove(i).free();
                        }
                        if let Some(block) = blocks.last_mut() {
                            assert!(block.resize(random.log_uniform(21)));
                        }
                        round += 1;
                        if round % 50 == 0 {
                            thread::sleep(Duration::from_millis(5));
                        }
                    }
                    blocks.into_iter().for_each(Block::free);
                });
            }
            // Another that purges all heaps at the same time.
            scope.spawn(move || {
                while Instant::now() < end {
                    raw::purge();
                    thread::sleep(Duration::from_millis(3));
                }
            });
        });
    });
}

/// The thread that gives memory back does so while it is wanted, and not while it is not.
#[test]
fn the_scavenger_rests_while_it_is_switched_off() {
    let name = "the_scavenger_rests_while_it_is_switched_off";
    child::isolated_with(name, &[("ALOOF_DECAY_MS", "200")], || {
        let free_all = |seed| on_a_thread(move || fill(seed).into_iter().for_each(Block::free));
        let before = memory::resident();
        free_all(1);
        let settled = settles_at(before + 24 * MIB);
        assert!(settled <= before + 24 * MIB, "{settled} with the scavenger");
        assert!(Setting::Background.set(0));
        // It may be at a last look.
        thread::sleep(Duration::from_millis(500));
        free_all(2);
        thread::sleep(Duration::from_secs(2));
        let left = memory::resident();
        assert!(left > before + 48 * MIB, "{left} without");
        assert!(Setting::Background.set(1));
        // At the next call that takes memory or gives it back.
        free_all(3);
        let settled = settles_at(before + 24 * MIB);
        assert!(settled <= before + 24 * MIB, "{settled} with it again");
    });
}

#[test]
fn the_child_of_a_fork_has_a_scavenger_of_its_own() {
    child::isolated("the_child_of_a_fork_has_a_scavenger_of_its_own", || {
        let round = || {
            let before = memory::resident();
            fill(1).into_iter().for_each(Block::free);
            let bound = before + EACH / 4;
            settles_at(bound) <= bound
        };
        assert!(round(), "in the parent");
        assert!(child::forked(round), "in the child");
        assert!(round(), "in the parent again");
    });
}

/// Blocks of a size until one is refused.
fn until_refused(size: usize, most: usize) -> Vec<Block> {
    let more = || touched(size, 3);
    std::iter::from_fn(more).take(most / size).collect()
}

#[test]
fn a_block_that_grows_by_little_at_the_limit_gets_no_room_but_grows() {
    child::isolated(
        "a_block_that_grows_by_little_at_the_limit_gets_no_room_but_grows",
        || {
            let block = |size| Block::new(Request::of(size), 1).expect("there is memory");
            let mut grows = block(1000);
            // A pool with a free block of the next size, and none of the sizes above.
            let mut others: Vec<_> = (0..10).map(|_| block(1100)).collect();
            others.remove(3).free();
            let _much = touched(16 * MIB, 1);
            assert!(Setting::Limit.set(1 << 20));
            assert!(Block::new(Request::of(1300), 1).is_none(), "at the limit");
            assert!(grows.resize(1100));
            assert!(grows.usable() < 1200 && grows.is_intact());
            assert!(Setting::Limit.set(u64::MAX));
        },
    );
}

/// Wherever it grows: where it is, or by moving.
#[test]
fn a_block_that_grows_is_refused_at_the_limit() {
    let name = "a_block_that_grows_is_refused_at_the_limit";
    const LIMIT: usize = 96 * MIB;
    let limit = [("ALOOF_LIMIT", "96M")];
    child::isolated_with(name, &limit, || {
        for step in [20 * KIB, 100_000, MIB] {
            let mut size = 100_000;
            // SAFETY: the block has the bytes written, and is replaced by what it moved to.
            unsafe {
                let mut at = raw::malloc(size);
                loop {
                    at.add(size - step.min(size)).write_bytes(1, step.min(size));
                    let grown = raw::realloc(at, size + step);
                    if grown.is_null() || size > 4 * LIMIT {
                        break;
                    }
                    at = grown;
                    size += step;
                }
                let resident = memory::anonymous();
                println!("{size} bytes by {step}, {resident} resident");
                assert!((LIMIT / 10 * 6..LIMIT).contains(&size), "{size} by {step}");
                assert!(resident < LIMIT + 4 * MIB, "{resident} by {step}");
                raw::free(at);
            }
            Block::new(Request::of(50 * MIB), 1)
                .expect("what was freed can be had")
                .free();
        }
    });
}

#[test]
fn at_the_limit_requests_are_refused_and_after_frees_served_again() {
    let name = "at_the_limit_requests_are_refused_and_after_frees_served_again";
    const LIMIT: usize = 128 * MIB;
    let limit = [("ALOOF_LIMIT", "128M")];
    child::isolated_with(name, &limit, || {
        Block::new(Request::of(1), 1).expect("there is room").free();
        assert_eq!(Setting::Limit.get(), LIMIT as u64);
        for size in [1000, 20 * KIB, 64 * KIB, 100_000, 3 * MIB, 8 * MIB] {
            for _ in 0..2 {
                let blocks = until_refused(size, 4 * LIMIT);
                let got = blocks.len() * size;
                assert!(
                    (LIMIT / 10 * 7..LIMIT).contains(&got),
                    "{got} bytes in blocks of {size}"
                );
                // The list is not in our memory, and may have grown since the last look.
                let list = blocks.capacity() * size_of::<Block>();
                let resident = memory::anonymous() - list;
                assert!(resident < LIMIT + 4 * MIB, "{resident} bytes for {size}");
                blocks.into_iter().for_each(Block::free);
            }
        }
        // 90 MiB live, and six times as much goes through.
        let mut random = Random::new(5);
        let mut live: Vec<Block> = Vec::new();
        let (mut bytes, mut through) = (0, 0);
        while through < 540 * MIB {
            let size = 16 + random.log_uniform(18).min(100_000);
            while bytes + size > 90 * MIB {
                let block = live.swap_remove(random.below(live.len()));
                bytes -= block.size();
                block.free();
            }
            live.push(touched(size, 7).expect("there is room"));
            bytes += size;
            through += size;
        }
        live.into_iter().for_each(Block::free);
    });
}

static TOLD: AtomicUsize = AtomicUsize::new(0);

extern "C" fn told(resident: usize, data: usize) {
    assert!(resident > 64 * MIB && data == 7);
    TOLD.fetch_add(1, Ordering::Relaxed);
    // It may allocate.
    drop(vec![0u8; 100]);
    raw::purge();
}

#[test]
fn the_soft_limit_is_told_once_each_time() {
    child::isolated("the_soft_limit_is_told_once_each_time", || {
        raw::on_soft_limit(64 * MIB, told, 7);
        for round in 1..4 {
            let blocks = until_refused(100_000, 100 * MIB);
            assert_eq!(TOLD.load(Ordering::Relaxed), round);
            blocks.into_iter().for_each(Block::free);
            raw::purge();
            // Below again, which is seen by a request.
            Block::new(Request::of(MIB), 1)
                .expect("there is room")
                .free();
        }
        raw::on_soft_limit(usize::MAX, told, 7);
        until_refused(100_000, 100 * MIB)
            .into_iter()
            .for_each(Block::free);
        assert_eq!(TOLD.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn values_that_make_no_sense_are_told_and_ignored() {
    let name = "values_that_make_no_sense_are_told_and_ignored";
    if child::role().is_some() {
        drop(vec![0u8; 100]);
        // SAFETY: freed once.
        unsafe { raw::free(raw::malloc(100)) };
        assert_eq!(Setting::DecayMs.get(), 1000);
        assert_eq!(Setting::Retain.get(), 5 << 20);
        assert_eq!(Setting::Background.get(), 1);
        return;
    }
    let variables = [
        ("ALOOF_DECAY_MS", "soon"),
        ("ALOOF_RETAIN", "5MiB"),
        ("ALOOF_BACKGROUND", "2"),
        ("ALOOF_LIMIT", "-1"),
    ];
    let outcome = child::run_with(name, "odd", &variables);
    outcome.assert_success(name);
    for wrong in [
        "ALOOF_DECAY_MS=soon",
        "ALOOF_BACKGROUND=2",
        "ALOOF_LIMIT=-1",
    ] {
        assert_eq!(outcome.stderr.matches(wrong).count(), 1, "{outcome:#?}");
    }
    assert!(!outcome.stderr.contains("ALOOF_RETAIN"), "{outcome:#?}");
}

/// Shared with a thread that must not end before.
#[test]
fn a_thread_that_is_visited_wakes_in_a_whole_heap() {
    child::isolated("a_thread_that_is_visited_wakes_in_a_whole_heap", || {
        let (asleep, awake) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let theirs = (asleep.clone(), awake.clone());
        let sleeper = thread::spawn(move || {
            let mut random = Random::new(3);
            let mut kept = fill(3);
            for _ in 0..20 {
                for _ in 0..kept.len() * 9 / 10 {
                    kept.swap_remove(random.below(kept.len())).free();
                }
                theirs.0.wait();
                theirs.1.wait();
                kept.iter().for_each(Block::verify);
                kept.extend(fill(4).into_iter().step_by(4));
            }
            kept.into_iter().for_each(Block::free);
        });
        for _ in 0..20 {
            asleep.wait();
            raw::purge();
            awake.wait();
            // It goes on while its heap is looked at.
            raw::purge();
        }
        sleeper.join().expect("no block has changed");
    });
}
