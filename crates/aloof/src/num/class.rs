//! Size classes: steps of 8 up to 128 bytes, then eight classes a doubling up to 32 KiB.
//!
//! Classes that are not a multiple of 16 serve only requests aligned to 8 (Rust layouts, and C
//! requests of at most 8 bytes).

use super::size::*;

/// A size class, 0..[`CLASSES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SizeClass(pub u8);

/// Size classes.
pub const CLASSES: usize = 80;
/// Classes up to [`LINEAR_MAX`] are 8 bytes apart.
const LINEAR_MAX: usize = 128;
/// Classes of a doubling above [`LINEAR_MAX`].
const PER_DOUBLING: usize = 8;

/// What is fixed for a class.
#[derive(Clone, Copy)]
pub struct ClassInfo {
    /// Bytes of a block.
    pub size: u32,
    /// `ceil(2^40 / size)`; see [`ClassInfo::block_at`].
    pub reciprocal: u64,
    /// Blocks of a pool.
    pub blocks: u16,
    /// Words of a pool.
    pub words: u8,
    /// Chunks of a pool.
    pub chunks: u8,
    /// Blocks a magazine keeps at first.
    pub magazine: u8,
    /// Units of 64 bytes of the pool's descriptor.
    pub units: u8,
    /// Whether a magazine takes in blocks of others: not where they may share lines.
    pub guests: bool,
}

/// Binary digits of the reciprocals: 32 are too few for the largest pools.
const RECIPROCAL_SHIFT: u32 = 40;

impl ClassInfo {
    /// Index of the block that holds the byte at `offset` (< 2^20) of a pool: a division by multiplication,
    /// exact because `offset * (reciprocal * size - 2^40) < 2^40` (Granlund and Montgomery, 1994).
    #[inline(always)]
    pub const fn block_at(&self, offset: usize) -> usize {
        ((offset as u64).wrapping_mul(self.reciprocal) >> RECIPROCAL_SHIFT) as usize
    }

    /// Index of the block that starts at `offset` (< 2^20) of a pool, if one does.
    #[inline(always)]
    pub const fn block_from(&self, offset: usize) -> Option<usize> {
        let block = self.block_at(offset);
        let starts = block * self.size as usize == offset && block < self.blocks as usize;
        if starts { Some(block) } else { None }
    }
}

/// Pointers of a magazine's buffer: 255 blocks and the sentinel.
pub const MAGAZINE_SLOTS: usize = 256;
/// Bytes of a magazine's buffer, and its alignment: a magazine is full when its top is aligned to it.
pub const MAGAZINE_BYTES: usize = MAGAZINE_SLOTS * 8;
/// Bytes a magazine keeps at first at most (but two blocks at least).
pub const MAGAZINE_KEEP: usize = 64 << 10;

/// Smallest blocks of others that a magazine takes in: their lines are their own, but for the first and last of some.
const GUEST_MIN: usize = 128;

const fn class_size(class: usize) -> usize {
    let linear = LINEAR_MAX / 8;
    if class < linear {
        return (class + 1) * 8;
    }
    let doubling = (class - linear) / PER_DOUBLING;
    let step = (class - linear) % PER_DOUBLING + 1;
    (LINEAR_MAX << doubling) + step * ((LINEAR_MAX << doubling) / PER_DOUBLING)
}

/// Blocks of a pool, at least.
const POOL_LEAST: usize = 8;

/// Chunks of a pool, as few as hold so many: a power of two, which leaves fewer gaps in arenas.
const fn pool_chunks(size: usize) -> usize {
    (POOL_LEAST * size).div_ceil(CHUNK).next_power_of_two()
}

const fn class_info(class: usize) -> ClassInfo {
    let size = class_size(class);
    let chunks = pool_chunks(size);
    let fit = chunks * CHUNK / size;
    let blocks = if fit > POOL_BLOCKS { POOL_BLOCKS } else { fit };
    let words = blocks.div_ceil(WORD_BLOCKS);
    let keep = MAGAZINE_KEEP / size;
    let keep = if keep < 2 { 2 } else { keep };
    let keep = if keep >= MAGAZINE_SLOTS {
        MAGAZINE_SLOTS - 1
    } else {
        keep
    };
    ClassInfo {
        size: size as u32,
        reciprocal: (1u64 << RECIPROCAL_SHIFT).div_ceil(size as u64),
        blocks: blocks as u16,
        words: words as u8,
        chunks: chunks as u8,
        magazine: keep as u8,
        units: (POOL_HEAD + words * 8).div_ceil(64) as u8,
        guests: size >= GUEST_MIN,
    }
}

