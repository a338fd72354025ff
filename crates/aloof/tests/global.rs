//! The allocator as the global one of a Rust program: containers, threads and their ends, layouts.

mod support;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aloof::{Aloof, Tier, raw};
use support::{GIB, KIB, MIB, Random, child, memory, pattern};

#[global_allocator]
static GLOBAL: Aloof = Aloof;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("alignments here are powers of two")
}

fn tier_of<T: ?Sized>(of: &T) -> Option<Tier> {
    raw::tier_of(std::ptr::from_ref(of).cast())
}

/// Containers of containers, built, changed and compared.
fn juggle(seed: u64) {
    let mut random = Random::new(seed);
    let (mut hashed, mut sorted) = (HashMap::new(), BTreeMap::new());
    for i in 0..4000 {
        let key = random.below(1500);
        if random.below(3) == 0 {
            assert_eq!(hashed.remove(&key), sorted.remove(&key));
        } else {
            let text = format!("{key}-{}", "x".repeat(i % 300));
            let value: Arc<[String]> = vec![text.clone(), text].into();
            hashed.insert(key, value.clone());
            sorted.insert(key, value);
        }
    }
    assert_eq!(hashed.len(), sorted.len());
    for (key, value) in &sorted {
        assert_eq!(hashed.get(key), Some(value));
        assert!(value[0] == value[1] && value[0].starts_with(&format!("{key}-")));
    }
    let mut words: Vec<String> = sorted.values().map(|v| v[0].clone()).collect();
    words.sort_by_key(|w| std::cmp::Reverse(w.len()));
    let joined = words.join(" ");
    assert_eq!(joined.split(' ').count(), words.len());
    assert!(joined.split(' ').eq(words.iter().map(String::as_str)));
}

#[test]
fn containers_keep_what_they_hold() {
    juggle(1);
    let threads: Vec<_> = (2..6)
        .map(|seed| thread::spawn(move || juggle(seed)))
        .collect();
    threads
        .into_iter()
        .for_each(|t| t.join().expect("no assertion fails"));
}

#[test]
fn every_tier_is_reached_from_rust() {
    assert_eq!(tier_of(&*Box::new(1u8)), Some(Tier::Pool));
    assert_eq!(tier_of("text".to_owned().as_str()), Some(Tier::Pool));
    assert_eq!(tier_of(vec![1u8; 64 * KIB].as_slice()), Some(Tier::Chunk));
    assert_eq!(tier_of(vec![1u8; 100_000].as_slice()), Some(Tier::Run));
    assert_eq!(
        tier_of(Vec::<u8>::with_capacity(8 * MIB).as_slice()),
        Some(Tier::Direct)
    );
    assert_eq!(
        tier_of(Vec::<u8>::with_capacity(9 * GIB).as_slice()),
        Some(Tier::Huge)
    );
}

#[test]
fn what_has_no_size_has_no_block() {
    let before = raw::stats().tiers.map(|t| t.allocations);
    let nothing: Vec<()> = std::iter::repeat_n((), 1000).collect();
    let boxed = Box::new([0u64; 0]);
    assert_eq!((nothing.len(), boxed.len()), (1000, 0));
    assert_eq!(tier_of(&*boxed), None);
    assert_eq!(before[1..], raw::stats().tiers.map(|t| t.allocations)[1..]);
}

/// What a thread leaves for the others, at most.
const LEFT: usize = 64;

#[test]
fn ten_thousand_short_threads_leave_memory_as_it_was() {
    child::isolated("ten_thousand_short_threads_leave_memory_as_it_was", || {
        let left = Arc::new(Mutex::new(VecDeque::new()));
        let mut random = Random::new(11);
        let mut generation = |threads: usize| {
            for _ in 0..threads / 4 {
                let batch: Vec<_> = (0..4)
                    .map(|_| {
                        let (left, seed) = (left.clone(), random.next());
                        thread::spawn(move || short_life(&left, seed))
                    })
                    .collect();
                batch
                    .into_iter()
                    .for_each(|t| t.join().expect("no assertion fails"));
            }
        };
        // What is free already goes back before it is asked what is committed: how much of it waits is a matter of chance.
        let held = || (memory::resident(), (raw::purge(), raw::stats()).1);
        generation(4000);
        let (resident, stats) = held();
        generation(8000);
        let (after, now) = held();
        assert!(now.threads_started >= 10_000, "{now:?}");
        assert!(now.threads_peak < 16, "{now:?}");
        // Free sub-regions stay warm up to 32 MiB, and more and more of their pages are touched.
        assert!(
            after < resident.max(32 * MIB) + 8 * MIB,
            "{resident} bytes grew to {after}"
        );
        assert!(
            now.metadata_bytes <= stats.metadata_bytes + (1 << 20),
            "{stats:?} {now:?}"
        );
        assert!(
            now.committed_bytes <= stats.committed_bytes + (16 << 20),
            "{stats:?} {now:?}"
        );
    });
}

