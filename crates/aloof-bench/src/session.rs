//! A whole run: every workload on every allocator, pass after pass, allocators in turn.

use crate::allocators::Allocator;
use crate::args::Args;
use crate::catalogue::Workload;
use crate::machine::Machine;
use crate::measure::{Figures, Sample, measure};
use crate::record::{AllocatorNote, Geomean, Report, Row};
use crate::stats::{geomean, median, paired_ratios, spread};
use crate::tools::Tools;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures everything.
pub fn run(
    args: &Args,
    tools: &Tools,
    allocators: Vec<Allocator>,
    workloads: Vec<Workload>,
) -> Result<Report> {
    if workloads.is_empty() {
        bail!("no workload fits --suite and --only");
    }
    let clock = Instant::now();
    let started_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    let runs = args.runs();
    let timeout = Duration::from_secs(args.timeout);
    let per_pass: usize = workloads
        .iter()
        .map(|w| allocators.iter().filter(|a| a.takes_part(w)).count())
        .sum();
    let mut progress = Progress::new(runs * per_pass);
    let mut samples = vec![vec![Vec::<Sample>::new(); allocators.len()]; workloads.len()];
    for _ in 0..runs {
        for (w, workload) in workloads.iter().enumerate() {
            for (a, allocator) in allocators.iter().enumerate() {
                if !allocator.takes_part(workload) {
                    continue;
                }
                progress.now(workload, allocator);
                let began = Instant::now();
                samples[w][a].push(measure(workload, allocator, tools, timeout));
                progress.done(w, a, began.elapsed());
            }
        }
    }
    progress.end();
    let mut rows = Vec::new();
    for (workload, samples) in workloads.iter().zip(&samples) {
        rows.extend(condense(
            workload,
            &allocators,
            samples,
            args.processor_time,
        ));
    }
    Ok(Report {
        started_unix,
        elapsed_seconds: clock.elapsed().as_secs_f64(),
        clock: if args.processor_time {
            "processor"
        } else {
            "wall"
        }
        .to_owned(),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        machine: Machine::here(),
        geomeans: geomeans(&rows, &allocators),
        allocators: allocators
            .into_iter()
            .map(|a| AllocatorNote {
                name: a.name,
                version: a.version,
            })
            .collect(),
        rows,
    })
}

/// The rows of one workload, one an allocator.
fn condense(
    workload: &Workload,
    allocators: &[Allocator],
    samples: &[Vec<Sample>],
    processor_time: bool,
) -> Vec<Row> {
    let clock = |f: &Figures| {
        if processor_time {
            f.user_seconds + f.system_seconds
        } else {
            f.seconds
        }
    };
    let times = |samples: &[Sample]| -> Vec<Option<f64>> {
        samples
            .iter()
            .map(|s| s.outcome.as_ref().ok().map(clock))
            .collect()
    };
    let ours = times(&samples[0]);
    let our_failed = ours.is_empty() || ours.contains(&None);
    let mut rows: Vec<Row> = Vec::new();
    for (allocator, samples) in allocators.iter().zip(samples) {
        if !allocator.takes_part(workload) {
            continue;
        }
        let good: Vec<Figures> = samples
            .iter()
            .filter_map(|s| s.outcome.as_ref().ok().copied())
            .collect();
        let middle = |of: fn(&Figures) -> f64| {
            median(&good.iter().map(of).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        let error = samples
            .iter()
            .find_map(|s| s.outcome.as_ref().err().cloned());
        let seconds: Vec<f64> = good.iter().map(clock).collect();
        let time = median(&seconds).unwrap_or(0.0);
        let theirs = times(samples);
        let ratios = paired_ratios(&ours, &theirs);
        let peak = middle(|f| f.peak_rss_bytes as f64);
        let our_peak = rows.first().map_or(peak, |row| row.peak_rss_bytes as f64);
        // A failed run spoils the pair: whatever the other runs say, it enters no mean.
        let whole = error.is_none() && !our_failed;
        let ops = good.first().map_or(0, |f| f.ops);
        rows.push(Row {
            suite: workload.suite.to_owned(),
            workload: workload.name.clone(),
            threads: workload.threads,
            allocator: allocator.name.clone(),
            seconds: time,
            ns_per_op: (ops > 0).then(|| time * 1e9 / ops as f64),
            spread: spread(&seconds),
            user_seconds: middle(|f| f.user_seconds),
            system_seconds: middle(|f| f.system_seconds),
            page_faults: middle(|f| f.page_faults as f64) as u64,
            peak_rss_bytes: peak as u64,
            end_rss_bytes: middle(|f| f.end_rss_bytes as f64) as u64,
            runs: samples.len(),
            samples: theirs,
            failed: error.is_some(),
            error,
            time_ratio: median(&ratios).filter(|_| whole),
            time_ratio_spread: spread(&ratios),
            rss_ratio: (whole && peak > 0.0).then(|| our_peak / peak),
            memory: samples.first().map_or_else(Vec::new, |s| s.memory.clone()),
        });
    }
    rows
}

fn geomeans(rows: &[Row], allocators: &[Allocator]) -> Vec<Geomean> {
    let mut suites: Vec<&str> = rows.iter().map(|row| row.suite.as_str()).collect();
    suites.dedup();
    let mut means = Vec::new();
    for suite in suites {
        for peer in &allocators[1..] {
            let of_peer: Vec<&Row> = rows
                .iter()
                .filter(|row| row.suite == suite && row.allocator == peer.name)
                .collect();
            if of_peer.is_empty() {
                continue;
            }
            let entered = of_peer
                .iter()
                .filter(|row| row.time_ratio.is_some())
                .count();
            means.push(Geomean {
                suite: suite.to_owned(),
                against: peer.name.clone(),
                time: geomean(of_peer.iter().filter_map(|row| row.time_ratio)),
                rss: geomean(of_peer.iter().filter_map(|row| row.rss_ratio)),
                workloads: entered,
                failed: of_peer.len() - entered,
            });
        }
    }
    means
}

/// The progress bar; the remaining time is reckoned from how long each measurement took in the
/// passes before.
struct Progress {
    bar: ProgressBar,
    total: usize,
    finished: usize,
    spent: f64,
}

impl Progress {
    fn new(total: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix} {wide_msg}")
            .expect("the template is well formed");
        let bar = ProgressBar::new(total as u64).with_style(style);
        Progress {
            bar,
            total,
            finished: 0,
            spent: 0.0,
        }
    }

    fn now(&self, workload: &Workload, allocator: &Allocator) {
        self.bar.set_message(format!(
            "{} {} x{} on {}",
            workload.suite, workload.name, workload.threads, allocator.name
        ));
    }

    fn done(&mut self, _workload: usize, _allocator: usize, took: Duration) {
        self.finished += 1;
        self.spent += took.as_secs_f64();
        let left = self.spent / self.finished as f64 * (self.total - self.finished) as f64;
        self.bar
            .set_prefix(format!("{}:{:02} left", left as u64 / 60, left as u64 % 60));
        self.bar.inc(1);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
