//! Contents of blocks that tell which block they are of.
//!
//! Small blocks are filled whole. Of larger ones only words are written: both ends, and at every address that
//! is a multiple of a stride. The strides divide each other, so that what one size leaves behind
//! another finds.

/// Blocks of this size are filled whole.
const WHOLE: usize = 64 << 10;
const PAGE: usize = 4096;
/// Bytes of a word.
const WORD: usize = 8;

/// Two pages: a page of it from any place of the first is a pattern of its own.
static TABLE: [u8; 2 * PAGE] = {
    let mut table = [0; 2 * PAGE];
    let mut i = 0;
    while i < table.len() {
        table[i] = ((i * 167) ^ (i >> 5) ^ (i >> 11)) as u8;
        i += 1;
    }
    table
};

fn stride(size: usize) -> usize {
    match size {
        0..=0x10_0000 => 16 * PAGE,
        0x10_0001..=0x400_0000 => 256 * PAGE,
        0x400_0001..=0x4000_0000 => 4096 * PAGE,
        _ => 65_536 * PAGE,
    }
}

fn page_of(seed: u64, page: usize) -> &'static [u8] {
    let from = (seed as usize).wrapping_mul(61).wrapping_add(page * 37) % PAGE;
    &TABLE[from..from + PAGE]
}

fn word_of(seed: u64, offset: usize) -> u64 {
    (seed ^ offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// Offsets of the words of a block of `size` > [`WHOLE`] bytes at `addr`.
fn words(addr: usize, size: usize) -> impl Iterator<Item = usize> {
    let stride = stride(size);
    let first = (addr / stride + 1) * stride - addr;
    let inner = (first..size - WORD)
        .step_by(stride)
        .filter(move |at| at + 2 * WORD <= size);
    [0].into_iter().chain(inner).chain([size - WORD])
}

/// # Safety
/// `size` bytes at `addr` are the caller's.
pub unsafe fn fill(addr: *mut u8, size: usize, seed: u64) {
    if size <= WHOLE {
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts_mut(addr, size) };
        for (page, bytes) in bytes.chunks_mut(PAGE).enumerate() {
            bytes.copy_from_slice(&page_of(seed, page)[..bytes.len()]);
        }
        return;
    }
    for at in words(addr.addr(), size) {
        // SAFETY: `at` + WORD <= size, by the caller's promise the block's.
        unsafe {
            addr.add(at)
                .cast::<u64>()
                .write_unaligned(word_of(seed, at))
        };
    }
}

/// Whether the first `upto` bytes are as [`fill`] with the same `size` and `seed`, for a block then at
/// `filled_at`, left them.
///
/// # Safety
/// `upto` bytes at `addr` are the caller's.
pub unsafe fn is_filled(
    addr: *const u8,
    filled_at: usize,
    size: usize,
    upto: usize,
    seed: u64,
) -> bool {
    if size <= WHOLE {
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(addr, upto) };
        return bytes
            .chunks(PAGE)
            .enumerate()
            .all(|(page, bytes)| bytes == &page_of(seed, page)[..bytes.len()]);
    }
    words(filled_at, size)
        .filter(|at| at + WORD <= upto)
        // SAFETY: the word lies in the first `upto` bytes, by the caller's promise the block's.
        .all(|at| unsafe { addr.add(at).cast::<u64>().read_unaligned() } == word_of(seed, at))
}

/// Whether the block is zero wherever [`fill`] writes in one of this size at any address.
///
/// # Safety
/// `size` bytes at `addr` are the caller's.
pub unsafe fn is_zero(addr: *const u8, size: usize) -> bool {
    if size <= WHOLE {
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(addr, size) };
        return bytes.iter().all(|&b| b == 0);
    }
    words(addr.addr(), size)
        // SAFETY: `at` + WORD <= size, by the caller's promise the block's.
        .all(|at| unsafe { addr.add(at).cast::<u64>().read_unaligned() } == 0)
}
