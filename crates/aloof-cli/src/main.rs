//! The command-line program `aloof`.
//!
//! Rooms, each naming only those after it: `main` (parse, dispatch) -> a subcommand (`run`) -> `failure`, `human`,
//! `sys`.

#![deny(unsafe_code)]

mod failure;
mod human;
mod run;
mod sys;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  aloof run -- ls -l /               run a program on aloof
  aloof run --stats -- sort big.txt  the same, with a summary of its memory at the end
  aloof run --help                   all about running programs";

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
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::main(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("aloof: {error:#}");
        failure::exit_code(&error)
    })
}
