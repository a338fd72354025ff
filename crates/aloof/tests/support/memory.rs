//! What the kernel says of this process's memory.

use std::fs;

pub const PAGE: usize = 4096;

/// Bytes of address space of the process, of them resident, and of those a file's.
fn statm() -> [usize; 3] {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let mut fields = statm.split(' ').map_while(|n| n.parse::<usize>().ok());
    std::array::from_fn(|_| fields.next().expect("a number") * PAGE)
}

/// Resident bytes of the process.
pub fn resident() -> usize {
    statm()[1]
}

/// Resident bytes of the process that are no file's.
pub fn anonymous() -> usize {
    let [_, all, shared] = statm();
    all - shared
}

/// Peak resident bytes of the process.
pub fn peak() -> usize {
    usage().ru_maxrss as usize * 1024
}

/// Page faults of the process so far that needed no disk.
pub fn faults() -> usize {
    usage().ru_minflt as usize
}

fn usage() -> libc::rusage {
    // SAFETY: a rusage of zeros is valid.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    }
}

/// Bytes of address space of the process.
pub fn address_space() -> usize {
    statm()[0]
}

/// Pages of the block, those of both ends included, that have memory behind them.
pub fn resident_pages(addr: usize, size: usize) -> usize {
    let start = addr & !(PAGE - 1);
    let pages = (addr + size - start).div_ceil(PAGE);
    let mut found = vec![0u8; pages];
    // SAFETY: the vector has a byte for every page of the range.
    let failed = unsafe {
        libc::mincore(
            std::ptr::without_provenance_mut(start),
            pages * PAGE,
            found.as_mut_ptr(),
        )
    };
    assert_eq!(failed, 0, "mincore of {pages} pages at {start:#x}");
    found.iter().filter(|&&b| b & 1 != 0).count()
}

/// Whether the OS itself has no such mapping to give.
pub fn os_refuses(size: usize) -> bool {
    // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return true;
    }
    // SAFETY: mapped just now.
    unsafe { libc::munmap(at, size) };
    false
}
