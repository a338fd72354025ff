//! The program beside aloof: what is shown and written while it runs and when it has ended.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::failure::REFUSED;
use crate::{human, sys};

use super::environment::Directories;
use super::supervise::{Ended, Error, Nobody, Onlooker};
use super::watch::{Report, Watch};
use super::{Args, cannot_execute, stats, supervise};

/// Runs the program to its end.
pub fn run(
    args: &Args,
    program: &Path,
    image: impl FnOnce(Directories) -> std::io::Result<sys::Image>,
) -> anyhow::Result<ExitCode> {
    let report = args.html.as_deref().map(Report::create).transpose()?;
    let directory = tempfile::Builder::new()
        .prefix("aloof-run-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .context("cannot make a temporary directory for what the library leaves")?;
    let is_watched = args.watch || report.is_some();
    let image = image(Directories {
        stats: args.stats.then_some(directory.path()),
        live: is_watched.then_some(directory.path()),
    })?;
    let mut watch = is_watched.then(|| Watch::new(&args.command, directory.path()));
    let onlooker: &mut dyn Onlooker = match &mut watch {
        Some(watch) => watch,
        None => &mut Nobody,
    };
    let ended = supervise::run(image, onlooker).map_err(|error| match error {
        Error::Spawn(e) => cannot_execute(program, &e),
        Error::Wait(e) => anyhow::Error::new(e).context("cannot wait for the program"),
    })?;
    let text = last_words(args, &ended, watch.as_mut(), directory.path());
    // Whoever closed stderr does not want it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    let written = match (report, &watch) {
        (Some(report), Some(watch)) => report.write(&watch.page(&ended)),
        _ => Ok(()),
    };
    if let Err(error) = &written {
        let _ = writeln!(std::io::stderr(), "aloof: {error:#}");
    }
    // Before a death by signal, which runs no destructor.
    drop((watch, directory));
    match (ended.status.signal(), ended.status.code()) {
        (Some(signal), _) => sys::die_by(signal),
        (None, Some(0)) if written.is_err() => Ok(ExitCode::from(REFUSED)),
        (None, code) => Ok(ExitCode::from(code.map_or(1, |code| code as u8))),
    }
}

/// All that is told in the end: the chart, the peaks, the statistics.
fn last_words(args: &Args, ended: &Ended, watch: Option<&mut Watch>, directory: &Path) -> String {
    let name = &args.command[0];
    let (chart, peaks) = watch.map_or_else(Default::default, |watch| {
        (watch.close(), watch.peaks(ended))
    });
    if args.stats {
        return chart + &peaks + &stats::summary(name, ended, &stats::collect(directory));
    }
    let time = human::duration(ended.wall);
    format!(
        "{chart}{}time       {time}\n{peaks}",
        stats::headline(name, ended.status)
    )
}
