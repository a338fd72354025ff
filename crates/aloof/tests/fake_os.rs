//! The allocator on an operating system that refuses: every call once and for ever, large reservations,
//! more than a limit, and places where something else lies.

mod support;

use std::thread;

use aloof::{Tier, fake, raw};
use support::block::Request;
use support::{Block, GIB, KIB, MIB, Random, child, memory};

/// All routes, C's alignment and others, calloc too.
fn requests() -> Vec<Request> {
    let mut requests: Vec<Request> = (0..16).map(|s| Request::of((1 << s) + s)).collect();
    requests.extend((16..29).step_by(2).map(|s| Request::of(1 << s)));
    requests.extend(
        (15..28)
            .step_by(2)
            .map(|s| Request::of((1 << s) + (1 << s) / 3)),
    );
    requests.extend([300 * MIB, 3 * GIB, 9 * GIB].map(Request::of));
    requests.extend((6..=30).step_by(4).map(|s| Request::aligned(100, 1 << s)));
    requests.extend([12, 22, 30].map(|s| Request::aligned(3 * MIB + 1, 1 << s)));
    requests.extend([100, 20 * KIB, 64 * KIB, 100_000, 3 * MIB].map(Request::zeroed));
    requests
}

/// The workload: everything once, on three threads, with blocks handed around.
#[derive(Default)]
struct Work {
    live: Vec<Block>,
    asked: usize,
    refused: usize,
}

impl Work {
    fn allocate(&mut self, requests: &[Request]) {
        for &request in requests {
            self.asked += 1;
            match Block::new(request, (self.asked * 2 + 1) as u64) {
                Some(block) => self.live.push(block),
                None => self.refused += 1,
            }
        }
    }

    /// Many of a few small sizes: several words and pools of each.
    fn allocate_small(&mut self) {
        let sizes = [16, 48, 200, 3000];
        let many: Vec<_> = (0..500)
            .map(|i| Request::of(sizes[i % sizes.len()]))
            .collect();
        self.allocate(&many);
    }

    fn resize_some(&mut self) {
        let mut random = Random::new(3);
        for block in self.live.iter_mut().step_by(5) {
            self.asked += 1;
            let size = random.log_uniform(21);
            self.refused += usize::from(!block.resize(size));
        }
    }

    /// Frees every `n`th.
    fn free_some(&mut self, n: usize) {
        let (mut i, live) = (0, std::mem::take(&mut self.live));
        for block in live {
            i += 1;
            if i % n == 0 {
                block.free()
            } else {
                self.live.push(block)
            }
        }
    }

    fn free_all(&mut self) {
        self.free_some(1);
    }

    /// Another thread frees some of ours and leaves us some of its own.
    fn on_a_thread(&mut self, requests: &[Request]) {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.free_some(3);
                self.allocate_small();
                self.allocate(requests);
                self.resize_some();
            });
            // The scope itself does not wait for the thread's heap to end.
            worker.join().expect("the worker does not panic");
        });
    }

    /// All of it; says nothing on what is refused, but what is not must be whole.
    fn run(&mut self, requests: &[Request]) {
        self.allocate(requests);
        self.allocate_small();
        self.resize_some();
        self.on_a_thread(requests);
        self.live.iter().for_each(Block::verify);
        self.free_some(2);
        raw::purge();
        self.on_a_thread(requests);
        self.resize_some();
        self.live.iter().for_each(Block::verify);
    }
}

/// All that the workload asks is given, and again after all is freed and purged.
fn must_work(requests: &[Request]) {
    let mut work = Work::default();
    work.run(requests);
    assert_eq!(work.refused, 0, "of {} requests", work.asked);
    work.free_all();
    raw::purge();
}

/// The workload while the OS refuses by plan, then without refusals.
fn survive(requests: &[Request]) {
    let mut work = Work::default();
    work.run(requests);
    println!("ASKED {}", work.asked);
    println!("REFUSED {}", work.refused);
    println!("CALLS {}", fake::calls());
    fake::relent();
    fake::refuse_large_reservations(false);
    work.live.iter().for_each(Block::verify);
    let before = work.refused;
    work.allocate(requests);
    assert_eq!(work.refused, before, "refused though the OS does not");
    work.free_all();
    must_work(requests);
}

fn printed(outcome: &child::Outcome, label: &str) -> u64 {
    let text = outcome
        .printed(label)
        .unwrap_or_else(|| panic!("no {label}in {outcome:#?}"));
    text.parse().expect("a number")
}

