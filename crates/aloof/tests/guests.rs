//! Small blocks that another thread made may wait in the magazine of the thread that freed them. They are handed out again
//! there, or go home.

mod support;

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use aloof::raw;
use support::block::Request;
use support::{Block, KIB, Random, child, on_a_thread, plain};

/// Of pools of one chunk and of several, from full magazines and from slots.
const SIZES: [usize; 6] = [128, 500, 1000, 2 * KIB, 3000, 20 * KIB];

fn malloc(size: usize) -> usize {
    plain::malloc(size).expose_provenance()
}

fn free(block: usize) {
    plain::free(std::ptr::with_exposed_provenance_mut(block));
}

/// A thread that does what it is told, one thing after the other, until it is dropped.
struct Worker {
    orders: Option<Sender<Box<dyn FnOnce() + Send>>>,
    done: Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn new() -> Worker {
        let (orders, inbox) = channel::<Box<dyn FnOnce() + Send>>();
        let (report, done) = channel();
        let thread = thread::spawn(move || {
            for order in inbox {
                order();
                report.send(()).expect("somebody waits");
            }
        });
        Worker {
            orders: Some(orders),
            done,
            thread: Some(thread),
        }
    }

    fn tell(&self, order: impl FnOnce() + Send + 'static) {
        let orders = self.orders.as_ref().expect("until it is dropped");
        orders.send(Box::new(order)).expect("the thread listens");
        self.done.recv().expect("the thread does not panic");
    }

    fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> T + Send + 'static) -> T {
        let (report, answer) = channel();
        self.tell(move || report.send(question()).expect("somebody waits"));
        answer.recv().expect("it was sent")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        let thread = self.thread.take().expect("it is dropped once");
        thread.join().expect("the thread does not panic");
    }
}

#[test]
fn what_another_thread_made_is_handed_out_where_it_was_freed() {
    child::isolated(
        "what_another_thread_made_is_handed_out_where_it_was_freed",
        || {
            for size in SIZES {
                let block = malloc(size);
                on_a_thread(|| {
                    // More than half of what a refill brings.
                    let own: Vec<_> = (0..40).map(|_| malloc(size)).collect();
                    free(block);
                    let again = malloc(size);
                    assert_eq!(again, block, "{size}");
                    own.into_iter().chain([again]).for_each(free);
                });
            }
        },
    );
}

#[test]
fn blocks_that_share_lines_go_home() {
    child::isolated("blocks_that_share_lines_go_home", || {
        for size in [8, 16, 40, 64, 112] {
            let block = malloc(size);
            on_a_thread(|| {
                let own = malloc(size);
                free(block);
                // As many as a magazine may hold.
                let others: Vec<_> = (0..300).map(|_| malloc(size)).collect();
                assert!(!others.contains(&block), "{size}");
                others.into_iter().chain([own]).for_each(free);
            });
        }
    });
}

#[test]
fn a_thread_that_only_frees_keeps_nothing() {
    child::isolated("a_thread_that_only_frees_keeps_nothing", || {
        let worker = Worker::new();
        let block = malloc(1000);
        let (before, after) = worker.ask(move || {
            // Its heap begins.
            free(malloc(64 * KIB));
            let before = raw::stats().cached_bytes;
            free(block);
            (before, raw::stats().cached_bytes)
        });
        assert_eq!(before, after);
    });
}

#[test]
fn half_a_magazine_is_kept_and_the_rest_goes_home() {
    const SIZE: usize = 512;
    child::isolated("half_a_magazine_is_kept_and_the_rest_goes_home", || {
        let worker = Worker::new();
        let made: Vec<_> = (0..5000).map(|_| malloc(SIZE)).collect();
        let all = made.clone();
        let (before, after) = worker.ask(move || {
            let own: Vec<_> = (0..500).map(|_| malloc(SIZE)).collect();
            let before = raw::stats().cached_bytes;
            all.into_iter().for_each(free);
            let after = raw::stats().cached_bytes;
            own.into_iter().for_each(free);
            (before, after)
        });
        let kept = after - before;
        assert!((1..=32 * KIB as u64).contains(&kept), "{kept}");
        // What was kept, and what is in the outbox, at most 256 KiB, is not home.
        let gone = (32 + 256) * KIB / SIZE;
        let old: HashSet<_> = made.into_iter().collect();
        let again: Vec<_> = (0..5000).map(|_| malloc(SIZE)).collect();
        let home = again.iter().filter(|block| old.contains(block)).count();
        assert!(home >= 5000 - gone, "{home} of 5000");
        again.into_iter().for_each(free);
    });
}

