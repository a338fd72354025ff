//! `batch`: bursts of equal blocks, freed together; the loop of a C library's own malloc test.

use crate::block::{Slot, slots};
use crate::crew::{self, Done};
use crate::options::Options;

/// Blocks of a burst: each length gets an equal share of the allocations.
const BURSTS: [usize; 4] = [25, 100, 400, 1600];

/// Options: `size`, `ops` (all threads together), `threads`. Every other burst is freed last
/// block first.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let size = options.take("size", 16).max(1);
    let threads = options.take("threads", 1).max(1);
    let share = options.take("ops", 10_000_000) / threads / BURSTS.len();
    options.end()?;

    let longest = BURSTS[BURSTS.len() - 1];
    let tables = (0..threads).map(|_| slots(longest)).collect();
    let reading = crew::run(tables, |table| {
        for burst in BURSTS {
            for round in 0..share / burst {
                let table = &mut table[..burst];
                for (i, slot) in table.iter_mut().enumerate() {
                    *slot = Slot::make(size, i as u8);
                }
                if round % 2 == 0 {
                    for (i, slot) in table.iter().enumerate() {
                        slot.unmake(i as u8);
                    }
                } else {
                    for (i, slot) in table.iter().enumerate().rev() {
                        slot.unmake(i as u8);
                    }
                }
            }
        }
    });
    let done: usize = BURSTS.iter().map(|burst| share / burst * burst).sum();
    Ok(Done {
        reading,
        ops: (done * threads) as u64,
    })
}