/// Which space the allocator gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Space {
    Full,
    Piecewise,
}

/// Runs [`survive`] in a child for every call of an undisturbed run, with refusals of the calls `k..to(k)`.
fn refuse_each(name: &str, space: Space, step: usize, to: impl Fn(u64) -> u64) {
    let requests = requests();
    if let Some(role) = child::role() {
        fake::refuse_large_reservations(space == Space::Piecewise);
        if let Some((from, to)) = role.split_once(' ') {
            fake::refuse(
                from.parse().expect("a number"),
                to.parse().expect("a number"),
            );
        }
        return survive(&requests);
    }
    let undisturbed = child::run(name, "none");
    undisturbed.assert_success(name);
    assert_eq!(printed(&undisturbed, "REFUSED "), 0);
    let calls = printed(&undisturbed, "CALLS ");
    assert!(calls > 60, "{calls} calls are too few for the workload");
    let (mut refused, mut missed) = (0, 0);
    for k in (0..calls).step_by(step) {
        let outcome = child::run(name, &format!("{k} {}", to(k)));
        outcome.assert_success(&format!("{name}: calls {k}..{} of {calls}", to(k)));
        missed += u64::from(printed(&outcome, "CALLS ") <= k);
        refused += printed(&outcome, "REFUSED ");
        if k == 0 && to(k) == u64::MAX >> 1 {
            assert_eq!(printed(&outcome, "REFUSED "), printed(&outcome, "ASKED "));
        }
    }
    // Memory that goes back after some time makes calls of its own, so that the last may not come.
    assert!(missed <= calls / 4, "{missed} of {calls} calls never came");
    println!("{calls} calls, {refused} requests refused");
}

#[test]
fn each_call_may_be_refused_once() {
    refuse_each("each_call_may_be_refused_once", Space::Full, 1, |k| k + 1);
}

#[test]
fn each_call_may_be_refused_with_the_next_three() {
    refuse_each(
        "each_call_may_be_refused_with_the_next_three",
        Space::Full,
        1,
        |k| k + 4,
    );
}

#[test]
fn from_each_call_on_all_may_be_refused() {
    refuse_each(
        "from_each_call_on_all_may_be_refused",
        Space::Full,
        1,
        |_| u64::MAX >> 1,
    );
}

#[test]
fn each_call_may_be_refused_once_in_a_piecewise_space() {
    refuse_each(
        "each_call_may_be_refused_once_in_a_piecewise_space",
        Space::Piecewise,
        1,
        |k| k + 1,
    );
}

#[test]
fn from_each_call_on_all_may_be_refused_in_a_piecewise_space() {
    let name = "from_each_call_on_all_may_be_refused_in_a_piecewise_space";
    refuse_each(name, Space::Piecewise, 3, |_| u64::MAX >> 1);
}

/// The spaces that are left when reservations are refused, smaller by smaller, and what they hold.
#[test]
fn without_its_large_reservation_the_allocator_serves_everything() {
    let name = "without_its_large_reservation_the_allocator_serves_everything";
    let spaces = ["full", "64 GiB", "64 GiB after all", "8 GiB", "piecewise"];
    let Some(role) = child::role() else {
        for space in spaces {
            child::run(name, space).assert_success(space);
        }
        return;
    };
    match role.as_str() {
        "full" => {}
        "64 GiB" => fake::refuse(0, 1),
        // The reservation is given, and then no tables in it.
        "64 GiB after all" => fake::refuse(1, 2),
        "8 GiB" => fake::refuse(0, 2),
        _ => fake::refuse_large_reservations(true),
    }
    must_work(&requests());
    let reserved = raw::stats().reserved_bytes as usize;
    // Tables take some 145 GiB of addresses.
    let expected = match role.as_str() {
        "full" => 9216..11_000,
        "64 GiB" | "64 GiB after all" => 204..220,
        "8 GiB" => 148..164,
        _ => 0..2,
    };
    let held = memory::address_space();
    println!("{role}: {reserved} bytes reserved, {held} held");
    assert!(expected.contains(&(reserved >> 30)), "{role}: {reserved}");
    assert!(held < reserved + 400 * GIB, "{role}: {held} held");
    if role != "full" {
        served_by_a_narrow_space();
    }
}

