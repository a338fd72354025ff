//! Run blocks above a megabyte: one heap for all threads, and what each of them does to its blocks.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aloof::raw;
use support::block::{block, touched, written};
use support::{Block, KIB, MIB, Random, child, errno, memory, on_a_thread};

const SIZES: [usize; 4] = [1100 * KIB, 3 * MIB, 7_000_000, 20_000_000];

fn filled(size: usize) -> Block {
    touched(size, size as u64).expect("there is memory")
}

/// A thread that goes on, and has freed a block, leaves it to the next request of any.
#[test]
fn what_one_thread_frees_serves_the_next_request_of_another() {
    let name = "what_one_thread_frees_serves_the_next_request_of_another";
    child::isolated(name, || {
        for size in SIZES {
            // Its arena stays in use.
            let (kept, first) = (block(size), block(size));
            let addr = first.addr();
            first.free();
            let other = on_a_thread(|| block(size));
            assert_eq!(other.addr(), addr, "{size}");
            // Nor does it matter who frees it.
            other.free();
            let again = on_a_thread(|| block(size));
            assert_eq!(again.addr(), addr, "{size}");
            again.free();
            kept.free();
        }
    });
}

/// Pages that are there are used before others, whatever size left them.
#[test]
fn blocks_lie_in_pages_that_others_of_near_sizes_left() {
    child::isolated("blocks_lie_in_pages_that_others_of_near_sizes_left", || {
        // The arena of the smaller size has room that was never used, that of the larger is kept in use.
        let kept = [filled(2500 * KIB), filled(9 * MIB)];
        filled(15 * MIB).free();
        let before = memory::resident();
        let smaller = [(); 4].map(|()| filled(2500 * KIB));
        let more = memory::resident().saturating_sub(before);
        assert!(more < MIB, "{more} bytes beside 15 MiB that are free");
        kept.into_iter().chain(smaller).for_each(Block::free);
    });
}

/// Who fills his blocks shares what is in huge pages already: a larger block than those of an arena lies in it if it fits.
#[test]
fn blocks_of_who_fills_them_lie_in_arenas_of_smaller_ones() {
    let name = "blocks_of_who_fills_them_lie_in_arenas_of_smaller_ones";
    child::isolated(name, || {
        let arena = |block: &Block| block.addr() / (128 * MIB);
        let smaller = [(); 3].map(|()| filled(9 * MIB));
        let larger = filled(17 * MIB);
        assert_eq!(arena(&larger), arena(&smaller[2]));
        smaller.into_iter().chain([larger]).for_each(Block::free);
    });
}

/// Threads make, grow, shrink and free each other's blocks; each keeps its content, and none is handed out twice.
#[test]
fn threads_that_use_the_heap_together_do_not_meet_in_a_block() {
    let name = "threads_that_use_the_heap_together_do_not_meet_in_a_block";
    child::isolated(name, || {
        let places: Mutex<Vec<Block>> = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for seed in 0..4 {
                let places = &places;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..300 {
                        let mut mine = block(1100 * KIB + random.below(2 * MIB));
                        if random.below(3) == 0 {
                            assert!(mine.resize(1100 * KIB + random.below(4 * MIB)));
                        }
                        let mut others = places.lock().expect("no thread panics");
                        others.push(mine);
                        let addrs: HashSet<usize> = others.iter().map(Block::addr).collect();
                        assert_eq!(addrs.len(), others.len(), "a block was handed out twice");
                        let taken = if others.len() > 12 {
                            let at = random.below(others.len());
                            Some(others.swap_remove(at))
                        } else {
                            None
                        };
                        drop(others);
                        if let Some(block) = taken {
                            block.free();
                        }
                    }
                });
            }
        });
        for block in places.into_inner().expect("no thread panics") {
            block.free();
        }
    });
}

/// As fast as threads can, without a look at the content: the lock alone keeps them apart.
#[test]
fn threads_that_do_nothing_else_do_not_disturb_each_other() {
    let name = "threads_that_do_nothing_else_do_not_disturb_each_other";
    child::isolated(name, || {
        thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..30_000 {
                        let size = 1100 * KIB + random.below(30) * MIB / 10;
                        // SAFETY: a block of the bytes written, freed once.
                        unsafe {
                            let at = raw::malloc(size);
                            at.write(seed as u8);
                            at.add(size - 1).write(seed as u8);
                            assert!(at.read_volatile() == seed as u8);
                            assert!(at.add(size - 1).read_volatile() == seed as u8);
                            raw::free(at);
                        }
                    }
                });
            }
        });
        assert_eq!(raw::stats().tiers[aloof::Tier::Run as usize].blocks, 0);
    });
}

