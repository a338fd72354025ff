//! `aloof-bench`: the suite as a command of its own, the same as `aloof bench`.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "aloof-bench", version, about)]
struct Cli {
    #[command(flatten)]
    args: aloof_bench::Args,
}

fn main() -> ExitCode {
    match aloof_bench::main(Cli::parse().args) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("aloof-bench: {why:#}");
            ExitCode::from(2)
        }
    }
}
