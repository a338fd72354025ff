//! `path`: one entry point of the allocator over and over, for counting instructions. Nothing is
//! timed that matters; the harness subtracts a short run from a long one.

use crate::block;
use crate::capi;
use crate::crew::{self, Done};
use crate::options::Options;

/// Options: `op` (0 malloc and free in turn; 1 calloc and free; 2 realloc within the size class;
/// 3 realloc from `size` to `2 size`, then free; 4 `burst` mallocs, then as many frees), `size`,
/// `burst`, `ops`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let op = options.take("op", 0);
    let size = options.take("size", 64).max(1);
    let burst = options.take("burst", 1000).max(1);
    let ops = options.take("ops", 100_000);
    options.end()?;

    let reading = crew::run(vec![block::slots(burst)], |slots| match op {
        0 => {
            for i in 0..ops {
                block::unmake(block::make(size, i as u8), size, i as u8);
            }
        }
        1 => {
            for _ in 0..ops {
                // SAFETY: freed once, right after it was made.
                unsafe { capi::free(capi::calloc(size)) };
            }
        }
        2 => {
            let mut p = block::make(size, 1);
            for i in 0..ops {
                // SAFETY: `p` is live, and replaced by the result.
                p = unsafe { capi::realloc(p, size - i % 2) };
            }
            // SAFETY: the last result is live.
            unsafe { capi::free(p) };
        }
        3 => {
            for i in 0..ops {
                let p = block::make(size, i as u8);
                // SAFETY: `p` is live, and given up for the result.
                let p = unsafe { capi::realloc(p, 2 * size) };
                block::check(p, size, i as u8);
                // SAFETY: the result is live and freed once.
                unsafe { capi::free(p) };
            }
        }
        _ => {
            for _ in 0..ops / burst {
                for (i, slot) in slots.iter_mut().enumerate() {
                    *slot = block::Slot::make(size, i as u8);
                }
                for (i, slot) in slots.iter_mut().enumerate() {
                    slot.empty(i as u8);
                }
            }
        }
    });
    Ok(Done {
        reading,
        ops: ops as u64,
    })
}
