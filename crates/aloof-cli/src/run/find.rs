//! Finds a command the way a shell does.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::failure::Failure;

/// Where the C library looks when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file of a command: itself when it has a slash, else the first executable of that name in `path`.
pub fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let shown = command.display();
    if command.is_empty() {
        return Err(Failure::not_found("the command is empty"));
    }
    if command.as_bytes().contains(&b'/') {
        let file = PathBuf::from(command);
        return match executable(&file) {
            Ok(()) => Ok(file),
            Err(Unfit::Missing) => Err(Failure::not_found(format!("{shown}: no such file"))),
            Err(Unfit::Directory) => {
                Err(Failure::not_executable(format!("{shown}: is a directory")))
            }
            Err(Unfit::Other(why)) => Err(Failure::not_executable(format!(
                "{shown}: not executable: {why}"
            ))),
        };
    }
    let mut unfit = None;
    for directory in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        // An empty entry is the current directory.
        let file = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &directory
        }
        .join(command);
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(Unfit::Other(why)) if unfit.is_none() => unfit = Some((file, why)),
            Err(_) => {}
        }
    }
    Err(match unfit {
        Some((file, why)) => {
            Failure::not_executable(format!("{}: not executable: {why}", file.display()))
        }
        None => Failure::not_found(format!("{shown}: command not found")),
    })
}

enum Unfit {
    Missing,
    Directory,
    Other(io::Error),
}

fn executable(file: &Path) -> Result<(), Unfit> {
    let metadata = file.metadata().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unfit::Missing,
        _ => Unfit::Other(e),
    })?;
    if metadata.is_dir() {
        return Err(Unfit::Directory);
    }
    accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).map_err(|e| Unfit::Other(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn make(directory: &Path, name: &str, mode: u32) {
        let file = directory.join(name);
        fs::write(&file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_executable_file_wins_over_directories_and_plain_files_before_it() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|n| root.path().join(n));
        for directory in [&a, &b, &c, &d] {
            fs::create_dir(directory).unwrap();
        }
        fs::create_dir(a.join("tool")).unwrap();
        make(&b, "tool", 0o644);
        make(&c, "tool", 0o755);
        make(&d, "tool", 0o755);
        let path = std::env::join_paths([&root.path().join("none"), &a, &b, &c, &d]).unwrap();
        assert_eq!(
            find(OsStr::new("tool"), Some(&path)).unwrap(),
            c.join("tool")
        );
    }

    #[test]
    fn an_unset_path_is_the_one_of_the_c_library() {
        assert!(find(OsStr::new("sh"), None).unwrap().is_absolute());
    }
}
