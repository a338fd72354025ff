//! Real Rust work on one global allocator, chosen by feature; without any, on the C library's.
//!
//! Usage: `aloof-peers-rust LOAD ROUNDS`. Each load checks its own result and panics if it is
//! wrong, which the harness counts as a failure.

mod containers;
mod parallel;
mod text;

use aloof_bench_kit::{Meter, finish_as};
use std::process::ExitCode;

#[cfg(feature = "aloof")]
mod chosen {
    pub const NAME: &str = "aloof";
    #[global_allocator]
    static GLOBAL: aloof::Aloof = aloof::Aloof;
}
#[cfg(any(feature = "mimalloc3", feature = "mimalloc2"))]
mod chosen {
    pub const NAME: &str = if cfg!(feature = "mimalloc2") {
        "mimalloc2"
    } else {
        "mimalloc3"
    };
    #[global_allocator]
    static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
}
#[cfg(feature = "jemalloc")]
mod chosen {
    pub const NAME: &str = "jemalloc";
    #[global_allocator]
    static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
}
#[cfg(feature = "snmalloc")]
mod chosen {
    pub const NAME: &str = "snmalloc";
    #[global_allocator]
    static GLOBAL: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;
}
#[cfg(feature = "rpmalloc")]
mod chosen {
    pub const NAME: &str = "rpmalloc";
    #[global_allocator]
    static GLOBAL: rpmalloc::RpMalloc = rpmalloc::RpMalloc;
}
#[cfg(feature = "tcmalloc")]
mod chosen {
    pub const NAME: &str = "tcmalloc";
    #[global_allocator]
    static GLOBAL: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;
}
#[cfg(not(any(
    feature = "aloof",
    feature = "mimalloc3",
    feature = "mimalloc2",
    feature = "jemalloc",
    feature = "snmalloc",
    feature = "rpmalloc",
    feature = "tcmalloc"
)))]
mod chosen {
    pub const NAME: &str = "glibc";
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let load = args.next().unwrap_or_default();
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let work: fn(usize) = match load.as_str() {
        "json" => text::json,
        "strings" => text::strings,
        "regex" => text::regex,
        "syntax tree" => text::syntax_tree,
        "hash map" => containers::hash_map,
        "b-tree" => containers::b_tree,
        "sort strings" => containers::sort_strings,
        "vec growth" => containers::vec_growth,
        "boxes" => containers::boxes,
        "task server" => parallel::task_server,
        "parallel reduce" => parallel::reduce,
        _ => {
            eprintln!("aloof-peers-rust: unknown load '{load}'");
            return ExitCode::from(2);
        }
    };
    if rounds == 0 {
        eprintln!("aloof-peers-rust: the number of rounds must be at least 1");
        return ExitCode::from(2);
    }
    let meter = Meter::start();
    work(rounds);
    finish_as(meter.stop(), 0, chosen::NAME);
    ExitCode::SUCCESS
}
