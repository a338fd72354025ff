//! Settings of the process: from the environment, read once without allocating, and by call.
//!
//! Later settings win over earlier ones. Any thread may read and write them at any time.

use super::limit;
use super::message::Line;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What the environment asks for at the end.
#[derive(Clone, Copy)]
pub struct Options {
    /// `ALOOF_STATS=1`: a summary on stderr at exit.
    pub stats: bool,
    /// `ALOOF_STATS_DIR`: a directory for `<pid>.stats` at exit.
    pub stats_dir: Option<&'static [u8]>,
    /// `ALOOF_LIVE_DIR`: a directory for `<pid>.live`, kept up to date.
    pub live_dir: Option<&'static [u8]>,
}

static HUGE_PAGES: AtomicBool = AtomicBool::new(true);
static BACKGROUND: AtomicBool = AtomicBool::new(true);
static DECAY_MS: AtomicU64 = AtomicU64::new(1000);
static RETAIN: AtomicUsize = AtomicUsize::new(16 << 20);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Whether the program or the environment said something about a limit, that there be none included.
static LIMIT_IS_CHOSEN: AtomicBool = AtomicBool::new(false);

/// A setting that can be changed while the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// 0 or 1: whether large, dense heaps and large blocks that grow ask for huge pages. Default 1.
    HugePages,
    /// 0 or 1: whether a thread gives memory back in the background. Default 1.
    Background,
    /// Milliseconds after which half of the free memory has gone back; what is in the middle of heaps goes after half
    /// to all of this time. `u64::MAX`: never. Default 1000.
    DecayMs,
    /// Bytes of wholly free sub-regions that are kept. Default 16 MiB.
    Retain,
    /// Bytes of resident memory beyond which requests are refused; 0 or `u64::MAX`: none. Default: the memory limit of the
    /// control group.
    Limit,
}

impl Setting {
    /// Changes it; false if the value is not one that it has.
    pub fn set(self, value: u64) -> bool {
        match self {
            Setting::HugePages | Setting::Background if value > 1 => return false,
            Setting::HugePages => HUGE_PAGES.store(value == 1, Ordering::Relaxed),
            Setting::Background => BACKGROUND.store(value == 1, Ordering::Relaxed),
            Setting::DecayMs => DECAY_MS.store(value, Ordering::Relaxed),
            Setting::Retain => RETAIN.store(value as usize, Ordering::Relaxed),
            Setting::Limit if value == 0 => return Setting::Limit.set(u64::MAX),
            Setting::Limit => {
                LIMIT_IS_CHOSEN.store(true, Ordering::Relaxed);
                LIMIT.store(value as usize, Ordering::Relaxed);
                limit::watch();
            }
        }
        true
    }

    /// Its value.
    pub fn get(self) -> u64 {
        // Relaxed: settings publish nothing.
        match self {
            Setting::HugePages => HUGE_PAGES.load(Ordering::Relaxed).into(),
            Setting::Background => BACKGROUND.load(Ordering::Relaxed).into(),
            Setting::DecayMs => DECAY_MS.load(Ordering::Relaxed),
            Setting::Retain => RETAIN.load(Ordering::Relaxed) as u64,
            Setting::Limit => LIMIT.load(Ordering::Relaxed) as u64,
        }
    }

    /// Whether a switch is on.
    pub fn is_on(self) -> bool {
        self.get() != 0
    }

    fn variable(self) -> &'static str {
        match self {
            Setting::HugePages => "ALOOF_HUGE_PAGES",
            Setting::Background => "ALOOF_BACKGROUND",
            Setting::DecayMs => "ALOOF_DECAY_MS",
            Setting::Retain => "ALOOF_RETAIN",
            Setting::Limit => "ALOOF_LIMIT",
        }
    }

    /// Reads it from the environment; true if it is set there.
    fn read(self) -> bool {
        let text = variable(self.variable().as_bytes());
        text.is_some_and(|text| !text.is_empty() && self.read_from(text))
    }

    #[cold]
    #[inline(never)]
    fn read_from(self, text: &[u8]) -> bool {
        let (value, what) = match self {
            Setting::HugePages | Setting::Background => (
                flag(text).map(u64::from),
                "is neither 1 nor 0; it is ignored",
            ),
            Setting::DecayMs => (
                if text == b"never" {
                    Some(u64::MAX)
                } else {
                    number(text)
                },
                "is not a number of milliseconds nor \"never\"; it is ignored",
            ),
            Setting::Retain | Setting::Limit => (
                if text == b"none" && self == Setting::Limit {
                    Some(u64::MAX)
                } else {
                    bytes(text)
                },
                "is not a number of bytes such as 500M or 2G; it is ignored",
            ),
        };
        match value {
            Some(value) => self.set(value),
            None => {
                warn(self.variable(), text, what);
                false
            }
        }
    }
}