/// Without the higher partitions their sizes are chunks and pieces of the first, or mappings.
fn served_by_a_narrow_space() {
    let cases = [
        (100, 16, Tier::Pool),
        (64 * KIB, 16, Tier::Chunk),
        (4 * MIB, 16, Tier::Chunk),
        (100, 4 * MIB, Tier::Chunk),
        (100_000, 16, Tier::Run),
        (3 * MIB, 16, Tier::Run),
        (5 * MIB, 16, Tier::Direct),
        (64 * MIB, 16, Tier::Direct),
        (256 * MIB, 16, Tier::Direct),
        (257 * MIB, 16, Tier::Huge),
        (100, 8 * MIB, Tier::Huge),
        (100, GIB, Tier::Huge),
        (300 * MIB, GIB, Tier::Huge),
    ];
    for (size, align, tier) in cases {
        let block = Block::new(Request::aligned(size, align), 5).expect("the OS does not refuse");
        assert_eq!(block.tier(), Some(tier), "{size} aligned to {align}");
        block.free();
    }
}

#[test]
fn under_a_limit_of_memory_requests_are_refused_and_work_again_after_frees() {
    let name = "under_a_limit_of_memory_requests_are_refused_and_work_again_after_frees";
    child::isolated(name, || {
        const LIMIT: usize = 512 * MIB;
        fake::limit_charge(LIMIT as u64);
        let requests = requests();
        for _ in 0..3 {
            let mut work = Work::default();
            work.run(&requests);
            assert!(work.refused > 0, "13 GiB in 512 MiB");
            assert!(fake::charged() <= LIMIT as i64);
            work.free_all();
        }
        raw::purge();
        let left = fake::charged();
        assert!(
            left < 8 << 20,
            "{left} bytes of nothing but tables: {:?}",
            raw::stats()
        );
        // As much as there is of one size, then of another: nothing is purged by hand between.
        for size in [
            1000,
            20 * KIB,
            64 * KIB,
            100_000,
            MIB,
            3 * MIB,
            4 * MIB,
            10 * MIB,
            64 * MIB,
        ] {
            let more = || Block::new(Request::of(size), size as u64);
            let blocks: Vec<Block> = std::iter::from_fn(more).collect();
            let got = blocks.len() * size;
            assert!(
                (LIMIT / 10 * 7..LIMIT).contains(&got),
                "{got} bytes in blocks of {size}"
            );
            blocks.into_iter().for_each(Block::free);
        }
    });
}

#[test]
fn what_is_refused_is_not_lost() {
    child::isolated("what_is_refused_is_not_lost", || {
        let ask = |size| Block::new(Request::of(size), 1);
        let at = |size| {
            let block = ask(size).expect("the OS does not refuse");
            let at = block.addr();
            block.free();
            at
        };
        let sizes = [64 * KIB, 100_000, 8 * MIB, GIB, 2 * GIB];
        let before = sizes.map(at);
        raw::purge();
        fake::refuse(0, u64::MAX >> 1);
        for _ in 0..200 {
            sizes.iter().for_each(|&size| assert!(ask(size).is_none()));
        }
        fake::relent();
        assert_eq!(
            sizes.map(at),
            before,
            "the lowest place of each is claimed for ever"
        );
        // Half of what is asked for is there, and still there when the other half is refused.
        raw::purge();
        let half = at(GIB);
        fake::refuse(0, u64::MAX >> 1);
        assert!(ask(2 * GIB).is_none());
        let block = ask(GIB).expect("it needs no call");
        assert_eq!(block.addr(), half);
        block.free();
    });
}

#[test]
fn where_pages_do_not_move_bytes_do() {
    child::isolated("where_pages_do_not_move_bytes_do", || {
        for size in [MIB, 3 * MIB + 1] {
            let blocks = [(); 2].map(|()| Block::new(Request::of(size), 1).expect("memory"));
            // A place for it that needs no call.
            Block::new(Request::of(2 * size), 1).expect("memory").free();
            for mut block in blocks {
                let calls = fake::calls();
                fake::refuse(0, u64::MAX >> 1);
                let grown = block.resize(2 * size);
                fake::relent();
                assert!(grown && block.is_intact(), "{size}");
                println!("{} calls refused", fake::calls() - calls);
                block.free();
            }
        }
    });
}

/// Maps a range that nothing is mapped in, as another library might; None if the kernel says no.
fn map_foreign(at: usize, len: usize) -> Option<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let fixed = if at == 0 {
        0
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    let (prot, at) = (
        libc::PROT_READ | libc::PROT_WRITE,
        std::ptr::without_provenance_mut(at),
    );
    // SAFETY: the mapping replaces nothing.
    let got = unsafe { libc::mmap(at, len, prot, flags | fixed, -1, 0) };
    (got != libc::MAP_FAILED).then_some(got.cast())
}

