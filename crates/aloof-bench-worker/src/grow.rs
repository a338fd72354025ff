//! `grow`: buffers that grow by realloc, as vectors and strings do, and are used as they grow.

use crate::block::{self, Slot, slots};
use crate::capi;
use crate::crew::{self, Done};
use crate::options::Options;
use aloof_bench_kit::{Rng, Table};

struct State {
    slots: Table<Slot>,
    rng: Rng,
}

/// Options: `live` (buffers of each thread, growing side by side), `from`, `to` (bytes), `percent`
/// (growth at each step), `add` (bytes more at each step), `ops` (reallocs, all threads together),
/// `touch` (a byte is written every so many), `threads`, `seed`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 1).max(1);
    let live = options.take("live", 100).max(1);
    let from = options.take("from", 16).max(1);
    let to = options.take("to", 65_536).max(from);
    let percent = options.take("percent", 200);
    let add = options.take("add", 0);
    let ops = options.take("ops", 1_000_000) / threads;
    let stride = options.take("touch", 64).max(1);
    let seed = options.take("seed", 1);
    options.end()?;
    if percent <= 100 && add == 0 {
        return Err("buffers must grow: percent above 100 or add above 0".into());
    }

    let states = (0..threads)
        .map(|t| State {
            slots: slots(live),
            rng: Rng::new((seed + t) as u64),
        })
        .collect();
    let reading = crew::run(states, |State { slots, rng }| {
        for _ in 0..ops {
            let i = rng.below(live);
            let (slot, tag) = (&mut slots[i], i as u8);
            if slot.block.is_null() {
                *slot = Slot::make(from, tag);
                continue;
            }
            let size = (slot.size * percent / 100 + add).max(slot.size + 1);
            if size > to {
                slot.empty(tag);
            } else {
                extend(slot, size, tag, stride);
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

/// Reallocates, checks that the content came along and uses the new part.
fn extend(slot: &mut Slot, size: usize, tag: u8, stride: usize) {
    let old = slot.size;
    // SAFETY: the slot holds a live block, and gets the new one.
    let p = unsafe { capi::realloc(slot.block, size) };
    block::check(p, old, tag);
    block::touch(p, old, size - 1, stride);
    block::mark(p, size, tag);
    *slot = Slot { block: p, size };
}