/// The child of a fork finds the heap free, whoever was in it.
#[test]
fn the_child_of_a_fork_uses_the_heap() {
    child::isolated("the_child_of_a_fork_uses_the_heap", || {
        let (end, begun) = (AtomicBool::new(false), Barrier::new(3));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    begun.wait();
                    while !end.load(Ordering::Relaxed) {
                        // SAFETY: freed once.
                        unsafe { raw::free(raw::malloc(1500 * KIB)) };
                    }
                });
            }
            begun.wait();
            let inherited = block(2500 * KIB);
            for _ in 0..100 {
                // SAFETY: the child frees what it has alone.
                let apart = child::forked(|| unsafe {
                    let more = [1500 * KIB, 2500 * KIB, 6 * MIB].map(|size| raw::malloc(size));
                    let apart = more.iter().all(|at| {
                        at.addr() >= inherited.addr() + inherited.usable()
                            || at.addr() < inherited.addr()
                    });
                    more.into_iter().for_each(|at| raw::free(at));
                    raw::free(inherited.as_ptr());
                    apart
                });
                assert!(apart, "in the child");
            }
            end.store(true, Ordering::Relaxed);
            inherited.free();
        });
    });
}

/// What a thread freed goes back to the OS though another keeps blocks, and both stay silent.
#[test]
fn what_is_free_in_the_heap_goes_back() {
    child::isolated("what_is_free_in_the_heap_goes_back", || {
        let kept = AtomicUsize::new(0);
        on_a_thread(|| {
            let blocks: Vec<Block> = (0..24).map(|_| filled(3 * MIB + 5)).collect();
            for (i, block) in blocks.into_iter().enumerate() {
                if i % 8 == 0 {
                    kept.store(block.addr(), Ordering::Relaxed);
                } else {
                    block.free();
                }
            }
        });
        assert_ne!(kept.load(Ordering::Relaxed), 0);
        // A slow path rings for the scavenger if nothing else did.
        block(100 * KIB).free();
        let started = Instant::now();
        while memory::anonymous() > 20 * MIB && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(100));
        }
        let left = memory::anonymous();
        assert!(
            left < 20 * MIB,
            "{left} bytes of 72 MiB, of which 63 are free"
        );
    });
}

fn free(at: *mut u8) {
    // SAFETY: a live block that nobody uses any more.
    unsafe { raw::free(at) };
}

/// What is free goes back at once when somebody asks for it, however busy others are with the heap.
#[test]
fn a_purge_gives_back_what_is_free_while_others_use_the_heap() {
    let name = "a_purge_gives_back_what_is_free_while_others_use_the_heap";
    child::isolated_with(name, &[("ALOOF_BACKGROUND", "0")], || {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        // SAFETY: freed once.
                        unsafe { raw::free(raw::malloc(1200 * KIB)) };
                    }
                });
            }
            let blocks: Vec<*mut u8> = (0..100).map(|_| written(1500 * KIB)).collect();
            let (kept, freed): (Vec<_>, Vec<_>) = blocks
                .into_iter()
                .enumerate()
                .partition(|(i, _)| i % 10 == 0);
            let before = memory::resident();
            freed.into_iter().for_each(|(_, at)| free(at));
            raw::purge();
            let back = before.saturating_sub(memory::resident());
            end.store(true, Ordering::Relaxed);
            kept.into_iter().for_each(|(_, at)| free(at));
            assert!(back > 120 * MIB, "{back} of 131 MiB");
        });
    });
}

/// What the handlers of the test below free, and which of them does.
static KEPT: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static HANDLER: AtomicUsize = AtomicUsize::new(0);

fn handler(number: usize) {
    if HANDLER.load(Ordering::Relaxed) == number {
        free(KEPT.swap(std::ptr::null_mut(), Ordering::Relaxed));
        free(written(1500 * KIB));
        // What needs the other locks: a heap for a thread without one, pools, a mapping, visits, memory that goes back.
        [100, 1000, 20 * KIB]
            .map(written)
            .into_iter()
            .for_each(free);
        // SAFETY: freed once.
        unsafe { raw::free(raw::malloc(9 << 30)) };
        raw::purge();
    }
}

unsafe extern "C" fn prepare() {
    handler(1);
}

unsafe extern "C" fn in_parent() {
    handler(2);
}

unsafe extern "C" fn in_child() {
    handler(3);
}

