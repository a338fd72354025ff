//! Tables for the harness's own bookkeeping, mapped straight from the system and populated before
//! the clock starts: neither their memory nor their page faults count against an allocator.

use std::ops::{Deref, DerefMut};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

static MAPPED: AtomicU64 = AtomicU64::new(0);
static MAPPED_PEAK: AtomicU64 = AtomicU64::new(0);

/// Bytes that tables hold at this moment; subtracted from the resident size that is reported.
pub fn table_bytes() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// The most bytes that tables held at once.
pub fn table_peak_bytes() -> u64 {
    MAPPED_PEAK.load(Ordering::Relaxed)
}

/// A zeroed, populated array of plain values outside the allocator under test.
pub struct Table<T: Copy> {
    base: *mut T,
    len: usize,
    bytes: usize,
}

// SAFETY: a table owns its mapping alone, like a Vec.
unsafe impl<T: Copy + Send> Send for Table<T> {}
// SAFETY: shared references give only shared access to the elements.
unsafe impl<T: Copy + Sync> Sync for Table<T> {}

impl<T: Copy> Table<T> {
    /// Maps `len` values whose bytes are all zero. `T` must be valid when zeroed (integers, raw
    /// pointers, atomics and structs of them).
    ///
    /// # Safety
    /// The all-zero pattern must be a valid `T`.
    pub unsafe fn zeroed(len: usize) -> Self {
        let bytes = (len.max(1) * size_of::<T>()).next_multiple_of(4096);
        // SAFETY: an anonymous mapping with no address asked for touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            crate::fail("the harness could not map its own table");
        }
        let mapped = MAPPED.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        MAPPED_PEAK.fetch_max(mapped, Ordering::Relaxed);
        Table {
            base: base.cast(),
            len,
            bytes,
        }
    }
}

impl<T: Copy> Table<T> {
    /// The first element, for tables that several threads write under a protocol of their own.
    pub fn base(&self) -> *mut T {
        self.base
    }
}

impl<T: Copy> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `zeroed` with this length and is not used again.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
        MAPPED.fetch_sub(self.bytes as u64, Ordering::Relaxed);
    }
}

impl<T: Copy> Deref for Table<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` initialised values for as long as `self` lives.
        unsafe { slice::from_raw_parts(self.base, self.len) }
    }
}

impl<T: Copy> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(self.base, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, table_bytes, table_peak_bytes};

    #[test]
    fn a_table_is_zero_holds_what_is_written_and_is_counted() {
        let before = table_bytes();
        // SAFETY: zero is a valid u64.
        let mut table = unsafe { Table::<u64>::zeroed(10_000) };
        assert_eq!(table_bytes() - before, 81_920);
        assert!(table.iter().all(|&v| v == 0));
        for (i, v) in table.iter_mut().enumerate() {
            *v = i as u64;
        }
        assert_eq!(table[9_999], 9_999);
        drop(table);
        assert_eq!(table_bytes(), before);
        assert!(table_peak_bytes() >= before + 81_920);
    }
}
