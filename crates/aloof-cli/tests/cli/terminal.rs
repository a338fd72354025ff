//! A terminal, seen from its user's side.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::support::Watch;

/// Where the programs on a terminal run. On one processor, who hears first of a key is left to chance.
#[derive(PartialEq)]
pub enum Processors {
    All,
    One,
}

/// A terminal with the programs on it, seen from its user's side.
pub struct Terminal {
    user: File,
    lines: BufReader<File>,
    pub child: Child,
    _watch: Watch,
}

impl Terminal {
    /// Runs the command as the leader of a new session on a new terminal.
    pub fn of(command: Command, processors: Processors) -> Self {
        Self::sized(command, processors, 0, 0)
    }

    /// The same, in a window of this size.
    pub fn sized(mut command: Command, processors: Processors, rows: u16, columns: u16) -> Self {
        let (mut user, mut programs) = (-1, -1);
        let no_name = std::ptr::null_mut();
        // SAFETY: plain numbers.
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        (size.ws_row, size.ws_col) = (rows, columns);
        // SAFETY: two places to write and a size to read; no name or settings are asked for.
        let opened = unsafe {
            libc::openpty(
                &raw mut user,
                &raw mut programs,
                no_name,
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: openpty has just opened both, and nobody else has them.
        let (user, programs) = unsafe { (File::from_raw_fd(user), OwnedFd::from_raw_fd(programs)) };
        for end in [user.as_raw_fd(), programs.as_raw_fd()] {
            // SAFETY: sets a flag of an open descriptor.
            unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        let end = || Stdio::from(programs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: the closure makes only system calls, which are async-signal-safe, on places of its own.
        unsafe {
            command.pre_exec(move || {
                if processors == Processors::One {
                    let mut one: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
                    libc::sched_setaffinity(0, size_of_val(&one), &raw const one);
                }
                libc::setsid();
                if libc::ioctl(0, libc::TIOCSCTTY, 0) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        let child = command.spawn().unwrap();
        let lines = BufReader::new(user.try_clone().unwrap());
        Self {
            user,
            lines,
            _watch: Watch::over(&child),
            child,
        }
    }

    pub fn press(&self, keys: &str) {
        (&self.user).write_all(keys.as_bytes()).unwrap();
    }

    /// Reads lines until one ends with this text.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            // A terminal whose programs have all ended gives an error, not an end.
            let read = self.lines.read_line(&mut line).unwrap_or(0);
            assert!(read > 0, "{text:?} never came:\n{seen}");
            // The terminal shows a pressed key in front.
            if line.trim_end().ends_with(text) {
                return;
            }
            seen += &line;
        }
    }

    /// The next bytes that the programs write; none when all have ended.
    pub fn bytes(&mut self) -> Vec<u8> {
        let bytes = self.lines.fill_buf().map_or(Vec::new(), <[u8]>::to_vec);
        self.lines.consume(bytes.len());
        bytes
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        // SAFETY: plain numbers.
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        (size.ws_row, size.ws_col) = (rows, columns);
        // SAFETY: an open terminal and a valid size to read.
        let set = unsafe { libc::ioctl(self.user.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0);
    }
}
