//! A behaviour: a program, the conditions it runs under, how it must end, and the faults it must notice.

use crate::compile::{Link, compile, compile_library, defines};
use crate::paths::library;
use crate::process::{Machine, Outcome, Run};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

/// How a program must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// With status 0, and nothing on its standard error.
    Success,
    /// Stopped by the allocator: SIGABRT after one line on stderr that names the pointer on the program's first line.
    Death,
}

/// A behaviour under test.
#[derive(Clone, Debug)]
pub struct Case {
    source: &'static str,
    arguments: Vec<OsString>,
    wrapper: Vec<&'static str>,
    link: Link,
    expect: Expect,
    address_space: Option<u64>,
    environment: Vec<(&'static str, &'static str)>,
    limit: Duration,
    faults: Vec<(&'static str, &'static str)>,
}

/// The report of a run that had to be stopped holds these words.
const HANGS: &str = "did not end in time";

impl Case {
    /// A program of `tests/behaviour` and its arguments, preloaded, to end well.
    pub fn new(source: &'static str, arguments: &[&str]) -> Self {
        Self {
            source,
            arguments: arguments.iter().map(OsString::from).collect(),
            wrapper: Vec::new(),
            link: Link::None,
            expect: Expect::Success,
            address_space: None,
            environment: Vec::new(),
            limit: Duration::from_secs(180),
            faults: Vec::new(),
        }
    }

    /// A misuse that the allocator must stop.
    pub fn death(mode: &str) -> Self {
        Self {
            expect: Expect::Death,
            ..Self::new("death.c", &[mode])
        }
        .fault("trusting", "ended with status 3")
    }

    /// Adds the path of a library of `tests/behaviour` to the arguments.
    pub fn with_library(mut self, source: &str) -> Self {
        self.arguments
            .push(compile_library(source, &[]).into_os_string());
        self
    }

    /// Links instead of preloading.
    pub fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// Runs under a limit on the address space.
    pub fn address_space(self, bytes: u64) -> Self {
        Self {
            address_space: Some(bytes),
            ..self
        }
    }

    /// Sets a variable of the environment.
    pub fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Runs under another program.
    pub fn under(self, wrapper: &[&'static str]) -> Self {
        Self {
            wrapper: wrapper.to_vec(),
            ..self
        }
    }

    /// Names a fault of `fault.c` and words of the report it must cause; `|` separates alternatives.
    pub fn fault(mut self, fault: &'static str, report: &'static str) -> Self {
        self.faults.push((fault, report));
        self
    }

    /// Names a fault that makes the program hang.
    pub fn fault_hangs(self, fault: &'static str) -> Self {
        self.fault(fault, HANGS)
    }

    fn run(
        &self,
        machine: &Machine,
        fault: Option<(&'static str, &'static str)>,
    ) -> Result<(), String> {
        let program = compile(self.source, self.link);
        let mut command: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        command.push(program.clone().into_os_string());
        command.extend(self.arguments.iter().cloned());
        let mut run = Run {
            command,
            preload: Vec::new(),
            environment: self
                .environment
                .iter()
                .map(|&(name, value)| (name, value.into()))
                .collect(),
            address_space: self.address_space,
            limit: self.limit,
        };
        if let Some((fault, report)) = fault {
            run.preload
                .push(compile_library("fault.c", &["-fexceptions"]));
            run.environment.push(("FAULT", fault.into()));
            run.environment.push(("PATIENCE", "3".into()));
            if report == HANGS {
                run.limit = Duration::from_secs(5);
            }
        }
        match self.link {
            Link::None => run.preload.push(library()),
            Link::Shared => {}
            _ => assert!(
                defines(&program, "malloc"),
                "{} is linked with another allocator",
                program.display()
            ),
        }
        judge(self.expect, &run.run(machine))
    }

    /// Runs the program while the caller has the machine.
    ///
    /// # Panics
    /// If the behaviour does not hold.
    pub fn hold_on(&self, machine: &Machine) {
        if let Err(report) = self.run(machine, None) {
            panic!("{} {:?}: {report}", self.source, self.arguments);
        }
    }

    /// Runs the program with each fault put in while the caller has the machine.
    ///
    /// # Panics
    /// If a fault goes unnoticed, or is noticed for another reason than it should be, or none is named.
    pub fn notice_faults_on(&self, machine: &Machine) {
        assert!(
            !self.faults.is_empty(),
            "{} {:?} names no fault that it would notice",
            self.source,
            self.arguments
        );
        for &(fault, words) in &self.faults {
            match self.run(machine, Some((fault, words))) {
                Ok(()) => panic!(
                    "{} {:?} does not notice the fault {fault:?}",
                    self.source, self.arguments
                ),
                Err(report) => assert!(
                    words.split('|').any(|words| report.contains(words)),
                    "{} {:?} with the fault {fault:?}: the report has no {words:?}: {report}",
                    self.source,
                    self.arguments
                ),
            }
        }
    }

    /// The behaviour holds.
    pub fn hold(&self) {
        self.hold_on(&Machine::shared());
    }

    /// The program notices its faults.
    pub fn notice_faults(&self) {
        self.notice_faults_on(&Machine::shared());
    }
}

fn judge(expect: Expect, outcome: &Outcome) -> Result<(), String> {
    let fault = match expect {
        Expect::Success => fault_of_success(outcome),
        Expect::Death => fault_of_death(outcome),
    };
    fault.map_or(Ok(()), |fault| {
        Err(format!("{fault}: {}", outcome.describe()))
    })
}

fn fault_of_success(outcome: &Outcome) -> Option<&'static str> {
    if outcome.status.and_then(|status| status.code()) != Some(0) {
        return Some("the program failed");
    }
    (!outcome.stderr.is_empty())
        .then_some("the program ended well but something was written to its standard error")
}

