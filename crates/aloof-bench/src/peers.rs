//! Rival allocators from crates, as libraries for LD_PRELOAD. Cargo compiles the crate that wraps
//! the rival; from the resulting archive (or the crate's sources) a shared library is linked, so
//! that `malloc` is the rival's own code with nothing in between.

use crate::allocators::install;
use crate::tools::Tools;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A rival that comes as a crate.
pub struct Peer {
    /// Its name, which is also the feature of the crate that compiles it.
    pub name: &'static str,
    /// The crate that holds its sources.
    krate: &'static str,
    /// What the compiler is told when cargo compiles it.
    flags: &'static str,
    recipe: Recipe,
}

/// How a shared library is made of what cargo left.
enum Recipe {
    /// All of an archive below the build script's output directory.
    Archive(&'static str),
    /// One source file of the crate, with include directories.
    Source {
        file: &'static str,
        flags: &'static [&'static str],
    },
    /// One source file of the crate, and from an archive what it needs.
    SourceAndArchive {
        file: &'static str,
        flags: &'static [&'static str],
        archive: &'static str,
    },
}

/// Every rival that comes as a crate.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "mimalloc3",
        krate: "libmimalloc-sys",
        flags: "-fvisibility=hidden -DMI_SHARED_LIB -DMI_SHARED_LIB_EXPORT",
        recipe: Recipe::Archive("libmimalloc.a"),
    },
    Peer {
        name: "mimalloc2",
        krate: "libmimalloc-sys",
        flags: "-fvisibility=hidden -DMI_SHARED_LIB -DMI_SHARED_LIB_EXPORT",
        recipe: Recipe::Archive("libmimalloc.a"),
    },
    Peer {
        name: "jemalloc",
        krate: "tikv-jemalloc-sys",
        flags: "",
        recipe: Recipe::Archive("lib/libjemalloc_pic.a"),
    },
    Peer {
        name: "snmalloc",
        krate: "snmalloc-sys",
        flags: "",
        recipe: Recipe::Source {
            file: "upstream/src/snmalloc/override/new.cc",
            flags: &[
                "upstream/src/snmalloc/override/malloc.cc",
                "-std=c++20",
                "-Iupstream/src",
                "-mcx16",
                "-fvisibility=hidden",
                "-ftls-model=initial-exec",
                "-fomit-frame-pointer",
                "-mprfchw",
                "-static-libstdc++",
                "-DSNMALLOC_USE_CXX11_THREAD_ATEXIT_DIRECT",
                "-DSNMALLOC_CHECK_LOADS=false",
                "-DSNMALLOC_PAGEID=false",
                "-DNDEBUG",
                "-DSNMALLOC_EXPORT=__attribute__((visibility(\"default\")))",
                "-DSNMALLOC_USE_WAIT_ON_ADDRESS=1",
                "-DSNMALLOC_HAS_LINUX_FUTEX_H",
                "-DSNMALLOC_HAS_LINUX_RANDOM_H",
                "-DSNMALLOC_PLATFORM_HAS_GETENTROPY",
            ],
        },
    },
    Peer {
        name: "rpmalloc",
        krate: "rpmalloc-sys",
        flags: "-O3 -fno-semantic-interposition -DENABLE_OVERRIDE=1",
        recipe: Recipe::Archive("librpmalloc.a"),
    },
    Peer {
        name: "tcmalloc",
        krate: "libtcmalloc-sys",
        flags: "-fno-semantic-interposition",
        recipe: Recipe::SourceAndArchive {
            file: "c_src/tcmalloc/tcmalloc/tcmalloc.cc",
            flags: &[
                "-std=c++17",
                "-Ic_src/tcmalloc",
                "-Ic_src/abseil-cpp",
                "-DNOMINMAX",
                "-DTCMALLOC_INTERNAL_8K_PAGES",
                "-DNDEBUG",
                "-fno-semantic-interposition",
            ],
            archive: "libtcmalloc.a",
        },
    },
];

