//! Runs the program in a child for `--stats` and `--watch`, as if aloof were not in between.
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

/// Looks at the program from time to time while it runs.
pub trait Onlooker {
    /// Looks, so long after the start; returns how long to wait for the next look.
    fn look(&mut self, program: Pid, elapsed: Duration) -> Option<Duration>;

    /// The terminal goes to somebody else, until the next look.
    fn step_aside(&mut self) {}
}

/// Nobody looks.
pub struct Nobody;

impl Onlooker for Nobody {
    fn look(&mut self, _: Pid, _: Duration) -> Option<Duration> {
        None
    }
}

/// Runs the image to its end.
pub fn run(image: Image, onlooker: &mut dyn Onlooker) -> Result<Ended, Error> {
    let waited = Waited::new(&[&FORWARDED[..], &[libc::SIGCHLD]].concat()).map_err(Error::Spawn)?;
    let start = Instant::now();
    let pid = sys::spawn(image, &waited).map_err(Error::Spawn)?;
    let mut child = Child {
        pid,
        stopped: false,
        resumed: false,
    };
    let look =
        |onlooker: &mut dyn Onlooker| Some(Instant::now() + onlooker.look(pid, start.elapsed())?);
    let mut next_look = look(onlooker);
    loop {
        let received = waited.next(next_look).map_err(Error::Wait)?;
        // Before the signal is dealt with: what to do with a SIGCONT depends on what has become of the child.
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
                Changed::Continued => child.stopped = false,
                Changed::Stopped(signal) => {
                    child.stopped = true;
                    if JOB_STOPS.contains(&signal) {
                        onlooker.step_aside();
                        sys::stop_by(signal);
                        child.resumed = true;
                    }
                }
            }
        }
        if let Some(received) = received
            && received.signal != libc::SIGCHLD
        {
            child.pass_on(&received);
        }
        if next_look.is_some_and(|at| at <= Instant::now()) {
            next_look = look(onlooker);
        }
    }
}

struct Child {
    pid: Pid,
    /// Stopped and not yet seen continued. Every stop is reported once, so it is the same stop for as long as this holds.
    stopped: bool,
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
            // What continues a stopped job is a shell, which continues the whole group, unless the child is stopped still.
            Some(_) if received.signal == libc::SIGCONT => {
                std::mem::take(&mut self.resumed) && !self.stopped
            }
            Some(_) => false,
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
}