/// All classes.
pub static INFO: [ClassInfo; CLASSES] = {
    let mut table = [class_info(0); CLASSES];
    let mut c = 0;
    while c < CLASSES {
        table[c] = class_info(c);
        c += 1;
    }
    table
};

/// Bytes of a pool's descriptor, either half, before its words: with three of them it is one unit.
pub const POOL_HEAD: usize = 40;
/// Largest descriptor of a pool, in units of 64 bytes.
pub const MAX_UNITS: usize = (POOL_HEAD + POOL_WORDS * 8).div_ceil(64);

/// Entries of a table that maps `(size + 7) / 8` to a class.
const BY_SIZE: usize = SMALL_MAX / 8 + 1;

/// The smallest class of at least `size` bytes whose blocks are all aligned to `align` (<= 16).
const fn class_of(size: usize, align: usize) -> u8 {
    let mut c = 0;
    while class_size(c) < size || !class_size(c).is_multiple_of(align) {
        c += 1;
    }
    c as u8
}

const fn by_size(align_above_8: usize) -> [u8; BY_SIZE] {
    let mut table = [0; BY_SIZE];
    let mut c = 0;
    let mut i = 0;
    while i < BY_SIZE {
        // `i * 8` is the largest size of the entry.
        let align = if i * 8 > 8 { align_above_8 } else { 8 };
        while class_size(c) < i * 8 {
            c += 1;
        }
        let mut fit = c;
        while !class_size(fit).is_multiple_of(align) {
            fit += 1;
        }
        table[i] = fit as u8;
        i += 1;
    }
    table
}

/// Class of a request aligned as C promises: 16 bytes from 16 bytes on (and for 9..=15).
pub static BY_SIZE_16: [u8; BY_SIZE] = by_size(MIN_ALIGN);
/// Class of a request aligned to 8.
pub static BY_SIZE_8: [u8; BY_SIZE] = by_size(8);

/// Classes at most that may stand for another.
const LENDERS_MOST: usize = 3;
/// Ends a row of [`LENDERS`].
const NO_LENDER: u8 = u8::MAX;

/// See [`SizeClass::lenders`].
static LENDERS: [[u8; LENDERS_MOST + 1]; CLASSES] = {
    let mut table = [[NO_LENDER; LENDERS_MOST + 1]; CLASSES];
    let mut c = 0;
    while c < CLASSES {
        let size = class_size(c);
        let (mut lender, mut n) = (c + 1, 0);
        while lender < CLASSES && class_size(lender) <= size + size / 3 {
            if class_size(lender).is_multiple_of(size & size.wrapping_neg()) {
                assert!(n < LENDERS_MOST);
                table[c][n] = lender as u8;
                n += 1;
            }
            lender += 1;
        }
        c += 1;
    }
    table
};

impl SizeClass {
    /// All classes.
    pub fn all() -> impl Iterator<Item = SizeClass> {
        (0..CLASSES as u8).map(SizeClass)
    }

    /// Classes whose blocks may stand for one of this class: at most a third larger, and aligned as all of this are.
    #[inline(always)]
    pub fn lenders(self) -> impl Iterator<Item = SizeClass> {
        LENDERS[self.index()]
            .iter()
            .take_while(|&&lender| lender != NO_LENDER)
            .map(|&lender| SizeClass(lender))
    }