/// Start of the lowest mapping of the process above an address.
fn next_mapping(above: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let starts = maps
        .lines()
        .filter_map(|line| usize::from_str_radix(line.split('-').next()?, 16).ok());
    starts
        .filter(|&start| start >= above)
        .min()
        .expect("the stack is above")
}

/// Where addresses a multiple of 1 TiB apart share a tag, a mapping that is so far from the space is not handed out: `free` would
/// take it for a small block.
#[test]
fn a_mapping_that_shares_its_tag_with_a_small_block_is_refused() {
    let name = "a_mapping_that_shares_its_tag_with_a_small_block_is_refused";
    child::isolated(name, || {
        fake::refuse_large_reservations(true);
        let small = Block::new(Request::of(100), 1).expect("the OS does not refuse");
        let base = small.addr() & !(GIB - 1);
        let tib = 1 << 40;
        for shared in [base - 3 * tib, base - 2 * tib + 40 * GIB] {
            fake::map_next_at(shared);
            assert!(Block::new(Request::aligned(8 * MIB, 8 * MIB), 2).is_none());
            let again = map_foreign(shared, 16 * MIB).expect("it was unmapped");
            assert_eq!(again.addr(), shared);
        }
        for beside in [base - 3 * tib - 16 * MIB, base - 3 * tib + 64 * GIB] {
            fake::map_next_at(beside);
            let block = Block::new(Request::aligned(8 * MIB, 8 * MIB), 2).expect("not shared");
            assert!(
                (beside..beside + 16 * MIB).contains(&block.addr()),
                "{block:?}"
            );
            block.free();
        }
        small.free();
    });
}

#[test]
fn a_piecewise_space_goes_round_what_lies_in_it() {
    child::isolated("a_piecewise_space_goes_round_what_lies_in_it", || {
        fake::refuse_large_reservations(true);
        let first = Block::new(Request::of(64 * KIB), 1).expect("the OS does not refuse");
        let base = first.addr() & !(GIB - 1);
        // A page in one sub-region, and many sub-regions.
        let foreign: Vec<_> = [
            (base + 24 * MIB + 8 * KIB, 4 * KIB),
            (base + 200 * MIB, 30 * MIB),
        ]
        .into_iter()
        .map(|(at, len)| (map_foreign(at, len).expect("nothing is there yet"), len))
        .collect();
        for &(at, len) in &foreign {
            // SAFETY: mapped just now.
            unsafe { at.write_bytes(7, len) };
        }
        // With all places above filled for a while, a block of the OS's comes to lie within the space.
        let end = base + 544 * MIB;
        // The table of mappings may be out of date by the time it is read.
        let filled = (0..9).find_map(|_| {
            let len = next_mapping(end) - end;
            map_foreign(end, len).map(|at| (at, len))
        });
        let (above, len) = filled.expect("nothing is there");
        while map_foreign(0, 16 * MIB).expect("there is room").addr() > end {}
        let huge = Block::new(Request::aligned(8 * MIB, 8 * MIB), 2).expect("there is room");
        // SAFETY: mapped above, and not used.
        assert_eq!(unsafe { libc::munmap(above.cast(), len) }, 0);
        assert_eq!(huge.tier(), Some(Tier::Huge));
        assert!(
            (base + 512 * MIB..end).contains(&huge.addr()),
            "{huge:?} from {base:#x}"
        );
        let blocks: Vec<_> = (0..220)
            .map(|i| {
                let size = if i % 4 == 3 { 9 * MIB + 1 } else { 4 * MIB };
                Block::new(Request::of(size), i).expect("the OS does not refuse")
            })
            .collect();
        let past = blocks
            .iter()
            .filter(|b| (end..base + GIB).contains(&b.addr()))
            .count();
        assert!(
            past > 10,
            "the space has not gone past the foreign mappings: {past} blocks"
        );
        for (at, len) in foreign {
            // SAFETY: mapped above.
            let bytes = unsafe { std::slice::from_raw_parts(at, len) };
            assert!(
                bytes.iter().all(|&b| b == 7),
                "what is not ours is overwritten"
            );
        }
        huge.free();
        blocks.into_iter().for_each(Block::free);
        first.free();
        must_work(&requests());
    });
}
