//! The allocators that a run compares, each a library for LD_PRELOAD (or none, for glibc).

use crate::args::{Args, Suite};
use crate::catalogue::{Driver, Workload};
use crate::peers::{self, PEERS};
use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One allocator under test.
#[derive(Clone, Debug)]
pub struct Allocator {
    /// The name used on the command line, in tables and rows.
    pub name: String,
    /// What exactly it is: package or crate and version.
    pub version: String,
    /// The library that replaces malloc; `None` for the C library's own.
    pub preload: Option<PathBuf>,
    /// The Rust suite on it, when that suite is run and the allocator comes as a crate.
    pub rust_binary: Option<PathBuf>,
}

impl Allocator {
    /// Whether it takes part in a suite.
    pub fn takes_part(&self, workload: &Workload) -> bool {
        !matches!(workload.driver, Driver::Rust(_)) || self.rust_binary.is_some()
    }
}

/// An allocator of Debian's, by package and file name.
struct Packaged {
    name: &'static str,
    package: &'static str,
    file: &'static str,
}

const PACKAGED: &[Packaged] = &[
    Packaged {
        name: "deb-mimalloc",
        package: "libmimalloc2.0",
        file: "libmimalloc.so.2.0",
    },
    Packaged {
        name: "deb-jemalloc",
        package: "libjemalloc2",
        file: "libjemalloc.so.2",
    },
    Packaged {
        name: "deb-tcmalloc",
        package: "libtcmalloc-minimal4",
        file: "libtcmalloc_minimal.so.4",
    },
    Packaged {
        name: "deb-tbb",
        package: "libtbbmalloc2",
        file: "libtbbmalloc_proxy.so.2",
    },
];

/// The allocators of this run, aloof first.
pub fn choose(args: &Args, tools: &Tools) -> Result<Vec<Allocator>> {
    let mut list = Vec::new();
    if !args.without_aloof {
        list.push(aloof(args, tools)?);
    }
    for peer in peer_names(args) {
        let own = peer.split_once('=').map(|(name, _)| name);
        if let Some(name) = own.filter(|name| known().chain(["aloof"]).any(|taken| taken == *name))
        {
            bail!("'{name}' is the name of an allocator that is known: give your library another");
        }
        let allocator = find(&peer, args, tools)?;
        if !list.iter().any(|a: &Allocator| a.name == allocator.name) {
            list.push(allocator);
        }
    }
    if list.is_empty() {
        bail!("no allocator to measure: name some with --peers");
    }
    if args
        .suite
        .iter()
        .any(|suite| matches!(suite, Suite::All | Suite::Rust))
    {
        let in_rust = |name: &str| {
            name == "glibc"
                || name == "aloof" && !args.without_aloof
                || PEERS.iter().any(|peer| peer.name == name)
        };
        for allocator in list.iter_mut().filter(|a| in_rust(&a.name)) {
            allocator.rust_binary = Some(peers::rust_binary(&allocator.name, tools)?);
        }
    }
    Ok(list)
}

fn peer_names(args: &Args) -> Vec<String> {
    let all = || known().map(str::to_owned).collect::<Vec<_>>();
    if !args.peers.is_empty() {
        let everyone = args.peers.iter().any(|peer| peer == "all");
        return if everyone { all() } else { args.peers.clone() };
    }
    let few: &[&str] = if args.suite == [Suite::Small] {
        &["glibc", "deb-mimalloc"]
    } else if args.quick {
        &["glibc", "mimalloc3", "jemalloc"]
    } else {
        return all();
    };
    few.iter().map(|name| (*name).to_owned()).collect()
}

/// Aloof's shared library.
pub fn aloof_library(args: &Args, tools: &Tools) -> Result<PathBuf> {
    let library = args
        .aloof_lib
        .clone()
        .unwrap_or_else(|| tools.release.join("libaloof.so"));
    fs::canonicalize(&library).with_context(|| {
        format!(
            "aloof's library is not at {}: name another with --aloof-lib",
            library.display()
        )
    })
}

fn aloof(args: &Args, tools: &Tools) -> Result<Allocator> {
    Ok(Allocator {
        name: "aloof".into(),
        version: format!("aloof {}{}", env!("CARGO_PKG_VERSION"), tools.commit(args)),
        preload: Some(aloof_library(args, tools)?),
        rust_binary: None,
    })
}

fn find(peer: &str, args: &Args, tools: &Tools) -> Result<Allocator> {
    if let Some((name, path)) = peer.split_once('=') {
        let path = fs::canonicalize(path).with_context(|| format!("cannot find {path}"))?;
        return Ok(Allocator {
            name: name.into(),
            version: path.display().to_string(),
            preload: Some(path),
            rust_binary: None,
        });
    }
    if peer == "glibc" {
        return Ok(Allocator {
            name: "glibc".into(),
            version: format!("glibc {}", crate::machine::glibc_version()),
            preload: None,
            rust_binary: None,
        });
    }
    if let Some(from_crate) = PEERS.iter().find(|p| p.name == peer) {
        let library = peers::library(from_crate, tools, !args.no_install)?;
        return Ok(Allocator {
            name: peer.into(),
            version: library.version,
            preload: Some(library.path),
            rust_binary: None,
        });
    }
    match PACKAGED.iter().find(|p| p.name == peer) {
        Some(packaged) => from_package(packaged, args),
        None => {
            let known: Vec<_> = known().collect();
            bail!("unknown peer '{peer}'; known are all, {}", known.join(", "))
        }
    }
}

/// The names of all peers.
fn known() -> impl Iterator<Item = &'static str> {
    ["glibc"]
        .into_iter()
        .chain(PEERS.iter().map(|p| p.name))
        .chain(PACKAGED.iter().map(|p| p.name))
}

fn from_package(packaged: &Packaged, args: &Args) -> Result<Allocator> {
    let library = match library(packaged.file) {
        Some(path) => path,
        None if args.no_install => bail!(
            "{} is not installed: `apt-get install {}`",
            packaged.name,
            packaged.package
        ),
        None => {
            install(&[packaged.package])?;
            library(packaged.file).with_context(|| {
                format!(
                    "package {} holds no {} where libraries are kept",
                    packaged.package, packaged.file
                )
            })?
        }
    };
    Ok(Allocator {
        name: packaged.name.into(),
        version: format!(
            "{} {}",
            packaged.package,
            package_version(packaged.package).unwrap_or_default()
        ),
        preload: Some(library),
        rust_binary: None,
    })
}

fn library(file: &str) -> Option<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .iter()
        .map(|dir| Path::new(dir).join(file))
        .find(|path| path.is_file())
}

fn package_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${Version}", package])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    (!version.is_empty()).then_some(version)
}

/// Installs Debian packages, or says how to.
pub fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {}", packages.join(" "));
    let ok = Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends", "-qq"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !ok {
        bail!(
            "could not install {0}: run `apt-get install {0}` as root",
            packages.join(" ")
        );
    }
    Ok(())
}
