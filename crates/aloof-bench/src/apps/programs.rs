//! Which programs, found or installed, with which arguments.

use super::{App, Kind, Program, inputs};
use crate::allocators::install;
use crate::args::Args;
use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program by name and Debian package.
const PROGRAMS: &[(&str, &str)] = &[
    ("python3", "python3"),
    ("sqlite3", "sqlite3"),
    ("perl", "perl"),
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("git", "git"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("redis-cli", "redis-tools"),
    ("node", "nodejs"),
    ("xz", "xz-utils"),
];

/// All apps of this run, their programs installed and their inputs made.
pub fn catalogue(args: &Args, tools: &Tools) -> Result<Vec<App>> {
    ensure_programs(args)?;
    tools.claim_data()?;
    let data = tools.data.clone();
    inputs::make(&data)?;
    let pick = |full: usize, quick: usize| if args.quick { quick } else { full }.to_string();
    let file = |name: &str| data.join(name).display().to_string();
    let program = |name: &str, arguments: &[&str]| Program::new(&data, name, arguments);
    let rounds = pick(12, 1);
    let sql = inputs::sql(&data, if args.quick { 20_000 } else { 200_000 })?;
    let read = format!(".read {}", sql.display());
    let mut programs = vec![
        (
            "python3",
            1,
            program("python3", &[&file("work.py"), &rounds])?,
        ),
        ("sqlite3", 1, program("sqlite3", &[":memory:", &read])?),
        (
            "perl",
            1,
            program("perl", &[&file("work.pl"), &pick(8, 1)])?,
        ),
    ];
    if !args.quick {
        let mut python = programs[0].2.clone();
        python.env.push(("PYTHONMALLOC".into(), "malloc".into()));
        let mut git = program("git", &["gc", "--quiet", "--prune=now"])?;
        git.dir = data.join("scratch.git");
        git.template = Some(data.join("repository.git"));
        git.check = ["git", "fsck", "--strict"].map(String::from).to_vec();
        let object = file("work.o");
        let c = ["-O2", "-w", "-c", &file("work.c"), "-o", &object];
        let cpp = ["-O0", "-std=c++17", "-c", &file("work.cc"), "-o", &object];
        let xz = ["-T2", "--block-size=2MiB", "-4", "-k", "-c", &file("text")];
        programs.extend([
            ("python3 without its own allocator", 1, python),
            ("gcc", 1, program("gcc", &c)?),
            ("g++", 1, program("g++", &cpp)?),
            ("git gc", 2, git),
            ("node", 2, program("node", &[&file("work.js"), "8"])?),
            ("xz", 2, program("xz", &xz)?),
        ]);
    }
    let mut apps = Vec::new();
    for (name, threads, mut program) in programs {
        program.expected =
            reference(&program).with_context(|| format!("{name} does not work on this machine"))?;
        apps.push(App {
            name,
            threads,
            kind: Kind::Command(program),
        });
    }
    let requests = if args.quick { 20_000 } else { 200_000 };
    apps.push(App {
        name: "redis",
        threads: 1,
        kind: Kind::Redis { requests },
    });
    Ok(apps)
}

/// Standard output on the C library's malloc.
fn reference(program: &Program) -> Result<Vec<u8>> {
    program.freshen()?;
    let output = Command::new(&program.path)
        .args(&program.args)
        .envs(program.env.iter().cloned())
        .env_remove("LD_PRELOAD")
        .current_dir(&program.dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("ended with {}", output.status);
    }
    Ok(output.stdout)
}

impl Program {
    fn new(dir: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        Ok(Program {
            path: locate(name).with_context(|| format!("{name} is not installed"))?,
            args: arguments.iter().map(|s| (*s).to_owned()).collect(),
            env: vec![("LC_ALL".into(), "C".into())],
            dir: dir.to_path_buf(),
            template: None,
            check: Vec::new(),
            expected: Vec::new(),
        })
    }

    /// Lays out the directory that the program changes.
    pub fn freshen(&self) -> Result<()> {
        let Some(template) = &self.template else {
            return Ok(());
        };
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir)?;
        }
        let copied = Command::new("cp")
            .arg("-r")
            .arg(template)
            .arg(&self.dir)
            .status()?;
        if !copied.success() {
            bail!("cannot copy {}", template.display());
        }
        Ok(())
    }

    /// Runs the command that looks at what the program left.
    pub fn check(&self) -> Result<(), String> {
        let Some((program, args)) = self.check.split_first() else {
            return Ok(());
        };
        let passed = Command::new(program)
            .args(args)
            .current_dir(&self.dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if passed {
            Ok(())
        } else {
            Err(format!("`{}` found its work wrong", self.check.join(" ")))
        }
    }
}

fn ensure_programs(args: &Args) -> Result<()> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| locate(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    match (missing.is_empty(), args.no_install) {
        (true, _) => Ok(()),
        (false, false) => install(&missing),
        (false, true) => bail!(
            "the apps suite needs {0}: `apt-get install {0}`",
            missing.join(" ")
        ),
    }
}

/// The distribution's program where there is one, otherwise the first on the path.
pub fn locate(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(Path::new("/usr/bin").to_path_buf())
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