/// A finished library.
pub struct Library {
    /// Where it is.
    pub path: PathBuf,
    /// The crate and its version.
    pub version: String,
}

/// Builds the library of `peer`, unless one of the same lock file is there.
pub fn library(peer: &Peer, tools: &Tools, may_install: bool) -> Result<Library> {
    let dir = tools.peers_target.join("preload");
    fs::create_dir_all(&dir)?;
    let path = dir.join(format!("lib{}.so", peer.name));
    let note = dir.join(format!("{}.version", peer.name));
    let manifest = tools.peers_manifest();
    if newer(&note, &manifest.with_file_name("Cargo.lock")) && path.is_file() {
        let version = fs::read_to_string(note)?;
        return Ok(Library { path, version });
    }
    eprintln!("building {} (once; this can take minutes)", peer.name);
    need_compilers(may_install)?;
    let built = build(peer, tools, &manifest)?;
    link(peer, &built, &path)?;
    fs::write(&note, &built.version)?;
    Ok(Library {
        path,
        version: built.version,
    })
}

/// The Rust suite's binary on the allocator `name` (`glibc`: the C library's own). Cargo decides
/// whether it must be built anew.
pub fn rust_binary(name: &str, tools: &Tools) -> Result<PathBuf> {
    let dir = tools.peers_target.join("rust");
    fs::create_dir_all(&dir)?;
    let target = tools.peers_target.display().to_string();
    let mut arguments = vec!["-p", "aloof-peers-rust", "--target-dir", &target];
    if name != "glibc" {
        arguments.extend(["--features", name]);
    }
    if !dir.join(name).is_file() {
        eprintln!("building the Rust suite on {name} (once; this can take minutes)");
    }
    tools.build(&tools.peers_manifest(), &arguments)?;
    let binary = dir.join(name);
    // A hard link would change with the next allocator's build.
    fs::copy(tools.peers_target.join("release/aloof-peers-rust"), &binary)?;
    Ok(binary)
}

/// What cargo left.
struct Built {
    /// The crate's sources.
    sources: PathBuf,
    /// Where its build script wrote.
    out: PathBuf,
    /// The crate and its version.
    version: String,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    out_dir: PathBuf,
}

fn build(peer: &Peer, tools: &Tools, manifest: &Path) -> Result<Built> {
    let output = tools
        .cargo()
        .args(["build", "--release", "--quiet", "--message-format=json"])
        .args(["--package", "aloof-peers-preload", "--features", peer.name])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&tools.peers_target)
        .env("CFLAGS", peer.flags)
        .env("CXXFLAGS", peer.flags)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the crate {} did not build", peer.krate);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = HashMap::new();
    for line in text.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            continue;
        };
        if named(&message.package_id, peer.krate).is_some() {
            found.insert(message.reason.clone(), message);
        }
    }
    let part = |reason: &str| {
        found
            .get(reason)
            .with_context(|| format!("cargo told no '{reason}' of {}", peer.krate))
    };
    let artifact = part("compiler-artifact")?;
    let sources = artifact.manifest_path.parent().unwrap_or(Path::new("/"));
    let number = named(&artifact.package_id, peer.krate).unwrap_or_default();
    Ok(Built {
        sources: sources.to_path_buf(),
        out: part("build-script-executed")?.out_dir.clone(),
        version: format!(
            "{}{}",
            upstream(peer, sources),
            crate_label(peer.krate, number)
        ),
    })
}

/// The version in a cargo package id such as `registry+...#name@1.2.3`, when it is of `krate`.
fn named<'a>(id: &'a str, krate: &str) -> Option<&'a str> {
    let (_, spec) = id.rsplit_once('#')?;
    let (name, version) = spec.split_once('@')?;
    (name == krate).then_some(version)
}

fn crate_label(krate: &str, version: &str) -> String {
    // What follows the version proper of a wrapped library is a commit.
    let version = version
        .split_once("-0-g")
        .map_or(version, |(short, _)| short);
    format!("crate {krate} {version}")
}

