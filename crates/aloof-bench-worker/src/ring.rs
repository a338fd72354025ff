//! `ring`: threads joined by bounded rings; blocks made by one are checked and freed by another.
//! One-sided pairs (`round=0`) or a circle in which every thread makes and frees (`round=1`).

use crate::block::{Slot, slots};
use crate::crew::{self, Done};
use crate::options::Options;
use crate::sizes::Sizes;
use aloof_bench_kit::{Rng, Table};
use std::hint::spin_loop;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 4096;
/// Blocks handed over between two publications of the head or tail.
const BATCH: usize = 64;

#[repr(align(128))]
struct Cursor(AtomicUsize);

/// One way from a producer to a consumer. `head` counts blocks made, `tail` blocks freed.
struct Ring {
    slots: Table<Slot>,
    head: Cursor,
    tail: Cursor,
}

// SAFETY: a slot is written by the producer before `head` passes it (release) and read by the
// consumer after it has seen that head (acquire), and the same the other way round with `tail`.
unsafe impl Sync for Ring {}

struct Role<'a> {
    makes: Option<(&'a Ring, Rng)>,
    frees: Option<&'a Ring>,
}

/// Options: `ops` (blocks, all threads together), `min`, `max`, `skew`, `threads`, `round`,
/// `seed`. A single thread hands the blocks to itself.
pub fn run(options: &mut Options) -> Result<Done, String> {
    let threads = options.take("threads", 2).max(1);
    let round = options.take("round", 0) != 0 || threads == 1;
    let rings = if round { threads } else { threads / 2 };
    let ops = options.take("ops", 10_000_000) / rings / BATCH * BATCH;
    let sizes = Sizes::take(options)?;
    let seed = options.take("seed", 1);
    options.end()?;

    let rings: Vec<Ring> = (0..rings)
        .map(|_| Ring {
            slots: slots(SLOTS),
            head: Cursor(AtomicUsize::new(0)),
            tail: Cursor(AtomicUsize::new(0)),
        })
        .collect();
    let rng = |i| Rng::new((seed + i) as u64);
    let roles = if round {
        (0..rings.len())
            .map(|i| Role {
                makes: Some((&rings[i], rng(i))),
                frees: Some(&rings[(i + 1) % rings.len()]),
            })
            .collect()
    } else {
        let pair = |(i, ring)| {
            let maker = Role {
                makes: Some((ring, rng(i))),
                frees: None,
            };
            let freer = Role {
                makes: None,
                frees: Some(ring),
            };
            [maker, freer]
        };
        rings.iter().enumerate().flat_map(pair).collect()
    };
    let reading = crew::run(roles, |role| work(role, ops, &sizes));
    Ok(Done {
        reading,
        ops: (ops * rings.len()) as u64,
    })
}

/// Makes and frees batches in turn, as far as the thread's rings allow, until both ends are done.
fn work(role: &mut Role, ops: usize, sizes: &Sizes) {
    let mut made = if role.makes.is_some() { 0 } else { ops };
    let mut freed = if role.frees.is_some() { 0 } else { ops };
    let mut idle = 0;
    while made < ops || freed < ops {
        let before = (made, freed);
        if let Some((ring, rng)) = role.makes.as_mut().filter(|_| made < ops)
            && made + BATCH - ring.tail.0.load(Ordering::Acquire) <= SLOTS
        {
            produce(ring, rng, made, sizes);
            made += BATCH;
        }
        if let Some(ring) = role.frees.filter(|_| freed < ops)
            && ring.head.0.load(Ordering::Acquire) >= freed + BATCH
        {
            consume(ring, freed);
            freed += BATCH;
        }
        if (made, freed) == before {
            // There may be more threads than cores: let the other side have the processor.
            idle += 1;
            if idle % 256 == 0 {
                std::thread::yield_now();
            } else {
                spin_loop();
            }
        }
    }
}

fn produce(ring: &Ring, rng: &mut Rng, start: usize, sizes: &Sizes) {
    for i in start..start + BATCH {
        let slot = Slot::make(sizes.draw(rng), i as u8);
        // SAFETY: the slot is ours: the consumer's tail has passed its former content.
        unsafe { ptr::write(ring.slots.base().add(i % SLOTS), slot) };
    }
    ring.head.0.store(start + BATCH, Ordering::Release);
}

fn consume(ring: &Ring, start: usize) {
    for i in start..start + BATCH {
        // SAFETY: the producer's head has passed this slot and our tail not yet.
        let slot = unsafe { ptr::read(ring.slots.base().add(i % SLOTS)) };
        slot.unmake(i as u8);
    }
    ring.tail.0.store(start + BATCH, Ordering::Release);
}
