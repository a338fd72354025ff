//! Measures allocators side by side: one fresh process per measurement, allocators interleaved,
//! every block verified, medians of paired ratios.
//!
//! `args` says what to run, `catalogue` and `allocators` turn it into workloads and preloads,
//! `measure` runs one process, `session` the whole plan, `stats` condenses the samples into the
//! rows of a `record`, and `table` shows them.

mod allocators;
mod apps;
mod args;
mod callgrind;
mod catalogue;
mod gate;
mod html;
mod machine;
mod measure;
mod peers;
mod progress;
mod record;
mod sampler;
mod session;
mod stats;
mod table;
mod tools;
mod warm;
mod watch;

pub use args::{Args, Suite, Task};
pub use gate::GateArgs;

use anyhow::{Context, Result};
use std::io::Write;
use std::process::ExitCode;

/// Measures what is asked for.
fn measured(args: &Args) -> Result<record::Report> {
    let tools = tools::Tools::prepare(args)?;
    let allocators = allocators::choose(args, &tools)?;
    let workloads = catalogue::workloads(args, &tools)?;
    session::run(args, &tools, allocators, workloads)
}

/// Runs the benchmark as asked. The exit status is 0 when every measurement succeeded and 1 when
/// one was marked failed; misuse and missing tools are errors.
pub fn main(args: Args) -> Result<ExitCode> {
    args.check()?;
    if let Some(Task::Gate(gate)) = &args.command {
        return gate::run(&args, gate);
    }
    for file in [&args.json, &args.html].into_iter().flatten() {
        record::check_writable(file)?;
    }
    let report = match &args.from {
        Some(path) => record::read(path)?,
        None => measured(&args)?,
    };
    let written = write_files(&args, &report);
    // Whatever became of the files, and nothing is lost if nobody reads it.
    let _ = std::io::stdout().write_all(table::render(&report).as_bytes());
    written?;
    Ok(if report.rows.iter().any(|row| row.failed) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

fn write_files(args: &Args, report: &record::Report) -> Result<()> {
    if let Some(path) = &args.json {
        record::write(report, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, html::render(report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
