//! `cargo xtask test`: the stages, in order, and their table.

mod cargo;
mod order;
mod symbols;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};

use crate::workspace::Workspace;
use crate::{golden, packages, programs};

/// One group of checks. The order here is the order they run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stage {
    Fmt,
    Clippy,
    Order,
    Build,
    Symbols,
    Golden,
    Gate,
    Unit,
    Loom,
    Behaviour,
    Programs,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Order => "order",
            Self::Build => "build",
            Self::Symbols => "symbols",
            Self::Golden => "golden",
            Self::Gate => "gate",
            Self::Unit => "unit",
            Self::Loom => "loom",
            Self::Behaviour => "behaviour",
            Self::Programs => "programs",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Fmt => "every file is formatted",
            Self::Clippy => "no warning in the workspace, with every feature",
            Self::Order => "rooms of the core crate name only lower rooms",
            Self::Build => "a release build makes the library, the archive and the command",
            Self::Symbols => "libaloof.so asks for and offers the right symbols",
            Self::Golden => "hot paths match their listings and budgets; nothing above x86-64-v1",
            Self::Gate => "no path and no workload takes more instructions than committed",
            Self::Unit => "unit tests of the workspace, and of the core on the fake OS",
            Self::Loom => "models of the lock-free structures",
            Self::Behaviour => "C and C++ programs that use the library as their malloc",
            Self::Programs => "real programs put out the same bytes on aloof and on glibc",
        }
    }
}

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Run only these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    only: Vec<Stage>,
    /// Name the stages and leave
    #[arg(long)]
    list: bool,
    /// Run the stages after one that failed, too
    #[arg(long)]
    keep_going: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

struct Row {
    name: String,
    outcome: Outcome,
    seconds: f64,
}

/// Runs the chosen stages; true when none failed.
pub fn test(options: &Options) -> Result<bool> {
    if options.list {
        for stage in Stage::value_variants() {
            println!("{:<10} {}", stage.name(), stage.about());
        }
        return Ok(true);
    }
    let chosen: BTreeSet<Stage> = if options.only.is_empty() {
        Stage::value_variants().iter().copied().collect()
    } else {
        options.only.iter().copied().collect()
    };
    let chosen: Vec<Stage> = chosen.into_iter().collect();
    let workspace = Workspace::locate()?;
    if let Err(error) = packages::ensure(&chosen) {
        println!("{error:#}\n0 passed, 1 failed");
        return Ok(false);
    }

    let (rows, errors) = run_all(&workspace, &chosen, options.keep_going);
    println!();
    if options.keep_going {
        // What failed first has long scrolled away.
        for error in errors {
            println!("{error}\n");
        }
    }
    println!("{}", table(&rows));
    let (passed, failed) = tally(&rows);
    println!("{passed} passed, {failed} failed");
    std::io::stdout().flush()?;
    Ok(failed == 0)
}

/// The rows of the table, and the error of each stage that failed.
fn run_all(workspace: &Workspace, chosen: &[Stage], keep_going: bool) -> (Vec<Row>, Vec<String>) {
    let begun = Instant::now();
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for (index, &stage) in chosen.iter().enumerate() {
        let name = stage.name();
        if !errors.is_empty() && !keep_going {
            rows.push(Row {
                name: name.into(),
                outcome: Outcome::Skipped,
                seconds: 0.0,
            });
            continue;
        }
        println!(
            "== [{}/{}] {name}: {} (at {:.0} s)",
            index + 1,
            chosen.len(),
            stage.about(),
            begun.elapsed().as_secs_f64()
        );
        let started = Instant::now();
        let mut parts = Vec::new();
        let result = run(workspace, stage, &mut parts);
        let seconds = started.elapsed().as_secs_f64();
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                let text = format!("{name} failed: {error:#}");
                println!("{text}");
                errors.push(text);
                Outcome::Failed
            }
        };
        rows.push(Row {
            name: name.into(),
            outcome,
            seconds,
        });
        rows.append(&mut parts);
    }
    (rows, errors)
}

/// Runs one stage; what it counts separately (programs) goes to `parts`.
fn run(workspace: &Workspace, stage: Stage, parts: &mut Vec<Row>) -> Result<()> {
    match stage {
        Stage::Fmt => cargo::fmt(workspace),
        Stage::Clippy => cargo::clippy(workspace),
        Stage::Order => order::check(&workspace.root.join("crates/aloof/src")),
        Stage::Build => cargo::build(workspace),
        Stage::Symbols => symbols::check(&workspace.library_or(None)?),
        Stage::Golden => golden::command(workspace, &golden::Options::default()),
        Stage::Gate => cargo::gate(workspace),
        Stage::Unit => cargo::unit(workspace),
        Stage::Loom => cargo::loom(workspace),
        Stage::Behaviour => cargo::behaviour(workspace),
        Stage::Programs => {
            let results = programs::run(workspace, &programs::Options::default())?;
            parts.extend(results.iter().map(|result| Row {
                name: format!("  {}", result.name()),
                outcome: if result.passed() {
                    Outcome::Passed
                } else {
                    Outcome::Failed
                },
                seconds: result.seconds(),
            }));
            programs::verdict(&results)
        }
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(["stage", "result", "seconds"]);
    for row in rows {
        let (result, seconds) = match row.outcome {
            Outcome::Passed => ("passed", format!("{:.1}", row.seconds)),
            Outcome::Failed => ("FAILED", format!("{:.1}", row.seconds)),
            Outcome::Skipped => ("skipped", String::new()),
        };
        table.add_row([row.name.clone(), result.into(), seconds]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn tally(rows: &[Row]) -> (usize, usize) {
    let count = |wanted| rows.iter().filter(|row| row.outcome == wanted).count();
    (count(Outcome::Passed), count(Outcome::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_stages_are_neither_passed_nor_failed() {
        let row = |outcome| Row {
            name: "x".into(),
            outcome,
            seconds: 1.0,
        };
        let rows = [
            row(Outcome::Passed),
            row(Outcome::Failed),
            row(Outcome::Skipped),
            row(Outcome::Passed),
        ];
        assert_eq!(tally(&rows), (2, 1));
    }

    #[test]
    fn stage_names_are_what_the_command_line_takes() {
        for stage in Stage::value_variants() {
            let value = stage.to_possible_value().expect("no stage is hidden");
            assert_eq!(value.get_name(), stage.name());
        }
    }
}