/// Handlers that were registered before this allocator's run while it holds its locks.
#[test]
fn handlers_of_a_fork_use_the_heap() {
    let name = "handlers_of_a_fork_use_the_heap";
    let Some(role) = child::role() else {
        for role in ["1", "2", "3", "1 anew", "2 anew", "3 anew"] {
            child::run(name, role).assert_success(role);
        }
        return;
    };
    let number = role.trim_end_matches(" anew");
    // SAFETY: functions of this binary; the child ends at once.
    unsafe {
        libc::alarm(20);
        libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child));
        let other = written(1500 * KIB);
        KEPT.store(written(1500 * KIB), Ordering::Relaxed);
        HANDLER.store(number.parse().expect("a number"), Ordering::Relaxed);
        let fork = || {
            child::forked(|| {
                free(written(1500 * KIB));
                true
            })
        };
        // By a thread that has no heap yet, or by one that has.
        let went_on = if number == role {
            fork()
        } else {
            thread::spawn(fork).join().expect("it ends well")
        };
        assert!(went_on, "in the child");
        free(other);
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// A signal while a thread waits for the heap leaves `errno` as it was.
#[test]
fn waiting_for_the_heap_keeps_errno() {
    let name = "waiting_for_the_heap_keeps_errno";
    child::isolated_with(name, &[("ALOOF_BACKGROUND", "0")], || {
        let (end, changed) = (AtomicBool::new(false), AtomicUsize::new(0));
        // SAFETY: a handler that does nothing; the thread lives while signals are sent to it.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            assert_eq!(
                libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
                0
            );
        }
        thread::scope(|scope| {
            let (to, from) = std::sync::mpsc::channel();
            let waiter = scope.spawn({
                let (end, changed) = (&end, &changed);
                move || {
                    // SAFETY: names this thread.
                    to.send(unsafe { libc::pthread_self() })
                        .expect("a receiver");
                    while !end.load(Ordering::Relaxed) {
                        // SAFETY: freed once.
                        let ((), errno) = errno::after(|| unsafe {
                            raw::free(raw::malloc(1200 * KIB));
                        });
                        changed.fetch_add((errno != errno::UNTOUCHED).into(), Ordering::Relaxed);
                    }
                }
            });
            let waiting = from.recv().expect("a sender");
            let signals = scope.spawn({
                let end = &end;
                move || {
                    while !end.load(Ordering::Relaxed) {
                        // SAFETY: the thread lives until `end`, and for the scope.
                        unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                        thread::sleep(Duration::from_micros(50));
                    }
                }
            });
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(2) {
                let kept = written(60_000_001);
                free(written(60_000_000));
                raw::purge();
                free(kept);
            }
            end.store(true, Ordering::Relaxed);
            signals.join().expect("it ends well");
            waiter.join().expect("it ends well");
        });
        assert_eq!(changed.into_inner(), 0, "errno was changed");
    });
}

/// A thread that may not be interrupted waits for one that it interrupted: it must let it run.
#[test]
fn a_thread_of_high_priority_gets_the_heap_from_one_of_low() {
    let name = "a_thread_of_high_priority_gets_the_heap_from_one_of_low";
    child::isolated_with(name, &[("ALOOF_BACKGROUND", "0")], || {
        let end = AtomicBool::new(false);
        let on_one_processor = || {
            // SAFETY: a set of the first processor.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(0, &mut set);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                on_one_processor();
                while !end.load(Ordering::Relaxed) {
                    // SAFETY: freed once.
                    unsafe { raw::free(raw::malloc(1200 * KIB)) };
                }
            });
            let worst = scope.spawn(|| {
                let first = libc::sched_param { sched_priority: 10 };
                // SAFETY: a valid priority.
                let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) } == 0;
                if !on_one_processor() || !set {
                    eprintln!("no leave to set priorities: nothing tested");
                    end.store(true, Ordering::Relaxed);
                    return Duration::ZERO;
                }
                let (started, mut worst) = (Instant::now(), Duration::ZERO);
                while started.elapsed() < Duration::from_secs(3) {
                    thread::sleep(Duration::from_micros(100));
                    let asked = Instant::now();
                    // SAFETY: freed once.
                    unsafe { raw::free(raw::malloc(1200 * KIB)) };
                    worst = worst.max(asked.elapsed());
                }
                end.store(true, Ordering::Relaxed);
                worst
            });
            let worst = worst.join().expect("it ends well");
            assert!(worst < Duration::from_millis(500), "{worst:?}");
        });
    });
}
