//! `apps`: real programs of the system. Their inputs are made here, once; their output must be
//! the same on every allocator.

mod inputs;
mod programs;
pub mod redis;

pub use programs::catalogue;

use std::path::PathBuf;

/// One program with its input.
#[derive(Clone, Debug)]
pub struct App {
    /// The name in tables.
    pub name: &'static str,
    /// How many threads or processes it works with.
    pub threads: usize,
    /// What is run.
    pub kind: Kind,
}

/// How an app is run.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A command that ends by itself.
    Command(Program),
    /// The redis server, driven by its own benchmark with so many requests of each sort.
    Redis {
        /// Requests of each sort.
        requests: usize,
    },
}

/// A command that ends by itself.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment that it needs.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub dir: PathBuf,
    /// A directory to copy to `dir` before each run, for programs that change their input.
    pub template: Option<PathBuf>,
    /// A command (run in `dir`, with nothing preloaded) that must succeed afterwards.
    pub check: Vec<String>,
    /// What its standard output must be: that of a run on the C library's malloc.
    pub expected: Vec<u8>,
}