/// Allocates of all small routes, frees what others left and leaves something.
fn short_life(left: &Mutex<VecDeque<Vec<u8>>>, seed: u64) {
    let mut random = Random::new(seed);
    let mine: Vec<Vec<u8>> = (0..20)
        .map(|i| vec![i as u8; 1 + random.log_uniform(17)])
        .collect();
    for (i, block) in mine.iter().enumerate() {
        assert_eq!([block[0], block[block.len() - 1]], [i as u8; 2]);
    }
    let mut left = left.lock().expect("no assertion fails under the lock");
    left.extend(mine.into_iter().step_by(7));
    while left.len() > LEFT {
        left.pop_front();
    }
}

#[test]
fn a_vector_grows_and_shrinks_with_its_content() {
    let mut numbers: Vec<u64> = Vec::new();
    for i in 0..3_000_000u64 {
        numbers.push(i);
        if i.is_power_of_two() {
            assert!(numbers.iter().copied().eq(0..=i));
        }
    }
    while numbers.len() > 1 {
        numbers.truncate(numbers.len() / 3 + 1);
        numbers.shrink_to_fit();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
        if numbers.len() == 2 {
            break;
        }
    }
}

#[test]
fn types_that_want_more_alignment_get_it() {
    #[repr(align(64))]
    #[derive(Clone, Debug, PartialEq)]
    struct Line([u8; 100]);
    #[repr(align(4096))]
    #[derive(Clone, Debug, PartialEq)]
    struct Page([u8; 10]);

    let lines: Vec<Line> = (0..200u8).map(|i| Line([i; 100])).collect();
    let pages: Vec<Page> = (0..50u8).map(|i| Page([i; 10])).collect();
    let boxed: Vec<Box<Page>> = pages.iter().cloned().map(Box::new).collect();
    assert!(lines.as_ptr().addr().is_multiple_of(64));
    assert!(pages.as_ptr().addr().is_multiple_of(4096));
    for (i, page) in boxed.iter().enumerate() {
        assert!(std::ptr::from_ref(&**page).addr().is_multiple_of(4096));
        assert_eq!(**page, pages[i]);
        assert_eq!(lines[i].0, [i as u8; 100]);
    }
}

#[test]
fn reallocation_keeps_alignment_and_content() {
    let sizes = [1, 100, 4000, 40_000, 100_000, 3 * MIB];
    for align in [1, 8, 16, 32, 512, 4 * KIB, 64 * KIB, MIB, 64 * MIB] {
        for from in sizes {
            for to in sizes {
                // SAFETY: sizes are not 0, layouts those of the blocks, and only bytes of them are touched.
                unsafe {
                    // The first of a pool is aligned to anything.
                    let before = [from, to].map(|size| alloc(layout(size, align)));
                    let block = alloc(layout(from, align));
                    assert!(block.addr().is_multiple_of(align), "{from}, {align}");
                    pattern::fill(block, from, 5);
                    let new = realloc(block, layout(from, align), to);
                    assert!(
                        new.addr().is_multiple_of(align),
                        "{from} to {to} aligned to {align}"
                    );
                    assert!(raw::usable_size(new) >= to);
                    assert!(pattern::is_filled(new, block.addr(), from, from.min(to), 5));
                    pattern::fill(new, to, 6);
                    dealloc(new, layout(to, align));
                    dealloc(before[0], layout(from, align));
                    dealloc(before[1], layout(to, align));
                }
            }
        }
    }
}

