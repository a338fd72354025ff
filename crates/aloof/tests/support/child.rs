//! Tests that want a process of their own: the test binary runs itself again for one test.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, ExitStatus, Stdio};

const ROLE: &str = "ALOOF_TEST_ROLE";
/// A child that takes longer hangs, and is killed.
const LIMIT_SECONDS: u32 = 100;
/// So is the child of a fork.
const FORKED_SECONDS: u32 = 40;

/// How a child ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The signal that killed it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// What the child printed behind `label` on its standard output.
    pub fn printed(&self, label: &str) -> Option<&str> {
        let (_, rest) = self.stdout.split_once(label)?;
        rest.lines().next().map(str::trim)
    }

    /// The child was stopped for a fault, of which it said this.
    pub fn assert_fault(&self, why: &str) {
        assert_eq!(self.signal(), Some(libc::SIGABRT), "{self:#?}");
        assert!(self.stderr.contains(why), "{self:#?}");
    }

    pub fn assert_success(&self, what: &str) {
        // A name that no test has would run nothing and succeed.
        let ran = self.stdout.contains("1 passed");
        assert!(self.status.success() && ran, "{what}: {self:#?}");
    }
}

/// What this process is to do, if it is a child.
pub fn role() -> Option<String> {
    let role = env::var(ROLE).ok()?;
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(LIMIT_SECONDS) };
    Some(role)
}

/// Runs the test `name` of this binary as a child with a role.
pub fn run(name: &str, role: &str) -> Outcome {
    run_with(name, role, &[])
}

/// The same with environment variables.
pub fn run_with(name: &str, role: &str, variables: &[(&str, &str)]) -> Outcome {
    let program = env::current_exe().expect("the test binary has a path");
    let output = Command::new(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .envs(variables.iter().copied())
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("the test binary starts");
    Outcome {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `body`, of the test `name`, in a fresh process.
pub fn isolated(name: &str, body: impl FnOnce()) {
    isolated_with(name, &[], body);
}

/// The same with environment variables.
pub fn isolated_with(name: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    if role().is_some() {
        return body();
    }
    run_with(name, "alone", variables).assert_success(name);
}

/// Runs `body` in the child of a fork, which has no other thread and ends after it. Whether it said yes, in time.
pub fn forked(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `body` and ends, whatever comes of it.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork is refused");
    if pid == 0 {
        // SAFETY: neither has preconditions.
        unsafe {
            libc::alarm(FORKED_SECONDS);
            let yes = panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(false);
            libc::_exit((!yes).into());
        }
    }
    let mut status = 0;
    // SAFETY: the child of just now, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status == 0
}
