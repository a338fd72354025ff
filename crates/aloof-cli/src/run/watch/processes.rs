//! The program's processes and their memory, by `/proc` and by what the library tells.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::sys::Pid;

/// Threads of a process that are asked for their children at every look.
const FEW_THREADS: u64 = 64;
/// Of processes with more threads, all are asked at every such look.
const SELDOM: u64 = 10;

/// What one look saw, summed over the processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub processes: u32,
    /// Processes whose library tells its figures.
    pub telling: u32,
    pub rss: u64,
    /// None while no process tells.
    pub figures: Option<Figures>,
}

/// What a library tells of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub live: u64,
    pub committed: u64,
}

/// A process: numbers are used again, start times tell who it is.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    pid: Pid,
    started: u64,
}

/// The main process and all its descendants that were ever seen, also when their parents are gone.
pub struct Processes {
    known: Vec<Known>,
    directory: PathBuf,
    looks: u64,
}

impl Processes {
    /// The libraries keep their figures in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            known: Vec::new(),
            directory: directory.to_owned(),
            looks: 0,
        }
    }

    /// Looks at all processes.
    pub fn look(&mut self, main: Pid) -> Seen {
        let mut seen = Seen::default();
        let mut pids: HashSet<Pid> = self.known.iter().map(|known| known.pid).collect();
        // Those to look at, with the start time if they were seen before.
        let mut queue: Vec<_> = self
            .known
            .drain(..)
            .map(|k| (k.pid, Some(k.started)))
            .collect();
        if pids.insert(main) {
            queue.push((main, None));
        }
        let mut next = 0;
        while let Some(&(pid, before)) = queue.get(next) {
            next += 1;
            let Some(stat) = read_stat(pid).filter(|s| before.is_none_or(|b| b == s.started))
            else {
                pids.remove(&pid);
                continue;
            };
            self.known.push(Known {
                pid,
                started: stat.started,
            });
            if stat.is_over {
                continue;
            }
            seen.processes += 1;
            seen.rss += stat.rss_pages * rustix::param::page_size() as u64;
            if let Some(told) = self.figures(pid) {
                seen.telling += 1;
                let sum = seen.figures.get_or_insert_default();
                sum.live = sum.live.saturating_add(told.live);
                sum.committed = sum.committed.saturating_add(told.committed);
            }
            if stat.threads <= FEW_THREADS || self.looks.is_multiple_of(SELDOM) {
                let children = children(pid)
                    .into_iter()
                    .filter(|&child| pids.insert(child));
                queue.extend(children.map(|child| (child, None)));
            }
        }
        self.looks += 1;
        seen
    }

    /// Two integers in a file that the library maps and keeps up to date.
    fn figures(&self, pid: Pid) -> Option<Figures> {
        let mut file = OpenOptions::new()
            .read(true)
            // The program may have put anything there: opening a pipe would wait for ever.
            .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32)
            .open(self.directory.join(format!("{pid}.live")))
            .ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut live = [0; 8];
        let mut committed = [0; 8];
        file.read_exact(&mut live).ok()?;
        file.read_exact(&mut committed).ok()?;
        Some(Figures {
            live: u64::from_le_bytes(live),
            committed: u64::from_le_bytes(committed),
        })
    }
}

/// What matters of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    /// Dead, but not yet waited for.
    is_over: bool,
    threads: u64,
    started: u64,
    rss_pages: u64,
}

fn read_stat(pid: Pid) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields are counted behind the name, which may hold blanks, brackets and bytes that are no text.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    // The first field here is the third of proc_pid_stat(5).
    let number = |nth: usize| fields.get(nth - 3)?.parse().ok();
    Some(Stat {
        is_over: ["Z", "X"].contains(fields.first()?),
        threads: number(20)?,
        started: number(22)?,
        rss_pages: number(24)?,
    })
}

/// The kernel lists the children of each thread.
fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_behind_the_worst_of_names() {
        let text = b"77 (a) R 1 (\xff) S 1 77 77 0 -1 4194304 9 0 0 0 1 2 0 0 20 0 3 0 5551 9000 123 18446744073709551615\n";
        let expected = Stat {
            is_over: false,
            threads: 3,
            started: 5551,
            rss_pages: 123,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat(b"77 (name) S 1 2"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn figures_come_from_whole_regular_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let processes = Processes::new(directory.path());
        let file = |name: &str| directory.path().join(name);
        let told = [7_u64.to_le_bytes(), (1_u64 << 40).to_le_bytes()].concat();
        fs::write(file("1.live"), &told).unwrap();
        fs::write(file("2.live"), &told[..15]).unwrap();
        fs::create_dir(file("3.live")).unwrap();
        std::os::unix::fs::symlink(file("1.live"), file("4.live")).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, file("5.live"), kind, mode, 0).unwrap();
        let expected = Figures {
            live: 7,
            committed: 1 << 40,
        };
        assert_eq!(processes.figures(1), Some(expected));
        for pid in 2..=6 {
            assert_eq!(processes.figures(pid), None, "{pid}");
        }
    }
}
