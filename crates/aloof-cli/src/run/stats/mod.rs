//! The statistics that libaloof.so leaves in the directory `ALOOF_STATS_DIR`: one `<pid>.stats` a process.

mod parse;
mod summary;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

pub use parse::Process;
pub use summary::{headline, how_it_ended, printable, summary};

/// Far more than any true file holds.
const LONGEST: u64 = 64 * 1024;

/// All that was found in the directory.
#[derive(Default)]
pub struct Collected {
    /// The readable files, by process number.
    pub processes: Vec<Process>,
    /// The others: the file's name and what is wrong with it.
    pub damaged: Vec<(String, String)>,
}

/// Reads the files; one that makes no sense is told of and left out.
pub fn collect(directory: &Path) -> Collected {
    let mut collected = Collected::default();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) => {
            collected
                .damaged
                .push((directory.display().to_string(), e.to_string()));
            return collected;
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_suffix(".stats") else {
            continue;
        };
        let process = read(&entry.path())
            .and_then(|text| parse::process(&text))
            .and_then(|process| {
                if pid.parse() == Ok(process.pid) {
                    Ok(process)
                } else {
                    Err(format!("it says it is of process {}", process.pid))
                }
            });
        match process {
            Ok(process) => collected.processes.push(process),
            Err(why) => collected.damaged.push((name, why)),
        }
    }
    collected.processes.sort_by_key(|process| process.pid);
    collected.damaged.sort();
    collected
}

fn read(file: &Path) -> Result<String, String> {
    let read = || -> io::Result<Vec<u8>> {
        // The program may have put anything there: opening a pipe would wait for ever.
        if !fs::symlink_metadata(file)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(file)?
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_foreign_and_special_files_are_told_apart_and_never_stop_the_reading() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let good = parse::tests::example(12);
        fs::write(path("12.stats"), &good).unwrap();
        fs::write(path("13.stats"), &good).unwrap();
        fs::write(path("14.stats"), &good.as_bytes()[..good.len() / 2]).unwrap();
        fs::write(path("15.stats"), "x".repeat(100_000)).unwrap();
        fs::write(path("16.stats"), [0xff, 0xfe, b'\n']).unwrap();
        fs::write(path("notes.txt"), "not ours").unwrap();
        fs::create_dir(path("17.stats")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("18.stats"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();

        let collected = collect(directory.path());

        assert_eq!(
            collected
                .processes
                .iter()
                .map(|p| p.pid)
                .collect::<Vec<_>>(),
            [12]
        );
        let damaged: Vec<_> = collected
            .damaged
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            damaged,
            [
                "13.stats", "14.stats", "15.stats", "16.stats", "17.stats", "18.stats"
            ]
        );
    }
}
