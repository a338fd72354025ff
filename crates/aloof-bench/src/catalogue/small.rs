//! `small`: a short comparison for everyday use.

use super::{Entry, Workload, thread_counts};
use crate::args::Args;

pub(super) fn add(args: &Args, list: &mut Vec<Workload>) {
    let threads = thread_counts(args, &[1]);
    let mut entries = Vec::new();
    for shift in 3i32..=13 {
        let size = 1 << shift;
        // Small sizes repeat more often, so that no line is over in a few milliseconds.
        let rounds = (10usize >> (shift - 7).max(0)).max(3);
        let options = [("size", size), ("count", 800_000), ("rounds", rounds)];
        entries.push(Entry::new(format!("in order {size}"), "sweep", &options));
    }
    let options = [("live", 100_000), ("max", 1024), ("ops", 5_000_000)];
    entries.push(Entry::new("random replacement", "replace", &options));
    for &threads in &threads {
        list.extend(
            entries
                .iter()
                .map(|entry| entry.bind("small", threads, args)),
        );
    }
    let pipe = Entry::new(
        "producer and consumer",
        "ring",
        &[("max", 1024), ("ops", 5_000_000)],
    );
    let mut pairs: Vec<usize> = threads.iter().map(|n| n.next_multiple_of(2)).collect();
    pairs.dedup();
    list.extend(
        pairs
            .into_iter()
            .map(|threads| pipe.bind("small", threads, args)),
    );
}
