//! The command-line program `aloof`.
//!
//! Rooms, each naming only those after it: `main` (parse, dispatch) -> a subcommand (`run`; `bench` is the crate
//! `aloof-bench`) -> `failure`, `human`, `sys`.

#![deny(unsafe_code)]

mod failure;
mod human;
mod run;
mod sys;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  aloof run -- ls -l /               run a program on aloof
  aloof run --stats -- sort big.txt  the same, with a summary of its memory at the end
  aloof run --help                   all about running programs
  aloof bench --suite small          a short comparison with other allocators";

/// Runs programs on the aloof memory allocator.
#[derive(Parser)]
#[command(name = "aloof", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    /// Measures aloof against other allocators in one interleaved run.
    Bench(aloof_bench::Args),
}

fn main() -> ExitCode {
    let (done, status) = match Cli::parse().command {
        Command::Run(args) => (run::main(args), failure::REFUSED),
        // 1 is that a measurement failed.
        Command::Bench(args) => (aloof_bench::main(args), failure::MISUSED),
    };
    done.unwrap_or_else(|error| {
        // The exit status still tells when nobody reads stderr.
        let _ = writeln!(std::io::stderr(), "aloof: {error:#}");
        failure::exit_code(&error, status)
    })
}
