//! The machine that a run was made on.

use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::fs;
use std::process::Command;

/// What a reader needs to know of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that this run may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel name and release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// The C library.
    pub glibc: String,
    /// The compiler.
    pub rustc: String,
    /// The policy for transparent huge pages.
    pub huge_pages: String,
    /// What becomes of free memory.
    #[serde(default)]
    pub free_memory: String,
}

impl Machine {
    /// Describes this machine.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name", ':').to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory(&read("/proc/meminfo"), "MemTotal"),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            system: field(&read("/etc/os-release"), "PRETTY_NAME", '=')
                .trim_matches('"')
                .to_owned(),
            glibc: glibc_version(),
            rustc: rustc_version(),
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")).to_owned(),
            free_memory: if crate::warm::reports_free_pages() {
                "given to the host, touched before each measurement"
            } else {
                "kept"
            }
            .to_owned(),
        }
    }
}

/// A figure of `/proc/meminfo`, in bytes; 0 if it is not there.
pub fn memory(meminfo: &str, name: &str) -> u64 {
    let kib = field(meminfo, name, ':').trim_end_matches(" kB");
    kib.parse::<u64>().unwrap_or(0) * 1024
}

/// The running C library's version.
pub fn glibc_version() -> String {
    // SAFETY: returns a static C string.
    unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }
        .to_string_lossy()
        .into_owned()
}

fn rustc_version() -> String {
    Command::new("rustc")
        .arg("--version")
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The value of the first line `name<separator>value`.
fn field<'a>(text: &'a str, name: &str, separator: char) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map_or("unknown", |(_, value)| value.trim())
}

/// The word in brackets of a kernel choice such as `always [madvise] never`.
fn chosen(text: &str) -> &str {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("unknown", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_choices() {
        assert_eq!(
            field("model name\t: A B\nmodel name : C", "model name", ':'),
            "A B"
        );
        assert_eq!(field("x", "model name", ':'), "unknown");
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen(""), "unknown");
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20);
        assert!(machine.kernel.starts_with("Linux ") && machine.rustc.starts_with("rustc"));
    }
}
