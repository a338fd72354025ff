//! Whether two folders of outputs are the same, byte for byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const BLOCK: usize = 1 << 16;

/// What a comparison found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Same { files: usize, bytes: u64 },
    Different(String),
}

/// Compares all files below two folders.
pub fn folders(one: &Path, other: &Path) -> Result<Verdict> {
    let (left, right) = (files(one)?, files(other)?);
    for (from, to, place) in [(&left, &right, other), (&right, &left, one)] {
        if let Some(name) = from.keys().find(|name| !to.contains_key(*name)) {
            return Ok(Verdict::Different(format!(
                "{} is missing from {}",
                name.display(),
                place.display()
            )));
        }
    }
    let mut bytes = 0;
    for (name, path) in &left {
        match contents(path, &right[name])? {
            Contents::Same(length) => bytes += length,
            Contents::DifferAt(offset) => {
                return Ok(Verdict::Different(format!(
                    "{} differs at byte {offset}: compare {} with {}",
                    name.display(),
                    path.display(),
                    right[name].display()
                )));
            }
        }
    }
    Ok(Verdict::Same {
        files: left.len(),
        bytes,
    })
}

/// Files below a folder by their path in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(next) = pending.pop() {
        let entries =
            fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", next.display()))?
                .path();
            if path.is_dir() {
                pending.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                found.insert(name.to_path_buf(), path.clone());
            }
        }
    }
    Ok(found)
}

enum Contents {
    Same(u64),
    DifferAt(u64),
}

fn contents(one: &Path, other: &Path) -> Result<Contents> {
    let open = |path: &Path| {
        File::open(path)
            .map(BufReader::new)
            .with_context(|| format!("cannot read {}", path.display()))
    };
    let (mut left, mut right) = (open(one)?, open(other)?);
    let (mut a, mut b) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    let mut offset = 0;
    loop {
        for (reader, block) in [(&mut left, &mut a), (&mut right, &mut b)] {
            block.clear();
            reader
                .take(BLOCK as u64)
                .read_to_end(block)
                .with_context(|| format!("cannot compare {}", one.display()))?;
        }
        if a != b {
            let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
            return Ok(Contents::DifferAt(offset + common as u64));
        }
        if a.is_empty() {
            return Ok(Contents::Same(offset));
        }
        offset += a.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for side in [&one, &other] {
            fs::create_dir_all(side.join("deep")).expect("folder");
            fs::write(side.join("deep/file"), vec![7; 3 * BLOCK + 5]).expect("file");
            fs::write(side.join("empty"), b"").expect("file");
        }
        (folder, one, other)
    }

    fn difference(one: &Path, other: &Path) -> String {
        match folders(one, other).expect("compared") {
            Verdict::Different(what) => what,
            same @ Verdict::Same { .. } => panic!("{same:?}"),
        }
    }

    #[test]
    fn equal_folders_are_the_same() {
        let (_keep, one, other) = pair();
        let verdict = folders(&one, &other).expect("compared");
        let bytes = 3 * BLOCK as u64 + 5;
        assert_eq!(verdict, Verdict::Same { files: 2, bytes });
    }

    #[test]
    fn one_changed_byte_is_found_and_placed() {
        let (_keep, one, other) = pair();
        let mut changed = vec![7; 3 * BLOCK + 5];
        changed[2 * BLOCK + 1] = 8;
        fs::write(other.join("deep/file"), changed).expect("file");
        let offset = 2 * BLOCK + 1;
        assert!(difference(&one, &other).contains(&format!("deep/file differs at byte {offset}:")));
    }

    #[test]
    fn a_file_that_ends_early_differs() {
        let (_keep, one, other) = pair();
        fs::write(other.join("deep/file"), vec![7; 3 * BLOCK]).expect("file");
        assert!(difference(&one, &other).contains(&format!("differs at byte {}:", 3 * BLOCK)));
    }

    #[test]
    fn a_file_on_one_side_only_is_found_on_either() {
        let (_keep, one, other) = pair();
        fs::write(other.join("more"), b"x").expect("file");
        assert!(difference(&one, &other).starts_with("more is missing from"));
        assert!(difference(&other, &one).starts_with("more is missing from"));
    }
}
