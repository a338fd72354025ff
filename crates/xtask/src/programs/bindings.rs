//! Proof that a preloaded library answers an executable's calls: the dynamic linker says whose
//! `malloc` it binds. An executable with an allocator of its own would otherwise pass unnoticed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Names that have to lead to the library wherever they are bound.
const NAMES: [&str; 2] = ["malloc", "free"];

/// Checks an executable without running it: its relocations are worked out, as `ldd -r` does.
pub fn check(executable: &Path, library: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let output = folder.path().join("bindings");
    let traced = Command::new(executable)
        .env_clear()
        .env("LD_PRELOAD", library)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .env("LD_WARN", "yes")
        .env("LD_BIND_NOW", "1")
        .env("LD_DEBUG", "bindings")
        .env("LD_DEBUG_OUTPUT", &output)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", executable.display()))?;
    let mut text = String::new();
    for entry in fs::read_dir(folder.path()).context("cannot read the bindings")? {
        let path = entry.context("cannot read the bindings")?.path();
        text += &fs::read_to_string(path).context("cannot read the bindings")?;
    }
    verdict(&text, library).with_context(|| {
        format!(
            "{} does not use {} ({})",
            executable.display(),
            library.display(),
            String::from_utf8_lossy(&traced.stderr).trim()
        )
    })
}

fn verdict(text: &str, library: &Path) -> Result<()> {
    let bindings: Vec<_> = text
        .lines()
        .filter_map(binding)
        .filter(|(_, _, name)| NAMES.contains(name))
        .collect();
    let leads_to_library = |from: &str, name: &str| {
        bindings
            .iter()
            .any(|(f, to, n)| *f == from && Path::new(to) == library && *n == name)
    };
    for (from, to, name) in &bindings {
        // An executable at a fixed address lends its call stub to others; the stub jumps to wherever
        // the executable's own binding leads.
        if Path::new(to) != library && !leads_to_library(to, name) {
            bail!("`{name}` of {from} is bound to {to}");
        }
    }
    match NAMES
        .into_iter()
        .find(|name| !bindings.iter().any(|(_, _, bound)| bound == name))
    {
        Some(name) => bail!("nothing binds `{name}`: a static program, or one without it"),
        None => Ok(()),
    }
}

/// Who binds which name to whom, from a line of the dynamic linker.
fn binding(line: &str) -> Option<(&str, &str, &str)> {
    let (_, rest) = line.split_once("binding file ")?;
    let (from, rest) = rest.split_once(" [")?;
    let (_, rest) = rest.split_once("] to ")?;
    let (to, rest) = rest.split_once(" [")?;
    let (_, rest) = rest.split_once('`')?;
    let (name, _) = rest.split_once('\'')?;
    Some((from, to, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "  12:\tbinding file /bin/a [0] to /lib/x.so [0]: normal symbol `malloc' [V]";

    #[test]
    fn a_line_is_taken_apart() {
        assert_eq!(binding(LINE), Some(("/bin/a", "/lib/x.so", "malloc")));
        assert_eq!(binding("  12:\tcalling init: /lib/x.so"), None);
    }

    #[test]
    fn every_binding_has_to_lead_to_the_library() {
        let library = Path::new("/lib/x.so");
        let free = LINE.replace("malloc", "free");
        verdict(&format!("{LINE}\n{free}\n"), library).expect("both are bound");
        let error = verdict(LINE, library).expect_err("free is missing");
        assert!(error.to_string().contains("nothing binds `free`"));
        let other = LINE.replace("/lib/x.so", "/lib/libc.so.6");
        let error = verdict(&format!("{LINE}\n{free}\n{other}"), library).expect_err("one strays");
        assert!(error.to_string().contains("bound to /lib/libc.so.6"));
    }

    #[test]
    fn a_call_stub_of_the_executable_counts_as_what_it_leads_to() {
        let library = Path::new("/lib/x.so");
        let free = LINE.replace("malloc", "free");
        let stub = "  12:\tbinding file /lib/c.so [0] to /bin/a [0]: normal symbol `malloc' [V]";
        verdict(&format!("{LINE}\n{free}\n{stub}"), library).expect("the stub leads on");
        let own = stub.replace("/bin/a", "/bin/b");
        let error = verdict(&format!("{LINE}\n{free}\n{own}"), library).expect_err("its own");
        assert!(error.to_string().contains("bound to /bin/b"));
    }

    #[test]
    fn an_ordinary_program_on_the_c_library_is_told_from_one_on_another() {
        let sort = Path::new("/usr/bin/sort");
        let error = check(sort, Path::new("/usr/lib/no-such-library.so")).expect_err("not bound");
        assert!(format!("{error:#}").contains("is bound to"), "{error:#}");
    }
}
