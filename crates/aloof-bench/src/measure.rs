//! One measurement: one fresh process, its report judged.

use crate::allocators::Allocator;
use crate::apps::{Kind, Program, redis};
use crate::catalogue::{Driver, Workload};
use crate::tools::Tools;
use crate::watch::{Ended, watch};
use serde::Deserialize;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What one measurement found.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The figures, or why there are none.
    pub outcome: Result<Figures, String>,
    /// `(milliseconds, resident bytes)` while the process ran.
    pub memory: Vec<(u32, u64)>,
}

/// The figures of a measurement that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Wall time of the load.
    pub seconds: f64,
    /// Allocations that the load made; 0 when unknown.
    pub ops: u64,
    /// Processor time in user mode.
    pub user_seconds: f64,
    /// Processor time in the kernel.
    pub system_seconds: f64,
    /// Page faults.
    pub page_faults: u64,
    /// The most memory that was resident.
    pub peak_rss_bytes: u64,
    /// What was resident after the load had freed everything; 0 when unknown.
    pub end_rss_bytes: u64,
}

/// A worker's line.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    ok: bool,
    error: String,
    nanos: u64,
    ops: u64,
    user_nanos: u64,
    system_nanos: u64,
    page_faults: u64,
    peak_rss_bytes: u64,
    end_rss_bytes: u64,
    malloc_from: String,
}

/// Runs `workload` once on `allocator`.
pub fn measure(
    workload: &Workload,
    allocator: &Allocator,
    tools: &Tools,
    timeout: Duration,
) -> Sample {
    let preload = allocator.preload.as_deref();
    match &workload.driver {
        Driver::Worker(args) => {
            let mut command = Command::new(&tools.worker);
            command.args(args).env_remove("LD_PRELOAD");
            if let Some(library) = preload {
                command.env("LD_PRELOAD", library);
            }
            sample(watch(command, timeout, false, None), |ended| {
                let line = report(ended)?;
                from_library(&line.malloc_from, preload)?;
                Ok(line.figures())
            })
        }
        Driver::Rust(args) => {
            let Some(binary) = &allocator.rust_binary else {
                return Sample::failed("has no binary of the Rust suite".into());
            };
            let mut command = Command::new(binary);
            command.args(args).env_remove("LD_PRELOAD");
            sample(watch(command, timeout, false, None), |ended| {
                let line = report(ended)?;
                if line.malloc_from != allocator.name {
                    return Err(format!("the binary is built on {}", line.malloc_from));
                }
                Ok(line.figures())
            })
        }
        Driver::App(app) => match &app.kind {
            Kind::Command(program) => launch(program, preload, tools, timeout),
            Kind::Redis { requests } => redis::run(*requests, preload, timeout),
        },
    }
}

fn launch(program: &Program, preload: Option<&Path>, tools: &Tools, timeout: Duration) -> Sample {
    if let Err(why) = program.freshen() {
        return Sample::failed(why.to_string());
    }
    let output = tools.data.join("output");
    let library = preload.map(|path| path.to_string_lossy().into_owned());
    let mut command = Command::new(&tools.worker);
    command
        .arg("exec")
        .arg(&output)
        .arg(library.as_deref().unwrap_or(""))
        .arg(&program.path)
        .args(&program.args)
        .envs(program.env.iter().cloned())
        .env_remove("LD_PRELOAD")
        .current_dir(&program.dir);
    sample(watch(command, timeout, true, library.as_deref()), |ended| {
        let line = report(ended)?;
        if let Some(line) = ended
            .stderr
            .lines()
            .find(|l| l.contains("cannot be preloaded"))
        {
            return Err(line.to_owned());
        }
        if ended.mapped == Some(false) && ended.memory.len() > 3 {
            return Err("the program did not load the library".into());
        }
        if fs::read(&output).map_err(|e| e.to_string())? != program.expected {
            return Err("the program's output differs from that on the C library's malloc".into());
        }
        program.check()?;
        Ok(line.figures())
    })
}

