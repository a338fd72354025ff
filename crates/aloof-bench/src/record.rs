//! The result of a run: what is written as JSON and shown as tables.

use crate::machine::Machine;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Seconds since 1970 at the start.
    pub started_unix: u64,
    /// How long the run took.
    pub elapsed_seconds: f64,
    /// `wall` or `processor`: what the seconds of the rows are.
    pub clock: String,
    /// The command that was given.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
    /// The allocators; the first is the one that the ratios are of.
    pub allocators: Vec<AllocatorNote>,
    /// One row for each workload, thread count and allocator.
    pub rows: Vec<Row>,
    /// For each suite, the first allocator against each other one.
    pub geomeans: Vec<Geomean>,
    /// Passes over all workloads that were made, of those that were asked for; 0 where an older run does not tell.
    #[serde(default)]
    pub passes_done: usize,
    /// See `passes_done`.
    #[serde(default)]
    pub passes_planned: usize,
}

impl Report {
    /// How often each workload was measured: "3", or "3 to 9".
    pub fn runs(&self) -> String {
        let runs = || self.rows.iter().map(|row| row.runs);
        let (least, most) = (runs().min().unwrap_or(0), runs().max().unwrap_or(0));
        if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        }
    }

    /// A sentence about a run that did not come to its end.
    pub fn cut_short(&self) -> Option<String> {
        (self.passes_done < self.passes_planned).then(|| {
            let s = if self.passes_done == 1 { "" } else { "es" };
            format!(
                "cut short: {} pass{s} of {}",
                self.passes_done, self.passes_planned
            )
        })
    }

    /// Refuses rows that no run leaves: of an allocator that is not named, or a workload without one of its suite's.
    fn check(&self) -> anyhow::Result<()> {
        let unknown = |row: &&Row| !self.allocators.iter().any(|a| a.name == row.allocator);
        if let Some(row) = self.rows.iter().find(unknown) {
            bail!(
                "a row is of {}, which is none of the allocators",
                row.allocator
            );
        }
        for suite in self.rows.chunk_by(|a, b| a.suite == b.suite) {
            let lines =
                || suite.chunk_by(|a, b| (&a.workload, a.threads) == (&b.workload, b.threads));
            let most = lines().max_by_key(|line| line.len()).unwrap_or_default();
            let names = |line: &[Row]| {
                line.iter()
                    .map(|row| row.allocator.clone())
                    .collect::<Vec<_>>()
            };
            if let Some(line) = lines().find(|line| names(line) != names(most)) {
                bail!(
                    "{} {} with {} threads has rows of {}, others of {}",
                    line[0].suite,
                    line[0].workload,
                    line[0].threads,
                    names(line).join(", "),
                    names(most).join(", ")
                );
            }
        }
        Ok(())
    }
}

/// An allocator's name and version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AllocatorNote {
    /// The name that rows use.
    pub name: String,
    /// Package or crate and version.
    pub version: String,
}

/// One workload on one allocator: medians over the runs that succeeded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// The suite.
    pub suite: String,
    /// The workload.
    pub workload: String,
    /// Its threads.
    pub threads: usize,
    /// The allocator.
    pub allocator: String,
    /// Wall time, or processor time where the report says so.
    pub seconds: f64,
    /// The same for one allocation and its free, where the load counts them.
    pub ns_per_op: Option<f64>,
    /// Quartile distance of the times over their median.
    pub spread: f64,
    /// Processor time in user mode.
    pub user_seconds: f64,
    /// Processor time in the kernel.
    pub system_seconds: f64,
    /// Page faults.
    pub page_faults: u64,
    /// Peak resident size.
    pub peak_rss_bytes: u64,
    /// Resident size after the load had freed everything.
    pub end_rss_bytes: u64,
    /// How many runs were made.
    pub runs: usize,
    /// Time of each run, in order; null where it failed.
    pub samples: Vec<Option<f64>>,
    /// True when any run failed.
    pub failed: bool,
    /// Why the first failed run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Median over the runs of the first allocator's time over this one's.
    pub time_ratio: Option<f64>,
    /// Quartile distance of those ratios over their median.
    pub time_ratio_spread: f64,
    /// The first allocator's peak resident size over this one's.
    pub rss_ratio: Option<f64>,
    /// Resident bytes over time in the first run: `(milliseconds, bytes)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(u32, u64)>,
}

impl Row {
    /// A spread of this row as `show` writes it; what was measured once has none.
    pub fn spread_text(&self, spread: f64, show: impl FnOnce(f64) -> String) -> String {
        match self.runs {
            1 => "once".to_owned(),
            _ => show(spread * 100.0),
        }
    }
}

