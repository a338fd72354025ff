//! `spec`: the specification's own scenarios, each with blocks written and verified, and apart
//! from that in the form in which no block is ever touched.

use super::{Entry, Workload, thread_counts};
use crate::args::Args;

pub(super) fn add(args: &Args, list: &mut Vec<Workload>) {
    let threads = thread_counts(args, &[1]);
    for (suite, written) in [("spec", 1), ("spec-untouched", 0)] {
        for &threads in &threads {
            for mut entry in entries(written == 1) {
                if args.quick && !entry.quick {
                    continue;
                }
                entry.options.push(("written", written));
                list.push(entry.bind(suite, threads, args));
            }
        }
    }
}

fn entries(written: bool) -> Vec<Entry> {
    let mut list = Vec::new();
    for shift in 3..=13 {
        let size = 1usize << shift;
        // Ten rounds; fewer where gigabytes are touched in each.
        let rounds = if written && size > 1024 { 4 } else { 10 };
        let options = [("size", size), ("count", 800_000), ("rounds", rounds)];
        let entry = Entry::new(format!("in order {size}"), "sweep", &options);
        list.push(match size {
            8 | 16 | 64 | 256 | 1024 => entry.quick(),
            _ => entry,
        });
    }
    for (name, size, last) in [("all sizes up", 8, 8192), ("all sizes down", 8192, 8)] {
        let options = [("size", size), ("last", last), ("count", 400_000)];
        list.push(Entry::new(name, "sweep", &options));
    }
    for size in [64, 128, 256, 512] {
        let options = [("size", size << 10), ("count", 80_000)];
        let entry = Entry::new(format!("in order {size} KiB"), "sweep", &options);
        list.push(if size == 64 { entry.quick() } else { entry });
    }
    for size in [16, 256, 4096, 65_536] {
        let options = [("size", size), ("now", 1), ("count", 20_000_000)];
        let entry = Entry::new(format!("immediate free {size}"), "sweep", &options);
        list.push(if size == 256 { entry.quick() } else { entry });
    }
    for size in [8, 32, 128, 512, 2048] {
        let rounds = if written {
            (10_240 / size).clamp(3, 10)
        } else {
            10
        };
        let options = [
            ("size", size),
            ("scatter", 1),
            ("count", 800_000),
            ("rounds", rounds),
        ];
        let name = format!("scatter {size} {} {}", 2 * size, 4 * size);
        let entry = Entry::new(name, "sweep", &options);
        list.push(if size == 32 { entry.quick() } else { entry });
    }
    let random = [
        ("size", 1023),
        ("random", 1),
        ("count", 800_000),
        ("rounds", 5),
    ];
    list.push(Entry::new("random below 1 KiB", "sweep", &random).quick());
    let reverse = [
        ("size", 1023),
        ("random", 1),
        ("reverse", 1),
        ("count", 800_000),
        ("rounds", 5),
    ];
    list.push(Entry::new("random below 1 KiB, reverse", "sweep", &reverse));
    let large = [
        ("size", (1 << 20) - 1),
        ("random", 1),
        ("count", 20_000),
        ("rounds", 4),
    ];
    list.push(Entry::new("random below 1 MiB", "sweep", &large).quick());
    list
}
