//! Memory that the host took from this virtual machine is fetched back before a measurement.
//!
//! A guest with free page reporting tells its host which pages lie free; the host takes them, and whoever touches such a
//! page next waits for it, up to fifty times as long as for a page that is there. Without this, a measurement would show
//! which process ran before it.

use crate::machine::memory;
use std::{fs, ptr, slice, thread};

const HUGE: usize = 2 << 20;

/// Left alone of what is free.
const SPARED: u64 = 2 << 30;

/// Whether this machine gives free memory to a host.
pub fn reports_free_pages() -> bool {
    fs::exists("/sys/module/page_reporting/parameters/page_reporting_order").unwrap_or(false)
}

/// Memory that is known to be there, by workload.
pub struct Warmer {
    reports: bool,
    needed: Vec<u64>,
}

impl Warmer {
    /// One for so many workloads.
    pub fn new(workloads: usize) -> Self {
        Warmer {
            reports: reports_free_pages(),
            needed: vec![0; workloads],
        }
    }

    /// Touches as much free memory as any process has needed for this workload.
    pub fn warm(&self, workload: usize) {
        if self.reports && self.needed[workload] > 0 {
            // What the first pass waited for, the second finds.
            for _ in 0..2 {
                touch(self.needed[workload].min(free_bytes().saturating_sub(SPARED)));
            }
        }
    }

    /// Takes note of what a process needed. True when that is more than was touched: its time is not to be trusted.
    pub fn learn(&mut self, workload: usize, peak: u64) -> bool {
        let peak = peak + peak / 16;
        let more = peak > self.needed[workload];
        // Whoever needs a little more than the last did does not need another run.
        if more {
            self.needed[workload] = peak + peak / 16;
        }
        self.reports && more
    }
}

/// Has the kernel find `bytes` of memory, in huge pages where it can, and gives them back.
fn touch(bytes: u64) {
    let bytes = (bytes as usize).next_multiple_of(HUGE);
    let (read_write, private) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: a new mapping of our own, touched within its bounds and unmapped whole.
    unsafe {
        let start = libc::mmap(ptr::null_mut(), bytes, read_write, private, -1, 0);
        if start == libc::MAP_FAILED {
            return;
        }
        libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
        let all = slice::from_raw_parts_mut(start.cast::<u8>(), bytes);
        let share = bytes
            .div_ceil(thread::available_parallelism().map_or(1, usize::from))
            .next_multiple_of(HUGE);
        thread::scope(|scope| {
            for part in all.chunks_mut(share) {
                scope.spawn(move || part.iter_mut().step_by(4096).for_each(|byte| *byte = 1));
            }
        });
        libc::munmap(start, bytes);
    }
}

fn free_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory(&meminfo, "MemAvailable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_needs_more_than_was_touched_is_measured_again() {
        let mut warmer = Warmer {
            reports: true,
            needed: vec![0; 2],
        };
        assert!(warmer.learn(1, 1000));
        assert!(!warmer.learn(1, 1000) && !warmer.learn(1, 1050));
        assert!(warmer.learn(1, 2000));
        assert_eq!(warmer.needed[0], 0);
        warmer.reports = false;
        assert!(!warmer.learn(0, 1000));
    }

    #[test]
    fn free_memory_is_read() {
        let meminfo = "MemTotal: 9 kB\nMemAvailable:  12 kB\n";
        assert_eq!(memory(meminfo, "MemAvailable"), 12 << 10);
        assert_eq!(memory("", "MemAvailable"), 0);
        assert!(free_bytes() > 1 << 20);
    }
}
