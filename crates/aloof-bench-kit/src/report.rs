//! The worker's one line of output. It is formatted in a stack buffer and written with one raw
//! call: a broken allocator must not keep its own failure from being told.

use crate::probe::{Reading, resident_bytes};
use crate::table::{table_bytes, table_peak_bytes};
use std::ffi::CStr;
use std::fmt::{self, Write};

struct Line {
    text: [u8; 1024],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.text.len() - self.len;
        let n = s.len().min(room);
        self.text[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

impl Line {
    fn send(&self) {
        // SAFETY: the buffer holds `len` initialised bytes.
        unsafe { libc::write(1, self.text.as_ptr().cast(), self.len) };
    }
}

/// `finish_as`, naming the file that this process's `malloc` comes from.
pub fn finish(reading: Reading, ops: u64) {
    finish_as(reading, ops, malloc_origin());
}

/// Reports a load that went well. `ops` is the number of allocations it made. Resident sizes are
/// read here: the peak of the whole run, and what is left now that the load has been freed; the
/// harness's own tables are taken off both.
/// `allocator` says where the memory came from, for the harness to compare with what it asked for.
pub fn finish_as(reading: Reading, ops: u64, allocator: &str) {
    let peak_tables = table_peak_bytes();
    let (now, peak) = resident_bytes();
    let mut line = Line {
        text: [0; 1024],
        len: 0,
    };
    let _ = writeln!(
        line,
        "{{\"ok\":true,\"nanos\":{},\"ops\":{ops},\"user_nanos\":{},\"system_nanos\":{},\
         \"page_faults\":{},\"peak_rss_bytes\":{},\"end_rss_bytes\":{},\"harness_bytes\":{},\
         \"malloc_from\":\"{allocator}\"}}",
        reading.nanos,
        reading.user_nanos,
        reading.system_nanos,
        reading.page_faults,
        peak.max(now).saturating_sub(peak_tables),
        now.saturating_sub(table_bytes()),
        peak_tables,
    );
    line.send();
}

/// Reports a load whose memory was wrong and ends the process at once.
#[cold]
pub fn fail(why: &str) -> ! {
    let mut line = Line {
        text: [0; 1024],
        len: 0,
    };
    let _ = writeln!(line, "{{\"ok\":false,\"error\":\"{why}\"}}");
    line.send();
    // SAFETY: leaves without running anything that might allocate.
    unsafe { libc::_exit(3) }
}

/// The file that this process's `malloc` comes from: proof that a preload took effect.
fn malloc_origin() -> &'static str {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: RTLD_DEFAULT with a C string; dladdr fills the record when it returns non-zero, and
    // the name it points at lives as long as the object stays loaded.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, c"malloc".as_ptr());
        if address.is_null() || libc::dladdr(address, info.as_mut_ptr()) == 0 {
            return "";
        }
        let name = info.assume_init().dli_fname;
        if name.is_null() {
            return "";
        }
        CStr::from_ptr(name).to_str().unwrap_or("")
    }
}
