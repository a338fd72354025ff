//! `cargo xtask memory`: what goes back to the system and what that costs, what growth costs, what short threads and
//! phases of different sizes leave, beside other allocators.
//!
//! Compiles the programs of `tests/memory` and runs each on every allocator in turn, in a process of its own, as
//! often as asked for; prints medians.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::Table;
use serde_json::{Map, Value, json};

use crate::workspace::Workspace;

/// Options of `cargo xtask memory`.
#[derive(Args)]
pub struct Options {
    /// Runs of each measurement
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds over which the processor time of the idle process is measured
    #[arg(long, default_value_t = 5)]
    idle_seconds: u32,
    /// Threads of the thread test
    #[arg(long, default_value_t = 100_000)]
    threads: u32,
    /// Seconds of each of the 20 phases of the phase test
    #[arg(long, default_value_t = 30.0)]
    phase_seconds: f64,
    /// Seconds of the test of a busy program
    #[arg(long, default_value_t = 60)]
    busy_seconds: u32,
    /// Only these programs, separated by commas: idle, growth, threads, phases, busy
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these allocators, separated by commas
    #[arg(long, value_delimiter = ',')]
    allocators: Vec<String>,
    /// Write all runs as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// An allocator by its library; none for the C library's own.
struct Allocator {
    name: &'static str,
    library: Option<PathBuf>,
}

/// Below the target directory, where `aloof bench` leaves the peers that come as crates.
const CRATES: &str = "bench-peers/preload";
const CRATE_PEERS: &[(&str, &str)] = &[
    ("mimalloc3", "libmimalloc3.so"),
    ("mimalloc2", "libmimalloc2.so"),
    ("jemalloc", "libjemalloc.so"),
    ("snmalloc", "libsnmalloc.so"),
];
/// Where Debian keeps libraries, and those that are looked at if they are there.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
const PEERS: &[(&str, &str)] = &[
    ("deb-mimalloc", "libmimalloc.so.2.0"),
    ("deb-jemalloc", "libjemalloc.so.2"),
    ("deb-tcmalloc", "libtcmalloc_minimal.so.4"),
    ("deb-tbb", "libtbbmalloc_proxy.so.2"),
];

fn allocators(workspace: &Workspace, options: &Options) -> Result<Vec<Allocator>> {
    let mut list = vec![
        Allocator {
            name: "aloof",
            library: Some(workspace.library_or(None)?),
        },
        Allocator {
            name: "glibc",
            library: None,
        },
    ];
    let crates = workspace.target.join(CRATES);
    let peers = CRATE_PEERS.iter().map(|peer| (crates.as_path(), peer));
    let debian = PEERS.iter().map(|peer| (Path::new(LIBRARIES), peer));
    for (directory, (name, file)) in peers.chain(debian) {
        let library = directory.join(file);
        if library.exists() {
            list.push(Allocator {
                name,
                library: Some(library),
            });
        }
    }
    for name in &options.allocators {
        if !list.iter().any(|allocator| allocator.name == name) {
            let known: Vec<&str> = list.iter().map(|allocator| allocator.name).collect();
            bail!("no allocator {name} here; there are: {}", known.join(", "));
        }
    }
    if !options.allocators.is_empty() {
        list.retain(|allocator| options.allocators.iter().any(|name| name == allocator.name));
    }
    Ok(list)
}

fn compile(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let program = workspace.target.join("memory").join(name);
    fs::create_dir_all(workspace.target.join("memory"))?;
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .arg(&program)
        .arg(
            workspace
                .root
                .join("tests/memory")
                .join(format!("{name}.c")),
        )
        .status()
        .context("cannot run cc")?;
    if !status.success() {
        bail!("{name}.c does not compile");
    }
    Ok(program)
}

fn measure(
    program: &Path,
    arguments: &[&str],
    allocator: &Allocator,
) -> Result<Map<String, Value>> {
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(library) = &allocator.library {
        command.env("LD_PRELOAD", library);
    }
    let output = command.output()?;
    if !output.status.success() {
        bail!(
            "{} {arguments:?} on {}: {}: {}",
            program.display(),
            allocator.name,
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("a measurement printed no JSON")
}

fn median(rows: &[Map<String, Value>], key: &str) -> f64 {
    let mut values: Vec<f64> = rows
        .iter()
        .filter_map(|row| row.get(key).and_then(Value::as_f64))
        .collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A figure of a row: its heading, and how it is made of medians.
type Figure = (&'static str, fn(&dyn Fn(&str) -> f64) -> String);

const MIB: f64 = 1048576.0;

/// One table: a program in several settings.
struct Group {
    program: &'static str,
    settings: Vec<Vec<String>>,
    figures: &'static [Figure],
}

fn groups(options: &Options) -> Vec<Group> {
    let seconds = options.idle_seconds.to_string();
    let idle = |how: &str, ending: &str| vec![how.into(), ending.into(), seconds.clone()];
    vec![
        Group {
            program: "idle",
            settings: vec![
                idle("tenth", "blocked"),
                idle("random", "blocked"),
                idle("tenth", "ended"),
                idle("random", "ended"),
            ],
            figures: &[
                ("resident full", |m| format!("{:.0} MiB", m("full") / MIB)),
                ("after 10 s", |m| format!("{:.0} MiB", m("after") / MIB)),
                ("back of freed", |m| {
                    format!("{:.1} %", 100.0 * (m("full") - m("after")) / m("freed"))
                }),
                ("back of free pages", |m| {
                    format!(
                        "{:.1} %",
                        100.0 * (m("full") - m("after")) / m("free_pages")
                    )
                }),
                ("idle processor time", |m| {
                    format!("{:.4} s", m("idle_seconds"))
                }),
            ],
        },
        Group {
            program: "growth",
            settings: ["eighths", "ends", "doubling"]
                .map(|s| vec![s.into()])
                .into(),
            figures: &[
                ("time", |m| format!("{:.2} ms", 1e3 * m("seconds"))),
                ("peak of final size", |m| format!("{:.3}", m("peak_share"))),
            ],
        },
        Group {
            program: "threads",
            settings: vec![vec![options.threads.to_string()]],
            figures: &[
                ("after a tenth", |m| format!("{:.1} MiB", m("early") / MIB)),
                ("at the end", |m| format!("{:.1} MiB", m("end") / MIB)),
                ("peak", |m| format!("{:.1} MiB", m("peak") / MIB)),
                ("time", |m| format!("{:.1} s", m("seconds"))),
            ],
        },
        Group {
            program: "phases",
            settings: vec![vec![options.phase_seconds.to_string(), "20".into()]],
            figures: &[
                ("largest surplus", |m| format!("{:.1} %", 100.0 * m("most"))),
                ("beyond 16 MiB", |m| format!("{:.1} %", 100.0 * m("beyond"))),
                ("rise over the phases", |m| {
                    format!("{:.1} %", 100.0 * m("rise"))
                }),
            ],
        },
        Group {
            program: "busy",
            settings: vec![vec![options.busy_seconds.to_string()]],
            figures: &[
                ("processor time of a replacement", |m| {
                    format!("{:.1} ns", 1000.0 * m("per_million"))
                }),
                ("with decay / without", |m| format!("{:.4}", m("ratio"))),
                ("resident", |m| format!("{:.0} MiB", m("resident") / MIB)),
            ],
        },
    ]
}

/// Runs all measurements and prints their tables.
pub fn command(workspace: &Workspace, options: &Options) -> Result<bool> {
    let allocators = allocators(workspace, options)?;
    let mut report = Vec::new();
    let mut groups = groups(options);
    for name in &options.only {
        if !groups.iter().any(|group| group.program == name) {
            bail!("no program {name}: there are idle, growth, threads, phases and busy");
        }
    }
    if !options.only.is_empty() {
        groups.retain(|group| options.only.iter().any(|name| name == group.program));
    }
    for group in groups {
        let program = compile(workspace, group.program)?;
        let mut table = Table::new();
        let headings = group.figures.iter().map(|(heading, _)| *heading);
        table.set_header([group.program, "allocator"].into_iter().chain(headings));
        for setting in &group.settings {
            let arguments: Vec<&str> = setting.iter().map(String::as_str).collect();
            let mut rows: Vec<Vec<Map<String, Value>>> = vec![Vec::new(); allocators.len()];
            for _ in 0..options.runs.max(1) {
                for (allocator, rows) in allocators.iter().zip(&mut rows) {
                    rows.push(measure(&program, &arguments, allocator)?);
                }
            }
            for (allocator, rows) in allocators.iter().zip(&rows) {
                let of = |key: &str| median(rows, key);
                let figures = group.figures.iter().map(|(_, figure)| figure(&of));
                let name = [arguments.join(" "), allocator.name.to_owned()];
                table.add_row(name.into_iter().chain(figures));
                report.push(json!({
                    "program": group.program,
                    "setting": setting,
                    "allocator": allocator.name,
                    "runs": rows,
                }));
            }
        }
        println!("{table}\n");
    }
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(true)
}
