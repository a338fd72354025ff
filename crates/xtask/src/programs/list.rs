//! The real programs: what each runs, what it needs, and who has to be seen on the library.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::data::Input;
use crate::packages::package_of;
use crate::processes::succeed_within;
use crate::workspace::{Workspace, find_program};

/// One workload. Its words may hold `{tests}` (the folder of scripts) and `{data}` (of inputs).
pub struct Program {
    pub name: &'static str,
    /// The program that is started and its arguments.
    pub words: &'static [&'static str],
    /// Installed commands that it needs besides the first word.
    pub needs: &'static [&'static str],
    pub inputs: &'static [Input],
    /// Executables that have to be seen on the library.
    pub expect: &'static [Executable],
    /// Linked against another allocator: glibc's own has to be put before it for the comparison.
    pub own_allocator: bool,
    /// The script leaves the peak RSS of a server in `peak_kib`.
    pub reports_peak: bool,
}

/// How to find an executable.
#[derive(Clone, Copy)]
pub enum Executable {
    /// An installed command.
    Command(&'static str),
    /// A part of gcc, such as the compiler proper.
    Compiler(&'static str),
    /// A package of this workspace, built for release.
    Package(&'static str),
}

use Executable::{Command as Installed, Compiler, Package};

const PLAIN: Program = Program {
    name: "",
    words: &[],
    needs: &[],
    inputs: &[],
    expect: &[],
    own_allocator: false,
    reports_peak: false,
};

/// All of them, in the order they run in.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "python3",
        words: &["python3", "-B", "{tests}/python.py"],
        expect: &[Installed("python3")],
        ..PLAIN
    },
    Program {
        name: "perl",
        words: &["perl", "{tests}/perl.pl"],
        expect: &[Installed("perl")],
        ..PLAIN
    },
    Program {
        name: "git",
        words: &["bash", "{tests}/git.sh", "{data}/history.fi"],
        needs: &["git"],
        inputs: &[Input::History],
        expect: &[Installed("git")],
        ..PLAIN
    },
    Program {
        name: "sqlite3",
        words: &[
            "sqlite3",
            "-batch",
            "-bail",
            "tmp/orders.db",
            ".read {tests}/sqlite.sql",
        ],
        expect: &[Installed("sqlite3")],
        ..PLAIN
    },
    Program {
        name: "gcc",
        words: &["bash", "{tests}/gcc.sh", "{tests}/c", "{data}/functions.c"],
        needs: &["gcc"],
        inputs: &[Input::Functions],
        expect: &[Installed("gcc"), Compiler("cc1")],
        ..PLAIN
    },
    Program {
        name: "g++",
        words: &["bash", "{tests}/g++.sh", "{tests}/cpp"],
        needs: &["g++"],
        expect: &[Installed("g++"), Compiler("cc1plus")],
        ..PLAIN
    },
    Program {
        name: "xz",
        words: &["bash", "{tests}/xz.sh", "{data}/prose.txt"],
        needs: &["xz"],
        inputs: &[Input::Prose],
        expect: &[Installed("xz")],
        ..PLAIN
    },
    Program {
        name: "sort",
        words: &["bash", "{tests}/sort.sh", "{data}/lines.txt"],
        needs: &["sort"],
        inputs: &[Input::Lines],
        expect: &[Installed("sort")],
        ..PLAIN
    },
    Program {
        name: "node",
        words: &["node", "{tests}/node.js"],
        expect: &[Installed("node")],
        ..PLAIN
    },
    Program {
        name: "redis",
        words: &["bash", "{tests}/redis.sh", "{data}/commands.resp"],
        needs: &["redis-server", "redis-benchmark"],
        inputs: &[Input::Commands],
        expect: &[Installed("redis-server")],
        own_allocator: true,
        reports_peak: true,
    },
    Program {
        name: "rust-threads",
        words: &["rust-threads"],
        expect: &[Package("rust-threads")],
        ..PLAIN
    },
];

impl Program {
    /// Where the executables of this program are, the one that is started first.
    pub fn locate(&self, workspace: &Workspace) -> Result<Located> {
        let started = match self.expect {
            [Package(name)] => Package(name).path(workspace)?,
            _ => Installed(self.words[0]).path(workspace)?,
        };
        for command in self.needs {
            Installed(command).path(workspace)?;
        }
        let expected = self
            .expect
            .iter()
            .map(|executable| executable.path(workspace))
            .collect::<Result<_>>()?;
        Ok(Located { started, expected })
    }
}

/// Paths of executables, as the kernel names them.
pub struct Located {
    pub started: PathBuf,
    pub expected: Vec<PathBuf>,
}

impl Executable {
    fn path(self, workspace: &Workspace) -> Result<PathBuf> {
        let path = match self {
            Self::Command(name) => find_program(name).with_context(|| match package_of(name) {
                Some(package) => format!("{name} is not installed: Debian package {package}"),
                None => format!("{name} is not installed"),
            })?,
            Self::Compiler(part) => compiler_part(part)?,
            Self::Package(name) => build(workspace, name)?,
        };
        path.canonicalize()
            .with_context(|| format!("cannot resolve {}", path.display()))
    }
}

fn compiler_part(part: &str) -> Result<PathBuf> {
    let output = Command::new("gcc")
        .arg(format!("-print-prog-name={part}"))
        .output()
        .context("cannot run gcc")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !path.is_absolute() {
        bail!("gcc has no {part}: Debian package g++ brings cc1plus, gcc brings cc1");
    }
    Ok(path)
}

fn build(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--quiet", "--release", "--package", package]);
    succeed_within(&mut cargo, Duration::from_secs(300))?;
    Ok(workspace.target.join("release").join(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_program_is_an_error_that_names_its_package() {
        let workspace = Workspace {
            root: PathBuf::new(),
            target: PathBuf::new(),
        };
        let absent = Program {
            words: &["bash"],
            needs: &["no-such-command"],
            ..PLAIN
        };
        let error = absent.locate(&workspace).err().expect("it is absent");
        assert!(
            error
                .to_string()
                .contains("no-such-command is not installed")
        );
    }

    #[test]
    fn every_needed_command_has_a_known_package() {
        let mut names: Vec<&str> = PROGRAMS.iter().flat_map(|p| p.needs).copied().collect();
        for program in PROGRAMS {
            for executable in program.expect {
                if let Installed(name) = executable {
                    names.push(name);
                }
            }
        }
        for name in names {
            assert!(package_of(name).is_some(), "{name}");
        }
    }
}
