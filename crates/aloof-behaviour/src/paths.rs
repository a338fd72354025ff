//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory
        .ancestors()
        .nth(2)
        .expect("the crate lies two levels below the root")
        .to_path_buf()
}

/// The target directory in use: the test runs from `TARGET/PROFILE/deps`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the test's own path is known");
    program
        .ancestors()
        .nth(3)
        .expect("the test lies in TARGET/PROFILE/deps")
        .to_path_buf()
}

/// Where compiled programs go.
pub fn build_directory() -> PathBuf {
    let directory = target().join("behaviour");
    std::fs::create_dir_all(&directory)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", directory.display()));
    directory
}

/// The shared library under test.
///
/// # Panics
/// If it is missing.
pub fn library() -> PathBuf {
    let path = match std::env::var_os("ALOOF_LIB") {
        Some(path) => PathBuf::from(path),
        None => target().join("release/libaloof.so"),
    };
    let found = path.canonicalize();
    found.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with `cargo build --release`, or name it in ALOOF_LIB",
            path.display()
        )
    })
}

/// The static library, beside the shared one.
///
/// # Panics
/// If it is missing.
pub fn archive() -> PathBuf {
    let path = library().with_file_name("libaloof.a");
    assert!(
        path.exists(),
        "{} is missing; build it with `cargo build --release`",
        path.display()
    );
    path
}
