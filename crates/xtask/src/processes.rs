//! Process trees: finding them in /proc, ending them, and commands with a time limit.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A process and all that descend from it and still have a living parent in between.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the two reads; it is then simply not there.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        found.extend(children.get(&found[next]).into_iter().flatten());
        next += 1;
    }
    found
}

/// The parent in a line of /proc/PID/stat; the command in it may hold spaces and brackets.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Kills a process that this one started, and its descendants.
pub fn kill_tree(root: u32) {
    for pid in tree(root) {
        // SAFETY: kill takes any process id; the ids are those of our own descendants.
        unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
    }
}

/// Runs a command to its end, without standard input; past the limit its process tree is killed.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    wait_within(&mut child, limit)?.with_context(|| {
        format!(
            "{name} did not end within {} s and was killed",
            limit.as_secs()
        )
    })
}

/// The status of a child, or `None` if it had to be killed.
fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            return Ok(Some(status));
        }
        sleep(Duration::from_millis(20));
    }
    kill_tree(child.id());
    child.wait().context("cannot wait for a killed child")?;
    Ok(None)
}

/// As [`run_within`], with any failure of the command as an error.
pub fn succeed_within(command: &mut Command, limit: Duration) -> Result<()> {
    let status = run_within(command, limit)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// A command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_name().map_or_else(
        || program.to_string_lossy().into_owned(),
        |name| name.to_string_lossy().into_owned(),
    )];
    words.extend(command.get_args().map(|a| {
        let text = a.to_string_lossy().into_owned();
        if text.contains(' ') {
            format!("\"{text}\"")
        } else {
            text
        }
    }));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_past_an_awkward_command_name() {
        assert_eq!(parent_of("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of("no bracket"), None);
    }

    #[test]
    fn a_tree_holds_children() {
        let mut child = Command::new("sleep").arg("30").spawn().expect("sleep");
        let found = tree(std::process::id());
        assert!(found.contains(&child.id()));
        kill_tree(child.id());
        assert!(!child.wait().expect("wait").success());
    }

    #[test]
    fn a_command_past_its_limit_is_killed_with_its_children() {
        let limit = Duration::from_millis(200);
        let started = Instant::now();
        let error = run_within(Command::new("sh").args(["-c", "sleep 30; true"]), limit)
            .expect_err("it cannot end in time");
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = succeed_within(
            Command::new("sh").args(["-c", "exit 3"]),
            Duration::from_secs(10),
        )
        .expect_err("exit 3 is a failure");
        assert!(error.to_string().contains("sh -c \"exit 3\""), "{error}");
    }
}
