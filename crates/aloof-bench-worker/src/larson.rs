//! `larson`: a server. Each thread replaces blocks at random in its table for a while, then hands
//! the table to a new thread and ends: most blocks are freed by another thread than made them, and
//! often by one that never knew the maker.

use crate::block::{Slot, slots};
use crate::crew::Done;
use crate::options::Options;
use crate::sizes::Sizes;
use aloof_bench_kit::{Meter, Rng, Table};
use std::thread::Scope;

struct Desk {
    slots: Table<Slot>,
    rng: Rng,
}

/// Options: `live` (blocks a thread), `ops` (all threads together), `hands` (threads that hold one
/// table in turn), `min`, `max`, `skew`, `threads`, `seed`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 1).max(1);
    let live = options.take("live", 1000).max(1);
    let hands = options.take("hands", 20).max(1);
    let ops = options.take("ops", 5_000_000) / threads / hands;
    let sizes = Sizes::take(options)?;
    let seed = options.take("seed", 1);
    options.end()?;

    let desks: Vec<Desk> = (0..threads)
        .map(|t| Desk {
            slots: slots(live),
            rng: Rng::new((seed + t) as u64),
        })
        .collect();
    let meter = Meter::start();
    std::thread::scope(|scope| {
        for desk in desks {
            scope.spawn({
                let sizes = &sizes;
                move || serve(scope, desk, ops, hands, sizes)
            });
        }
    });
    Ok(Done {
        reading: meter.stop(),
        ops: ((live + ops * hands) * threads) as u64,
    })
}

fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut desk: Desk,
    ops: usize,
    hands: usize,
    sizes: &'scope Sizes,
) {
    let Desk { slots, rng } = &mut desk;
    let live = slots.len();
    for (i, slot) in slots.iter_mut().enumerate() {
        if slot.block.is_null() {
            *slot = Slot::make(sizes.draw(rng), i as u8);
        }
    }
    for _ in 0..ops {
        let i = rng.below(live);
        slots[i].unmake(i as u8);
        slots[i] = Slot::make(sizes.draw(rng), i as u8);
    }
    if hands > 1 {
        scope.spawn(move || serve(scope, desk, ops, hands - 1, sizes));
    } else {
        for (i, slot) in slots.iter_mut().enumerate() {
            slot.empty(i as u8);
        }
    }
}
