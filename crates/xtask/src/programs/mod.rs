//! `cargo xtask programs`: real programs on glibc's malloc and on libaloof.so, byte for byte the same.
//!
//! Each program runs twice in an empty folder: once plain, once with the library preloaded. What it
//! prints and what it writes to `out/` is compared, its exit status too; lines of the allocator on
//! stderr fail it. That the library really served the program is shown in two ways: the dynamic
//! linker binds `malloc` to it (`bindings`), and it is mapped in the running processes (`launch`).

mod bindings;
mod compare;
mod data;
pub mod launch;
mod list;
mod report;
mod run;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::list::{PROGRAMS, Program};
pub use self::report::Comparison;
use self::run::Site;
use crate::workspace::Workspace;

/// Options of `cargo xtask programs`.
#[derive(Args, Default)]
pub struct Options {
    /// Run only these programs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Write the table as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The library to preload, instead of the one of the release build
    #[arg(long, value_name = "PATH")]
    lib: Option<PathBuf>,
}

/// Runs the chosen programs and prints the tally; true when none failed.
pub fn command(workspace: &Workspace, options: &Options) -> Result<bool> {
    let results = run(workspace, options)?;
    let failed = results.iter().filter(|result| !result.passed()).count();
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(failed == 0)
}

/// Runs the chosen programs and prints their table.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Vec<Comparison>> {
    let chosen = choose(&options.only)?;
    let site = Site {
        library: workspace.library_or(options.lib.as_deref())?,
        tests: workspace.root.join("tests/programs"),
        work: workspace.target.join("programs"),
    };
    let results: Vec<Comparison> = chosen
        .into_iter()
        .map(|program| {
            let result = run::compare(workspace, &site, program);
            println!("{}", result.line());
            result
        })
        .collect();
    println!("\n{}", report::table(&results));
    if let Some(file) = &options.json {
        let text = report::json(&site.library, &results)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(results)
}

/// An error that names the programs that failed.
pub fn verdict(results: &[Comparison]) -> Result<()> {
    let failed: Vec<&str> = results
        .iter()
        .filter(|result| !result.passed())
        .map(Comparison::name)
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join(", "));
    }
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Program>> {
    if names.is_empty() {
        return Ok(PROGRAMS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            PROGRAMS
                .iter()
                .find(|program| program.name == name)
                .with_context(|| {
                    let known: Vec<&str> = PROGRAMS.iter().map(|p| p.name).collect();
                    format!("no program `{name}`; there are {}", known.join(", "))
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_chosen_by_name_and_unknown_names_are_refused() {
        assert_eq!(choose(&[]).expect("all").len(), PROGRAMS.len());
        let chosen = choose(&["xz".into(), "git".into()]).expect("both exist");
        let names: Vec<&str> = chosen.iter().map(|p| p.name).collect();
        assert_eq!(names, ["xz", "git"]);
        let error = choose(&["vi".into()]).err().expect("unknown");
        assert!(
            error
                .to_string()
                .contains("no program `vi`; there are python3")
        );
    }
}
