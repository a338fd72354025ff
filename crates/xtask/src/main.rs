//! `cargo xtask`: the one door for every check of this workspace, the same locally and in CI.

#![deny(unsafe_op_in_unsafe_fn)]

mod golden;
mod memory;
mod packages;
mod processes;
mod programs;
mod stages;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Checks of the aloof workspace"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the checks need and run them all, in order
    Test(stages::Options),
    /// Compare the hot paths of libaloof.so with their committed listings and budgets
    Golden(golden::Options),
    /// Run real programs on the system allocator and on libaloof.so and compare what they put out
    Programs(programs::Options),
    /// Measure what goes back to the system, what growth costs and what short threads leave, beside other allocators
    Memory(memory::Options),
    #[command(hide = true)]
    Launch(programs::launch::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task passed; an error is a task that could not be carried out.
fn run(task: Task) -> Result<bool> {
    match task {
        Task::Test(options) => stages::test(&options),
        Task::Golden(options) => golden::command(&Workspace::locate()?, &options).map(|()| true),
        Task::Programs(options) => programs::command(&Workspace::locate()?, &options),
        Task::Memory(options) => memory::command(&Workspace::locate()?, &options),
        Task::Launch(options) => programs::launch::command(&options).map(|()| true),
    }
}