impl Sample {
    fn failed(why: String) -> Self {
        Sample {
            outcome: Err(why),
            memory: Vec::new(),
        }
    }
}

fn sample(
    ended: std::io::Result<Ended>,
    judge: impl FnOnce(&Ended) -> Result<Figures, String>,
) -> Sample {
    match ended {
        Ok(ended) => Sample {
            outcome: judge(&ended),
            memory: ended.memory,
        },
        Err(why) => Sample::failed(format!("could not be run: {why}")),
    }
}

impl Line {
    fn figures(&self) -> Figures {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        Figures {
            seconds: seconds(self.nanos),
            ops: self.ops,
            user_seconds: seconds(self.user_nanos),
            system_seconds: seconds(self.system_nanos),
            page_faults: self.page_faults,
            peak_rss_bytes: self.peak_rss_bytes,
            end_rss_bytes: self.end_rss_bytes,
        }
    }
}

/// The line of a worker that ended well, or how it failed.
fn report(ended: &Ended) -> Result<Line, String> {
    let line = ended
        .stdout
        .lines()
        .find_map(|line| serde_json::from_str::<Line>(line).ok());
    let last_words = || match ended.stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim()),
        None => String::new(),
    };
    match (&line, ended.status) {
        (_, None) => return Err("took too long and was ended".into()),
        (Some(line), _) if !line.ok => return Err(line.error.clone() + &last_words()),
        (_, Some(status)) => {
            if let Some(signal) = status.signal() {
                return Err(format!("died of signal {signal}{}", last_words()));
            }
            if !status.success() {
                return Err(format!("ended with {status}{}", last_words()));
            }
        }
    }
    line.ok_or_else(|| format!("reported nothing{}", last_words()))
}

/// An error unless the worker's `malloc` came from the preloaded library, or from the C library
/// when none was.
fn from_library(origin: &str, preload: Option<&Path>) -> Result<(), String> {
    let found = fs::canonicalize(origin).unwrap_or_default();
    let right = match preload {
        Some(library) => fs::canonicalize(library).is_ok_and(|library| library == found),
        None => found
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("libc.so")),
    };
    if right {
        Ok(())
    } else {
        Err(format!(
            "malloc came from {origin} instead of the chosen library"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    fn ended(wait_status: i32, stdout: &str, stderr: &str) -> Ended {
        Ended {
            status: Some(ExitStatus::from_raw(wait_status)),
            stdout: stdout.into(),
            stderr: stderr.into(),
            memory: Vec::new(),
            mapped: None,
        }
    }

    #[test]
    fn only_a_good_end_with_a_report_counts() {
        let good = "{\"ok\":true,\"nanos\":2500000000,\"ops\":5}\n";
        let line = report(&ended(0, good, "")).unwrap();
        assert_eq!((line.figures().seconds, line.ops), (2.5, 5));
        assert!(report(&ended(0, "", "")).is_err());
        assert!(
            report(&ended(6, good, "bad free\n")).is_err_and(|e| e.contains("signal 6: bad free"))
        );
        assert!(report(&ended(1 << 8, good, "")).is_err());
        let bad = "{\"ok\":false,\"error\":\"spoiled\"}\n";
        assert!(report(&ended(3 << 8, bad, "")).is_err_and(|e| e == "spoiled"));
        let late = Ended {
            status: None,
            ..ended(0, good, "")
        };
        assert!(report(&late).is_err());
    }

    #[test]
    fn the_library_must_be_the_one_that_was_asked_for() {
        assert!(from_library("/lib/x86_64-linux-gnu/libc.so.6", None).is_ok());
        assert!(from_library("/lib/x86_64-linux-gnu/libc.so.6", Some(Path::new("/tmp"))).is_err());
        assert!(from_library("/tmp", Some(Path::new("/tmp"))).is_ok());
        assert!(from_library("/tmp", None).is_err());
        assert!(from_library("", Some(Path::new("/nowhere"))).is_err());
    }
}
