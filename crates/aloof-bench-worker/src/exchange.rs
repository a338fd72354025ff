//! `exchange`: every thread replaces blocks in its own table, and every so often swaps one with a
//! table shared by all, so that blocks are freed by strangers. With several phases the threads die
//! and new ones start, while the shared blocks live on.

use crate::block::{self, Slot, slots};
use crate::crew::Done;
use crate::options::Options;
use crate::sizes::Sizes;
use aloof_bench_kit::{Meter, Rng, Table, fail};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes fit this many bits of a packed slot.
const SIZE_BITS: u32 = 14;
const TAG_BITS: u32 = 6;

/// Options: `live` (blocks of each thread), `shared` (slots shared by all), `swap` (every so many
/// steps one goes through the shared table), `ops` (all threads and phases together), `phases`,
/// `min`, `max` (at most 16383), `skew`, `threads`, `seed`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 1).max(1);
    let phases = options.take("phases", 1).max(1);
    let live = options.take("live", 1000).max(1);
    let shared = options.take("shared", 1000).max(1);
    let swap = options.take("swap", 4).max(1);
    let ops = options.take("ops", 5_000_000) / threads / phases;
    let sizes = Sizes::take(options)?;
    let seed = options.take("seed", 1);
    options.end()?;

    // SAFETY: zero is an empty slot.
    let shared = unsafe { Table::<u64>::zeroed(shared) };
    let mut own: Vec<Table<Slot>> = (0..threads).map(|_| slots(live)).collect();
    let meter = Meter::start();
    for phase in 0..phases {
        let start = Barrier::new(threads);
        std::thread::scope(|scope| {
            for (t, table) in own.iter_mut().enumerate() {
                let (start, shared, sizes) = (&start, &shared, &sizes);
                let rng = Rng::new((seed + phase * threads + t) as u64);
                scope.spawn(move || {
                    start.wait();
                    work(table, shared, rng, ops, swap, sizes);
                });
            }
        });
    }
    for i in 0..shared.len() {
        unpack_and_free(slot(&shared, i).swap(0, Ordering::Acquire));
    }
    Ok(Done {
        reading: meter.stop(),
        ops: (ops * phases * threads) as u64,
    })
}

fn work(
    own: &mut [Slot],
    shared: &Table<u64>,
    mut rng: Rng,
    ops: usize,
    swap: usize,
    sizes: &Sizes,
) {
    for step in 0..ops {
        let size = sizes.draw(&mut rng);
        if step % swap == 0 {
            let at = slot(shared, rng.below(shared.len()));
            let tag = step as u8 & ((1 << TAG_BITS) - 1);
            let mine = pack(block::make(size, tag), size, tag);
            unpack_and_free(at.swap(mine, Ordering::AcqRel));
        } else {
            let i = rng.below(own.len());
            own[i].empty(i as u8);
            own[i] = Slot::make(size, i as u8);
        }
    }
    for (i, slot) in own.iter_mut().enumerate() {
        slot.empty(i as u8);
    }
}

fn slot(shared: &Table<u64>, i: usize) -> &AtomicU64 {
    assert!(i < shared.len());
    // SAFETY: the table lives as long as the reference, and is only used through atomics.
    unsafe { AtomicU64::from_ptr(shared.base().add(i)) }
}

fn pack(p: *mut u8, size: usize, tag: u8) -> u64 {
    let address = p.expose_provenance() as u64;
    if address & 7 != 0 || address >> 47 != 0 || size >> SIZE_BITS != 0 {
        fail("a block's address or size is out of the ordinary");
    }
    ((address >> 3) << SIZE_BITS | size as u64) << TAG_BITS | u64::from(tag)
}

fn unpack_and_free(packed: u64) {
    if packed == 0 {
        return;
    }
    let tag = packed & ((1 << TAG_BITS) - 1);
    let size = packed >> TAG_BITS & ((1 << SIZE_BITS) - 1);
    let address = packed >> (TAG_BITS + SIZE_BITS) << 3;
    let p = std::ptr::with_exposed_provenance_mut(address as usize);
    block::unmake(p, size as usize, tag as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_block_comes_back_whole() {
        let tag = 0x2a;
        let p = block::make(16_000, tag);
        let packed = pack(p, 16_000, tag);
        assert_eq!(packed >> (TAG_BITS + SIZE_BITS) << 3, p.addr() as u64);
        assert_eq!(packed >> TAG_BITS & ((1 << SIZE_BITS) - 1), 16_000);
        unpack_and_free(packed);
        unpack_and_free(0);
    }
}
