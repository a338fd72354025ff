//! A whole run: every workload on every allocator, pass after pass, allocators in turn, each pass from another one on.

use crate::allocators::Allocator;
use crate::args::Args;
use crate::catalogue::Workload;
use crate::machine::Machine;
use crate::measure::{Figures, Sample};
use crate::progress::Progress;
use crate::record::{self, AllocatorNote, Geomean, Report, Row};
use crate::sampler::Sampler;
use crate::stats::{geomean, median, paired_ratios, spread};
use crate::tools::Tools;
use anyhow::{Result, bail};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    if workloads
        .iter()
        .any(|workload| !allocators[0].takes_part(workload))
    {
        bail!(
            "the suite `rust` cannot be built on {}, which comes first: name a crate or glibc first, or other suites",
            allocators[0].name
        );
    }
    let clock = Instant::now();
    let started_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    let runs = args.runs();
    let plan: Vec<(usize, usize)> = (0..workloads.len())
        .flat_map(|w| (0..allocators.len()).map(move |a| (w, a)))
        .filter(|&(w, a)| allocators[a].takes_part(&workloads[w]))
        .collect();
    let report = |samples: &[Vec<Vec<Sample>>], passes_done| {
        let rows: Vec<Row> = workloads
            .iter()
            .zip(samples)
            .flat_map(|(w, samples)| condense(w, &allocators, samples, args.processor_time))
            .collect();
        Report {
            started_unix,
            elapsed_seconds: clock.elapsed().as_secs_f64(),
            clock: if args.processor_time {
                "processor"
            } else {
                "wall"
            }
            .to_owned(),
            command: command_line(std::env::args().skip(1)),
            machine: Machine::here(),
            geomeans: geomeans(&rows, &allocators),
            allocators: allocators
                .iter()
                .map(|a| AllocatorNote {
                    name: a.name.clone(),
                    version: a.version.clone(),
                })
                .collect(),
            rows,
            passes_done,
            passes_planned: runs,
        }
    };
    let mut progress = Progress::new(runs, &plan);
    let mut sampler = Sampler::new(args, tools, &allocators, &workloads);
    for pass in 1..=runs {
        for turn in turned(&plan, pass - 1, runs).chunk_by(|a, b| a.0 == b.0) {
            sampler.take(turn, &mut progress);
        }
        // A run that is cut short leaves the passes that were whole.
        if let Some(path) = args.json.as_ref().filter(|_| pass < runs)
            && let Err(why) = record::write(&report(&sampler.samples, pass), path)
        {
            eprintln!("cannot write {} yet: {why:#}", path.display());
        }
    }
    progress.end();
    Ok(report(&sampler.samples, runs))
}

/// A plan of (workload, allocator), by workloads, with the allocators of each turned by the share of the passes that are
/// done: who comes first finds files, caches and the processor as another workload left them.
fn turned(plan: &[(usize, usize)], done: usize, passes: usize) -> Vec<(usize, usize)> {
    let mut plan = plan.to_vec();
    for turn in plan.chunk_by_mut(|a, b| a.0 == b.0) {
        turn.rotate_left(turn.len() * done / passes);
    }
    plan
}

/// The arguments as they could be typed again.
fn command_line(args: impl Iterator<Item = String>) -> String {
    let quoted = args.map(|arg| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=".contains(c);
        if arg.chars().all(plain) && !arg.is_empty() {
            arg
        } else {
            format!("'{}'", arg.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Driver;

    fn allocator(name: &str) -> Allocator {
        Allocator {
            name: name.into(),
            version: String::new(),
            preload: None,
            rust_binary: None,
        }
    }

    fn sample(outcome: Result<(f64, u64), &str>) -> Sample {
        let figures = |(seconds, peak_rss_bytes)| Figures {
            seconds,
            peak_rss_bytes,
            ops: 1000,
            ..Figures::default()
        };
        Sample {
            outcome: outcome.map(figures).map_err(str::to_owned),
            memory: Vec::new(),
        }
    }

    #[test]
    fn each_pass_begins_with_another_allocator() {
        let plan = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)];
        assert_eq!(turned(&plan, 0, 3), plan);
        let second = [(0, 1), (0, 2), (0, 0), (1, 0), (1, 2)];
        assert_eq!(turned(&plan, 1, 3), second);
        let third = [(0, 2), (0, 0), (0, 1), (1, 2), (1, 0)];
        assert_eq!(turned(&plan, 2, 3), third);
    }

    #[test]
    fn ratios_are_of_neighbours_and_a_failed_run_spoils_them() {
        let workload = Workload {
            suite: "classic",
            name: "x".into(),
            threads: 1,
            driver: Driver::Worker(Vec::new()),
        };
        let allocators = [allocator("a"), allocator("b"), allocator("c")];
        let samples = [
            // The machine is half as fast in the second pass, and the third is disturbed.
            vec![
                sample(Ok((1.0, 10))),
                sample(Ok((2.0, 10))),
                sample(Ok((9.0, 10))),
            ],
            vec![
                sample(Ok((2.0, 40))),
                sample(Ok((4.0, 40))),
                sample(Ok((2.0, 40))),
            ],
            vec![
                sample(Ok((1.0, 20))),
                sample(Err("spoiled")),
                sample(Ok((1.0, 20))),
            ],
        ];
        let rows = condense(&workload, &allocators, &samples, false);
        assert_eq!(
            (rows[1].time_ratio, rows[1].rss_ratio),
            (Some(0.5), Some(0.25))
        );
        assert_eq!(rows[0].ns_per_op, Some(2e6));
        assert!(!rows[1].failed && rows[2].failed && rows[2].time_ratio.is_none());
        assert_eq!(rows[2].samples, [Some(1.0), None, Some(1.0)]);
        let means = geomeans(&rows, &allocators);
        assert_eq!((means[0].time, means[0].failed), (Some(0.5), 0));
        assert_eq!(
            (means[1].time, means[1].failed, means[1].workloads),
            (None, 1, 0)
        );
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_needs_it() {
        let args = ["--only", "in order", "it's", ""].map(str::to_owned);
        assert_eq!(
            command_line(args.into_iter()),
            r"--only 'in order' 'it'\''s' ''"
        );
    }
}
