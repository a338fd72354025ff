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
    requests.extend((15..29).map(|s| Request::of(1 << s)));
    requests.extend((15..28).map(|s| Request::of((1 << s) + (1 << s) / 3)));
    requests.extend([300 * MIB, GIB, 3 * GIB, 9 * GIB].map(Request::of));
    requests.extend((4..=30).step_by(2).map(|s| Request::aligned(100, 1 << s)));
    requests.extend((4..=30).step_by(5).map(|s| Request::aligned(3 * MIB, 1 << s)));
    requests.extend([100, 20 * KIB, 64 * KIB, 100_000, 5 * MIB, 8 * MIB].map(Request::zeroed));
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
        let sizes = [16, 48, 200, 1000, 5000, 30_000];
        let many: Vec<_> = (0..900).map(|i| Request::of(sizes[i % sizes.len()])).collect();
        self.allocate(&many);
    }

    fn resize_some(&mut self) {
        let mut random = Random::new(3);
        for block in self.live.iter_mut().step_by(5) {
            self.asked += 1;
            let size = random.log_uniform(25);
            self.refused += usize::from(!block.resize(size));
        }
    }

    /// Frees every `n`th.
    fn free_some(&mut self, n: usize) {
        let (mut i, live) = (0, std::mem::take(&mut self.live));
        for block in live {
            i += 1;
            if i % n == 0 { block.free() } else { self.live.push(block) }
        }
    }

    fn free_all(&mut self) {
        self.free_some(1);
    }

    /// Another thread frees some of ours and leaves us some of its own.
    fn on_a_thread(&mut self, requests: &[Request]) {
        thread::scope(|scope| {
            scope.spawn(|| {
                self.free_some(3);
                self.allocate_small();
                self.allocate(requests);
                self.resize_some();
            });
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
    for _ in 0..2 {
        let mut work = Work::default();
        work.run(requests);
        assert_eq!(work.refused, 0, "of {} requests", work.asked);
        work.free_all();
        raw::purge();
    }
}

/// The workload while the OS refuses by plan, then without refusals.
fn survive(requests: &[Request]) {
    let mut work = Work::default();
    work.run(requests);
    println!("asked {}", work.asked);
    println!("refused {}", work.refused);
    println!("calls {}", fake::calls());
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
    let text = outcome.printed(label).unwrap_or_else(|| panic!("no {label}in {outcome:#?}"));
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
            fake::refuse(from.parse().expect("a number"), to.parse().expect("a number"));
        }
        return survive(&requests);
    }
    let undisturbed = child::run(name, "none");
    undisturbed.assert_success(name);
    assert_eq!(printed(&undisturbed, "refused "), 0);
    let calls = printed(&undisturbed, "calls ");
    assert!(calls > 60, "{calls} calls are too few for the workload");
    let mut refused = 0;
    for k in (0..calls).step_by(step) {
        let outcome = child::run(name, &format!("{k} {}", to(k)));
        outcome.assert_success(&format!("{name}: calls {k}..{} of {calls}", to(k)));
        assert!(printed(&outcome, "calls ") > k, "call {k} never came");
        refused += printed(&outcome, "refused ");
        if k == 0 && to(k) == u64::MAX >> 1 {
            assert_eq!(printed(&outcome, "refused "), printed(&outcome, "asked "));
        }
    }
    println!("{calls} calls, {refused} requests refused");
}

#[test]
fn each_call_may_be_refused_once() {
    refuse_each("each_call_may_be_refused_once", Space::Full, 1, |k| k + 1);
}

#[test]
fn each_call_may_be_refused_with_the_next_three() {
    refuse_each("each_call_may_be_refused_with_the_next_three", Space::Full, 1, |k| k + 4);
}

#[test]
fn from_each_call_on_all_may_be_refused() {
    refuse_each("from_each_call_on_all_may_be_refused", Space::Full, 1, |_| u64::MAX >> 1);
}

#[test]
fn each_call_may_be_refused_once_in_a_piecewise_space() {
    refuse_each("each_call_may_be_refused_once_in_a_piecewise_space", Space::Piecewise, 1, |k| k + 1);
}

#[test]
fn from_each_call_on_all_may_be_refused_in_a_piecewise_space() {
    let name = "from_each_call_on_all_may_be_refused_in_a_piecewise_space";
    refuse_each(name, Space::Piecewise, 3, |_| u64::MAX >> 1);
}
