//! Running one program on both allocators and judging it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::bindings;
use super::compare::{self, Verdict};
use super::launch::{self, Report};
use super::list::{Located, Program};
use super::report::{Comparison, Measured};
use crate::workspace::Workspace;

/// Many times what a workload takes, so that a busy machine does not fail it; what takes longer hangs.
const LIMIT_SECONDS: u64 = 150;

/// What the allocator writes on stderr begins with this.
const COMPLAINT: &str = "aloof:";

/// Where things are: the library under test, the scripts, and room to run in.
pub struct Site {
    pub library: PathBuf,
    pub tests: PathBuf,
    pub work: PathBuf,
}

/// Which allocator a run uses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Glibc,
    Aloof,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Aloof => "aloof",
        }
    }
}

/// Runs a program on both sides. Its folders stay behind when it fails.
pub fn compare(workspace: &Workspace, site: &Site, program: &Program) -> Comparison {
    let mut result = Comparison::new(program.name);
    let folder = site.work.join(program.name);
    if let Err(error) = both(workspace, site, program, &folder, &mut result) {
        result.failure = Some(format!("{error:#}"));
    } else if let Err(error) = fs::remove_dir_all(&folder) {
        result.failure = Some(format!("cannot remove {}: {error}", folder.display()));
    }
    result
}

fn both(
    workspace: &Workspace,
    site: &Site,
    program: &Program,
    folder: &Path,
    result: &mut Comparison,
) -> Result<()> {
    let located = program.locate(workspace)?;
    for executable in &located.expected {
        bindings::check(executable, &site.library)?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    for input in program.inputs {
        input.write(&data)?;
    }
    let place = Place {
        site,
        program,
        located: &located,
        folder,
        data: &data,
    };
    result.glibc = Some(place.run(Side::Glibc).context("on glibc's malloc")?);
    result.aloof = Some(place.run(Side::Aloof).context("on the library")?);
    let out = |side: Side| folder.join(side.name()).join("out");
    match compare::folders(&out(Side::Glibc), &out(Side::Aloof))? {
        Verdict::Different(what) => bail!("{what}"),
        Verdict::Same { bytes: 0, .. } => bail!("it put out nothing to compare"),
        Verdict::Same { files, bytes } => {
            result.files = files;
            result.bytes = bytes;
            Ok(())
        }
    }
}

/// One program where it runs.
struct Place<'a> {
    site: &'a Site,
    program: &'a Program,
    located: &'a Located,
    folder: &'a Path,
    data: &'a Path,
}

impl Place<'_> {
    /// Runs one side. Both run in a folder of the same name, which is then renamed after the side, so
    /// that paths in the output do not differ.
    fn run(&self, side: Side) -> Result<Measured> {
        let run = self.folder.join("run");
        for sub in ["out", "tmp"] {
            let path = run.join(sub);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let report_file = self.folder.join(format!("{}.json", side.name()));
        let options = launch::Options {
            report: report_file.clone(),
            preload: self.preload(side)?,
            expect: match side {
                Side::Glibc => vec![],
                Side::Aloof => self.located.expected.clone(),
            },
            limit: LIMIT_SECONDS,
            command: self.command_line(),
        };
        let launched = self.launch(&options, &run)?;
        let kept = self.folder.join(side.name());
        fs::rename(&run, &kept).with_context(|| format!("cannot rename to {}", kept.display()))?;
        let complaints = fs::read(kept.join("stderr")).context("cannot read its stderr")?;
        let complaints = String::from_utf8_lossy(&complaints);
        if !launched {
            bail!("the launcher failed: {}", tail(&complaints));
        }
        let text = fs::read_to_string(&report_file)
            .with_context(|| format!("no report in {}", report_file.display()))?;
        let report: Report =
            serde_json::from_str(&text).context("the report of the launcher is damaged")?;
        judge(&report, &complaints, &options.expect)?;
        let mut measured = Measured::of(&report);
        if self.program.reports_peak {
            measured.peak_rss_bytes = reported_peak(&kept.join("peak_kib"))?;
        }
        Ok(measured)
    }

    fn preload(&self, side: Side) -> Result<Option<PathBuf>> {
        Ok(match side {
            Side::Aloof => Some(self.site.library.clone()),
            Side::Glibc if self.program.own_allocator => Some(c_library()?),
            Side::Glibc => None,
        })
    }

    fn command_line(&self) -> Vec<String> {
        let fill = |word: &&str| {
            word.replace("{tests}", &self.site.tests.to_string_lossy())
                .replace("{data}", &self.data.to_string_lossy())
        };
        std::iter::once(self.located.started.to_string_lossy().into_owned())
            .chain(self.program.words[1..].iter().map(fill))
            .collect()
    }

    /// Whether the launcher itself went well. The environment is the same on every machine.
    fn launch(&self, options: &launch::Options, run: &Path) -> Result<bool> {
        let own = env::current_exe().context("cannot find the xtask executable")?;
        let create = |name: &str| {
            let path = run.join(name);
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))
        };
        let status = Command::new(own)
            .args(options.to_arguments())
            .current_dir(run)
            .env_clear()
            .env("PATH", search_path(&self.located.started))
            .env("HOME", run.join("tmp"))
            .env("TMPDIR", run.join("tmp"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            // What Python and Perl would choose at random, and Python's own small-block allocator.
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONMALLOC", "malloc")
            .env("PERL_HASH_SEED", "0")
            .env("PERL_PERTURB_KEYS", "0")
            .stdin(Stdio::null())
            .stdout(create("out/stdout")?)
            .stderr(create("stderr")?)
            .status()
            .context("cannot run the launcher")?;
        Ok(status.success())
    }
}

