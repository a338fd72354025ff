//! The report of `--html`: one file, without anything from elsewhere.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::failure::Failure;
use crate::human;
use crate::run::stats::how_it_ended;
use crate::run::supervise::Ended;

use super::history::{History, Peak};
use super::plot;

const STYLE: &str = "\
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: #ffffff; color: #1f2937;
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h1 code { font: 1.2rem ui-monospace, monospace; }
p { color: #4b5563; margin: .5rem 0 1rem; }
table { border-collapse: collapse; margin-top: 1rem; }
th, td { padding: .25rem 1.5rem .25rem 0; text-align: left; border-bottom: 1px solid #e5e7eb; }
th { font-weight: 500; color: #4b5563; }
td { font-variant-numeric: tabular-nums; }";

/// A file that can be written, found out before the program starts.
pub struct Report {
    path: PathBuf,
    file: File,
    /// Made here and not written yet; nothing of it stays if the program does not start.
    is_empty: bool,
}

impl Report {
    /// Opens the file. What is in it stays until the report is written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let open = |options: &mut OpenOptions| options.write(true).open(path);
        let opened = match open(OpenOptions::new().create_new(true)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                open(OpenOptions::new().create(true)).map(|file| (file, false))
            }
            other => other.map(|file| (file, true)),
        };
        let (file, is_empty) = opened.map_err(|e| refusal(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_empty,
        })
    }

    /// Writes the page.
    pub fn write(mut self, page: &str) -> anyhow::Result<()> {
        let write = |file: &mut File| {
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            file.write_all(page.as_bytes())
        };
        write(&mut self.file)
            .with_context(|| format!("cannot write the report {}", self.path.display()))?;
        self.is_empty = false;
        Ok(())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.is_empty {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refusal(path: &Path, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "its directory does not exist".to_owned(),
        io::ErrorKind::IsADirectory => {
            "it is a directory; give a file in it, as in --html DIRECTORY/memory.html".to_owned()
        }
        _ => error.to_string(),
    };
    let path = path.display();
    Failure::refused(format!("--html {path}: cannot be written: {why}"))
}

/// The page.
pub fn page(title: &str, history: &History, ended: &Ended) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut out, &escaped(title), history, ended);
    out
}

fn write_page(out: &mut String, title: &str, history: &History, ended: &Ended) -> fmt::Result {
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Memory of {title}</title>\n<style>\n{STYLE}\n{}\n</style>\n</head>\n<body>\n\
         <h1>Memory of <code>{title}</code></h1>\n<p>{} after {}</p>\n",
        plot::STYLE,
        how_it_ended(ended.status),
        human::duration(ended.wall)
    )?;
    plot::write(out, history)?;
    if history.live.is_none() {
        writeln!(out, "<p>{}</p>", super::LIVE_UNKNOWN)?;
    }
    writeln!(out, "<table>")?;
    for (name, value) in figures(history, ended) {
        writeln!(out, "<tr><th>{name}</th><td>{value}</td></tr>")?;
    }
    write!(
        out,
        "</table>\n<p>Written by aloof {}, which looked {} times. Resident memory and live bytes are summed over \
         all processes of the command; pages that processes share count for each.</p>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        human::count(history.looks)
    )
}

fn figures(history: &History, ended: &Ended) -> Vec<(&'static str, String)> {
    let at = |peak: Peak| {
        format!(
            "{} at {}",
            human::bytes(peak.bytes),
            human::duration(peak.at)
        )
    };
    let mut figures = vec![("Peak resident memory", at(history.rss))];
    if let Some(live) = history.live {
        figures.push(("Peak live bytes", at(live)));
        figures.push(("Peak committed memory", at(history.committed)));
    }
    let kernel = human::bytes(ended.usage.peak_rss_bytes);
    figures.push((
        "Peak resident memory of the largest process, by the kernel",
        kernel,
    ));
    figures.push((
        "Processes at a time",
        format!("up to {}", history.processes),
    ));
    let times = [ended.usage.user, ended.usage.system].map(human::duration);
    figures.push((
        "Processor time",
        format!("{} user, {} system", times[0], times[1]),
    ));
    figures
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
