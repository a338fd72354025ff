//! Clocks and counters around a load: the monotonic clock, getrusage and the process's own status
//! file, read through raw calls so that probing allocates nothing.

use std::mem::MaybeUninit;
use std::time::Instant;

/// What one load cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Wall time of the load by the monotonic clock.
    pub nanos: u64,
    /// Processor time in user mode.
    pub user_nanos: u64,
    /// Processor time in the kernel.
    pub system_nanos: u64,
    /// Minor and major page faults.
    pub page_faults: u64,
}

/// A started clock.
pub struct Meter {
    started: Instant,
    usage: libc::rusage,
}

impl Meter {
    /// Starts to measure.
    pub fn start() -> Self {
        let usage = usage();
        Meter {
            started: Instant::now(),
            usage,
        }
    }

    /// When the clock was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The reading now.
    pub fn stop(self) -> Reading {
        let ended = Instant::now();
        self.stop_at(ended)
    }

    /// The reading for a load whose last thread ended at `ended`.
    pub fn stop_at(self, ended: Instant) -> Reading {
        let now = usage();
        Reading {
            nanos: ended.duration_since(self.started).as_nanos() as u64,
            user_nanos: nanos(now.ru_utime) - nanos(self.usage.ru_utime),
            system_nanos: nanos(now.ru_stime) - nanos(self.usage.ru_stime),
            page_faults: (now.ru_minflt + now.ru_majflt
                - self.usage.ru_minflt
                - self.usage.ru_majflt) as u64,
        }
    }
}

fn usage() -> libc::rusage {
    let mut usage = MaybeUninit::zeroed();
    // SAFETY: the pointer is to a whole rusage, and RUSAGE_SELF cannot fail.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn nanos(time: libc::timeval) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000
}

/// `(now, peak)` resident bytes of this process.
pub fn resident_bytes() -> (u64, u64) {
    let mut buffer = [0u8; 8192];
    let status = read_file(c"/proc/self/status", &mut buffer);
    (
        kib_field(status, b"VmRSS:") * 1024,
        kib_field(status, b"VmHWM:") * 1024,
    )
}

fn read_file<'a>(path: &std::ffi::CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: the path ends in a zero byte; a failure is told by a negative descriptor.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return &[];
    }
    let mut len = 0;
    while len < buffer.len() {
        let rest = &mut buffer[len..];
        // SAFETY: `rest` is writable for its whole length.
        let got = unsafe { libc::read(fd, rest.as_mut_ptr().cast(), rest.len()) };
        if got <= 0 {
            break;
        }
        len += got as usize;
    }
    // SAFETY: the descriptor is ours and not used again.
    unsafe { libc::close(fd) };
    &buffer[..len]
}

fn kib_field(text: &[u8], name: &[u8]) -> u64 {
    text.split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(name))
        .map_or(0, |rest| {
            rest.iter()
                .filter(|b| b.is_ascii_digit())
                .fold(0, |n, b| n * 10 + u64::from(b - b'0'))
        })
}

#[cfg(test)]
mod tests {
    use super::{Meter, kib_field, resident_bytes};

    #[test]
    fn fields_are_found_by_name() {
        let text = b"VmPeak:\t  9 kB\nVmHWM:\t   1234 kB\nVmRSS:\t    77 kB\n";
        assert_eq!(kib_field(text, b"VmHWM:"), 1234);
        assert_eq!(kib_field(text, b"VmRSS:"), 77);
        assert_eq!(kib_field(text, b"VmSwap:"), 0);
    }

    #[test]
    fn touching_memory_shows_as_residence_and_faults() {
        let (before, _) = resident_bytes();
        let meter = Meter::start();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let reading = meter.stop();
        let (after, peak) = resident_bytes();
        assert!(after >= before + (60 << 20), "{before} {after}");
        assert!(peak >= after);
        assert!(reading.nanos > 0 && reading.page_faults > 0);
        drop(block);
    }
}
