//! The gate of CI: instructions that the library executes for each operation, which no clock and
//! no busy neighbour can change, against the committed numbers.

use crate::allocators::{aloof_library, install};
use crate::args::Args;
use crate::callgrind::{Counts, count};
use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// A rise by more than this share fails.
const TOLERANCE: f64 = 0.01;

/// `gate`: compares instruction counts with the committed ones.
#[derive(Clone, Debug, clap::Args)]
pub struct GateArgs {
    /// Write the counts of this build as the new committed numbers.
    #[arg(long)]
    pub bless: bool,

    /// The committed numbers [default: benches/instructions.json in the workspace].
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// One load: its name, whether its entry points are counted apart, the worker's arguments without
/// the number of operations, and that number.
type Load = (&'static str, &'static [&'static str], &'static str, u64);

const LOADS: &[Load] = &[
    (
        "malloc and free, 64 bytes",
        &["malloc", "free"],
        "path op=0 size=64",
        100_000,
    ),
    (
        "malloc and free, 8192 bytes",
        &["malloc", "free"],
        "path op=0 size=8192",
        100_000,
    ),
    (
        "malloc and free, 65536 bytes",
        &[],
        "path op=0 size=65536",
        100_000,
    ),
    (
        "calloc and free, 64 bytes",
        &["calloc", "free"],
        "path op=1 size=64",
        100_000,
    ),
    ("realloc in its class", &[], "path op=2 size=64", 100_000),
    ("realloc to double", &[], "path op=3 size=64", 50_000),
    (
        "1000 mallocs, 1000 frees",
        &[],
        "path op=4 size=64 burst=1000",
        100_000,
    ),
    (
        "random replacement",
        &[],
        "replace live=2000 max=1024",
        100_000,
    ),
    (
        "small mixes in runs",
        &[],
        "mix live=2000 min=8 max=1000 skew=2",
        100_000,
    ),
    (
        "blocks handed on",
        &[],
        "ring threads=1 max=4096 skew=2",
        102_400,
    ),
];

/// The committed file.
#[derive(Serialize, Deserialize)]
struct Committed {
    /// The compiler that the numbers are of.
    rustc: String,
    /// Instructions an operation.
    instructions: BTreeMap<String, f64>,
}

/// Counts, and compares or writes.
pub fn run(args: &Args, gate: &GateArgs) -> Result<ExitCode> {
    let tools = Tools::prepare(args)?;
    let library = aloof_library(args, &tools)?;
    need_valgrind(args)?;
    let mut found = BTreeMap::new();
    for load in LOADS {
        measure(load, &tools, &library, &mut found)?;
    }
    let file = gate
        .file
        .clone()
        .unwrap_or_else(|| tools.workspace.join("benches/instructions.json"));
    if gate.bless {
        let committed = Committed {
            rustc: crate::machine::Machine::here().rustc,
            instructions: found,
        };
        let text = serde_json::to_string_pretty(&committed)? + "\n";
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&file).with_context(|| {
        format!(
            "there are no committed numbers in {}: make them with --bless",
            file.display()
        )
    })?;
    let committed: Committed = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what --bless writes", file.display()))?;
    let (text, failures) = compare(&committed.instructions, &found);
    print!("{text}");
    if failures == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{failures} failed: more than {} % above the committed numbers (of {})",
        TOLERANCE * 100.0,
        committed.rustc
    );
    Ok(ExitCode::from(1))
}

fn measure(
    (name, entries, args, ops): &Load,
    tools: &Tools,
    library: &std::path::Path,
    found: &mut BTreeMap<String, f64>,
) -> Result<()> {
    let counted = |ops: u64| -> Result<Counts> {
        let mut words: Vec<String> = args.split(' ').map(str::to_owned).collect();
        words.push(format!("ops={ops}"));
        count(&tools.worker, &words, library)
    };
    // What start and end cost is in both runs alike.
    let (short, long) = (counted(*ops)?, counted(2 * ops)?);
    let each = |long: u64, short: u64| {
        let value = (long as f64 - short as f64) / *ops as f64;
        (value * 100.0).round() / 100.0
    };
    found.insert((*name).to_owned(), each(long.library, short.library));
    for &entry in *entries {
        let own = |counts: &Counts| counts.functions.get(entry).copied().unwrap_or(0);
        found.insert(
            format!("{name}: {entry} itself"),
            each(own(&long), own(&short)),
        );
    }
    Ok(())
}

/// A line for each number and how many rose too far (or are missing on either side).
fn compare(committed: &BTreeMap<String, f64>, found: &BTreeMap<String, f64>) -> (String, usize) {
    let mut lines = String::new();
    let mut failures = 0;
    let names: std::collections::BTreeSet<&String> = committed.keys().chain(found.keys()).collect();
    for name in names {
        let verdict = match (committed.get(name), found.get(name)) {
            (Some(&old), Some(&new)) if new > old * (1.0 + TOLERANCE) + 0.005 => {
                failures += 1;
                format!("{old:8.2} -> {new:8.2}  FAILED")
            }
            (Some(&old), Some(&new)) if new < old * (1.0 - TOLERANCE) => {
                format!("{old:8.2} -> {new:8.2}  better: commit it with --bless")
            }
            (Some(&old), Some(&new)) => format!("{old:8.2} -> {new:8.2}"),
            (Some(_), None) => {
                failures += 1;
                "no longer counted  FAILED".into()
            }
            (None, _) => {
                failures += 1;
                "not committed: add it with --bless  FAILED".into()
            }
        };
        lines.push_str(&format!("{name:44} {verdict}\n"));
    }
    (lines, failures)
}

fn need_valgrind(args: &Args) -> Result<()> {
    let there = || {
        Command::new("valgrind")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if there() {
        return Ok(());
    }
    if args.no_install {
        bail!("counting instructions needs valgrind: `apt-get install valgrind`");
    }
    install(&["valgrind"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    #[test]
    fn a_rise_above_one_percent_fails() {
        let committed = numbers(&[("a", 100.0), ("b", 40.0)]);
        let verdict = |a, b| compare(&committed, &numbers(&[("a", a), ("b", b)])).1;
        assert_eq!(verdict(100.0, 40.0), 0);
        assert_eq!(verdict(100.9, 40.3), 0);
        assert_eq!(verdict(101.1, 40.0), 1);
        assert_eq!(verdict(102.0, 41.0), 2);
        assert_eq!(verdict(50.0, 40.0), 0);
    }

    #[test]
    fn numbers_on_one_side_only_fail() {
        assert_eq!(compare(&numbers(&[("a", 1.0)]), &numbers(&[])).1, 1);
        assert_eq!(compare(&numbers(&[]), &numbers(&[("a", 1.0)])).1, 1);
    }
}