/// Geometric means of one suite's ratios against one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Geomean {
    /// The suite.
    pub suite: String,
    /// The allocator that the ratios divide by.
    pub against: String,
    /// Of the time ratios.
    pub time: Option<f64>,
    /// Of the peak resident size ratios.
    pub rss: Option<f64>,
    /// How many workloads entered.
    pub workloads: usize,
    /// How many could not, because a run failed.
    pub failed: usize,
}

/// Refuses a file that could not be written when all is measured. Leaves no trace.
pub fn check_writable(path: &Path) -> anyhow::Result<()> {
    for path in [path, &partial(path)] {
        let new = fs::symlink_metadata(path).is_err();
        fs::OpenOptions::new()
            .append(true)
            .create_new(new)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if new {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where a file lies until it is whole.
fn partial(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

/// Writes the report as JSON, whole or not at all.
pub fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    let partial = partial(path);
    fs::write(&partial, text)?;
    fs::rename(&partial, path)?;
    Ok(())
}

/// The report in a file that [`write`] made.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no run that --json wrote", path.display()))?;
    if report.allocators.is_empty() {
        bail!("{} names no allocator", path.display());
    }
    report
        .check()
        .with_context(|| format!("{} is no run that --json wrote", path.display()))?;
    Ok(report)
}

/// `seconds` since 1970 as `2030-01-31 23:59`.
pub fn utc_date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        rest / 3600,
        rest / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc_date(0), "1970-01-01 00:00");
        assert_eq!(utc_date(951_782_400), "2000-02-29 00:00");
        assert_eq!(utc_date(1_798_761_599), "2026-12-31 23:59");
    }

    #[test]
    fn a_run_tells_how_often_it_measured_and_can_be_read_again() {
        let mut workload = 0;
        let mut row = |runs| {
            workload += 1;
            Row {
                workload: workload.to_string(),
                allocator: "aloof".into(),
                runs,
                ..Row::default()
            }
        };
        let mut report = Report {
            started_unix: 1,
            elapsed_seconds: 2.0,
            clock: "wall".into(),
            command: "bench".into(),
            machine: Machine::here(),
            allocators: vec![AllocatorNote {
                name: "aloof".into(),
                version: "1".into(),
            }],
            rows: vec![row(3), row(3)],
            geomeans: Vec::new(),
            passes_done: 3,
            passes_planned: 3,
        };
        assert_eq!(report.runs(), "3");
        report.rows.push(row(9));
        assert_eq!(report.runs(), "3 to 9");
        let path = std::env::temp_dir().join(format!("aloof-bench-{}.json", std::process::id()));
        write(&report, &path).unwrap();
        let again = read(&path).unwrap();
        assert_eq!((again.runs(), again.allocators.len()), (report.runs(), 1));
        let refused = |change: fn(&mut Report)| {
            let mut report = report.clone();
            change(&mut report);
            write(&report, &path).unwrap();
            format!("{:#}", read(&path).unwrap_err())
        };
        let why = refused(|r| r.rows[1].allocator = "other".into());
        assert!(why.contains("none of the allocators"), "{why}");
        let why = refused(|r| {
            r.allocators.push(AllocatorNote {
                name: "peer".into(),
                version: String::new(),
            });
            let peers = r.rows[..2].iter().map(|row| Row {
                allocator: "peer".into(),
                ..row.clone()
            });
            let peers: Vec<Row> = peers.collect();
            r.rows = vec![
                r.rows[0].clone(),
                peers[0].clone(),
                r.rows[1].clone(),
                peers[1].clone(),
                r.rows[2].clone(),
            ];
        });
        assert!(
            why.contains("has rows of aloof, others of aloof, peer"),
            "{why}"
        );
        fs::write(&path, "{\"rows\":[]}").unwrap();
        let refused = read(&path).unwrap_err().to_string();
        assert!(refused.contains("no run that --json wrote"), "{refused}");
        fs::remove_file(&path).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn rows_survive_json_and_failures_say_why() {
        let row = Row {
            suite: "classic".into(),
            workload: "x".into(),
            failed: true,
            error: Some("spoiled".into()),
            samples: vec![Some(1.0), None],
            runs: 2,
            ..Row::default()
        };
        let text = serde_json::to_string(&row).unwrap();
        for field in [
            "\"seconds\"",
            "\"peak_rss_bytes\"",
            "\"end_rss_bytes\"",
            "\"runs\":2",
        ] {
            assert!(text.contains(field), "{field} in {text}");
        }
        assert!(text.contains("\"samples\":[1.0,null]"));
        let back: Row = serde_json::from_str(&text).unwrap();
        assert!(back.failed && back.error.as_deref() == Some("spoiled"));
    }
}
