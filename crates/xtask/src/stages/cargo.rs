//! The stages that are cargo commands.

use std::io::{Read, Seek};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::processes::{shown, succeed_within};
use crate::workspace::Workspace;

/// Long enough for a cold build on a slow machine; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(12 * 60);

/// The package of the C and C++ programs; it has a stage of its own.
const BEHAVIOUR: &str = "aloof-behaviour";

/// What a release build has to leave in `target/release`.
const ARTEFACTS: [&str; 3] = ["libaloof.so", "libaloof.a", "aloof"];

pub fn fmt(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

pub fn clippy(workspace: &Workspace) -> Result<()> {
    for selection in [
        &["--workspace"][..],
        &["--package", "aloof", "--features", "fake-os"],
    ] {
        run(workspace.cargo().arg("clippy").args(selection).args([
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))?;
    }
    Ok(())
}

pub fn build(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo().args(["build", "--release"]))?;
    let missing: Vec<&str> = ARTEFACTS
        .into_iter()
        .filter(|name| {
            let path = workspace.target.join("release").join(name);
            !path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0)
        })
        .collect();
    if !missing.is_empty() {
        bail!("the release build made no {}", missing.join(", no "));
    }
    Ok(())
}

pub fn gate(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo()
        .args(["run", "--release", "--package", "aloof-bench", "--", "gate"]))
}

pub fn unit(workspace: &Workspace) -> Result<()> {
    // aloof-c replaces malloc and has its own panic handler: no test harness can link it.
    run(workspace.cargo().args([
        "test",
        "--workspace",
        "--exclude",
        "aloof-c",
        "--exclude",
        BEHAVIOUR,
    ]))?;
    run(workspace
        .cargo()
        .args(["test", "--package", "aloof", "--features", "fake-os"]))
}

pub fn loom(workspace: &Workspace) -> Result<()> {
    let tests = || {
        let mut command = workspace.cargo();
        command
            .args(["test", "--release", "--package", "aloof", "--lib", "loom"])
            .env("RUSTFLAGS", "--cfg loom")
            .env("LOOM_MAX_PREEMPTIONS", "3")
            // A directory of its own: the flag would otherwise rebuild everything twice a round.
            .env("CARGO_TARGET_DIR", workspace.target.join("loom"));
        command
    };
    // A filter that matches nothing passes as well as models that hold.
    if count_tests(tests().args(["--", "--list", "--format", "terse"]))? == 0 {
        bail!("aloof has no test with `loom` in its name");
    }
    run(&mut tests())
}

/// The number of tests that a listing command names.
fn count_tests(listing: &mut Command) -> Result<usize> {
    let mut room = tempfile::tempfile().context("cannot make a temporary file")?;
    let copy = room.try_clone().context("cannot share a temporary file")?;
    run(listing.stdout(copy))?;
    let mut text = String::new();
    room.rewind()
        .and_then(|()| room.read_to_string(&mut text))
        .context("cannot read the list of tests")?;
    Ok(text.lines().filter(|line| line.ends_with(": test")).count())
}

pub fn behaviour(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo()
        .args(["test", "--package", BEHAVIOUR, "--release"]))
}

fn run(command: &mut Command) -> Result<()> {
    println!("{}", shown(command));
    succeed_within(command, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_name_a_test_count() {
        let count = |text: &str| count_tests(Command::new("printf").arg(text)).expect("printf");
        assert_eq!(
            count("a::loom_model: test\nb: benchmark\nc::loom: test\n"),
            2
        );
        assert_eq!(count("\n"), 0);
    }
}
