//! What a run needs on the machine: the workspace, the worker binary, places for what is built.

use crate::args::Args;
use anyhow::{Context, Result, bail};
use std::cell::OnceCell;
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Places of the things that a run uses.
pub struct Tools {
    /// The worker binary.
    pub worker: PathBuf,
    /// Release builds of this workspace.
    pub release: PathBuf,
    /// Where the rivals' workspace is built.
    pub peers_target: PathBuf,
    /// Inputs and outputs of the apps.
    pub data: PathBuf,
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// Held while this run uses `data`.
    claim: OnceCell<File>,
}

impl Tools {
    /// Finds the workspace and builds the worker.
    pub fn prepare(args: &Args) -> Result<Self> {
        let workspace = workspace()?;
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
        let release = target.join("release");
        let tools = Tools {
            worker: args
                .worker
                .clone()
                .unwrap_or_else(|| release.join("aloof-bench-worker")),
            release,
            peers_target: target.join("bench-peers"),
            data: target.join("bench-data"),
            workspace,
            claim: OnceCell::new(),
        };
        let manifest = tools.workspace.join("Cargo.toml");
        if args.worker.is_none() {
            tools.build(&manifest, &["-p", "aloof-bench-worker"])?;
        }
        // Else what is measured could be older than the source.
        if args.aloof_lib.is_none() && !args.without_aloof {
            tools.build(&manifest, &["-p", "aloof-c"])?;
        }
        Ok(tools)
    }

    /// The commit that the measured library is of, in brackets, and whether files were changed since; empty where nobody knows.
    pub fn commit(&self, args: &Args) -> String {
        if args.aloof_lib.is_some() {
            return String::new();
        }
        let git = Command::new("git")
            .arg("-C")
            .arg(&self.workspace)
            .args(["describe", "--always", "--dirty"])
            .output();
        match git {
            Ok(output) if output.status.success() => {
                format!(" ({})", String::from_utf8_lossy(&output.stdout).trim())
            }
            _ => String::new(),
        }
    }

    /// Makes `data` this run's until it ends; refused while another has it: each writes there what the other's programs read.
    pub fn claim_data(&self) -> Result<()> {
        fs::create_dir_all(&self.data)?;
        let path = self.data.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                let _ = self.claim.set(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => bail!(
                "another run measures programs in {}: wait for its end",
                self.data.display()
            ),
            Err(TryLockError::Error(why)) => {
                Err(why).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// The cargo that runs us, or the one on the path.
    pub fn cargo(&self) -> Command {
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// The manifest of the rivals' workspace.
    pub fn peers_manifest(&self) -> PathBuf {
        self.workspace.join("crates/aloof-peers/Cargo.toml")
    }

    /// Runs `cargo build --release` on a workspace.
    pub fn build(&self, manifest: &Path, arguments: &[&str]) -> Result<()> {
        let status = self
            .cargo()
            .args(["build", "--release", "--quiet", "--manifest-path"])
            .arg(manifest)
            .args(arguments)
            .status()
            .context("cannot run cargo, which builds the benchmark's worker programs")?;
        if !status.success() {
            bail!("`cargo build --release {}` failed", arguments.join(" "));
        }
        Ok(())
    }
}

/// The root of aloof's source: above the current directory, above this program, or where this
/// program was built.
fn workspace() -> Result<PathBuf> {
    let starts = [
        env::current_dir().ok(),
        env::current_exe().ok(),
        Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
    ];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .find(|dir| dir.join("crates/aloof-bench-worker/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .context(
            "the benchmark builds its workers from aloof's source: run it inside a clone of the repository",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_has_the_inputs_of_the_programs() {
        let dir = tempfile::tempdir().unwrap();
        let tools = || Tools {
            worker: PathBuf::new(),
            release: PathBuf::new(),
            peers_target: PathBuf::new(),
            data: dir.path().join("data"),
            workspace: PathBuf::new(),
            claim: OnceCell::new(),
        };
        let (first, second) = (tools(), tools());
        first.claim_data().unwrap();
        let refused = second.claim_data().unwrap_err().to_string();
        assert!(refused.starts_with("another run measures"), "{refused}");
        drop(first);
        // A program that another test starts just now may have the file open for a moment.
        while second.claim_data().is_err() {
            std::thread::yield_now();
        }
    }
}
