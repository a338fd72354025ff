//! Program images, and the child that runs one.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::ptr;
use std::time::Duration;

use super::{inherited, signal};

/// The process number of a child.
pub type Pid = i32;

/// All that execve needs, made in advance so that nothing is allocated between fork and exec.
pub struct Image {
    path: CString,
    argv: Strings,
    envp: Strings,
}

/// A null-terminated array of C strings and the strings themselves.
struct Strings {
    pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

// SAFETY: the pointers lead into the heap buffers of `_owned`, which are neither moved nor written while they exist.
unsafe impl Send for Strings {}
// SAFETY: as above; shared use only reads.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(strings: impl IntoIterator<Item = Vec<u8>>) -> io::Result<Self> {
        let owned = strings
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()?;
        let pointers = owned
            .iter()
            .map(|s| s.as_ptr())
            .chain([ptr::null()])
            .collect();
        Ok(Self {
            pointers,
            _owned: owned,
        })
    }
}

impl Image {
    /// An image of `path`, called with `arguments` (the first is its own name) in `environment`.
    pub fn new<'a>(
        path: &Path,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> io::Result<Self> {
        let entry =
            |(key, value): (OsString, OsString)| [key.into_vec(), value.into_vec()].join(&b'=');
        Ok(Self {
            path: CString::new(path.as_os_str().as_bytes())?,
            argv: Strings::new(arguments.into_iter().map(|a| a.as_bytes().to_vec()))?,
            envp: Strings::new(environment.into_iter().map(entry))?,
        })
    }

    /// Becomes the program; returns only when that failed. Async-signal-safe.
    pub fn exec(&self) -> io::Error {
        inherited::restore();
        // SAFETY: a C string and two null-terminated arrays of C strings, all owned by `self`.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.argv.pointers.as_ptr(),
                self.envp.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }
}

/// Runs an image in a child, with the signal mask that `waited` replaced.
pub fn spawn(image: Image, waited: &signal::Waited) -> io::Result<Pid> {
    let mask = waited.inherited_mask();
    // The closure execs by itself, so what `Command` would run and pass never matters.
    let mut command = Command::new("/");
    // SAFETY: between fork and exec the closure makes only async-signal-safe calls.
    unsafe {
        command.pre_exec(move || {
            signal::set_mask(&mask);
            Err(image.exec())
        });
    }
    let child = command.spawn()?;
    Pid::try_from(child.id()).map_err(io::Error::other)
}

/// What a child used, together with those of its own children that it waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time in the program.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// The largest peak among the processes.
    pub peak_rss_bytes: u64,
}

/// A change in a child's life.
pub enum Changed {
    /// Stopped by this signal.
    Stopped(i32),
    /// Running again.
    Continued,
    /// Gone.
    Ended(ExitStatus, Usage),
}

/// The next unreported change of the child, without waiting for one.
pub fn wait(child: Pid) -> io::Result<Option<Changed>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: both places are valid for writing.
    match unsafe { libc::wait4(child, &raw mut status, flags, usage.as_mut_ptr()) } {
        -1 => return Err(io::Error::last_os_error()),
        0 => return Ok(None),
        _ => {}
    }
    let status = ExitStatus::from_raw(status);
    if let Some(signal) = status.stopped_signal() {
        return Ok(Some(Changed::Stopped(signal)));
    }
    if status.continued() {
        return Ok(Some(Changed::Continued));
    }
    // SAFETY: zeroed at first, filled by wait4; every bit pattern is a valid rusage.
    let usage = unsafe { usage.assume_init() };
    let span = |t: libc::timeval| {
        Duration::new(
            t.tv_sec.unsigned_abs(),
            1000 * t.tv_usec.unsigned_abs() as u32,
        )
    };
    Ok(Some(Changed::Ended(
        status,
        Usage {
            user: span(usage.ru_utime),
            system: span(usage.ru_stime),
            peak_rss_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
        },
    )))
}
