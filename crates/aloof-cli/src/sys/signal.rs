//! Signals taken one by one instead of by handlers, and the two that a process sends itself.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Instant;

/// A signal that arrived.
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The process that sent it; none when the kernel did (terminal keys, a line that hung up).
    pub sender: Option<i32>,
}

/// A set of signals that no longer act by themselves but wait to be taken.
pub struct Waited {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl Waited {
    /// Blocks these signals. SIGCHLD, if inherited as ignored, is made to arrive.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: SIG_DFL is a valid disposition of SIGCHLD.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let set = set_of(signals);
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: both sets are valid, one to read, one to write.
        if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroed at first, filled by the call that succeeded.
        let before = unsafe { before.assume_init() };
        Ok(Self { set, before })
    }

    /// The mask as it was before.
    pub fn inherited_mask(&self) -> libc::sigset_t {
        self.before
    }

    /// Waits for the next of them; none when the time came first.
    pub fn next(&self, until: Option<Instant>) -> io::Result<Option<Received>> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            let rest = until.map(|at| at.saturating_duration_since(Instant::now()));
            let rest = rest.map(|rest| libc::timespec {
                tv_sec: rest.as_secs() as libc::time_t,
                tv_nsec: rest.subsec_nanos().into(),
            });
            let rest = rest.as_ref().map_or(ptr::null(), ptr::from_ref);
            let (set, place) = (&raw const self.set, info.as_mut_ptr());
            // SAFETY: a valid set and a valid time (or none) to read, and a valid place to write.
            let signal = unsafe { libc::sigtimedwait(set, place, rest) };
            if signal > 0 {
                // SAFETY: zeroed at first, filled by the call that succeeded.
                let info = unsafe { info.assume_init() };
                // Codes above zero are the kernel's own. SAFETY: the others (kill, tgkill, sigqueue) fill the pid in.
                let sender = (info.si_code <= 0).then(|| unsafe { info.si_pid() });
                return Ok(Some(Received { signal, sender }));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

/// Sets the mask of the calling thread. Async-signal-safe.
pub fn set_mask(mask: &libc::sigset_t) {
    change_mask(libc::SIG_SETMASK, mask);
}

/// Stops this process by a job control signal; returns when it is continued. The signal stays blocked.
pub fn stop_by(signal: i32) {
    let set = set_of(&[signal]);
    change_mask(libc::SIG_BLOCK, &set);
    // Raised while blocked, it is one with the signal that a key may have left pending: two would stop twice.
    // SAFETY: raise takes any signal number.
    unsafe { libc::raise(signal) };
    change_mask(libc::SIG_UNBLOCK, &set);
    change_mask(libc::SIG_BLOCK, &set);
}

/// Ends this process by the signal that ended the program, without a core dump of its own.
pub fn die_by(signal: i32) -> ! {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid place to read.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // A core pattern that pipes to a program pays no heed to the limit, only to this flag.
    // SAFETY: PR_SET_DUMPABLE takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    // SAFETY: SIG_DFL is a valid disposition; of SIGKILL and SIGSTOP it cannot be set and need not be.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    change_mask(libc::SIG_UNBLOCK, &set_of(&[signal]));
    // SAFETY: raise takes any signal number.
    unsafe { libc::raise(signal) };
    std::process::exit(128 + signal)
}

fn change_mask(how: i32, set: &libc::sigset_t) {
    // SAFETY: a valid set to read, and no place for the old one.
    unsafe { libc::sigprocmask(how, set, ptr::null_mut()) };
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a valid place to write.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in signals {
        // SAFETY: the set is initialised; a number that is no signal is refused.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: sigemptyset has initialised it.
    unsafe { set.assume_init() }
}
