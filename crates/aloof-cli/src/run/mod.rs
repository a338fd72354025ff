//! `aloof run`: runs a program with the shared library preloaded.
//!
//! The request flows one way: `find` the program, `examine` whether the loader will obey LD_PRELOAD in it, choose the
//! `library`, make the `environment`, then either become the program (nothing of aloof stays) or, for `--stats`,
//! `--watch` and `--html`, run it `beside` aloof: `supervise` stands between it and the shell, `watch` looks
//! at it while it runs, and `stats` reads what it left in the end.

mod beside;
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
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::Failure;
use crate::sys;

use environment::Directories;

const EXAMPLES: &str = "\
Examples:
  aloof run -- ls -l /                    status, signals and output are those of ls
  aloof run --stats -- make -j2           memory of make and of all that it starts
  aloof run --watch -- ./server           a chart of its memory while it runs
  aloof run --html mem.html -- ./job      the same, and a page with a plot in the end
  aloof run --lib ./libother.so -- ./app  another library, in the same way

The chart of --watch is drawn at the bottom of the terminal, the program writes above it. Where standard error is no
terminal, a line a second is written there instead. It shows the resident memory of the program and of all that it starts,
and the bytes that they have allocated and not freed.

Exit status:
  that of the program; when a signal ended it, aloof ends by the same signal
  127  the program is not found
  126  it cannot be executed
  2    aloof was called wrongly
  1    the program cannot run on aloof: statically linked, setuid, of another machine or C library; or the file of
       --html cannot be written

Programs started by the program run on aloof too, unless they are statically linked or setuid, or LD_PRELOAD is taken
out of their environment.";

/// Run a dynamically linked program on aloof.
///
/// The library is preloaded with LD_PRELOAD, in front of libraries already named there. Without --stats, --watch and
/// --html, aloof becomes the program and leaves nothing of itself behind.
#[derive(clap::Args)]
#[command(override_usage = "aloof run [--stats] [--watch] [--html FILE] [--lib PATH] [--] CMD [ARGS]...", after_help = EXAMPLES)]
pub struct Args {
    /// Print a summary on standard error when the program has ended: time, peak and live memory, metadata, tiers
    #[arg(long)]
    stats: bool,

    /// Show resident memory and live bytes on standard error while the program runs
    #[arg(long)]
    watch: bool,

    /// Write a page with a plot of both over time to this file when the program has ended; implies --watch
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Preload this shared library instead of the one inside aloof
    #[arg(long, value_name = "PATH")]
    lib: Option<PathBuf>,

    /// The program, looked up in PATH, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["CMD", "ARGS"])]
    command: Vec<OsString>,
}

/// Runs the program; returns only when that was beside aloof, or impossible.
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
    let image = |directories: Directories| {
        let environment = environment::with(std::env::vars_os(), &library, directories);
        sys::Image::new(path, arguments.iter().copied(), environment)
    };
    if !args.stats && !args.watch && args.html.is_none() {
        let image = image(Directories::default())?;
        return Err(cannot_execute(&program, &image.exec()));
    }
    beside::run(&args, &program, image)
}

fn cannot_execute(program: &Path, error: &std::io::Error) -> anyhow::Error {
    Failure::not_executable(format!("cannot execute {}: {error}", program.display())).into()
}
