//! Runs one benchmark load on whatever `malloc` the process has, and reports one line of JSON.
//!
//! Usage: `aloof-bench-worker LOAD [key=value ...]`. The load decides which keys it reads; a key
//! that it does not know is refused, so that a typing error cannot pass for a measurement.
//! `aloof-bench-worker exec OUTPUT PRELOAD PROGRAM ARGUMENTS...` measures another program.

mod batch;
mod block;
mod capi;
mod crew;
mod exchange;
mod grow;
mod larson;
mod launch;
mod mix;
mod options;
mod path;
mod replace;
mod ring;
mod sharing;
mod sizes;
mod sweep;

use aloof_bench_kit::finish;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let load = args.next().unwrap_or_default();
    let outcome = if load == "exec" {
        launch::run(args)
    } else {
        Options::parse(args).and_then(|options| run(&load, options))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("aloof-bench-worker: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(load: &str, mut options: Options) -> Result<(), String> {
    let work: fn(&mut Options) -> Result<crew::Done, String> = match load {
        "batch" => batch::run,
        "exchange" => exchange::run,
        "grow" => grow::run,
        "larson" => larson::run,
        "mix" => mix::run,
        "path" => path::run,
        "replace" => replace::run,
        "ring" => ring::run,
        "sharing" => sharing::run,
        "sweep" => sweep::run,
        _ => return Err(format!("unknown load '{load}'")),
    };
    let done = work(&mut options)?;
    finish(done.reading, done.ops);
    Ok(())
}