fn fault_of_death(outcome: &Outcome) -> Option<&'static str> {
    if outcome.status.and_then(|status| status.signal()) != Some(libc::SIGABRT) {
        return Some("the misuse was not stopped by SIGABRT");
    }
    let pointer = outcome.stdout.lines().next().unwrap_or_default();
    if !pointer.starts_with("0x") {
        return Some("the program died before its misuse");
    }
    let line = outcome.stderr.strip_suffix('\n');
    let Some(line) = line.filter(|line| !line.contains('\n')) else {
        return Some("the report is not one line");
    };
    if !line.starts_with("aloof: ") {
        return Some("the report does not begin with \"aloof: \"");
    }
    let names_it = line
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word == pointer);
    (!names_it).then_some("the report does not name the pointer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    fn outcome(status: i32, stdout: &str, stderr: &str) -> Outcome {
        Outcome {
            status: Some(ExitStatus::from_raw(status)),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn success_is_status_0_and_silence() {
        assert_eq!(judge(Expect::Success, &outcome(0, "anything", "")), Ok(()));
        for failure in [
            outcome(1 << 8, "", ""),
            outcome(libc::SIGABRT, "", ""),
            outcome(0, "", "aloof: a word\n"),
        ] {
            assert!(judge(Expect::Success, &failure).is_err(), "{failure:?}");
        }
        assert!(
            judge(
                Expect::Success,
                &Outcome {
                    status: None,
                    ..outcome(0, "", "")
                }
            )
            .is_err()
        );
    }

    #[test]
    fn death_is_one_line_that_names_the_pointer() {
        let abort = libc::SIGABRT;
        assert_eq!(
            judge(
                Expect::Death,
                &outcome(abort, "0x1f0\n", "aloof: free(0x1f0): already free\n")
            ),
            Ok(())
        );
        for failure in [
            outcome(3 << 8, "0x1f0\nsurvived\n", ""),
            outcome(
                libc::SIGSEGV,
                "0x1f0\n",
                "aloof: free(0x1f0): already free\n",
            ),
            outcome(abort, "", "aloof: free(0x1f0): already free\n"),
            outcome(abort, "0x1f0\n", ""),
            outcome(abort, "0x1f0\n", "aloof: free(0x1f0): already free"),
            outcome(abort, "0x1f0\n", "aloof: free(0x1f0): already free\nmore\n"),
            outcome(abort, "0x1f0\n", "free(0x1f0): already free\n"),
            outcome(abort, "0x1f0\n", "aloof: free(0x1f00): already free\n"),
            outcome(abort, "0x1f0\n", "aloof: already free\n"),
        ] {
            assert!(judge(Expect::Death, &failure).is_err(), "{failure:?}");
        }
    }
}
