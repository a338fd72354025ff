//! `sharing`: false sharing. Every thread makes a small block, writes it many times and frees it.
//! Active: an allocator that hands one cache line to two threads slows both. Passive (`given=1`):
//! the first blocks all come from one thread, and an allocator that reuses them where they are
//! freed keeps the threads on shared lines for ever.

use crate::block;
use crate::crew::{self, Done};
use crate::options::Options;

/// Options: `size`, `ops` (blocks, all threads together), `writes` (a block), `given`, `threads`.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let size = options.take("size", 8).max(1);
    let threads = options.take("threads", 1).max(1);
    let ops = options.take("ops", 400_000) / threads;
    let writes = options.take("writes", 200);
    let given = options.take("given", 0) != 0;
    options.end()?;

    let gifts: Vec<Gift> = (0..threads)
        .map(|t| Gift {
            block: if given {
                block::make(size, t as u8)
            } else {
                std::ptr::null_mut()
            },
            tag: t as u8,
        })
        .collect();
    let reading = crew::run(gifts, |gift| {
        if given {
            block::unmake(gift.block, size, gift.tag);
        }
        for _ in 0..ops {
            let p = block::make(size, gift.tag);
            for i in 0..writes {
                // SAFETY: the block is at least one byte long.
                unsafe { p.write_volatile(gift.tag.wrapping_add(i as u8)) };
            }
            block::mark(p, size, gift.tag);
            block::unmake(p, size, gift.tag);
        }
    });
    Ok(Done {
        reading,
        ops: (ops * threads) as u64,
    })
}

struct Gift {
    block: *mut u8,
    tag: u8,
}

// SAFETY: the block is handed over with the gift.
unsafe impl Send for Gift {}
