//! The command line.

use crate::gate::GateArgs;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Measures allocators side by side.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Something else than measuring times.
    #[command(subcommand)]
    pub command: Option<Task>,

    /// Suites to run, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub suite: Vec<Suite>,

    /// Peers to compare with, separated by commas: all, glibc, mimalloc3, mimalloc2, jemalloc,
    /// snmalloc, rpmalloc, tcmalloc (from crates), deb-mimalloc, deb-jemalloc, deb-tcmalloc,
    /// deb-tbb (Debian's), or NAME=LIBRARY.so for a library of your own [default: all; with
    /// --quick glibc, mimalloc3, jemalloc; for the small suite glibc, deb-mimalloc].
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<String>,

    /// Thread counts, separated by commas, for workloads that can use several [default: the
    /// suite's own].
    #[arg(long, value_delimiter = ',')]
    pub threads: Vec<usize>,

    /// How often each measurement is repeated [default: 5, or 3 with --quick]; those of less than a second three times as often,
    /// but with --quick.
    #[arg(long)]
    pub runs: Option<usize>,

    /// Less work in each measurement: ends within two minutes.
    #[arg(long)]
    pub quick: bool,

    /// Only workloads whose name contains one of these texts, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,

    /// Reckon ratios from processor time instead of wall time: for a busy machine.
    #[arg(long)]
    pub processor_time: bool,

    /// Write every row to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a report with plots to this file, to open in a browser.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Measure nothing: show the run that this JSON file holds, of which passes may be missing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["suite", "peers", "threads", "runs", "quick", "only", "json", "processor_time", "without_aloof", "timeout", "aloof_lib"])]
    pub from: Option<PathBuf>,

    /// The aloof library to measure [default: libaloof.so of this workspace, built if it is not up to date]. The suite `rust` has
    /// the workspace's aloof built in, whatever this says.
    #[arg(long, value_name = "PATH", global = true)]
    pub aloof_lib: Option<PathBuf>,

    /// Measure the peers alone; the first of them takes aloof's place in the ratios.
    #[arg(long)]
    pub without_aloof: bool,

    /// Seconds after which a measurement is ended and marked failed.
    #[arg(long, default_value_t = 300)]
    pub timeout: u64,

    /// Install no packages: end with a message when one is missing.
    #[arg(long, global = true)]
    pub no_install: bool,

    /// The worker binary [default: built on demand].
    #[arg(long, value_name = "PATH", hide = true)]
    pub worker: Option<PathBuf>,
}

/// What can be done besides measuring times.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Task {
    /// Compare instruction counts with the committed ones; a rise of more than 1 % fails.
    Gate(GateArgs),
}

/// A group of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// A short comparison: in-order blocks, random replacement, producer and consumer.
    Small,
    /// The specification's own scenarios, written and verified, and apart from that untouched.
    Spec,
    /// The patterns that allocators are usually judged by, with 1, 2 and 8 threads.
    Classic,
    /// Real Rust work, compiled on each allocator.
    Rust,
    /// Real programs with the allocator preloaded.
    Apps,
    /// Every suite but small.
    All,
}

impl Args {
    /// Refuses combinations that make no sense.
    pub fn check(&self) -> Result<()> {
        if self.runs == Some(0) {
            bail!("--runs must be at least 1");
        }
        if self.threads.contains(&0) {
            bail!("--threads must be at least 1");
        }
        if (1..self.threads.len()).any(|i| self.threads[..i].contains(&self.threads[i])) {
            bail!("--threads names a number twice");
        }
        if self.timeout == 0 {
            bail!("--timeout must be at least 1 second");
        }
        Ok(())
    }

    /// How often each measurement is repeated.
    pub fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 3 } else { 5 })
    }
}
