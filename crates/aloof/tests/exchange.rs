//! Blocks freed by other threads than took them: rings, fans, pipelines, and generations of threads that
//! end while their blocks live.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use aloof::raw;
use support::block::Request;
use support::{Block, KIB, MIB, Random, child};

/// Mostly of few small classes, so that threads meet in the same pools; some of chunks and runs.
fn some(random: &mut Random) -> Block {
    let size = match random.below(40) {
        0 => 64 * KIB,
        1 => 40_000 + random.below(100_000),
        2..10 => 1 + random.below(3000),
        n => 16 * (1 + n % 3),
    };
    Block::new(Request::of(size), random.next()).expect("there is memory")
}

/// What is committed after `rounds` of `work` is not much more than after a few.
fn steady(rounds: usize, mut work: impl FnMut(u64)) {
    let warm = rounds / 4;
    // What others freed in orphans is collected now and then; a purge does it now.
    let now = || {
        let committed_bytes = raw::stats().committed_bytes;
        raw::purge();
        aloof::Stats {
            committed_bytes,
            ..raw::stats()
        }
    };
    (0..warm).for_each(|round| work(round as u64));
    let before = now();
    (warm..rounds).for_each(|round| work(round as u64));
    let after = now();
    let more = after.committed_bytes.saturating_sub(before.committed_bytes);
    assert!(more <= 48 << 20, "{more} bytes more: {before:?} {after:?}");
    assert!(
        after.live_bytes <= before.live_bytes + (8 << 20),
        "{before:?} {after:?}"
    );
}

#[test]
fn in_a_ring_each_frees_the_blocks_of_the_one_before() {
    child::isolated("in_a_ring_each_frees_the_blocks_of_the_one_before", || {
        steady(12, |round| {
            let (senders, inboxes): (Vec<Sender<Block>>, Vec<_>) =
                (0..4).map(|_| channel()).unzip();
            thread::scope(|scope| {
                for (i, inbox) in inboxes.into_iter().enumerate() {
                    let next = senders[(i + 1) % 4].clone();
                    scope.spawn(move || {
                        let mut random = Random::new(round << 8 | i as u64);
                        for _ in 0..3000 {
                            // The next may have ended: the block is freed here.
                            if let Err(back) = next.send(some(&mut random)) {
                                back.0.free();
                            }
                            inbox.try_iter().take(2).for_each(Block::free);
                        }
                        drop(next);
                        inbox.iter().take(50).for_each(Block::free);
                        while let Ok(block) = inbox.try_recv() {
                            block.free();
                        }
                    });
                }
                drop(senders);
            });
        });
    });
}

#[test]
fn many_free_what_one_allocates_and_one_frees_what_many_allocate() {
    child::isolated(
        "many_free_what_one_allocates_and_one_frees_what_many_allocate",
        || {
            steady(10, |round| {
                let (out, fan_in) = channel::<Block>();
                thread::scope(|scope| {
                    let mut workers = Vec::new();
                    for worker in 0..3 {
                        let (give, take) = sync_channel::<Block>(64);
                        let out = out.clone();
                        workers.push(give);
                        scope.spawn(move || {
                            let mut random = Random::new(round << 8 | worker);
                            for block in take {
                                block.free();
                                out.send(some(&mut random)).expect("the collector lives");
                            }
                        });
                    }
                    drop(out);
                    let collector = scope.spawn(move || fan_in.iter().map(Block::free).count());
                    let mut random = Random::new(round);
                    for i in 0..6000 {
                        workers[i % 3]
                            .send(some(&mut random))
                            .expect("the worker lives");
                    }
                    drop(workers);
                    assert_eq!(collector.join().expect("no assertion fails"), 6000);
                });
            });
        },
    );
}

#[test]
fn a_pipeline_resizes_and_frees_what_its_first_stage_allocates() {
    child::isolated(
        "a_pipeline_resizes_and_frees_what_its_first_stage_allocates",
        || {
            steady(10, |round| {
                let (first, second) = sync_channel::<Block>(200);
                let (third, last) = sync_channel::<Block>(200);
                let resize = move |from: Receiver<Block>| {
                    let mut random = Random::new(round);
                    for mut block in from {
                        let size = 1 + random.log_uniform(13);
                        assert!(block.resize(size));
                        third.send(block).expect("the last stage lives");
                    }
                };
                thread::scope(|scope| {
                    scope.spawn(move || resize(second));
                    scope.spawn(move || last.iter().for_each(Block::free));
                    let mut random = Random::new(round + 100);
                    for _ in 0..6000 {
                        first
                            .send(some(&mut random))
                            .expect("the second stage lives");
                    }
                    drop(first);
                });
            });
        },
    );
}

/// Threads end while others free their blocks and a next generation adopts what they leave: the hardest
/// on the ends of heaps.
#[test]
fn generations_of_threads_inherit_each_others_blocks() {
    child::isolated("generations_of_threads_inherit_each_others_blocks", || {
        const KEPT: usize = 3000;
        let pot: Arc<Mutex<Vec<Block>>> = Arc::default();
        let ended = Arc::new(AtomicUsize::new(0));
        let life = |seed: u64| {
            let (pot, ended) = (pot.clone(), ended.clone());
            move || {
                let mut random = Random::new(seed);
                for _ in 0..3 {
                    let mine: Vec<Block> = (0..100 + random.below(500))
                        .map(|_| some(&mut random))
                        .collect();
                    let mut theirs = pot.lock().unwrap();
                    theirs.extend(mine);
                    let from = random.below(theirs.len());
                    let surplus = theirs.len().saturating_sub(KEPT).min(theirs.len() - from);
                    let surplus: Vec<Block> = theirs.drain(from..from + surplus).collect();
                    drop(theirs);
                    surplus.into_iter().for_each(Block::free);
                }
                ended.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut seed = 0;
        steady(40, |_| {
            // The next begins before the one before has ended.
            let mut alive = std::collections::VecDeque::new();
            for _ in 0..16 {
                seed += 1;
                alive.push_back(thread::spawn(life(seed)));
                if alive.len() == 4 {
                    let eldest = alive.pop_front().expect("four");
                    eldest.join().expect("no assertion fails");
                }
            }
            for thread in alive {
                thread.join().expect("no assertion fails");
            }
        });
        assert_eq!(ended.load(Ordering::Relaxed), 640);
        let left = std::mem::take(&mut *pot.lock().unwrap());
        left.into_iter().for_each(Block::free);
        raw::purge();
        let stats = raw::stats();
        assert_eq!(stats.live_blocks, 0, "{stats:?}");
        assert!(stats.committed_bytes < 8 * MIB as u64, "{stats:?}");
    });
}
