//! Builds the shared library that the program carries inside itself.
//!
//! The library comes from a second cargo run, always in release mode, with a target directory below `OUT_DIR`: the
//! outer cargo holds the lock of its own. `cargo check` and `cargo clippy` share the result of this script with
//! `cargo build`, so there is no lighter version for them: one that left the library out would be found again by the
//! next real build.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    let root = root();
    watch(&root);
    let built = build(&root);
    let bytes =
        fs::read(&built).unwrap_or_else(|e| fail(&format!("cannot read {}: {e}", built.display())));
    let copy = PathBuf::from(variable("OUT_DIR")).join("libaloof.so");
    if let Err(e) = fs::write(&copy, &bytes) {
        fail(&format!("cannot write {}: {e}", copy.display()));
    }
    // Only a file name: whoever uses the file compares all of its bytes.
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    println!("cargo::rustc-env=ALOOF_LIBRARY_ID={:016x}", hasher.finish());
}

/// The workspace, two folders above this crate.
fn root() -> PathBuf {
    let own = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    match own.ancestors().nth(2) {
        Some(root) if root.join("crates/aloof-c/Cargo.toml").is_file() => root.to_path_buf(),
        _ => fail(
            "package aloof-c is not beside this one: aloof-cli builds only inside its workspace",
        ),
    }
}

/// Names everything the library is made of. A path that does not exist would rerun this script every time.
fn watch(root: &Path) {
    println!("cargo::rerun-if-changed=build.rs");
    let parts = [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "crates/aloof/Cargo.toml",
        "crates/aloof/build.rs",
        "crates/aloof/src",
        "crates/aloof-c",
    ];
    for part in parts {
        if root.join(part).exists() {
            // Relative, so that another checkout with the same target directory looks at its own files.
            println!("cargo::rerun-if-changed=../../{part}");
        }
    }
}

/// Runs the inner cargo; returns the library.
fn build(root: &Path) -> PathBuf {
    let target = variable("TARGET");
    let directory = PathBuf::from(variable("OUT_DIR")).join("library");
    let mut cargo = Command::new(variable("CARGO"));
    for (key, _) in env::vars_os() {
        if leaks(&key) {
            cargo.env_remove(&key);
        }
    }
    // The outer cargo has already written the lock file and fetched what it names, so nothing is fetched here.
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--lib",
            "--locked",
            "--package",
            "aloof-c",
            "--target",
        ])
        .arg(&target)
        .arg("--target-dir")
        .arg(&directory)
        // A `build.build-dir` of the user's configuration is locked by the outer cargo too.
        .env("CARGO_BUILD_BUILD_DIR", &directory);
    let output = cargo
        .output()
        .unwrap_or_else(|e| fail(&format!("cannot start cargo: {e}")));
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        fail(&format!(
            "building libaloof.so (package aloof-c) failed: {}",
            output.status
        ));
    }
    directory.join(&target).join("release/libaloof.so")
}

/// Whether a variable describes the outer build and would change the library: flags, coverage and sanitizer
/// instrumentation, wrappers such as clippy's, profiles, the outer target directory. The job server, the place of
/// cargo's home and all that concerns the network (`CARGO_NET_OFFLINE`) stay.
fn leaks(key: &OsStr) -> bool {
    let Some(key) = key.to_str() else {
        return false;
    };
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&key)
        || [
            "CARGO_NET_",
            "CARGO_HTTP_",
            "CARGO_REGISTRY_",
            "CARGO_REGISTRIES_",
        ]
        .iter()
        .any(|p| key.starts_with(p))
        || (key.starts_with("CARGO_TARGET_") && key.ends_with("_LINKER"));
    let outer = key.starts_with("CARGO")
        || key.starts_with("DEP_")
        || [
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_LINKER",
            "RUSTC_BOOTSTRAP",
            "LLVM_PROFILE_FILE",
            "OUT_DIR",
            "TARGET",
            "HOST",
            "PROFILE",
            "OPT_LEVEL",
            "DEBUG",
            "NUM_JOBS",
        ]
        .contains(&key);
    outer && !kept
}

fn variable(key: &str) -> OsString {
    env::var_os(key)
        .unwrap_or_else(|| fail(&format!("{key} is not set: this script is run by cargo")))
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1)
}
