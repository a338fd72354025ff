//! `--watch` and `--html`: resident memory and live bytes over time.
//!
//! The request flows one way: `processes` looks at the program and its descendants, `history` keeps what was seen, and
//! `terminal` (which draws a `chart`) or lines of text show it; `report` makes a page (with a `plot`) of it in the end.
//! `scale` finds round numbers for the axes of both.

mod chart;
mod history;
mod plot;
mod processes;
mod report;
mod scale;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::human;
use crate::sys::Pid;

use super::stats::printable;
use super::supervise::{Ended, Onlooker};

use history::{History, Peak};
use processes::Processes;
use terminal::Terminal;

pub use report::Report;

/// From look to look, and from drawing to drawing.
const INTERVAL: Duration = Duration::from_millis(100);
/// In the beginning looks are closer: at most this part of the time so far lies between them.
const PART: u32 = 20;
const SHORTEST: Duration = Duration::from_millis(5);
/// From line to line, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest command that is shown in full.
const LONGEST_TITLE: usize = 200;

/// Looks at the program and shows what it sees.
pub struct Watch {
    processes: Processes,
    history: History,
    title: String,
    /// None where lines are written instead.
    terminal: Option<Terminal>,
    next_shown: Duration,
}

impl Watch {
    /// Watches a command whose libraries keep their figures in `directory`.
    pub fn new(command: &[OsString], directory: &Path) -> Self {
        let terminal = Terminal::new();
        Self {
            processes: Processes::new(directory),
            history: History::new(),
            title: title(command),
            next_shown: match terminal {
                Some(_) => Duration::ZERO,
                None => LINE_INTERVAL,
            },
            terminal,
        }
    }

    /// Leaves the terminal; returns the chart that is to stay there.
    pub fn close(&mut self) -> String {
        self.terminal.as_mut().map_or_else(String::new, |terminal| {
            terminal.clear();
            terminal.last(&self.history, &self.title)
        })
    }

    /// The peaks, in words.
    pub fn peaks(&self, ended: &Ended) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write_peaks(&mut text, &self.history, ended);
        text
    }

    /// The report.
    pub fn page(&self, ended: &Ended) -> String {
        report::page(&self.title, &self.history, ended)
    }
}

impl Onlooker for Watch {
    fn look(&mut self, program: Pid, elapsed: Duration) -> Option<Duration> {
        let seen = self.processes.look(program);
        // All are dead, and the end is about to be told.
        if seen.processes > 0 {
            self.history.add(elapsed, seen);
        }
        if elapsed >= self.next_shown {
            match &mut self.terminal {
                Some(terminal) => {
                    terminal.draw(&self.history, &self.title);
                    self.next_shown = elapsed + INTERVAL;
                }
                None => {
                    if terminal::takes_more() {
                        let line = line(&self.history);
                        let _ = std::io::stderr().write_all(line.as_bytes());
                    }
                    while self.next_shown <= elapsed {
                        self.next_shown += LINE_INTERVAL;
                    }
                }
            }
        }
        Some((elapsed / PART).clamp(SHORTEST, INTERVAL))
    }

    fn step_aside(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.clear();
            self.next_shown = Duration::ZERO;
        }
    }
}

/// The line of one second.
fn line(history: &History) -> String {
    let pair =
        |now: u64, peak: u64| format!("{:>9} (peak {:>9})", human::bytes(now), human::bytes(peak));
    let live = match history.live {
        Some(peak) => pair(history.last.figures.unwrap_or_default().live, peak.bytes),
        None => "unknown".to_owned(),
    };
    format!(
        "aloof: {:>6.1} s  RSS {}  live {live}\n",
        history.elapsed.as_secs_f64(),
        pair(history.last.rss, history.rss.bytes)
    )
}

fn write_peaks(out: &mut String, history: &History, ended: &Ended) -> std::fmt::Result {
    let at = |peak: Peak| {
        format!(
            "{} at {}",
            human::bytes(peak.bytes),
            human::duration(peak.at)
        )
    };
    write!(
        out,
        "RSS peak   {} in {} {}",
        at(history.rss),
        human::count(history.looks),
        if history.looks == 1 { "look" } else { "looks" }
    )?;
    if history.processes > 1 {
        write!(out, ", up to {} processes", history.processes)?;
    }
    if ended.usage.peak_rss_bytes > history.rss.bytes {
        let kernel = human::bytes(ended.usage.peak_rss_bytes);
        write!(out, "; the kernel says {kernel} of the largest")?;
    }
    match history.live {
        Some(peak) => writeln!(out, "\nlive peak  {}", at(peak)),
        None => writeln!(out, "\n{LIVE_UNKNOWN}"),
    }
}

/// Told when no process kept a file.
const LIVE_UNKNOWN: &str = "Live bytes are unknown: no process told them while it was looked at.";

/// The command as it would be typed, fit for a terminal.
fn title(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
    printable(&words.join(" "), LONGEST_TITLE)
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "_-+=./,:@%^~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_can_be_typed_again_and_cannot_drive_the_terminal() {
        let words = ["./a.out", "", "two words", "it's", "$x", "\u{1b}[2J", "-O2"];
        let command = words.map(OsString::from);
        let expected = r"./a.out '' 'two words' 'it'\''s' '$x' '?[2J' -O2";
        assert_eq!(title(&command), expected);
        let long = title(&[OsString::from("x".repeat(1000))]);
        assert_eq!(long.len(), LONGEST_TITLE + 3);
    }
}
