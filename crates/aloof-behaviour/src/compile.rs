//! Compiles the programs, each once per content of its sources and flags.

use crate::paths::{archive, build_directory, library, root};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// How a program meets the allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Not at all: it is preloaded.
    None,
    /// By linking with the shared library.
    Shared,
    /// By linking with the archive; the C and C++ libraries stay shared.
    Archive,
    /// By linking with the archive; the C library stays shared, the C++ one does not.
    ArchiveCxx,
    /// By linking with the archive; everything is inside.
    Static,
}

impl Link {
    fn flags(self) -> Vec<OsString> {
        let text = |flags: &[&str]| flags.iter().map(OsString::from).collect::<Vec<_>>();
        let mut flags = match self {
            Link::None => return text(&[]),
            Link::Shared => {
                let library = library();
                let mut path = OsString::from("-Wl,-rpath,");
                path.push(library.parent().unwrap_or(Path::new("/")));
                vec![library.into_os_string(), path]
            }
            _ => vec![archive().into_os_string()],
        };
        flags.extend(match self {
            Link::ArchiveCxx => text(&["-static-libstdc++", "-static-libgcc"]),
            Link::Static => text(&["-static"]),
            _ => text(&[]),
        });
        flags
    }
}

const FLAGS: [&str; 9] = [
    "-O2",
    "-g",
    "-fno-builtin",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-alloc-size-larger-than",
    "-Wno-alloc-zero",
    "-pthread",
];

/// Compiles a program of `tests/behaviour`; the name ends in `.c` or `.cpp`.
///
/// # Panics
/// If the compiler is missing or finds fault.
pub fn compile(source: &str, link: Link) -> PathBuf {
    let mut flags = vec![
        "-Wl,-z,dynamic-undefined-weak".into(),
        "-I".into(),
        root().join("include").into_os_string(),
    ];
    flags.extend(link.flags());
    build(source, &flags, "")
}

/// Compiles a shared library of `tests/behaviour`.
///
/// # Panics
/// If the compiler is missing or finds fault.
pub fn compile_library(source: &str, extra: &[&str]) -> PathBuf {
    let mut flags: Vec<OsString> = ["-shared", "-fPIC", "-Wno-deprecated-declarations"]
        .map(OsString::from)
        .to_vec();
    flags.extend(extra.iter().map(OsString::from));
    build(source, &flags, ".so")
}

fn build(source: &str, flags: &[OsString], suffix: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let directory = root().join("tests/behaviour");
    let path = directory.join(source);
    let (compiler, standard) = if source.ends_with(".cpp") {
        ("g++", "-std=gnu++17")
    } else {
        ("gcc", "-std=gnu11")
    };
    let mut hasher = DefaultHasher::new();
    for file in [
        &path,
        &directory.join("check.h"),
        &directory.join("fault.h"),
        &root().join("include/aloof.h"),
    ] {
        let content =
            std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        content.hash(&mut hasher);
    }
    (FLAGS, flags, standard).hash(&mut hasher);
    for library in flags
        .iter()
        .map(Path::new)
        .filter(|flag| flag.is_absolute())
    {
        library
            .metadata()
            .and_then(|data| data.modified())
            .ok()
            .hash(&mut hasher);
    }
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let target = build_directory().join(format!("{stem}-{:016x}{suffix}", hasher.finish()));
    if target.exists() {
        return target;
    }
    let scratch = target.with_extension(format!("{}.tmp", std::process::id()));
    let output = Command::new(compiler)
        .current_dir(&directory)
        .arg(standard)
        .args(FLAGS)
        .arg(source)
        .arg("-o")
        .arg(&scratch)
        .args(flags)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}; install gcc and g++"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} {source} failed:\n{complaint}"
    );
    assert!(
        complaint.is_empty(),
        "{compiler} {source} complains:\n{complaint}"
    );
    std::fs::rename(&scratch, &target)
        .unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    target
}

/// Whether a program or library itself defines a function of that name.
///
/// # Panics
/// If nm is missing or cannot read the file.
pub fn defines(binary: &Path, function: &str) -> bool {
    let output = Command::new("nm")
        .args(["--defined-only", "--format=posix"])
        .arg(binary)
        .output()
        .unwrap_or_else(|error| panic!("cannot run nm: {error}; install binutils"));
    assert!(
        output.status.success(),
        "nm cannot read {}",
        binary.display()
    );
    String::from_utf8_lossy(&output.stdout).lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(function) && matches!(words.next(), Some("T" | "W" | "t"))
    })
}
