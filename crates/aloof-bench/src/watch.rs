//! A process watched from outside: its output, how it ended, and the resident memory of it and
//! its descendants while it ran.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the resident size is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// What was seen of a process.
pub struct Ended {
    /// `None` when it was ended for taking too long.
    pub status: Option<ExitStatus>,
    /// Its standard output, at most a megabyte.
    pub stdout: String,
    /// Its standard error, at most a megabyte.
    pub stderr: String,
    /// `(milliseconds, resident bytes)`, about fifty times a second.
    pub memory: Vec<(u32, u64)>,
    /// Whether one of the processes was seen with the library mapped; `None` when nobody looked
    /// or no descendant lived long enough to be looked at.
    pub mapped: Option<bool>,
}

/// Runs the command to its end, at most `timeout`, in a process group of its own. With `library`,
/// the command is a launcher: only its descendants count, and are expected to map the library.
pub fn watch(
    mut command: Command,
    timeout: Duration,
    launched: bool,
    library: Option<&str>,
) -> std::io::Result<Ended> {
    use std::os::unix::process::CommandExt;
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .process_group(0)
        .spawn()?;
    let handle = process_handle(child.id())?;
    let mut memory = Vec::new();
    let mut mapped = None;
    let status = loop {
        if ended_within(&handle, SAMPLE_EVERY) {
            break Some(child.wait()?);
        }
        if started.elapsed() > timeout {
            // SAFETY: a signal to the group that the child, still unwaited for, leads.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            child.wait()?;
            break None;
        }
        let family = descendants(child.id());
        let counted = if launched { &family[1..] } else { &family[..] };
        let bytes: u64 = counted.iter().filter_map(|&pid| resident(pid)).sum();
        if bytes > 0 {
            memory.push((started.elapsed().as_millis() as u32, bytes));
        }
        if let Some(library) = library.filter(|_| mapped != Some(true) && !counted.is_empty()) {
            mapped = Some(counted.iter().any(|&pid| maps(pid, library)));
        }
    };
    Ok(Ended {
        status,
        stdout: contents(&mut out)?,
        stderr: contents(&mut err)?,
        memory,
        mapped,
    })
}

fn process_handle(pid: u32) -> std::io::Result<OwnedFd> {
    // SAFETY: a system call with two integers; a failure is a negative number.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn ended_within(handle: &OwnedFd, limit: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: handle.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one whole pollfd.
    unsafe { libc::poll(&mut poll, 1, limit.as_millis() as i32) > 0 }
}

/// A process and all below it, itself first.
fn descendants(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while next < family.len() {
        let pid = family[next];
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|c| c.parse::<u32>().ok()),
            );
        }
    }
    family
}

/// Resident bytes of a process.
pub fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: asks for a number.
    Some(pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64)
}

fn maps(pid: u32, library: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(library))
}

fn contents(file: &mut fs::File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_are_kept() {
        let ended = watch(
            shell("echo out; echo err >&2; exit 3"),
            Duration::from_secs(10),
            false,
            None,
        )
        .unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("out\n", "err\n")
        );
    }

    #[test]
    fn a_process_that_takes_too_long_is_ended_with_its_children() {
        let started = Instant::now();
        let ended = watch(
            shell("sleep 30 & wait"),
            Duration::from_millis(200),
            false,
            None,
        )
        .unwrap();
        assert!(ended.status.is_none() && started.elapsed() < Duration::from_secs(5));
        assert!(!ended.memory.is_empty());
    }

    #[test]
    fn the_launched_program_is_looked_at_for_the_library() {
        let run = |library| {
            let command = shell("sleep 0.2; true");
            watch(command, Duration::from_secs(10), true, Some(library))
                .unwrap()
                .mapped
        };
        assert_eq!(run("libc.so"), Some(true));
        assert_eq!(run("libnowhere.so"), Some(false));
    }
}
