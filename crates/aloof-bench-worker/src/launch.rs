//! Starts another program with a preloaded library and reports what it cost. The program is the
//! child of this small process, so that the kernel's account of its peak memory is its own.

use std::fs::File;
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::Instant;

/// `exec OUTPUT PRELOAD PROGRAM ARGUMENTS...`: `PRELOAD` may be empty.
pub fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut next = |what| args.next().ok_or(format!("exec needs {what}"));
    let output = next("an output file")?;
    let preload = next("a library (or an empty word)")?;
    let program = next("a program")?;
    let output = File::create(&output).map_err(|e| format!("cannot create {output}: {e}"))?;
    let mut command = Command::new(&program);
    command.args(args).stdin(Stdio::null()).stdout(output);
    if preload.is_empty() {
        command.env_remove("LD_PRELOAD");
    } else {
        command.env("LD_PRELOAD", preload);
    }
    let started = Instant::now();
    let child = command
        .spawn()
        .map_err(|e| format!("cannot start {program}: {e}"))?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: the child is ours and waited for once; both pointers are to whole objects.
    let usage = unsafe {
        libc::wait4(child.id() as i32, &mut status, 0, usage.as_mut_ptr());
        usage.assume_init()
    };
    let nanos = started.elapsed().as_nanos();
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let error = if libc::WIFSIGNALED(status) {
        format!("{program} died of signal {}", libc::WTERMSIG(status))
    } else if libc::WEXITSTATUS(status) != 0 {
        format!("{program} ended with status {}", libc::WEXITSTATUS(status))
    } else {
        String::new()
    };
    println!(
        "{{\"ok\":{},\"error\":\"{error}\",\"nanos\":{nanos},\"user_nanos\":{},\"system_nanos\":{},\
         \"page_faults\":{},\"peak_rss_bytes\":{}}}",
        error.is_empty(),
        micros(usage.ru_utime) * 1000,
        micros(usage.ru_stime) * 1000,
        usage.ru_minflt + usage.ru_majflt,
        usage.ru_maxrss * 1024,
    );
    Ok(())
}