/// By their layout, `dealloc` looks for such blocks in pools only.
#[test]
fn what_shrinks_to_the_size_of_a_pools_block_is_one() {
    for from in [33 * KIB, 40_000, 64 * KIB] {
        for to in [32 * KIB, 32 * KIB - 1, from / 2, 100] {
            // SAFETY: the layouts have a size, and each block is freed with its own.
            unsafe {
                let block = alloc(layout(from, 8));
                pattern::fill(block, from, from as u64);
                let new = realloc(block, layout(from, 8), to);
                assert_eq!(raw::tier_of(new), Some(Tier::Pool), "{from} to {to}");
                assert!(pattern::is_filled(new, block.addr(), from, to, from as u64));
                dealloc(new, layout(to, 8));
            }
        }
    }
}

#[test]
fn zeroed_blocks_are_zero_after_dirty_use_of_each_tier() {
    let requests = [
        (1, 1, Tier::Pool),
        (24, 8, Tier::Pool),
        (1000, 16, Tier::Pool),
        (5000, 64, Tier::Pool),
        (32 * KIB, 8, Tier::Pool),
        (64 * KIB, 8, Tier::Chunk),
        (MIB, 4 * KIB, Tier::Chunk),
        (100, 128 * KIB, Tier::Chunk),
        (33_000, 8, Tier::Run),
        (5 * MIB, 8, Tier::Run),
        (8 * MIB, 8, Tier::Direct),
        (100, 16 * MIB, Tier::Direct),
        (9 * GIB, 8, Tier::Huge),
    ];
    for (size, align, tier) in requests {
        let mut again = 0;
        let touched = size.min(16 * MIB);
        for _ in 0..20 {
            // SAFETY: sizes are not 0, layouts those of the blocks, and only bytes of them are touched.
            unsafe {
                let dirty = alloc(layout(size, align));
                assert_eq!(raw::tier_of(dirty), Some(tier), "{size} aligned to {align}");
                dirty.write_bytes(0xa5, touched);
                dealloc(dirty, layout(size, align));
                let clean = alloc_zeroed(layout(size, align));
                again += usize::from(clean == dirty);
                let bytes = std::slice::from_raw_parts(clean, touched);
                assert!(bytes.iter().all(|&b| b == 0), "{size} aligned to {align}");
                dealloc(clean, layout(size, align));
            }
        }
        // A mapping of the OS may come back to its place or not; it is new in any case.
        assert!(
            again > 0 || tier == Tier::Huge,
            "{size} aligned to {align} was never reused"
        );
    }
}

#[test]
fn boxed_slices_up_to_16_gib_are_zero_and_writable() {
    let powers = (0..=34).map(|s| 1usize << s);
    let sizes = powers
        .flat_map(|n| [n - 1, n, n + 1])
        .filter(|&n| n <= 16 * GIB);
    for size in sizes {
        if size == 0 {
            let empty = Vec::<u8>::new().into_boxed_slice();
            assert_eq!((empty.len(), tier_of(&*empty)), (0, None));
            continue;
        }
        // SAFETY: the size is not 0.
        let block = unsafe { alloc_zeroed(layout(size, 1)) };
        if block.is_null() {
            assert!(memory::os_refuses(2 * size), "{size} bytes are refused");
            continue;
        }
        // SAFETY: a zeroed block of the layout of the slice.
        let mut slice = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(block, size)) };
        assert_eq!((slice[0], slice[size / 2], slice[size - 1]), (0, 0, 0));
        (slice[0], slice[size - 1]) = (1, 2);
        assert_eq!(slice[0] + slice[size - 1], if size == 1 { 4 } else { 3 });
        drop(slice);
        // What the next of the size would have to clear.
        raw::purge();
    }
}

/// Dropped when its thread ends: allocates, grows and frees then.
struct Last {
    text: String,
    blocks: Vec<Box<[u8]>>,
}

static LAST_SEEN: AtomicUsize = AtomicUsize::new(0);

