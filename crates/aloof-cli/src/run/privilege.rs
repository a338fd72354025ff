//! Whether the kernel would start a file with more rights than the caller has.
//!
//! It then marks the process for secure execution, in which the loader ignores paths in LD_PRELOAD.

use std::ffi::CStr;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, getxattr, stat, statvfs};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::no_new_privs;

const CAPABILITIES: &CStr = c"security.capability";
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// What raises the rights, in words; none when nothing does for this caller.
pub fn raised_by(file: &Path) -> Option<String> {
    let status = stat(file).ok()?;
    let honoured = !statvfs(file).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::NOSUID))
        && !no_new_privs().unwrap_or(false);
    let mode = if honoured { status.st_mode } else { 0 };
    // The kernel compares the effective identity to be with the real one that is.
    let uid = if mode & SETUID != 0 {
        status.st_uid
    } else {
        geteuid().as_raw()
    };
    if uid != getuid().as_raw() {
        return Some(format!("set to run as user {uid} (setuid)"));
    }
    // Without the execute bit, setgid meant mandatory locking.
    let setgid = mode & SETGID != 0 && mode & GROUP_EXECUTE != 0;
    let gid = if setgid {
        status.st_gid
    } else {
        getegid().as_raw()
    };
    if gid != getgid().as_raw() {
        return Some(format!("set to run as group {gid} (setgid)"));
    }
    // Root has every capability already.
    (honoured && !getuid().is_root() && has_capabilities(file))
        .then(|| "given capabilities by its file".to_owned())
}

fn has_capabilities(file: &Path) -> bool {
    let mut value = [0; 64];
    getxattr(file, CAPABILITIES, &mut value[..]).is_ok_and(|length| grants(&value[..length]))
}

/// Whether the attribute makes capabilities effective or permitted; merely inheritable ones change nothing.
fn grants(attribute: &[u8]) -> bool {
    const EFFECTIVE: u32 = 1;
    let words: Vec<u32> = attribute
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    // Layout: magic and flags, then twice permitted and inheritable.
    words.first().is_some_and(|magic| magic & EFFECTIVE != 0)
        || [1, 3]
            .iter()
            .any(|&at| words.get(at).is_some_and(|permitted| *permitted != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_or_permitted_capabilities_count_and_inheritable_ones_do_not() {
        let attribute = |words: [u32; 5]| words.map(u32::to_le_bytes).concat();
        let revision = 0x0200_0000;
        assert!(grants(&attribute([revision, 1 << 10, 0, 0, 0])));
        assert!(grants(&attribute([revision, 0, 0, 1, 0])));
        assert!(grants(&attribute([revision | 1, 0, 0, 0, 0])));
        assert!(!grants(&attribute([revision, 0, u32::MAX, 0, u32::MAX])));
        assert!(!grants(&[]));
    }
}
