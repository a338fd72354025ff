//! `replace`: a table of live blocks of random sizes; each step frees one at random and puts a
//! new one in its place. Also for zeroed and aligned blocks and for large ones that are used.

use crate::block::{self, Slot, slots};
use crate::capi;
use crate::crew::{self, Done};
use crate::options::Options;
use crate::sizes::Sizes;
use aloof_bench_kit::{Rng, Table, fail};

struct State {
    slots: Table<Slot>,
    rng: Rng,
}

/// Options: `live` and `ops` (all threads together), `min`, `max`, `skew`, `threads`, `seed`,
/// `how` (0 malloc, 1 calloc, 2 aligned_alloc), `touch` (write a byte every so many bytes; 0 not).
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 1).max(1);
    let live = (options.take("live", 100_000) / threads).max(1);
    let ops = options.take("ops", 10_000_000) / threads;
    let sizes = Sizes::take(options)?;
    let seed = options.take("seed", 1);
    let how = options.take("how", 0);
    let stride = options.take("touch", 0);
    options.end()?;

    let states = (0..threads)
        .map(|t| State {
            slots: slots(live),
            rng: Rng::new((seed + t) as u64),
        })
        .collect();
    let reading = match (how, stride) {
        (0, 0) => crew::run(states, |s| {
            churn(s, ops, &sizes, |_, n, tag| Slot::make(n, tag))
        }),
        (0, _) => crew::run(states, |s| {
            churn(s, ops, &sizes, |_, n, tag| {
                let slot = Slot::make(n, tag);
                block::touch(slot.block, stride, n - 1, stride);
                slot
            });
        }),
        (1, 0) => crew::run(states, |s| {
            churn(s, ops, &sizes, |_, n, tag| zeroed(n, tag))
        }),
        (2, 0) => crew::run(states, |s| churn(s, ops, &sizes, aligned)),
        _ => return Err("how and touch do not go together".into()),
    };
    Ok(Done {
        reading,
        ops: ((live + ops) * threads) as u64,
    })
}

#[inline(always)]
fn churn(state: &mut State, ops: usize, sizes: &Sizes, make: impl Fn(&mut Rng, usize, u8) -> Slot) {
    let State { slots, rng } = state;
    let live = slots.len();
    for (i, slot) in slots.iter_mut().enumerate() {
        let size = sizes.draw(rng);
        *slot = make(rng, size, i as u8);
    }
    for _ in 0..ops {
        let i = rng.below(live);
        slots[i].unmake(i as u8);
        let size = sizes.draw(rng);
        slots[i] = make(rng, size, i as u8);
    }
    for (i, slot) in slots.iter_mut().enumerate() {
        slot.empty(i as u8);
    }
}

#[inline(always)]
fn zeroed(size: usize, tag: u8) -> Slot {
    let block = capi::calloc(size);
    // SAFETY: the block is `size` bytes long, at least one.
    let dirt = unsafe {
        block.read_volatile()
            | block.add(size / 2).read_volatile()
            | block.add(size - 1).read_volatile()
    };
    if dirt != 0 {
        fail("calloc returned memory that is not zero");
    }
    block::mark(block, size, tag);
    Slot { block, size }
}

/// Alignments 8 to 4096, the small ones more often.
#[inline(always)]
fn aligned(rng: &mut Rng, size: usize, tag: u8) -> Slot {
    let draw = rng.draw();
    let align = 8 << (draw & draw >> 8 & 0xf).min(9);
    let block = capi::aligned_alloc(align, size);
    block::mark(block, size, tag);
    Slot { block, size }
}