/// The version that the rival gives itself, where its header tells.
fn upstream(peer: &Peer, sources: &Path) -> String {
    let folder = match peer.name {
        "mimalloc3" => "v3",
        "mimalloc2" => "v2",
        _ => return String::new(),
    };
    let header = sources.join(format!("c_src/mimalloc/{folder}/include/mimalloc.h"));
    fs::read_to_string(header)
        .ok()
        .and_then(|text| mimalloc_version(&text))
        .map_or_else(String::new, |version| format!("mimalloc {version}, "))
}

/// `#define MI_MALLOC_VERSION 30301` (or `315` of old) as `3.3.1`.
fn mimalloc_version(header: &str) -> Option<String> {
    let line = header.lines().find(|l| l.contains("MI_MALLOC_VERSION"))?;
    let digits: u32 = line.split_whitespace().nth(2)?.parse().ok()?;
    Some(if digits < 1000 {
        format!("{}.{}.{}", digits / 100, digits / 10 % 10, digits % 10)
    } else {
        format!(
            "{}.{}.{}",
            digits / 10_000,
            digits / 100 % 100,
            digits % 100
        )
    })
}

fn link(peer: &Peer, built: &Built, path: &Path) -> Result<()> {
    let partial = path.with_extension("partial");
    let mut compiler = Command::new("g++");
    compiler
        .current_dir(&built.sources)
        .args(["-shared", "-fPIC", "-O3", "-pthread", "-o"])
        .arg(&partial);
    let whole = |compiler: &mut Command, archive: &str| {
        compiler
            .arg("-Wl,--whole-archive")
            .arg(built.out.join(archive))
            .arg("-Wl,--no-whole-archive");
    };
    match &peer.recipe {
        Recipe::Archive(archive) => whole(&mut compiler, archive),
        Recipe::Source { file, flags } => {
            compiler.args(*flags).arg(file);
        }
        Recipe::SourceAndArchive {
            file,
            flags,
            archive,
        } => {
            compiler.args(*flags).arg(file).arg(built.out.join(archive));
        }
    }
    compiler.args(["-Wl,-Bsymbolic", "-Wl,-z,now", "-Wl,-z,nodelete"]);
    compiler.args(["-latomic", "-ldl", "-lm"]);
    let output = compiler.output().context("cannot run g++")?;
    if !output.status.success() {
        bail!(
            "{} did not link:\n{}",
            peer.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(partial, path)?;
    Ok(())
}

fn need_compilers(may_install: bool) -> Result<()> {
    let missing: Vec<&str> = [
        ("gcc", "gcc"),
        ("g++", "g++"),
        ("make", "make"),
        ("cmake", "cmake"),
    ]
    .iter()
    .filter(|(program, _)| {
        !Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
    .map(|(_, package)| *package)
    .collect();
    match (missing.is_empty(), may_install) {
        (true, _) => Ok(()),
        (false, true) => install(&missing),
        (false, false) => bail!(
            "building peers needs {0}: `apt-get install {0}`",
            missing.join(" ")
        ),
    }
}

fn newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|m| m.modified());
    matches!((time(file), time(than)), (Ok(a), Ok(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids() {
        let id = "registry+index#tikv-jemalloc-sys@0.7.1+5.3.1";
        assert_eq!(named(id, "tikv-jemalloc-sys"), Some("0.7.1+5.3.1"));
        assert_eq!(named(id, "jemalloc-sys"), None);
        assert_eq!(named("path+file:///x#0.1.0", "x"), None);
    }

    #[test]
    fn mimalloc_versions() {
        let header = "// x\n#define MI_MALLOC_VERSION 30301   // major + minor\n";
        assert_eq!(mimalloc_version(header).as_deref(), Some("3.3.1"));
        let header = "#define MI_MALLOC_VERSION 227  // 2.2.7";
        assert_eq!(mimalloc_version(header).as_deref(), Some("2.2.7"));
        assert_eq!(mimalloc_version("none"), None);
    }
}
