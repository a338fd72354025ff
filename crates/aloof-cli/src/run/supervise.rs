//! Runs the program in a child for `--stats`, as if aloof were not in between.
//!
//! The child stays in aloof's process group, so the terminal's signals reach it without help: only those that a process
//! sent to aloof are passed on. Job control is mirrored: when the child is stopped aloof stops too, so that the shell
//! sees the job stop.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid as RawPid, Signal, getpgid, getpgrp, kill_process};

use crate::sys::{self, Changed, Image, Pid, Received, Usage, Waited};

/// What is passed on when a process sends it to aloof.
const FORWARDED: [i32; 8] = [
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGCONT,
    libc::SIGTSTP,
];

/// Stops that come from job control. A plain SIGSTOP is the business of whoever sent it, a debugger perhaps.
const JOB_STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// How a program ended.
pub struct Ended {
    pub pid: Pid,
    pub status: ExitStatus,
    pub wall: Duration,
    pub usage: Usage,
}

/// Why there is no end to tell of.
pub enum Error {
    /// The program did not start.
    Spawn(io::Error),
    /// It started and could not be waited for.
    Wait(io::Error),
}

/// Runs the image to its end.
pub fn run(image: Image) -> Result<Ended, Error> {
    let waited = Waited::new(&[&FORWARDED[..], &[libc::SIGCHLD]].concat()).map_err(Error::Spawn)?;
    let start = Instant::now();
    let pid = sys::spawn(image, &waited).map_err(Error::Spawn)?;
    let mut child = Child {
        pid,
        resumed: false,
    };
    loop {
        let received = waited.next().map_err(Error::Wait)?;
        if received.signal != libc::SIGCHLD {
            child.pass_on(&received);
            continue;
        }
        while let Some(change) = sys::wait(pid).map_err(Error::Wait)? {
            match change {
                Changed::Ended(status, usage) => {
                    return Ok(Ended {
                        pid,
                        status,
                        wall: start.elapsed(),
                        usage,
                    });
                }
                Changed::Stopped(signal) if JOB_STOPS.contains(&signal) => {
                    sys::stop_by(signal);
                    child.resumed = true;
                }
                Changed::Stopped(_) | Changed::Continued => {}
            }
        }
    }
}

struct Child {
    pid: Pid,
    /// Aloof itself was stopped and continued, and has not taken the SIGCONT yet.
    resumed: bool,
}

impl Child {
    fn pass_on(&mut self, received: &Received) {
        let already_there = match received.sender {
            // The kernel signals a whole process group.
            None => self.is_in_our_group(),
            // The child spoke to its parent; it must not hear its own echo.
            Some(sender) if sender == self.pid => true,
            // The shell continues the whole group too, but another process may have continued aloof alone.
            Some(_) => {
                let resumed = received.signal == libc::SIGCONT && std::mem::take(&mut self.resumed);
                resumed && !self.is_stopped()
            }
        };
        if already_there {
            return;
        }
        if let (Some(pid), Some(signal)) = (self.raw(), Signal::from_named_raw(received.signal)) {
            // It fails only when the child has just ended, which SIGCHLD will tell.
            let _ = kill_process(pid, signal);
        }
    }

    fn raw(&self) -> Option<RawPid> {
        RawPid::from_raw(self.pid)
    }

    fn is_in_our_group(&self) -> bool {
        getpgid(self.raw()).is_ok_and(|group| group == getpgrp())
    }

    /// The state letter comes after the name, which is in parentheses and may hold any of them itself.
    fn is_stopped(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }
}
