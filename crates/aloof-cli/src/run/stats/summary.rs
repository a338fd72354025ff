//! The summary: one screen of 80 columns and at most 24 lines.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::human;
use crate::run::supervise::Ended;

use super::Collected;
use super::parse::{Process, TIERS};

/// Lines of notes; of more files only the number is told.
const MOST_NOTES: usize = 2;
const COLUMNS: usize = 80;
const SHORT: usize = 24;
const LONG: usize = 48;

/// The whole text.
pub fn summary(name: &OsStr, ended: &Ended, collected: &Collected) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_summary(&mut text, name, ended, collected);
    text
}

fn write_summary(
    out: &mut String,
    name: &OsStr,
    ended: &Ended,
    collected: &Collected,
) -> fmt::Result {
    let usage = &ended.usage;
    out.push_str(&headline(name, ended.status));
    writeln!(
        out,
        "time       {} wall, {} user, {} system",
        human::duration(ended.wall),
        human::duration(usage.user),
        human::duration(usage.system)
    )?;
    let main = collected
        .processes
        .iter()
        .find(|p| p.pid == u64::from(ended.pid.unsigned_abs()));
    let main_file = format!("{}.stats", ended.pid);
    let main_damaged = collected.damaged.iter().any(|(name, _)| *name == main_file);
    let missing = main.is_none() && !main_damaged;
    writeln!(out, "processes  {}", census(collected, missing))?;
    let shown = if collected.damaged.len() > MOST_NOTES {
        MOST_NOTES - 1
    } else {
        MOST_NOTES
    };
    for (name, why) in collected.damaged.iter().take(shown) {
        let note = format!("note: {name} unusable: {why}");
        writeln!(out, "{}", printable(&note, COLUMNS - 3))?;
    }
    if collected.damaged.len() > shown {
        let more = collected.damaged.len() - shown;
        writeln!(out, "note: {more} more files unusable")?;
    }
    if main.is_none() {
        writeln!(
            out,
            "peak RSS   {} (from the kernel, largest process)",
            human::bytes(usage.peak_rss_bytes)
        )?;
    }
    if missing {
        writeln!(
            out,
            "{}",
            why_missing(ended.status, collected.processes.is_empty())
        )?;
    }
    tables(out, main, &collected.processes)
}

/// The first line: what ran, and how it ended.
pub fn headline(name: &OsStr, status: ExitStatus) -> String {
    let file = Path::new(name).file_name().unwrap_or(name);
    let file = printable(&file.to_string_lossy(), SHORT);
    format!("aloof: {file}: {}\n", how_it_ended(status))
}

/// The exit status or the signal, in words.
pub fn how_it_ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let core = if status.core_dumped() {
                ", core dumped"
            } else {
                ""
            };
            format!("killed by {}{core}", signal_name(signal))
        }
        (None, code) => format!("exit status {}", code.unwrap_or_default()),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

fn census(collected: &Collected, missing: bool) -> String {
    let (whole, damaged) = (collected.processes.len(), collected.damaged.len());
    let mut text = format!(
        "{} seen, {whole} with statistics",
        whole + damaged + usize::from(missing)
    );
    if damaged > 0 {
        let _ = write!(text, ", {damaged} with unusable ones");
    }
    text
}

fn why_missing(status: ExitStatus, alone: bool) -> String {
    let mut text = match status.signal() {
        Some(signal) => {
            format!(
                "The main process left no statistics: {} came before it could.",
                signal_name(signal)
            )
        }
        None => "The main process left no statistics. They are written at the normal end of a\n\
                 program: it may have called _exit, or become (exec) a program that cannot run\n\
                 on aloof."
            .to_owned(),
    };
    if alone {
        text.push_str(
            "\nNo other process left any. A library given by --lib must be an aloof to do so.",
        );
    }
    text
}

/// One process, or all of them as one.
struct Column {
    title: String,
    process: Process,
    is_total: bool,
}

fn tables(out: &mut String, main: Option<&Process>, all: &[Process]) -> fmt::Result {
    let mut columns = Vec::new();
    if let Some(main) = main {
        let program = printable(&main.command, LONG);
        writeln!(out, "program    {program} (process {})", main.pid)?;
        columns.push(Column {
            title: "main process".to_owned(),
            process: main.clone(),
            is_total: false,
        });
    }
    if all.len() > columns.len() {
        let title = if main.is_some() {
            format!("all {}", all.len())
        } else {
            format!("{} without it", all.len())
        };
        columns.push(Column {
            title,
            process: total(all),
            is_total: true,
        });
    }
    if columns.is_empty() {
        return Ok(());
    }
    figures(out, &columns)?;
    tiers(out, &columns)
}

