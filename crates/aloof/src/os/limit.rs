//! The limit of resident memory: asked for, or of the control group.
//!
//! Resident memory is read from the kernel now and then and estimated between: what was handed out since then may all
//! be touched. A request that would pass the limit is first an occasion to give memory back.

use super::linux::{keep_errno, read_file, usage};
use super::options::Setting;
use super::{Os, System};
use crate::sync::{AtomicUsize, Ordering};

/// Resident bytes at most: at the last reading, and all that was handed out since.
static ESTIMATE: AtomicUsize = AtomicUsize::new(0);
/// Below this nothing is to be done: the smaller of the two limits.
static WATCH: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Resident bytes from which on the kernel slows the control group down; nothing is refused there.
static HIGH: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A program's function that hears when memory grows beyond a soft limit.
pub type OnSoftLimit = extern "C" fn(resident: usize, data: usize);
static SOFT: AtomicUsize = AtomicUsize::new(usize::MAX);
static SOFT_FUNCTION: AtomicUsize = AtomicUsize::new(0);
static SOFT_DATA: AtomicUsize = AtomicUsize::new(0);
/// 1 from the call until memory is below the soft limit again.
static SOFT_TOLD: AtomicUsize = AtomicUsize::new(0);
/// Bytes to tell of, 0 if there is nothing to tell.
static SOFT_DUE: AtomicUsize = AtomicUsize::new(0);

/// Part of a control group's limit that is left to what is not resident memory of ours: page tables, stacks, files.
const MARGIN_SHARE: usize = 32;
const MARGIN_MIN: usize = 4 << 20;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may go on.
    Granted,
    /// It may go on after memory went back, if enough did.
    Tight,
}