/// What is wrong with a run, apart from its output.
fn judge(report: &Report, complaints: &str, expected: &[PathBuf]) -> Result<()> {
    if let Some(line) = complaints.lines().find(|line| line.contains(COMPLAINT)) {
        bail!("the allocator complained: {line}");
    }
    if report.timed_out {
        bail!("killed after {LIMIT_SECONDS} s: {}", tail(complaints));
    }
    let status = report.status();
    if !status.success() {
        bail!("{status}: {}", tail(complaints));
    }
    for executable in expected {
        if !report.seen.contains(executable) {
            bail!(
                "{} was never seen with the library in its memory",
                executable.display()
            );
        }
    }
    Ok(())
}

/// The directories of Debian and that of the program itself.
fn search_path(program: &Path) -> String {
    let own = program.parent().unwrap_or(Path::new("/")).display();
    format!("/usr/bin:/bin:{own}")
}

/// glibc as this very process has it mapped.
fn c_library() -> Result<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").context("cannot read /proc/self/maps")?;
    maps.split_whitespace()
        .find(|word| word.ends_with("/libc.so.6"))
        .map(PathBuf::from)
        .context("this process has no libc.so.6 mapped")
}

fn reported_peak(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("the script left no {}", file.display()))?;
    let kib: u64 = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no number", file.display()))?;
    Ok(kib * 1024)
}

/// The last lines of what a program complained about.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(8);
    if lines.is_empty() {
        "nothing on stderr".into()
    } else {
        lines[from..].join("\n  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ended(status: i32) -> Report {
        Report {
            status,
            timed_out: false,
            seconds: 1.0,
            user_seconds: 1.0,
            system_seconds: 0.0,
            peak_rss_bytes: 1,
            seen: BTreeSet::from([PathBuf::from("/bin/a")]),
        }
    }

    fn fault(report: &Report, complaints: &str, expected: &str) -> String {
        judge(report, complaints, &[expected.into()])
            .expect_err("a fault")
            .to_string()
    }

    #[test]
    fn a_clean_run_with_every_expected_executable_passes() {
        judge(&ended(0), "warning: odd\n", &["/bin/a".into()]).expect("nothing is wrong");
    }

    #[test]
    fn each_fault_of_a_run_is_named() {
        assert!(
            fault(&ended(0), "x\naloof: double free of 0x10\n", "/bin/a").contains("double free")
        );
        assert!(fault(&ended(3 << 8), "oops\n", "/bin/a").contains("exit status: 3: oops"));
        assert!(fault(&ended(libc::SIGSEGV), "", "/bin/a").contains("signal: 11"));
        assert!(fault(&ended(0), "", "/bin/b").contains("/bin/b was never seen"));
        let hung = Report {
            timed_out: true,
            ..ended(libc::SIGKILL)
        };
        assert!(fault(&hung, "", "/bin/a").contains("killed after"));
    }

    #[test]
    fn the_c_library_of_this_process_is_found() {
        assert!(c_library().expect("dynamically linked").is_file());
    }
}