/// Decimal digits as a number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        n.checked_mul(10)?.checked_add(digit.into())
    })
}

/// A number of bytes: digits, and perhaps `K`, `M`, `G` or `T` for powers of 1024, with `iB` or `B` behind it.
fn bytes(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (digits, unit) = text.split_at(digits);
    let shift = match unit {
        b"" | b"B" | b"b" => 0,
        [prefix] | [prefix, b'B'] | [prefix, b'i', b'B'] => match prefix.to_ascii_uppercase() {
            b'K' => 10,
            b'M' => 20,
            b'G' => 30,
            b'T' => 40,
            _ => return None,
        },
        _ => return None,
    };
    number(digits)?.checked_mul(1 << shift)
}

/// `1`, `on`, `yes`, `true` or `0`, `off`, `no`, `false`.
fn flag(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"on" | b"yes" | b"true" => Some(true),
        b"0" | b"off" | b"no" | b"false" => Some(false),
        _ => None,
    }
}

/// The value of an environment variable, found by walking `environ` (getenv may be interposed).
fn variable(name: &[u8]) -> Option<&'static [u8]> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: environ is a null-terminated array of C strings, or null before libc set it up. It is
    // read once, at the first allocation, as any library constructor may. A string is read up to its first difference.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = *entry;
            let is = |(at, &byte): (usize, &u8)| *text.add(at) as u8 == byte;
            if name.iter().chain(b"=").enumerate().all(is) {
                return Some(core::ffi::CStr::from_ptr(text.add(name.len() + 1)).to_bytes());
            }
            entry = entry.add(1);
        }
    }
    None
}

fn warn(name: &str, value: &[u8], what: &str) {
    let mut line = Line::new();
    line.text("aloof: ")
        .text(name)
        .text("=")
        .bytes(&value[..value.len().min(64)])
        .text(" ")
        .text(what)
        .text("\n");
    line.write_to(2);
}

/// A directory that is not too long to append a file name.
fn directory(name: &'static str) -> Option<&'static [u8]> {
    let dir = variable(name.as_bytes()).filter(|dir| !dir.is_empty())?;
    if dir.len() > 900 {
        warn(name, dir, "... is too long; it is ignored");
        return None;
    }
    Some(dir)
}

impl Options {
    /// Reads the environment. Setuid programs ignore it.
    pub fn read() -> Options {
        // SAFETY: getauxval has no preconditions.
        let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        if secure {
            return Options {
                stats: false,
                stats_dir: None,
                live_dir: None,
            };
        }
        for setting in [
            Setting::HugePages,
            Setting::Background,
            Setting::DecayMs,
            Setting::Retain,
            Setting::Limit,
        ] {
            setting.read();
        }
        if !LIMIT_IS_CHOSEN.load(Ordering::Relaxed)
            && let Some(bytes) = limit::of_control_group()
        {
            Setting::Limit.set(bytes as u64);
        }
        let stats = variable(b"ALOOF_STATS").filter(|text| !text.is_empty());
        Options {
            stats: stats.is_some_and(|text| {
                flag(text).unwrap_or_else(|| {
                    warn("ALOOF_STATS", text, "is neither 1 nor 0; it is ignored");
                    false
                })
            }),
            stats_dir: directory("ALOOF_STATS_DIR"),
            live_dir: directory("ALOOF_LIVE_DIR"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_have_units() {
        for (text, value) in [
            ("0", 0),
            ("4096", 4096),
            ("1K", 1 << 10),
            ("500M", 500 << 20),
            ("2g", 2 << 30),
            ("3GiB", 3 << 30),
            ("1TB", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(bytes(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "M",
            "-1",
            "1.5G",
            "1 G",
            "1GG",
            "12x",
            "99999999999999999999",
            "99999999T",
        ] {
            assert_eq!(bytes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn settings_refuse_what_they_cannot_be() {
        assert!(!Setting::HugePages.set(2) && !Setting::Background.set(7));
        assert!(Setting::Retain.set(5 << 20) && Setting::Retain.get() == 5 << 20);
        assert!(Setting::Retain.set(16 << 20));
    }
}