impl Drop for Last {
    fn drop(&mut self) {
        let mut report = self.text.clone();
        for block in self.blocks.drain(..) {
            report.push_str(&format!(" {}", block.len()));
            self.text.push('!');
        }
        // The first of another kind of value: its destructor runs in a later round.
        LATER.with_borrow_mut(|later| later.push(report));
        LAST_SEEN.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts life in the destructor of another.
struct Later(Vec<String>);

impl Later {
    fn push(&mut self, text: String) {
        self.0.push(text);
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        let lengths: Vec<usize> = self.0.iter().map(String::len).collect();
        assert!(lengths.iter().all(|&n| n > 10));
        LAST_SEEN.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    static LATER: RefCell<Later> = const { RefCell::new(Later(Vec::new())) };
}

#[test]
fn destructors_of_thread_locals_may_allocate_and_free() {
    child::isolated("destructors_of_thread_locals_may_allocate_and_free", || {
        let one = |seed| {
            let mut random = Random::new(seed);
            let blocks = (0..50)
                .map(|_| vec![1; 1 + random.log_uniform(18)].into())
                .collect();
            LAST.set(Some(Last {
                text: "the thread had".to_owned(),
                blocks,
            }));
        };
        let run = |threads| {
            for seed in 0..threads {
                thread::spawn(move || one(seed))
                    .join()
                    .expect("no assertion fails");
            }
        };
        run(20);
        let before = raw::stats();
        run(300);
        let after = raw::stats();
        assert_eq!(LAST_SEEN.load(Ordering::Relaxed), 640);
        assert!(
            after.committed_bytes <= before.committed_bytes + (8 << 20),
            "{before:?} {after:?}"
        );
        assert!(
            after.live_bytes <= before.live_bytes + (64 << 10),
            "{before:?} {after:?}"
        );
    });
}

/// Rounds that destructors of this key have run, over all threads.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);
static KEY: Mutex<Option<libc::pthread_key_t>> = Mutex::new(None);

/// Comes back in every round glibc allows, the last of them after the thread's heap has ended.
unsafe extern "C" fn on_exit(value: *mut libc::c_void) {
    ROUNDS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the value is the boxed string of the round before, or of the thread.
    let mut text = unsafe { Box::from_raw(value.cast::<String>()) };
    text.push_str(" and once more");
    text.extend(std::iter::repeat_n('.', 5000));
    let big = vec![1u8; 70_000];
    assert_eq!(big.iter().map(|&b| usize::from(b)).sum::<usize>(), 70_000);
    let key = KEY.lock().unwrap().expect("set before the thread began");
    let again = Box::into_raw(Box::new(text[..10].to_owned()));
    // SAFETY: the key exists.
    assert_eq!(unsafe { libc::pthread_setspecific(key, again.cast()) }, 0);
}

#[test]
fn a_thread_that_has_ended_its_heap_still_allocates() {
    child::isolated("a_thread_that_has_ended_its_heap_still_allocates", || {
        let mut key = 0;
        // SAFETY: `key` is valid.
        let failed = unsafe { libc::pthread_key_create(&mut key, Some(on_exit)) };
        assert_eq!(failed, 0);
        *KEY.lock().unwrap() = Some(key);
        let run = |threads| {
            for _ in 0..threads {
                let worker = thread::spawn(move || {
                    let text = Box::into_raw(Box::new("a thread ended".to_owned()));
                    // SAFETY: the key exists.
                    assert_eq!(unsafe { libc::pthread_setspecific(key, text.cast()) }, 0);
                });
                worker.join().expect("no assertion fails");
            }
        };
        run(20);
        let before = raw::stats();
        run(80);
        let after = raw::stats();
        assert_eq!(ROUNDS.load(Ordering::Relaxed), 400);
        let more = after.metadata_bytes - before.metadata_bytes;
        assert!(more <= 256 << 10, "{more} bytes of heaps that nobody has");
    });
}

#[test]
fn counts_of_live_memory_come_back_to_where_they_were() {
    child::isolated("counts_of_live_memory_come_back_to_where_they_were", || {
        juggle(1);
        // The test harness allocates in its own thread for a moment.
        thread::sleep(Duration::from_millis(300));
        let before = raw::stats();
        juggle(2);
        let held: Vec<Vec<u8>> = [10, 64 * KIB, 100_000, 8 * MIB, 9 * GIB]
            .map(Vec::with_capacity)
            .into();
        let during = raw::stats();
        assert!(during.live_bytes >= before.live_bytes + 9 * (1 << 30) + (8 << 20));
        assert_eq!(during.live_blocks, before.live_blocks + 6);
        drop(held);
        let after = raw::stats();
        assert_eq!(
            after.live_blocks, before.live_blocks,
            "{before:?} {after:?}"
        );
        assert_eq!(after.live_bytes, before.live_bytes, "{before:?} {after:?}");
    });
}
