//! The workloads of each suite. `spec`, `classic` and `small` run in the C worker, `rust` in
//! binaries built once per allocator, `apps` are programs of the system.

mod classic;
mod small;
mod spec;

use crate::apps;
use crate::args::{Args, Suite};
use crate::tools::Tools;
use anyhow::Result;

/// One workload at one thread count.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The suite whose geometric mean it enters.
    pub suite: &'static str,
    /// Its name, unique in the suite.
    pub name: String,
    /// How many threads it uses.
    pub threads: usize,
    /// Who runs it.
    pub driver: Driver,
}

/// Who runs a workload.
#[derive(Clone, Debug)]
pub enum Driver {
    /// The C worker, with these arguments.
    Worker(Vec<String>),
    /// The Rust suite's binary of the allocator, with these arguments.
    Rust(Vec<String>),
    /// A program of the system.
    App(apps::App),
}

impl Driver {
    /// Whether who runs it first in a pass pays for others: for programs and files that are not in memory yet, and for
    /// memory that the workload before has just given back.
    pub fn wants_warm_up(&self) -> bool {
        !matches!(self, Driver::Worker(_))
    }
}

/// A load of the C worker, before it is bound to a thread count.
struct Entry {
    name: String,
    load: &'static str,
    options: Vec<(&'static str, usize)>,
    /// Part of `--quick`.
    quick: bool,
}

/// The chosen workloads in order.
pub fn workloads(args: &Args, tools: &Tools) -> Result<Vec<Workload>> {
    let chosen = |suite| args.suite.contains(&suite);
    let all = chosen(Suite::All);
    let mut list = Vec::new();
    if chosen(Suite::Small) {
        small::add(args, &mut list);
    }
    if all || chosen(Suite::Spec) {
        spec::add(args, &mut list);
    }
    if all || chosen(Suite::Classic) {
        classic::add(args, &mut list);
    }
    if all || chosen(Suite::Rust) {
        rust(args, &mut list);
    }
    if all || chosen(Suite::Apps) {
        list.extend(
            apps::catalogue(args, tools)?
                .into_iter()
                .map(|app| Workload {
                    suite: "apps",
                    name: app.name.to_owned(),
                    threads: app.threads,
                    driver: Driver::App(app),
                }),
        );
    }
    list.retain(|w| args.only.is_empty() || args.only.iter().any(|text| w.name.contains(text)));
    Ok(list)
}

/// `(load, threads, rounds, in --quick)` of the Rust suite's binary.
const RUST_LOADS: &[(&str, usize, usize, bool)] = &[
    ("json", 1, 20, true),
    ("hash map", 1, 8, true),
    ("b-tree", 1, 25, true),
    ("strings", 1, 30, false),
    ("regex", 1, 40, false),
    ("syntax tree", 1, 60, true),
    ("sort strings", 1, 20, false),
    ("task server", 2, 40, true),
    ("parallel reduce", 2, 20, true),
    ("vec growth", 1, 10, false),
    ("boxes", 1, 8, true),
];

fn rust(args: &Args, list: &mut Vec<Workload>) {
    for &(load, threads, rounds, quick) in RUST_LOADS {
        if args.quick && !quick {
            continue;
        }
        let rounds = if args.quick {
            rounds.div_ceil(10)
        } else {
            rounds
        };
        list.push(Workload {
            suite: "rust",
            name: load.to_owned(),
            threads,
            driver: Driver::Rust(vec![load.to_owned(), rounds.to_string()]),
        });
    }
}

fn thread_counts(args: &Args, default: &[usize]) -> Vec<usize> {
    if args.threads.is_empty() {
        default.to_vec()
    } else {
        args.threads.clone()
    }
}

impl Entry {
    fn new(name: impl Into<String>, load: &'static str, options: &[(&'static str, usize)]) -> Self {
        Entry {
            name: name.into(),
            load,
            options: options.to_vec(),
            quick: false,
        }
    }

    /// Also part of `--quick`.
    fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// With the amounts of work divided for `--quick`, and bound to a thread count.
    fn bind(&self, suite: &'static str, threads: usize, args: &Args) -> Workload {
        let mut worker = vec![self.load.to_owned()];
        for &(key, value) in &self.options {
            let value = match key {
                "ops" if args.quick => value / 10,
                "count" if args.quick => value / 8,
                "rounds" if args.quick => value.div_ceil(4),
                _ => value,
            };
            worker.push(format!("{key}={value}"));
        }
        worker.push(format!("threads={threads}"));
        Workload {
            suite,
            name: self.name.clone(),
            threads,
            driver: Driver::Worker(worker),
        }
    }
}
