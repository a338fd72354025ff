//! Figures of the process: one struct, as text for people and as lines for tools.

use crate::heap;
use crate::heap::tally::{self, Sum, TIERS};
use crate::os::linux::{huge_page_bytes, usage};
use crate::os::message::Line;
use crate::os::options::Options;
use crate::partition;
use crate::space;

/// A snapshot of the process. Bytes unless said otherwise; taken while other threads run, so figures may
/// be off by what they do meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes of blocks in the program's hands, rounded up to what each block holds.
    pub live_bytes: u64,
    /// Blocks in the program's hands.
    pub live_blocks: u64,
    /// Accessible memory of the partitions and mappings of single blocks.
    pub committed_bytes: u64,
    /// The most of it there was, partitions and mappings each at their own peak.
    pub peak_committed_bytes: u64,
    /// Accessible memory of the partitions that is wholly free.
    pub pending_bytes: u64,
    /// Free blocks in the caches of threads.
    pub cached_bytes: u64,
    /// Address space reserved.
    pub reserved_bytes: u64,
    /// Tables made accessible; the resident part is smaller.
    pub metadata_bytes: u64,
    /// Threads that allocated so far.
    pub threads_started: u64,
    /// Such threads at the same time, at most.
    pub threads_peak: u64,
    /// Figures by tier, in the order pool, chunk, run, direct, huge.
    pub tiers: [Sum; TIERS],
    /// Nanoseconds since the first allocation.
    pub elapsed_ns: u64,
    /// User time of the process, nanoseconds.
    pub user_ns: u64,
    /// System time of the process, nanoseconds.
    pub system_ns: u64,
    /// Peak resident memory of the process.
    pub peak_rss_bytes: u64,
}

/// Names of the tiers.
const NAMES: [&str; TIERS] = ["pool", "chunk", "run", "direct", "huge"];

impl Stats {
    /// The figures now.
    pub(crate) fn now(elapsed_ns: u64) -> Stats {
        let tiers = tally::sums();
        let (cached_blocks, cached_bytes) = tally::cached();
        let (committed, peak, pending) = partition::committed_bytes();
        let huge = tiers[TIERS - 1];
        let (threads_started, threads_peak) = heap::counts();
        let (user_ns, system_ns, peak_rss_bytes) = usage();
        let total = |f: fn(&Sum) -> u64| tiers.iter().map(f).sum::<u64>();
        Stats {
            live_bytes: total(|t| t.bytes).saturating_sub(cached_bytes),
            live_blocks: total(|t| t.blocks).saturating_sub(cached_blocks),
            committed_bytes: committed as u64 + huge.bytes,
            peak_committed_bytes: peak as u64 + huge.peak,
            pending_bytes: pending as u64,
            cached_bytes,
            reserved_bytes: (space::reserved_bytes()
                + if space::is_piecewise() { committed } else { 0 })
                as u64
                + huge.bytes,
            metadata_bytes: space::metadata_bytes() as u64,
            threads_started,
            threads_peak: threads_peak.into(),
            tiers,
            elapsed_ns,
            user_ns,
            system_ns,
            peak_rss_bytes,
        }
    }

    /// Calls `f` with the name and value of every figure.
    fn each(&self, mut f: impl FnMut(&[&str], u64)) {
        let figures = [
            ("elapsed_ns", self.elapsed_ns),
            ("user_ns", self.user_ns),
            ("system_ns", self.system_ns),
            ("peak_rss_bytes", self.peak_rss_bytes),
            ("live_bytes", self.live_bytes),
            ("live_blocks", self.live_blocks),
            ("committed_bytes", self.committed_bytes),
            ("peak_committed_bytes", self.peak_committed_bytes),
            ("pending_bytes", self.pending_bytes),
            ("cached_bytes", self.cached_bytes),
            ("reserved_bytes", self.reserved_bytes),
            ("metadata_bytes", self.metadata_bytes),
            ("huge_page_bytes", huge_page_bytes()),
            ("threads_started", self.threads_started),
            ("threads_peak", self.threads_peak),
        ];
        for (name, value) in figures {
            f(&[name], value);
        }
        for (name, tier) in NAMES.iter().zip(&self.tiers) {
            f(&["tier.", name, ".allocations"], tier.allocations);
            f(&["tier.", name, ".live_bytes"], tier.bytes);
            f(&["tier.", name, ".peak_bytes"], tier.peak);
        }
    }

    /// Writes the figures as lines `aloof: name value` to a file descriptor.
    pub(crate) fn print(&self, fd: i32) {
        self.each(|name, value| {
            let mut line = Line::new();
            line.text("aloof: ");
            name.iter().for_each(|part| {
                line.text(part);
            });
            line.text(" ").number(value).text("\n").write_to(fd);
        });
    }

    /// Writes the figures as lines `name value` to `<dir>/<pid>.stats`.
    fn save(&self, dir: &[u8]) {
        // SAFETY: getpid has no preconditions.
        let pid = unsafe { libc::getpid() } as u64;
        let path = Line::path_of_process(dir, ".stats");
        // SAFETY: the path is null-terminated: the options refuse one that does not fit.
        let fd = unsafe {
            libc::open(
                path.as_bytes().as_ptr().cast(),
                libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC,
                0o644,
            )
        };
        if fd < 0 {
            return;
        }
        let mut line = Line::new();
        // The name is cut where it is too long; the line ends all the same.
        line.text("pid ")
            .number(pid)
            .text("\ncommand ")
            .bytes(command())
            .write_to(fd);
        Line::new().text("\n").write_to(fd);
        self.each(|name, value| {
            let mut line = Line::new();
            name.iter().for_each(|part| {
                line.text(part);
            });
            line.text(" ").number(value).text("\n").write_to(fd);
        });
        // SAFETY: opened above.
        unsafe { libc::close(fd) };
    }
}

/// The name the process was called by.
fn command() -> &'static [u8] {
    unsafe extern "C" {
        static program_invocation_name: *const libc::c_char;
    }
    // SAFETY: glibc sets it to argv[0] before main, a C string that lives as long as the process.
    unsafe {
        if program_invocation_name.is_null() {
            b""
        } else {
            core::ffi::CStr::from_ptr(program_invocation_name).to_bytes()
        }
    }
}

/// At exit: prints or saves the figures as the options say.
pub(crate) fn at_exit(options: &Options, elapsed_ns: impl FnOnce() -> u64) {
    if options.stats || options.stats_dir.is_some() {
        report(options, elapsed_ns());
    }
}

#[cold]
#[inline(never)]
fn report(options: &Options, elapsed_ns: u64) {
    let stats = Stats::now(elapsed_ns);
    if options.stats {
        stats.print(2);
    }
    if let Some(dir) = options.stats_dir {
        stats.save(dir);
    }
}
