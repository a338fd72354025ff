//! Options from the environment, read once without allocating.

use super::message::Line;

/// What the environment asks for.
#[derive(Clone, Copy)]
pub struct Options {
    /// `ALOOF_STATS=1`: a summary on stderr at exit.
    pub stats: bool,
    /// `ALOOF_STATS_DIR`: a directory for `<pid>.stats` at exit.
    pub stats_dir: Option<&'static [u8]>,
    /// `ALOOF_HUGE_PAGES=0`: no huge pages.
    pub huge_pages: bool,
}

/// The value of an environment variable, found by walking `environ` (getenv may be interposed).
fn variable(name: &[u8]) -> Option<&'static [u8]> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: environ is a null-terminated array of C strings, or null before libc set it up. It is
    // read once, at the first allocation, as any library constructor may.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = core::ffi::CStr::from_ptr(*entry).to_bytes();
            if let Some(value) = text
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(b"="))
            {
                return Some(value);
            }
            entry = entry.add(1);
        }
    }
    None
}

/// A switch: `1`, `on`, `yes`, `true` or `0`, `off`, `no`, `false`; without a value, or with another and a
/// warning, its default.
fn switch(name: &'static str, default: bool) -> bool {
    match variable(name.as_bytes()) {
        None | Some(b"") => default,
        Some(b"0" | b"off" | b"no" | b"false") => false,
        Some(b"1" | b"on" | b"yes" | b"true") => true,
        Some(value) => {
            warn(name, value, "is neither 1 nor 0; it is ignored");
            default
        }
    }
}

fn warn(name: &str, value: &[u8], what: &str) {
    let mut line = Line::new();
    line.text("aloof: ")
        .text(name)
        .text("=")
        .bytes(value)
        .text(" ")
        .text(what)
        .text("\n");
    line.write_to(2);
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
                huge_pages: true,
            };
        }
        let dir = variable(b"ALOOF_STATS_DIR").filter(|dir| !dir.is_empty());
        let dir = match dir {
            Some(dir) if dir.len() > 900 => {
                warn(
                    "ALOOF_STATS_DIR",
                    &dir[..64],
                    "... is too long; it is ignored",
                );
                None
            }
            dir => dir,
        };
        Options {
            stats: switch("ALOOF_STATS", false),
            stats_dir: dir,
            huge_pages: switch("ALOOF_HUGE_PAGES", true),
        }
    }
}
