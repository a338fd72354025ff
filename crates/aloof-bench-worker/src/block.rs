//! Blocks that prove themselves: the first and the last byte are written when a block is made and
//! compared before it is freed, so that overlapping blocks or lost writes cannot pass.

use crate::capi;
use aloof_bench_kit::{Table, fail};

/// A live block in a table of the harness.
#[derive(Clone, Copy)]
pub struct Slot {
    /// The block, null when the slot is empty.
    pub block: *mut u8,
    /// Its requested size.
    pub size: usize,
}

// SAFETY: a block may be used and freed by any thread that holds its slot.
unsafe impl Send for Slot {}

/// A table of empty slots.
pub fn slots(len: usize) -> Table<Slot> {
    // SAFETY: a null pointer and a zero size are an empty slot.
    unsafe { Table::zeroed(len) }
}

impl Slot {
    /// Allocates and marks a block.
    #[inline(always)]
    pub fn make(size: usize, tag: u8) -> Self {
        Slot {
            block: make(size, tag),
            size,
        }
    }

    /// Checks and frees the block.
    #[inline(always)]
    pub fn unmake(self, tag: u8) {
        unmake(self.block, self.size, tag);
    }

    /// Checks and frees the block, if the slot holds one, and empties the slot.
    #[inline(always)]
    pub fn empty(&mut self, tag: u8) {
        if !self.block.is_null() {
            self.unmake(tag);
            self.block = std::ptr::null_mut();
        }
    }
}

/// Writes `tag` into the first and last byte of a block (volatile: the stores stay).
#[inline(always)]
pub fn mark(p: *mut u8, size: usize, tag: u8) {
    // SAFETY: the caller's block is `size` bytes, at least one.
    unsafe {
        p.write_volatile(tag);
        p.add(size - 1).write_volatile(tag);
    }
}

/// Ends the process unless both bytes still hold `tag`.
#[inline(always)]
pub fn check(p: *mut u8, size: usize, tag: u8) {
    // SAFETY: as in `mark`.
    let (first, last) = unsafe { (p.read_volatile(), p.add(size - 1).read_volatile()) };
    if first != tag || last != tag {
        spoiled();
    }
}

/// Writes one byte every `stride` bytes of `from..to`, as a program does that uses its memory.
#[inline(always)]
pub fn touch(p: *mut u8, from: usize, to: usize, stride: usize) {
    for at in (from..to).step_by(stride) {
        // SAFETY: `to` is at most the block's size.
        unsafe { p.add(at).write_volatile(0x5a) };
    }
}

/// Allocates and marks.
#[inline(always)]
pub fn make(size: usize, tag: u8) -> *mut u8 {
    let p = capi::malloc(size);
    mark(p, size, tag);
    p
}

/// Checks and frees a block that `make` made with the same size and tag.
#[inline(always)]
pub fn unmake(p: *mut u8, size: usize, tag: u8) {
    check(p, size, tag);
    // SAFETY: the block was made by `make` and is given up here.
    unsafe { capi::free(p) };
}

#[cold]
#[inline(never)]
fn spoiled() -> ! {
    fail("a block no longer held what was written to it")
}
