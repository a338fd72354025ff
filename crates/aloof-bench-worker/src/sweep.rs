//! `sweep`: blocks allocated in a row, then freed in a row; the specification's own scenarios.

use crate::block;
use crate::capi;
use crate::crew::{self, Done};
use crate::options::Options;
use aloof_bench_kit::{Rng, Table};

#[derive(Clone, Copy)]
struct Plan {
    size: usize,
    last: usize,
    scatter: bool,
    random: bool,
    reverse: bool,
    written: bool,
    at_once: bool,
}

struct State {
    blocks: Table<*mut u8>,
    rng: Rng,
}

// SAFETY: the blocks belong to the state, whichever thread holds it.
unsafe impl Send for State {}

/// Options: `size`; `last` (goes from `size` to `last` by doubling or halving; 0: one size);
/// `scatter=1` (size, 2 size, 4 size in turn); `random=1` (sizes 1 to `size`); `reverse=1` (free
/// the last first); `now=1` (free each at once); `count` (all threads together), `rounds`,
/// `threads`, `written` (1: write and verify the first and last byte), `seed`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let size = options.take("size", 64).max(1);
    let plan = Plan {
        size,
        last: options.take("last", size).max(1),
        scatter: options.take("scatter", 0) != 0,
        random: options.take("random", 0) != 0,
        reverse: options.take("reverse", 0) != 0,
        written: options.take("written", 1) != 0,
        at_once: options.take("now", 0) != 0,
    };
    let rounds = options.take("rounds", 1);
    let threads = options.take("threads", 1).max(1);
    let count = options.take("count", 800_000) / threads;
    let seed = options.take("seed", 1);
    options.end()?;

    let states = (0..threads)
        .map(|t| State {
            // SAFETY: a null pointer is valid.
            blocks: unsafe { Table::zeroed(if plan.at_once { 1 } else { count }) },
            rng: Rng::new((seed + t) as u64),
        })
        .collect();
    let steps = plan.sizes().count();
    let reading = crew::run(states, |state| {
        for _ in 0..rounds {
            for size in plan.sizes() {
                round(state, size, count, &plan);
            }
        }
    });
    Ok(Done {
        reading,
        ops: (count * rounds * threads * steps) as u64,
    })
}

impl Plan {
    fn sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, last) = (self.size, self.last);
        std::iter::successors(Some(first), move |&size| match size.cmp(&last) {
            std::cmp::Ordering::Less => Some(size * 2),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(size / 2),
        })
    }
}

/// One round, compiled apart for each shape so that no shape pays for another's tests. Random
/// sizes depend on the index alone: they are known again when the blocks are freed.
fn round(state: &mut State, size: usize, count: usize, plan: &Plan) {
    let salt = state.rng.draw();
    let blocks = &mut state.blocks;
    match (plan.scatter, plan.random) {
        (true, _) => pass(blocks, count, plan, |i| size << (i % 3)),
        (_, true) => pass(blocks, count, plan, |i| 1 + Rng::nth(salt, i) % size),
        _ => pass(blocks, count, plan, |_| size),
    }
}

#[inline(always)]
fn pass(blocks: &mut [*mut u8], count: usize, plan: &Plan, size: impl Fn(usize) -> usize) {
    if plan.at_once {
        for i in 0..count {
            let n = size(i);
            if plan.written {
                block::unmake(block::make(n, i as u8), n, i as u8);
            } else {
                // SAFETY: freed once, right after it was made.
                unsafe { capi::free(capi::malloc(n)) };
            }
        }
        return;
    }
    fill(blocks, plan.written, &size);
    if plan.reverse {
        drain_back(blocks, plan.written, size);
    } else {
        drain(blocks, plan.written, size);
    }
}

#[inline(always)]
fn fill(blocks: &mut [*mut u8], written: bool, size: impl Fn(usize) -> usize) {
    if written {
        for (i, slot) in blocks.iter_mut().enumerate() {
            *slot = block::make(size(i), i as u8);
        }
    } else {
        for (i, slot) in blocks.iter_mut().enumerate() {
            *slot = capi::malloc(size(i));
        }
    }
}

#[inline(always)]
fn drain(blocks: &[*mut u8], written: bool, size: impl Fn(usize) -> usize) {
    for (i, &slot) in blocks.iter().enumerate() {
        if written {
            block::unmake(slot, size(i), i as u8);
        } else {
            // SAFETY: made by `fill`, freed once.
            unsafe { capi::free(slot) };
        }
    }
}

#[inline(always)]
fn drain_back(blocks: &[*mut u8], written: bool, size: impl Fn(usize) -> usize) {
    for (i, &slot) in blocks.iter().enumerate().rev() {
        if written {
            block::unmake(slot, size(i), i as u8);
        } else {
            // SAFETY: made by `fill`, freed once.
            unsafe { capi::free(slot) };
        }
    }
}
