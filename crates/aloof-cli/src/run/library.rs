//! Which library is preloaded: the one inside this program, or the user's.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Context;

use crate::failure::Failure;

use super::elf::{self, Abi};
use super::{cache, environment};

/// libaloof.so as the build script made it.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libaloof.so"));
const NAME: &str = concat!("libaloof-", env!("ALOOF_LIBRARY_ID"), ".so");

static ABI: LazyLock<Abi> = LazyLock::new(|| {
    elf::parse(EMBEDDED)
        .expect("the build script embeds a library")
        .abi
});

/// The kind of machine that the library, and so this program, is for.
pub fn abi() -> Abi {
    *ABI
}

/// A path to the library inside this program.
pub fn embedded() -> anyhow::Result<PathBuf> {
    cache::store(NAME, EMBEDDED)
        .context("cannot put libaloof.so where the loader finds it (or give --lib PATH)")
}

/// A path to the library of the user, checked.
pub fn given(path: &Path) -> anyhow::Result<PathBuf> {
    let refuse = |why: String| Failure::refused(format!("--lib {}: {why}", path.display()));
    let mut file = File::open(path).map_err(|e| refuse(format!("cannot be opened: {e}")))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(refuse("not a file".to_owned()).into());
    }
    let mut head = [0; 8];
    let length = file
        .read(&mut head)
        .map_err(|e| refuse(format!("cannot be read: {e}")))?;
    if head == *b"!<arch>\n" {
        return Err(
            refuse("a static archive; the shared library (.so) is needed".to_owned()).into(),
        );
    }
    if !elf::is_elf(&head[..length]) {
        return Err(refuse("not a shared library (no ELF file)".to_owned()).into());
    }
    let facts = elf::read(&file).map_err(|e| refuse(format!("a damaged ELF file: {e}")))?;
    if facts.abi != abi() {
        let why = format!(
            "for {}, while this machine runs {}",
            facts.abi.describe(),
            abi().describe()
        );
        return Err(refuse(why).into());
    }
    if !facts.is_shared_library() {
        return Err(refuse("an ELF file, but no shared library".to_owned()).into());
    }
    // The program may change its directory and start others from there.
    let path = std::path::absolute(path).map_err(|e| refuse(e.to_string()))?;
    if environment::is_preloadable(&path) {
        return Ok(path);
    }
    cache::link(&path).with_context(|| {
        format!(
            "--lib {}: LD_PRELOAD has no way to say a space, a colon or a dollar sign",
            path.display()
        )
    })
}
