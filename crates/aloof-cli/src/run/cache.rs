//! Files that outlive aloof because preloaded programs, and those that they start later, open them by path.
//!
//! They lie in the user's cache directory, else in a directory of the user's below the temporary one. A file is used
//! only if it belongs to this user and holds exactly the bytes expected, in a directory that nobody else can change.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use rustix::fs::{OFlags, StatVfsMountFlags, statvfs};
use rustix::process::geteuid;

use super::environment;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// The path of a file with this name and content, written unless it is already there.
pub fn store(name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
    in_first_usable(|directory| {
        let file = directory.join(name);
        if !holds(&file, content) {
            write(directory, &file, content)?;
        }
        Ok(file)
    })
}

/// The path of a symbolic link to `target`, for a target whose own path cannot be preloaded.
pub fn link(target: &Path) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    let name = format!("link-{:016x}.so", hasher.finish());
    in_first_usable(|directory| {
        let link = directory.join(&name);
        if !fs::read_link(&link).is_ok_and(|old| old == target) {
            let fresh = directory.join(format!(".{name}.{}", std::process::id()));
            symlink(target, &fresh)?;
            fs::rename(&fresh, &link).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        }
        Ok(link)
    })
}

fn in_first_usable(make: impl Fn(&Path) -> anyhow::Result<PathBuf>) -> anyhow::Result<PathBuf> {
    let mut reasons = Vec::new();
    for directory in candidates() {
        match prepare(&directory).and_then(|()| make(&directory)) {
            Ok(path) => return Ok(path),
            Err(e) => reasons.push(format!("\n  {}: {e:#}", directory.display())),
        }
    }
    bail!("no directory will do:{}", reasons.concat())
}

fn candidates() -> Vec<PathBuf> {
    let absolute = |key| {
        env::var_os(key)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let temporary = env::temp_dir().join(format!("aloof-{}", geteuid().as_raw()));
    let all = cache
        .map(|cache| cache.join("aloof"))
        .into_iter()
        .chain([temporary]);
    // The program may change its directory.
    all.filter_map(|directory| std::path::absolute(directory).ok())
        .collect()
}

/// Makes the directory if need be, and sees that the loader can use it and that it is safe.
fn prepare(directory: &Path) -> anyhow::Result<()> {
    if !environment::is_preloadable(directory) {
        bail!("its path has a space, a colon or a dollar sign, which LD_PRELOAD has no way to say");
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        bail!("not a directory");
    }
    if metadata.uid() != geteuid().as_raw() {
        bail!("belongs to user {}", metadata.uid());
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        bail!("writable by others");
    }
    if statvfs(directory).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        bail!("on a file system mounted noexec");
    }
    above(&directory.canonicalize()?)
}

/// Nobody but this user and root may be able to put another directory in the place of this one.
fn above(directory: &Path) -> anyhow::Result<()> {
    // In a user namespace root itself may show as another number.
    let root = fs::metadata("/")?.uid();
    for parent in directory.ancestors().skip(1) {
        let metadata = fs::metadata(parent)?;
        if ![0, root, geteuid().as_raw()].contains(&metadata.uid()) {
            bail!("{} belongs to user {}", parent.display(), metadata.uid());
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0 {
            bail!("{} is writable by others", parent.display());
        }
    }
    Ok(())
}

/// Whether a file of this user holds exactly these bytes.
fn holds(file: &Path, content: &[u8]) -> bool {
    let read = || -> io::Result<bool> {
        // Neither through a link nor, should it be a pipe, waiting for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let mut opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.cast_signed())
            .open(file)?;
        let metadata = opened.metadata()?;
        if !metadata.is_file()
            || metadata.uid() != geteuid().as_raw()
            || metadata.mode() & WRITABLE_BY_OTHERS != 0
            || metadata.len() != content.len() as u64
        {
            return Ok(false);
        }
        let mut found = Vec::with_capacity(content.len());
        opened.read_to_end(&mut found)?;
        Ok(found == content)
    };
    read().unwrap_or(false)
}

/// Writes under another name first: a program that starts meanwhile sees the old file or the new one, whole.
fn write(directory: &Path, file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut fresh = tempfile::Builder::new()
        .prefix(".libaloof-")
        .tempfile_in(directory)?;
    fresh.write_all(content)?;
    set_mode(fresh.as_file())?;
    fresh
        .persist(file)
        .map_err(|e| anyhow!(e.error))
        .with_context(|| format!("cannot name it {}", file.display()))?;
    Ok(())
}

fn set_mode(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o755))
}
