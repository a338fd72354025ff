//! Runs one program to its end or to its time limit.

use crate::paths::build_directory;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program left behind.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended; none if it had to be stopped.
    pub status: Option<ExitStatus>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Outcome {
    /// The end in words.
    pub fn describe(&self) -> String {
        let end = match self.status {
            None => "did not end in time".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with status {code}"),
                (_, Some(signal)) => format!("was ended by signal {signal}"),
                _ => "ended strangely".to_owned(),
            },
        };
        format!(
            "it {end}; stdout: {:?}; stderr: {:?}",
            self.stdout, self.stderr
        )
    }
}

/// A program about to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Libraries to preload, in order.
    pub preload: Vec<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(&'static str, OsString)>,
    /// A limit on the address space, in bytes.
    pub address_space: Option<u64>,
    /// How long it may take.
    pub limit: Duration,
}

/// The state of the machine that programs run in: many share it as it is, one may change it alone.
pub struct Machine {
    _lock: File,
}

impl Machine {
    fn file() -> File {
        let path = build_directory().join("machine.lock");
        File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Waits until nobody changes the machine.
    pub fn shared() -> Self {
        let file = Self::file();
        file.lock_shared().expect("the lock file can be locked");
        Self { _lock: file }
    }

    /// Waits until nobody else runs.
    pub fn alone() -> Self {
        let file = Self::file();
        file.lock().expect("the lock file can be locked");
        Self { _lock: file }
    }
}

fn limit(resource: libc::__rlimit_resource_t, bytes: u64) -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the struct is valid for the call.
    if unsafe { libc::setrlimit(resource, &limit) } == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

impl Run {
    /// Runs the program; whatever it started is ended with it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run(&self, _machine: &Machine) -> Outcome {
        let (program, arguments) = self.command.split_first().expect("a command has a program");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ALOOF_") {
                command.env_remove(name);
            }
        }
        if !self.preload.is_empty() {
            let libraries: Vec<&OsStr> = self.preload.iter().map(|path| path.as_os_str()).collect();
            command.env("LD_PRELOAD", libraries.join(OsStr::new(":")));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let address_space = self.address_space;
        // SAFETY: setrlimit is async-signal-safe and the closure allocates nothing.
        unsafe {
            command.pre_exec(move || {
                limit(libc::RLIMIT_CORE, 0)?;
                address_space.map_or(Ok(()), |bytes| limit(libc::RLIMIT_AS, bytes))
            });
        }
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "cannot run {}: {error}; is it installed?",
                program.display()
            )
        });
        let stdout = child.stdout.take().map(reader);
        let stderr = child.stderr.take().map(reader);
        let start = Instant::now();
        let status = loop {
            match child.try_wait().expect("the child can be waited for") {
                Some(status) => break Some(status),
                None if start.elapsed() > self.limit => break None,
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let group = libc::pid_t::try_from(child.id()).expect("a process id fits");
        // SAFETY: kill has no condition; the group is the child's own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        if status.is_none() {
            child.wait().expect("the child can be waited for");
        }
        let text = |reader: Option<thread::JoinHandle<String>>| {
            reader
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default()
        };
        Outcome {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