/// Blocks of a hundred words, freed by turns, wait in the outbox for those of their word.
#[test]
fn blocks_of_many_words_go_home_together() {
    const SIZE: usize = 64;
    const WORDS: usize = 100;
    child::isolated("blocks_of_many_words_go_home_together", || {
        let worker = Worker::new();
        let made: Vec<_> = (0..100 * WORDS).map(|_| malloc(SIZE)).collect();
        // Of each word, 4 KiB of blocks, four.
        let by_turns = |nth: usize| (0..WORDS).map(move |word| 64 * word + nth);
        let in_turn: Vec<_> = (0..4).flat_map(by_turns).map(|i| made[i]).collect();
        let freed: HashSet<_> = in_turn.iter().copied().collect();
        worker.ask(move || in_turn.into_iter().for_each(free));
        let again: Vec<_> = (0..5000).map(|_| malloc(SIZE)).collect();
        let home = again.iter().filter(|block| freed.contains(block)).count();
        assert!(home <= freed.len() / 10, "{home} of {}", freed.len());
        // All of them when there are more than it holds.
        let rest = made.iter().copied().filter(|block| !freed.contains(block));
        let rest: Vec<_> = rest.collect();
        worker.ask(move || rest.into_iter().for_each(free));
        again.into_iter().for_each(free);
        let all: HashSet<_> = (0..110 * WORDS).map(|_| malloc(SIZE)).collect();
        let home = freed.iter().filter(|block| all.contains(block)).count();
        assert_eq!(home, freed.len());
    });
}

#[test]
fn a_guest_that_is_freed_again_and_again_goes_home() {
    child::isolated("a_guest_that_is_freed_again_and_again_goes_home", || {
        for size in SIZES {
            let first = malloc(size);
            on_a_thread(|| {
                let own: Vec<_> = (0..40).map(|_| malloc(size)).collect();
                let mut block = first;
                let stays = (0..1000).take_while(|_| {
                    free(block);
                    block = malloc(size);
                    block == first
                });
                let rounds = stays.count();
                assert!((1..256).contains(&rounds), "{size}: {rounds}");
                own.into_iter().chain([block]).for_each(free);
            });
        }
    });
}

#[test]
fn guests_go_home_when_their_host_ends() {
    child::isolated("guests_go_home_when_their_host_ends", || {
        for size in SIZES {
            raw::purge();
            let before = raw::stats();
            let made: Vec<_> = (0..100).map(|_| malloc(size)).collect();
            on_a_thread(|| {
                let own: Vec<_> = (0..100).map(|_| malloc(size)).collect();
                made.into_iter().for_each(free);
                own.into_iter().for_each(free);
            });
            raw::purge();
            let after = raw::stats();
            assert_eq!(after.live_bytes, before.live_bytes, "{size}");
            assert_eq!(after.cached_bytes, before.cached_bytes, "{size}");
            assert!(
                after.committed_bytes <= before.committed_bytes,
                "{size}: {before:?} {after:?}"
            );
        }
    });
}

#[test]
fn guests_outlive_the_thread_that_made_them() {
    child::isolated("guests_outlive_the_thread_that_made_them", || {
        for size in SIZES {
            let (maker, host) = (Worker::new(), Worker::new());
            let mut made: Vec<_> = maker.ask(move || (0..200).map(|_| malloc(size)).collect());
            let live = made.split_off(50);
            host.tell(move || {
                let own = malloc(size);
                made.into_iter().for_each(free);
                free(own);
            });
            drop(maker);
            // The host adopts the pools of its guests, which are its own from then on.
            let taken: Vec<_> = host.ask(move || (0..2000).map(|_| malloc(size)).collect());
            let blocks: HashSet<_> = live.iter().chain(&taken).copied().collect();
            assert_eq!(
                blocks.len(),
                150 + 2000,
                "{size}: a block was handed out twice"
            );
            host.tell(move || {
                taken.into_iter().for_each(free);
                live.into_iter().for_each(free);
                raw::purge();
            });
            drop(host);
            raw::purge();
            assert_eq!(raw::stats().live_blocks, 0, "{size}");
        }
    });
}

/// Blocks that change hands at random among threads that come and go, and are written by whoever has them.
#[test]
fn blocks_that_change_hands_stay_whole() {
    const THREADS: usize = 4;
    child::isolated("blocks_that_change_hands_stay_whole", || {
        for generation in 0..30 {
            let (senders, inboxes): (Vec<Sender<Block>>, Vec<_>) =
                (0..THREADS).map(|_| channel()).unzip();
            thread::scope(|scope| {
                for (me, inbox) in inboxes.into_iter().enumerate() {
                    let senders = senders.clone();
                    scope.spawn(move || {
                        let mut random = Random::new(generation << 8 | me as u64);
                        let mut mine = Vec::new();
                        for _ in 0..3000 {
                            mine.extend(inbox.try_iter().take(4));
                            let size = SIZES[random.below(SIZES.len())] - random.below(10);
                            let block = Block::new(Request::of(size), random.next());
                            let block = block.expect("there is memory");
                            let to = random.below(2 * THREADS);
                            match senders.get(to) {
                                // Who ended left its inbox.
                                Some(sender) => {
                                    if let Err(back) = sender.send(block) {
                                        mine.push(back.0);
                                    }
                                }
                                None => mine.push(block),
                            }
                            while mine.len() > 20 {
                                let at = random.below(mine.len());
                                mine.swap_remove(at).free();
                            }
                        }
                        drop(senders);
                        inbox.try_iter().chain(mine).for_each(Block::free);
                    });
                }
                drop(senders);
            });
        }
        raw::purge();
    });
}
