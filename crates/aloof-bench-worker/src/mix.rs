//! `mix`: small blocks of mixed sizes that come in runs of one size; most live for a while and
//! die in the order of their birth, a quarter dies at once.

use crate::block::{self, Slot, slots};
use crate::crew::{self, Done};
use crate::options::Options;
use crate::sizes::Sizes;
use aloof_bench_kit::{Rng, Table};

/// Longest run of one size.
const RUN: usize = 32;

struct State {
    slots: Table<Slot>,
    rng: Rng,
}

/// Options: `live` (blocks of each thread), `ops` (all threads together), `min`, `max`, `skew`,
/// `threads`, `seed`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 1).max(1);
    let live = options.take("live", 5000).max(1);
    let ops = options.take("ops", 10_000_000) / threads;
    let sizes = Sizes::take(options)?;
    let seed = options.take("seed", 1);
    options.end()?;

    let states = (0..threads)
        .map(|t| State {
            slots: slots(live),
            rng: Rng::new((seed + t) as u64),
        })
        .collect();
    let reading = crew::run(states, |State { slots, rng }| {
        let (mut oldest, mut left) = (0, ops);
        while left > 0 {
            let run = rng.between(1, RUN).min(left);
            let size = sizes.draw(rng);
            left -= run;
            for i in 0..run {
                if i % 4 == 3 {
                    block::unmake(block::make(size, i as u8), size, i as u8);
                    continue;
                }
                slots[oldest].empty(oldest as u8);
                slots[oldest] = Slot::make(size, oldest as u8);
                oldest = if oldest + 1 == live { 0 } else { oldest + 1 };
            }
        }
        for (i, slot) in slots.iter_mut().enumerate() {
            slot.empty(i as u8);
        }
    });
    Ok(Done {
        reading,
        ops: (ops * threads) as u64,
    })
}
