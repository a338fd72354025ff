//! `aloof run`: runs a program with the shared library preloaded.
//!
//! The request flows one way: `find` the program, `examine` whether the loader will obey LD_PRELOAD in it, choose the
//! `library`, make the `environment`, then either become the program (no `--stats`: nothing of aloof stays) or
//! `supervise` it and print what `stats` reads.

mod cache;
mod elf;
mod environment;
mod examine;
mod find;
mod library;
mod privilege;
mod script;
mod stats;
mod supervise;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::failure::Failure;
use crate::sys;

const EXAMPLES: &str = "\
Examples:
  aloof run -- ls -l /                    status, signals and output are those of ls
  aloof run --stats -- make -j2           memory of make and of all that it starts
  aloof run --lib ./libother.so -- ./app  another library, in the same way

Exit status:
  that of the program; when a signal ended it, aloof ends by the same signal
  127  the program is not found
  126  it cannot be executed
  2    aloof was called wrongly
  1    the program cannot run on aloof: statically linked, setuid, of another machine or C library

Programs started by the program run on aloof too, unless they are statically linked or setuid, or LD_PRELOAD is taken
out of their environment.";

/// Run a dynamically linked program on aloof.
///
/// The library is preloaded with LD_PRELOAD, in front of libraries already named there. Without --stats, aloof becomes
/// the program and leaves nothing of itself behind.
#[derive(clap::Args)]
#[command(override_usage = "aloof run [--stats] [--lib PATH] [--] CMD [ARGS]...", after_help = EXAMPLES)]
pub struct Args {
    /// Print a summary on standard error when the program has ended: time, peak and live memory, metadata, tiers
    #[arg(long)]
    stats: bool,

    /// Preload this shared library instead of the one inside aloof
    #[arg(long, value_name = "PATH")]
    lib: Option<PathBuf>,

    /// The program, looked up in PATH, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["CMD", "ARGS"])]
    command: Vec<OsString>,
}

/// Runs the program; returns only with `--stats` or when it could not be run.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    let name = args.command[0].as_os_str();
    let program = find::find(name, std::env::var_os("PATH").as_deref())?;
    let launch = examine::examine(&program)?;
    let library = match &args.lib {
        Some(path) => library::given(path)?,
        None => library::embedded()?,
    };
    let arguments = args.command.iter().map(OsString::as_os_str);
    let (path, arguments): (&Path, Vec<&OsStr>) = match launch {
        examine::Launch::Direct => (&program, arguments.collect()),
        examine::Launch::Shell(shell) => (
            shell,
            [shell.as_os_str(), program.as_os_str()]
                .into_iter()
                .chain(arguments.skip(1))
                .collect(),
        ),
    };
    let image = |stats_dir: Option<&Path>| {
        let environment = environment::with(std::env::vars_os(), &library, stats_dir);
        sys::Image::new(path, arguments.iter().copied(), environment)
    };
    if args.stats {
        with_stats(name, &program, image)
    } else {
        Err(cannot_execute(&program, &image(None)?.exec()))
    }
}

fn with_stats(
    name: &OsStr,
    program: &Path,
    image: impl FnOnce(Option<&Path>) -> std::io::Result<sys::Image>,
) -> anyhow::Result<ExitCode> {
    let directory = tempfile::Builder::new()
        .prefix("aloof-stats-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .context("cannot make a temporary directory for the statistics")?;
    let image = image(Some(directory.path()))?;
    let ended = supervise::run(image).map_err(|error| match error {
        supervise::Error::Spawn(e) => cannot_execute(program, &e),
        supervise::Error::Wait(e) => anyhow::Error::new(e).context("cannot wait for the program"),
    })?;
    let collected = stats::collect(directory.path());
    // Whoever closed stderr does not want it.
    let _ = std::io::stderr().write_all(stats::summary(name, &ended, &collected).as_bytes());
    // Before a death by signal, which runs no destructor.
    drop(directory);
    match ended.status.signal() {
        Some(signal) => sys::die_by(signal),
        None => Ok(ExitCode::from(
            ended.status.code().map_or(1, |code| code as u8),
        )),
    }
}

fn cannot_execute(program: &Path, error: &std::io::Error) -> anyhow::Error {
    Failure::not_executable(format!("cannot execute {}: {error}", program.display())).into()
}