fn figures(out: &mut String, columns: &[Column]) -> fmt::Result {
    type Cell = fn(&Process) -> String;
    let rows: [(&str, &str, Cell); 7] = [
        ("peak RSS", "largest", |p| human::bytes(p.peak_rss_bytes)),
        ("live at exit", "sum", |p| human::bytes(p.live_bytes)),
        ("  in blocks", "sum", |p| human::count(p.live_blocks)),
        ("peak committed", "largest", |p| {
            human::bytes(p.peak_committed_bytes)
        }),
        ("reserved address space", "largest", |p| {
            human::bytes(p.reserved_bytes)
        }),
        ("metadata, of committed", "largest", |p| {
            let share = human::percent(p.metadata_bytes, p.peak_committed_bytes);
            format!("{} {share:>7}", human::bytes(p.metadata_bytes))
        }),
        ("threads started, at once", "sum, largest", |p| {
            format!(
                "{} {:>7}",
                human::count(p.threads_started),
                human::count(p.threads_peak)
            )
        }),
    ];
    write!(out, "{:24}", "")?;
    for column in columns {
        write!(out, "{:>20}", column.title)?;
    }
    writeln!(out)?;
    for (label, how, cell) in rows {
        write!(out, "{label:24}")?;
        for column in columns {
            write!(out, "{:>20}", cell(&column.process))?;
        }
        if columns.iter().any(|column| column.is_total) {
            write!(out, "  {how}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn tiers(out: &mut String, columns: &[Column]) -> fmt::Result {
    write!(out, "{:8}", "tier")?;
    for column in columns {
        let heads = if column.is_total {
            ["allocs(sum)", "live(sum)", "peak(max)"]
        } else {
            ["allocs", "live", "peak"]
        };
        write!(out, "{:>14}{:>11}{:>11}", heads[0], heads[1], heads[2])?;
    }
    writeln!(out)?;
    for (index, name) in TIERS.iter().enumerate() {
        write!(out, "{name:8}")?;
        for column in columns {
            let tier = &column.process.tiers[index];
            let (live, peak) = (human::bytes(tier.live_bytes), human::bytes(tier.peak_bytes));
            write!(
                out,
                "{:>14}{live:>11}{peak:>11}",
                human::count(tier.allocations)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "pool allocs: blocks handed to thread caches, where each serves many mallocs"
    )
}

/// All processes as one: sums of what adds up, and the largest of what was not at the same time.
fn total(all: &[Process]) -> Process {
    let mut total = Process::default();
    for p in all {
        for (sum, value) in [
            (&mut total.live_bytes, p.live_bytes),
            (&mut total.live_blocks, p.live_blocks),
            (&mut total.threads_started, p.threads_started),
        ] {
            *sum = sum.saturating_add(value);
        }
        for (largest, value) in [
            (&mut total.peak_rss_bytes, p.peak_rss_bytes),
            (&mut total.reserved_bytes, p.reserved_bytes),
            (&mut total.threads_peak, p.threads_peak),
        ] {
            *largest = value.max(*largest);
        }
        // Kept together, so that the percentage is that of one process.
        if p.peak_committed_bytes >= total.peak_committed_bytes {
            total.peak_committed_bytes = p.peak_committed_bytes;
            total.metadata_bytes = p.metadata_bytes;
        }
        for (sum, tier) in total.tiers.iter_mut().zip(&p.tiers) {
            sum.allocations = sum.allocations.saturating_add(tier.allocations);
            sum.live_bytes = sum.live_bytes.saturating_add(tier.live_bytes);
            sum.peak_bytes = sum.peak_bytes.max(tier.peak_bytes);
        }
    }
    total
}

/// Text from outside, fit for a terminal: no control characters, not much longer than this.
pub fn printable(text: &str, longest: usize) -> String {
    let mut short: String = text
        .chars()
        .take(longest)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(longest).is_some() {
        short.push_str("...");
    }
    short
}