    /// The facts of the class.
    #[inline(always)]
    pub fn info(self) -> &'static ClassInfo {
        &INFO[self.index()]
    }

    /// The class as an index, known to be below [`CLASSES`].
    #[inline(always)]
    pub fn index(self) -> usize {
        debug_assert!((self.0 as usize) < CLASSES);
        // SAFETY: a SizeClass is only made from the tables above or after a comparison with CLASSES.
        unsafe { core::hint::assert_unchecked((self.0 as usize) < CLASSES) };
        self.0 as usize
    }

    /// Bytes of a block.
    #[inline(always)]
    pub fn size(self) -> usize {
        self.info().size as usize
    }

    /// Class of a C request (`size` <= [`SMALL_MAX`]).
    #[inline(always)]
    pub fn of(size: usize) -> SizeClass {
        debug_assert!(size <= SMALL_MAX);
        // SAFETY: `size` <= SMALL_MAX, so the index is at most SMALL_MAX / 8.
        SizeClass(unsafe { *BY_SIZE_16.get_unchecked((size + 7) >> 3) })
    }

    /// Class of a request aligned to at most 8 (`size` <= [`SMALL_MAX`]).
    #[inline(always)]
    pub fn of_align_8(size: usize) -> SizeClass {
        debug_assert!(size <= SMALL_MAX);
        // SAFETY: as above.
        SizeClass(unsafe { *BY_SIZE_8.get_unchecked((size + 7) >> 3) })
    }

    /// The smallest class of at least `size` bytes whose blocks are all aligned to `align`
    /// (a power of two), if one is small enough.
    pub fn of_aligned(size: usize, align: usize) -> Option<SizeClass> {
        if size > SMALL_MAX || align > SMALL_MAX {
            return None;
        }
        let size = if size < align { align } else { size };
        // Not by the table of those aligned to 8: C needs it nowhere else.
        let first = if size <= LINEAR_MAX {
            SizeClass((size.div_ceil(8).max(1) - 1) as u8)
        } else {
            SizeClass::of(size)
        };
        // Every doubling holds a power of two, so this ends within two doublings or at the last class.
        (first.0..CLASSES as u8)
            .map(SizeClass)
            .find(|c| c.size().is_multiple_of(align))
    }
}

const _: () = {
    assert!(class_size(CLASSES - 1) == SMALL_MAX);
    assert!(class_of(16, 16) == 1 && class_of(24, 8) == 2 && class_of(129, 16) == 16);
    let mut c = 0;
    while c < CLASSES {
        let info = class_info(c);
        assert!(info.units as usize <= MAX_UNITS);
        assert!(info.blocks as usize * info.size as usize <= info.chunks as usize * CHUNK);
        assert!(info.blocks as usize >= POOL_LEAST);
        // The condition of `block_at`, at the last byte of the pool.
        let last = (info.chunks as usize * CHUNK - 1) as u64;
        let error = info.reciprocal * info.size as u64 - (1 << RECIPROCAL_SHIFT);
        assert!(last < 1 << 20 && last * error < 1 << RECIPROCAL_SHIFT);
        c += 1;
    }
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_fitting_class() {
        for size in 0..=SMALL_MAX {
            let need = if size <= 8 { 8 } else { 16 };
            let c = SizeClass::of(size);
            assert!(c.size() >= size && c.size().is_multiple_of(need), "{size}");
            assert!(
                SizeClass::all().all(|d| d >= c || d.size() < size || d.size() % need != 0),
                "{size}"
            );
            let c = SizeClass::of_align_8(size);
            assert!(c.size() >= size && (c.0 == 0 || SizeClass(c.0 - 1).size() < size));
            assert!(
                size < 64 || (c.size() - size) * 8 <= size,
                "waste of more than an eighth at {size}"
            );
        }
    }

    #[test]
    fn an_aligned_class_has_only_aligned_blocks() {
        for align in (0..16).map(|s| 1usize << s) {
            for size in (0..=SMALL_MAX).step_by(97).chain([SMALL_MAX]) {
                let Some(c) = SizeClass::of_aligned(size, align) else {
                    panic!("{size} {align}")
                };
                assert!(c.size() >= size && c.size() % align == 0);
            }
        }
        assert_eq!(SizeClass::of_aligned(8, 64 << 10), None);
    }

    #[test]
    fn the_reciprocal_divides_every_offset_of_a_pool() {
        for c in SizeClass::all() {
            let info = c.info();
            let size = c.size();
            for block in 0..usize::from(info.blocks) {
                for within in [0, 1, size / 2, size - 1] {
                    assert_eq!(
                        info.block_at(block * size + within),
                        block,
                        "{size} {block} {within}"
                    );
                }
            }
        }
    }
}
