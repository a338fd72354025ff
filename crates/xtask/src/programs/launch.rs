//! A small process between xtask and a program under test: `xtask launch`, not for people.
//!
//! It exists so that the peak RSS it reports is the program's: on exec the kernel counts the memory of
//! the process that forked, and this one is small. It also watches, while the program runs, that the
//! expected executables really have the library in their address space.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::processes::{kill_tree, tree};

/// How often the program is looked at.
const STEP: Duration = Duration::from_millis(3);

/// Options of the hidden command.
#[derive(Args)]
pub struct Options {
    /// Where to write the report
    #[arg(long)]
    pub report: PathBuf,
    /// What to preload into the program
    #[arg(long)]
    pub preload: Option<PathBuf>,
    /// Executables that are to be seen with the preloaded library
    #[arg(long)]
    pub expect: Vec<PathBuf>,
    /// Seconds after which the program is killed
    #[arg(long)]
    pub limit: u64,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

impl Options {
    /// The arguments that make `xtask` do this.
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> = vec!["launch".into()];
        words.extend(["--report".into(), self.report.clone().into_os_string()]);
        if let Some(library) = &self.preload {
            words.extend(["--preload".into(), library.clone().into_os_string()]);
        }
        for executable in &self.expect {
            words.extend(["--expect".into(), executable.clone().into_os_string()]);
        }
        words.extend(["--limit".into(), self.limit.to_string().into(), "--".into()]);
        words.extend(self.command.iter().map(Into::into));
        words
    }
}

/// How a program went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// As wait reports it: exit code and signal in one.
    pub status: i32,
    pub timed_out: bool,
    pub seconds: f64,
    pub user_seconds: f64,
    pub system_seconds: f64,
    /// The largest resident set of the program or a descendant it waited for.
    pub peak_rss_bytes: u64,
    /// Expected executables that were seen with the library mapped.
    pub seen: BTreeSet<PathBuf>,
}

impl Report {
    pub fn status(&self) -> ExitStatus {
        ExitStatus::from_raw(self.status)
    }
}

/// Runs the program and writes the report.
pub fn command(options: &Options) -> Result<()> {
    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]);
    if let Some(library) = &options.preload {
        command.env("LD_PRELOAD", library);
    }
    let started = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot run {}", options.command[0]))?;
    let mut watch = Watch::new(options);
    let deadline = started + Duration::from_secs(options.limit);
    let mut timed_out = false;
    let (status, usage) = loop {
        if let Some(end) = wait(child.id()).context("cannot wait for the program")? {
            break end;
        }
        if !timed_out && Instant::now() >= deadline {
            timed_out = true;
            kill_tree(child.id());
        }
        watch.look(child.id());
        sleep(STEP);
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let report = Report {
        status,
        timed_out,
        seconds: started.elapsed().as_secs_f64(),
        user_seconds: seconds(usage.ru_utime),
        system_seconds: seconds(usage.ru_stime),
        peak_rss_bytes: usage.ru_maxrss as u64 * 1024,
        seen: watch.seen,
    };
    let text = serde_json::to_string(&report).context("cannot write the report as JSON")?;
    fs::write(&options.report, text)
        .with_context(|| format!("cannot write {}", options.report.display()))
}

/// The end of a child and what it used, if it has ended.
fn wait(pid: u32) -> io::Result<Option<(i32, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers; all zero is a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the right type.
    let ended = unsafe { libc::wait4(pid as libc::pid_t, &mut status, libc::WNOHANG, &mut usage) };
    match ended {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some((status, usage))),
    }
}

/// Looks for expected executables until each was seen with the library.
struct Watch<'a> {
    library: Option<&'a Path>,
    missing: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl<'a> Watch<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            library: options.preload.as_deref(),
            missing: options.expect.iter().cloned().collect(),
            seen: BTreeSet::new(),
        }
    }

    fn look(&mut self, root: u32) {
        let Some(library) = self.library else { return };
        if self.missing.is_empty() {
            return;
        }
        for pid in tree(root) {
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let Ok(executable) = fs::read_link(folder.join("exe")) else {
                continue;
            };
            if self.missing.contains(&executable) && maps(&folder, library) {
                self.missing.remove(&executable);
                self.seen.insert(executable);
            }
        }
    }
}

/// Whether a process has code of the library mapped.
fn maps(process: &Path, library: &Path) -> bool {
    let text = fs::read_to_string(process.join("maps")).unwrap_or_default();
    text.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let executable = fields.nth(1).is_some_and(|rights| rights.contains('x'));
        executable && fields.nth(3).is_some_and(|path| Path::new(path) == library)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_as_the_same_options() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let options = Options {
            report: "r".into(),
            preload: Some("p".into()),
            expect: vec!["a".into(), "b".into()],
            limit: 7,
            command: vec!["true".into(), "--flag".into()],
        };
        let line = Line::parse_from(options.to_arguments());
        assert_eq!(line.options.to_arguments(), options.to_arguments());
    }

    #[test]
    fn a_mapped_library_is_seen_and_an_unmapped_one_is_not() {
        let own = Path::new("/proc/self");
        let text = fs::read_to_string("/proc/self/maps").expect("maps");
        let libc = text
            .split_whitespace()
            .find(|word| word.ends_with("libc.so.6"))
            .expect("the C library is mapped");
        assert!(maps(own, Path::new(libc)));
        assert!(!maps(own, Path::new("/usr/lib/libother.so")));
    }

    #[test]
    fn a_report_tells_status_memory_and_time() {
        let folder = tempfile::tempdir().expect("folder");
        let report = folder.path().join("report");
        let run = |limit, script: &str| {
            command(&Options {
                report: report.clone(),
                preload: None,
                expect: vec![],
                limit,
                command: vec!["sh".into(), "-c".into(), script.into()],
            })
            .expect("launched");
            let text = fs::read_to_string(&report).expect("report");
            serde_json::from_str::<Report>(&text).expect("JSON")
        };
        let ended = run(20, "exit 3");
        assert_eq!(ended.status().code(), Some(3));
        assert!(!ended.timed_out);
        assert!((100_000..500_000_000).contains(&ended.peak_rss_bytes));

        let killed = run(0, "sleep 30; true");
        assert!(killed.timed_out);
        assert_eq!(killed.status().signal(), Some(libc::SIGKILL));
    }
}
