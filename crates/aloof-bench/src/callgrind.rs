//! Instruction counts from valgrind's callgrind, for one shared library and its functions.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Instructions executed inside one library.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    /// In the whole library.
    pub library: u64,
    /// In each of its functions, without what they call.
    pub functions: HashMap<String, u64>,
}

/// What callgrind calls an object that it does not know.
const UNKNOWN: &str = "???";

/// Runs `program` with `library` preloaded under callgrind and counts inside the library.
pub fn count(program: &Path, args: &[String], library: &Path) -> Result<Counts> {
    let dir = tempfile::tempdir()?;
    let profile = dir.path().join("profile");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
            "-q",
        ])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg("--trace-children=no")
        .arg(program)
        .args(args)
        .env("LD_PRELOAD", library)
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !stdout.contains("\"ok\":true") {
        bail!(
            "`{}` failed under valgrind: {}{}",
            args.join(" "),
            stdout,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    if !stdout.contains(&*library.to_string_lossy()) {
        bail!("{} was not loaded: {stdout}", library.display());
    }
    let text = std::fs::read_to_string(&profile).context("callgrind wrote no profile")?;
    let counts = parse(&text, &library.to_string_lossy());
    if counts.library == 0 {
        bail!("callgrind saw no instruction inside {}", library.display());
    }
    Ok(counts)
}

/// Sums up a profile. A line `fn=` opens a function, `ob=` says of which object; cost lines are
/// `line instructions`; the line after `calls=` holds what the callee cost and is not the
/// function's own. An object that valgrind does not know counts as the library: it knows only `.text` of each, and the
/// library has code elsewhere.
fn parse(text: &str, library: &str) -> Counts {
    let mut counts = Counts::default();
    let (mut inside, mut callee) = (false, false);
    let mut function = String::new();
    for line in text.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            inside = object == library || object == UNKNOWN;
        } else if let Some(name) = line.strip_prefix("fn=") {
            name.clone_into(&mut function);
        } else if line.starts_with("calls=") {
            callee = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            if std::mem::take(&mut callee) || !inside {
                continue;
            }
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|n| n.parse::<u64>().ok());
            if let Some(cost) = cost {
                counts.library += cost;
                *counts.functions.entry(function.clone()).or_default() += cost;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_of_one_object_are_summed() {
        let profile = "\
events: Ir
ob=/bin/worker
fl=a
fn=main
10 500
cob=/lib/x.so
cfn=malloc
calls=3 0
11 60
ob=/lib/x.so
fl=b
fn=malloc
5 40
cfn=slow
calls=1 0
6 20
fn=slow
7 20
fn=malloc
8 2
ob=/bin/worker
fn=other
1 9
ob=???
fn=0x4000
1 3
totals: 574
";
        let counts = parse(profile, "/lib/x.so");
        assert_eq!(counts.library, 65);
        assert_eq!(counts.functions["malloc"], 42);
        assert_eq!(counts.functions["slow"], 20);
        assert_eq!(parse(profile, "/lib/y.so").library, 3);
    }
}
