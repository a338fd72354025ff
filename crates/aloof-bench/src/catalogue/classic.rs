//! `classic`: our own programs after the patterns that allocators are usually judged by. The
//! amounts of work are per workload, whatever the number of threads.

use super::{Entry, Workload, thread_counts};
use crate::args::Args;

pub(super) fn add(args: &Args, list: &mut Vec<Workload>) {
    let default: &[usize] = if args.quick { &[1, 8] } else { &[1, 2, 8] };
    for entry in entries() {
        if args.quick && !entry.quick {
            continue;
        }
        for threads in thread_counts(args, default) {
            list.push(entry.bind("classic", threads, args));
        }
    }
}

fn entries() -> Vec<Entry> {
    let mib = 1 << 20;
    let e = Entry::new;
    vec![
        e(
            "larson server",
            "larson",
            &[
                ("min", 8),
                ("max", 1000),
                ("live", 1000),
                ("hands", 40),
                ("ops", 8_000_000),
            ],
        )
        .quick(),
        e(
            "ring of threads",
            "ring",
            &[("round", 1), ("max", 1024), ("ops", 5_000_000)],
        ),
        e(
            "producer and consumer",
            "ring",
            &[("max", 1024), ("ops", 5_000_000)],
        )
        .quick(),
        e(
            "cache thrash",
            "sharing",
            &[("size", 8), ("writes", 100), ("ops", 4_000_000)],
        ),
        e(
            "cache scratch",
            "sharing",
            &[
                ("size", 8),
                ("given", 1),
                ("writes", 100),
                ("ops", 4_000_000),
            ],
        ),
        e(
            "random replacement, Pareto",
            "replace",
            &[
                ("min", 8),
                ("max", 4096),
                ("skew", 1),
                ("live", 100_000),
                ("ops", 8_000_000),
            ],
        )
        .quick(),
        e(
            "phases with dying threads",
            "exchange",
            &[
                ("min", 8),
                ("max", 16_000),
                ("skew", 2),
                ("live", 4000),
                ("shared", 4000),
                ("phases", 25),
                ("ops", 5_000_000),
            ],
        )
        .quick(),
        e(
            "random 8 to 16000, crossing",
            "exchange",
            &[
                ("min", 8),
                ("max", 16_000),
                ("live", 1000),
                ("shared", 2000),
                ("ops", 4_000_000),
            ],
        ),
        e(
            "bursts of 16",
            "batch",
            &[("size", 16), ("ops", 20_000_000)],
        )
        .quick(),
        e(
            "bursts of 128",
            "batch",
            &[("size", 128), ("ops", 20_000_000)],
        ),
        e(
            "bursts of 1024",
            "batch",
            &[("size", 1024), ("ops", 10_000_000)],
        ),
        e(
            "loop of mixed sizes",
            "replace",
            &[
                ("min", 4),
                ("max", 32_768),
                ("skew", 2),
                ("live", 8192),
                ("ops", 5_000_000),
            ],
        ),
        e(
            "small mixes in runs",
            "mix",
            &[
                ("min", 8),
                ("max", 1000),
                ("skew", 2),
                ("live", 5000),
                ("ops", 15_000_000),
            ],
        )
        .quick(),
        e(
            "large 1 to 30 MiB",
            "replace",
            &[
                ("min", mib),
                ("max", 30 * mib),
                ("live", 16),
                ("touch", 4096),
                ("ops", 160),
            ],
        ),
        e(
            "realloc by doubling",
            "grow",
            &[
                ("from", 16),
                ("to", 65_536),
                ("percent", 200),
                ("live", 100),
                ("ops", 800_000),
            ],
        )
        .quick(),
        e(
            "realloc by appending",
            "grow",
            &[
                ("from", 16),
                ("to", 20_000),
                ("percent", 100),
                ("add", 100),
                ("ops", 2_000_000),
            ],
        ),
        e(
            "realloc to 64 MiB",
            "grow",
            &[
                ("from", 65_536),
                ("to", 64 * mib),
                ("percent", 110),
                ("live", 1),
                ("touch", 4096),
                ("ops", 800),
            ],
        ),
        e(
            "calloc",
            "replace",
            &[
                ("how", 1),
                ("min", 16),
                ("max", 4096),
                ("live", 10_000),
                ("ops", 3_000_000),
            ],
        ),
        e(
            "aligned",
            "replace",
            &[
                ("how", 2),
                ("min", 8),
                ("max", 2048),
                ("live", 10_000),
                ("ops", 3_000_000),
            ],
        ),
    ]
}
