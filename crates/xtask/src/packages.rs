//! The Debian packages that the checks need, and how a fresh machine gets them.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::stages::Stage;
use crate::workspace::find_program;

/// One package: its name, a command it provides, and the stages that need it.
struct Package {
    name: &'static str,
    command: &'static str,
    /// A machine may have this command from elsewhere; it counts then.
    any_origin: bool,
    stages: &'static [Stage],
}

const fn package(name: &'static str, command: &'static str, stages: &'static [Stage]) -> Package {
    Package {
        name,
        command,
        any_origin: false,
        stages,
    }
}

use Stage::{Behaviour, Build, Clippy, Gate, Loom, Programs, Unit};

/// Every package that any check needs.
const PACKAGES: &[Package] = &[
    package(
        "gcc",
        "gcc",
        &[Clippy, Build, Gate, Unit, Loom, Behaviour, Programs],
    ),
    package(
        "libc6-dev",
        "gcc",
        &[Clippy, Build, Gate, Unit, Loom, Behaviour, Programs],
    ),
    package("g++", "g++", &[Behaviour, Programs]),
    package("binutils", "nm", &[Behaviour]),
    package("valgrind", "valgrind", &[Gate, Behaviour]),
    package("python3", "python3", &[Programs]),
    package("perl", "perl", &[Programs]),
    package("git", "git", &[Programs]),
    package("sqlite3", "sqlite3", &[Programs]),
    package("xz-utils", "xz", &[Programs]),
    package("coreutils", "sort", &[Programs]),
    Package {
        any_origin: true,
        ..package("nodejs", "node", &[Programs])
    },
    package("redis-server", "redis-server", &[Programs]),
    package("redis-tools", "redis-benchmark", &[Programs]),
];

/// The package that brings a command, for messages.
pub fn package_of(command: &str) -> Option<&'static str> {
    PACKAGES
        .iter()
        .find(|package| package.command == command)
        .map(|package| package.name)
}

/// Installs what the stages need and the machine lacks; says what is missing where it may not.
pub fn ensure(stages: &[Stage]) -> Result<()> {
    let missing = missing(stages);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(prefix) = privilege() else {
        bail!(
            "missing Debian packages: {list}\n\
             they cannot be installed from here (that takes apt-get, and root or password-free sudo); \
             run: apt-get install {list}"
        );
    };
    println!("installing Debian packages: {list}");
    apt_get(&prefix, &["update", "-qq"])
        .and_then(|()| {
            let mut arguments = vec!["install", "-qq", "-y", "--no-install-recommends"];
            arguments.extend(&missing);
            apt_get(&prefix, &arguments)
        })
        .with_context(|| format!("missing Debian packages could not be installed: {list}"))?;
    let left = self::missing(stages);
    if !left.is_empty() {
        bail!(
            "apt-get ended well, but these Debian packages are still missing: {}",
            left.join(" ")
        );
    }
    Ok(())
}

fn missing(stages: &[Stage]) -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|package| package.stages.iter().any(|s| stages.contains(s)))
        .filter(|package| !is_present(package))
        .map(|package| package.name)
        .collect()
}

fn is_present(package: &Package) -> bool {
    if package.any_origin && find_program(package.command).is_some() {
        return true;
    }
    let query = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package.name])
        .stdin(Stdio::null())
        .output();
    match query {
        Ok(output) => output.stdout == b"installed",
        // No dpkg: not a Debian system. What counts is whether the command is there.
        Err(_) => find_program(package.command).is_some(),
    }
}

/// What to put before `apt-get`: nothing for root, `sudo -n` where that works.
fn privilege() -> Option<Vec<&'static str>> {
    find_program("apt-get")?;
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Some(vec![]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success())
        .then(|| vec!["sudo", "-n"])
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    // RUNLEVEL keeps packages such as redis-server from starting their service.
    let words: Vec<&str> = prefix
        .iter()
        .copied()
        .chain([
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "RUNLEVEL=1",
            "apt-get",
        ])
        .chain(arguments.iter().copied())
        .collect();
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", words[0]))?;
    if !status.success() {
        bail!("apt-get {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_package_is_named_and_a_present_one_is_not() {
        let absent = package("no-such-package-name", "no-such-command", &[Build]);
        let present = package("coreutils", "sort", &[Build]);
        assert!(!is_present(&absent));
        assert!(is_present(&present));
    }

    #[test]
    fn a_command_leads_to_its_package() {
        assert_eq!(package_of("redis-benchmark"), Some("redis-tools"));
        assert_eq!(package_of("no-such-command"), None);
    }

    #[test]
    fn stages_without_programs_need_no_packages() {
        assert!(missing(&[Stage::Fmt, Stage::Order]).is_empty());
    }
}