/// Computes what to watch anew, after a setting changed.
pub fn watch() {
    let limit = Setting::Limit.get() as usize;
    // Nothing was counted without a limit: the next request reads anew.
    ESTIMATE.store(usize::MAX >> 1, Ordering::Relaxed);
    WATCH.store(limit.min(SOFT.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// Sets or, with `usize::MAX` bytes, removes the soft limit.
pub fn set_soft(bytes: usize, function: OnSoftLimit, data: usize) {
    SOFT.store(usize::MAX, Ordering::Relaxed);
    SOFT_DATA.store(data, Ordering::Relaxed);
    SOFT_FUNCTION.store(function as usize, Ordering::Relaxed);
    SOFT_TOLD.store(0, Ordering::Relaxed);
    // Release: who sees the limit sees the function.
    SOFT.store(bytes, Ordering::Release);
    watch();
}

/// Whether there is any limit.
#[inline(always)]
pub fn is_watched() -> bool {
    WATCH.load(Ordering::Relaxed) != usize::MAX
}

/// Whether `size` bytes more are within the limits. Almost always one load and one comparison.
#[inline(always)]
pub fn admit(size: usize) -> Verdict {
    if !is_watched() {
        return Verdict::Granted;
    }
    admit_slow(size)
}

#[cold]
#[inline(never)]
fn admit_slow(size: usize) -> Verdict {
    let estimate = ESTIMATE
        .fetch_add(size, Ordering::Relaxed)
        .saturating_add(size);
    if estimate <= WATCH.load(Ordering::Relaxed) {
        return Verdict::Granted;
    }
    let resident = resident();
    ESTIMATE.store(resident.saturating_add(size), Ordering::Relaxed);
    note(resident.saturating_add(size));
    if resident.saturating_add(size) <= Setting::Limit.get() as usize {
        Verdict::Granted
    } else {
        // What was not granted is not there.
        ESTIMATE.store(resident, Ordering::Relaxed);
        Verdict::Tight
    }
}

/// Whether an eighth or less of the limit is left, or of what the control group's kernel slows the process down at.
pub fn is_near() -> bool {
    let limit = (Setting::Limit.get() as usize).min(HIGH.load(Ordering::Relaxed));
    limit != usize::MAX && resident() > limit - limit / 8
}

/// Notes whether the soft limit is passed.
fn note(expected: usize) {
    // Acquire: pairs with `set_soft`.
    let soft = SOFT.load(Ordering::Acquire);
    if expected <= soft {
        SOFT_TOLD.store(0, Ordering::Relaxed);
        return;
    }
    if SOFT_TOLD.swap(1, Ordering::Relaxed) == 0 {
        SOFT_DUE.store(expected, Ordering::Relaxed);
    }
}

/// Calls the program's function, once each time the soft limit was passed. Outside all locks and gates.
#[inline(always)]
pub fn tell() {
    if SOFT_DUE.load(Ordering::Relaxed) != 0 {
        tell_slow();
    }
}

#[cold]
#[inline(never)]
fn tell_slow() {
    let expected = SOFT_DUE.swap(0, Ordering::Relaxed);
    let function = SOFT_FUNCTION.load(Ordering::Relaxed);
    if expected != 0 && function != 0 {
        // SAFETY: set from such a function by `set_soft`.
        let function = unsafe { core::mem::transmute::<usize, OnSoftLimit>(function) };
        function(expected, SOFT_DATA.load(Ordering::Relaxed));
    }
}

/// Bytes that partitions and mappings have made accessible.
static ACCESSIBLE: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes that became accessible, and such as are no more.
pub fn count_accessible(more: usize, less: usize) {
    ACCESSIBLE.fetch_add(more.wrapping_sub(less), Ordering::Relaxed);
}

/// Resident bytes of the process that are no file's, as the kernel counts them now. Where it does not say so, without `/proc` or
/// without a file descriptor left, as many as may be: a limit holds then, too.
pub fn resident() -> usize {
    keep_errno(|| {
        let mut text = [0; 128];
        let fields = read_file(c"/proc/self/statm", &mut text);
        of_statm(fields).map_or_else(most_resident, |pages| pages * System::page_size())
    })
}

/// Pages that are no file's.
fn of_statm(fields: &[u8]) -> Option<usize> {
    let mut fields = fields.split(|&c| c == b' ').skip(1).map_while(number);
    let (all, shared) = (fields.next()?, fields.next()?);
    Some(all.saturating_sub(shared))
}

/// What is accessible, or, if that is less, the most that ever was resident, files included: it may be of before an `exec`.
fn most_resident() -> usize {
    let (.., most) = usage();
    ACCESSIBLE.load(Ordering::Relaxed).min(most as usize)
}

fn number(digits: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(digits).ok()?;
    text.trim().parse().ok()
}

/// Where control groups are.
const GROUPS: &[u8] = b"/sys/fs/cgroup";

/// Reads what the process's control group (version 2) and those above it say: `memory.high` is kept here, and
/// `memory.max`, less a margin, returned.
pub fn of_control_group() -> Option<usize> {
    keep_errno(|| {
        let mut text = [0; 512];
        // Without them there is nothing to ask for, and asking takes a third of a process's first allocation.
        if !limits_memory(read_file(c"/sys/fs/cgroup/cgroup.controllers", &mut text)) {
            return None;
        }
        let groups = read_file(c"/proc/self/cgroup", &mut text);
        let path = groups
            .split(|&c| c == b'\n')
            .find_map(|line| line.strip_prefix(b"0::"))?;
        if let Some(high) = least_of_groups(GROUPS, path, b"/memory.high\0") {
            HIGH.store(high, Ordering::Relaxed);
        }
        let max = least_of_groups(GROUPS, path, b"/memory.max\0")?;
        Some(max - (max / MARGIN_SHARE).max(MARGIN_MIN).min(max))
    })
}

/// Whether a list of controllers, of version 2, has that of memory.
fn limits_memory(controllers: &[u8]) -> bool {
    controllers
        .split(u8::is_ascii_whitespace)
        .any(|name| name == b"memory")
}

/// The least number that a group and those above it have in a file of this name.
fn least_of_groups(groups: &[u8], path: &[u8], file: &[u8]) -> Option<usize> {
    let mut path = path;
    let mut least = None;
    loop {
        let here = limit_in(groups, path, file);
        least = here.into_iter().chain(least).min();
        let Some(end) = path.iter().rposition(|&c| c == b'/') else {
            return least;
        };
        path = &path[..end];
    }
}

/// The number in a file of a control group; none if it says `max`.
fn limit_in(groups: &[u8], path: &[u8], file: &[u8]) -> Option<usize> {
    let mut name = super::message::Line::new();
    name.bytes(groups).bytes(path).bytes(file);
    let name = core::ffi::CStr::from_bytes_with_nul(name.as_bytes()).ok()?;
    let mut text = [0; 64];
    number(read_file(name, &mut text))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn resident_memory_is_known_without_proc() {
        assert_eq!(of_statm(b"9000 500 120 30 0 400 0\n"), Some(380));
        for unread in [&b""[..], b"9000", b"9000 500"] {
            assert_eq!(of_statm(unread), None);
        }
        let now = resident();
        assert!(now > 100 << 10);
        count_accessible(1 << 40, 0);
        let most = most_resident();
        count_accessible(0, 1 << 40);
        assert!(most >= now && most < 1 << 40, "{most}");
        // Next to nothing is accessible here.
        assert!(most_resident() < now, "{} of {now}", most_resident());
    }

    #[test]
    fn groups_limit_memory_by_a_controller_of_that_name() {
        for list in ["memory\n", "cpuset cpu io memory hugetlb pids\n"] {
            assert!(limits_memory(list.as_bytes()), "{list}");
        }
        for list in ["", "\n", "cpu io pids\n", "memory_pressure cpu\n"] {
            assert!(!limits_memory(list.as_bytes()), "{list}");
        }
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = std::env::temp_dir().join(format!("aloof-groups-{}", std::process::id()));
        let inner = root.join("outer/inner");
        std::fs::create_dir_all(&inner).unwrap();
        let write =
            |at: &std::path::Path, text| std::fs::write(at.join("memory.max"), text).unwrap();
        let least = |path: &str| {
            least_of_groups(
                root.as_os_str().as_bytes(),
                path.as_bytes(),
                b"/memory.max\0",
            )
        };
        assert_eq!(least("/outer/inner"), None);
        write(&inner, "max\n");
        assert_eq!(least("/outer/inner"), None);
        write(&inner, "300000000\n");
        assert_eq!(least("/outer/inner"), Some(300_000_000));
        write(&root.join("outer"), "200000000\n");
        assert_eq!(least("/outer/inner"), Some(200_000_000));
        write(&root.join("outer"), "max\n");
        write(&root, "400000000\n");
        assert_eq!(least("/outer/inner"), Some(300_000_000));
        assert_eq!(least("/"), Some(400_000_000));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
