//! Threads that start together, and the clock around them.

use aloof_bench_kit::{Meter, Reading};
use std::sync::Barrier;
use std::time::Instant;

/// What a load did and what it cost.
pub struct Done {
    /// The cost.
    pub reading: Reading,
    /// How many allocations were made.
    pub ops: u64,
}

/// Runs `load` on every state, one thread each (on the main thread when there is only one), from
/// a common start to the end of the last. States are built before the clock starts and dropped
/// after it has stopped.
pub fn run<S: Send>(mut states: Vec<S>, load: impl Fn(&mut S) + Sync) -> Reading {
    if let [state] = states.as_mut_slice() {
        let meter = Meter::start();
        load(state);
        return meter.stop();
    }
    let barrier = Barrier::new(states.len() + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = states
            .iter_mut()
            .map(|state| {
                scope.spawn(|| {
                    barrier.wait();
                    load(state);
                    Instant::now()
                })
            })
            .collect();
        let meter = Meter::start();
        barrier.wait();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker thread panicked"))
            .max();
        meter.stop_at(ended.unwrap_or_else(Instant::now))
    })
}
