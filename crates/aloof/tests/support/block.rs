//! A block of [`aloof::raw`] that knows what must be in it.

use aloof::raw;

use super::{KIB, errno, memory, pattern};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub size: usize,
    /// None: as `malloc` aligns.
    pub align: Option<usize>,
    pub zeroed: bool,
}

impl Request {
    pub fn of(size: usize) -> Request {
        Request {
            size,
            align: None,
            zeroed: false,
        }
    }

    pub fn aligned(size: usize, align: usize) -> Request {
        Request {
            align: Some(align),
            ..Request::of(size)
        }
    }

    pub fn zeroed(size: usize) -> Request {
        Request {
            zeroed: true,
            ..Request::of(size)
        }
    }

    /// The alignment that is promised.
    pub fn alignment(self) -> usize {
        self.align.unwrap_or(if self.size <= 8 { 8 } else { 16 })
    }

    fn call(self) -> *mut u8 {
        let size = self.size;
        // SAFETY: alignments in requests are powers of two.
        unsafe {
            match (self.align, self.zeroed) {
                (None, false) => raw::malloc(size),
                (None, true) => raw::malloc_zeroed(size),
                (Some(align), false) => raw::malloc_aligned(size, align),
                (Some(align), true) => raw::malloc_aligned_zeroed(size, align),
            }
        }
    }
}

/// A live block, filled with the pattern of its seed as far as it may be used.
#[derive(Debug)]
pub struct Block {
    addr: *mut u8,
    request: Request,
    usable: usize,
    seed: u64,
}

// SAFETY: a block is the holder's alone.
unsafe impl Send for Block {}

impl Block {
    /// Asks for a block, checks all promises and fills it. None if it was refused, as refusals must be.
    pub fn new(request: Request, seed: u64) -> Option<Block> {
        let (addr, errno) = errno::after(|| request.call());
        if addr.is_null() {
            assert_eq!(errno, libc::ENOMEM, "{request:?} was refused");
            return None;
        }
        assert_eq!(errno, errno::UNTOUCHED, "{request:?} touched errno");
        // SAFETY: `addr` is a live block.
        let usable = unsafe { raw::usable_size(addr) };
        let block = Block {
            addr,
            request,
            usable,
            seed,
        };
        block.check_promises();
        if request.zeroed {
            // SAFETY: the block has `size` bytes.
            let zero = unsafe { pattern::is_zero(addr, request.size) };
            assert!(zero, "{block:?} is not zero");
        }
        block.fill();
        Some(block)
    }

    fn check_promises(&self) {
        let align = self.request.alignment();
        assert!(
            self.addr.addr().is_multiple_of(align),
            "alignment of {self:?}"
        );
        assert!(
            self.usable >= self.request.size.max(1),
            "usable size of {self:?}"
        );
    }

    fn fill(&self) {
        // SAFETY: the block has `usable` bytes.
        unsafe { pattern::fill(self.addr, self.usable, self.seed) };
    }

    pub fn addr(&self) -> usize {
        self.addr.addr()
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.addr
    }

    pub fn size(&self) -> usize {
        self.request.size
    }

    pub fn usable(&self) -> usize {
        self.usable
    }

    pub fn tier(&self) -> Option<aloof::Tier> {
        raw::tier_of(self.addr)
    }

    /// Whether all bytes are as they were filled.
    pub fn is_intact(&self) -> bool {
        // SAFETY: the block has `usable` bytes.
        unsafe {
            pattern::is_filled(
                self.addr,
                self.addr.addr(),
                self.usable,
                self.usable,
                self.seed,
            )
        }
    }

    pub fn verify(&self) {
        assert!(self.is_intact(), "the content of {self:?} has changed");
    }

    /// Reallocates, checks the content and fills the block anew; false if it was refused.
    pub fn resize(&mut self, size: usize) -> bool {
        self.verify();
        let before = (self.addr.addr(), self.usable, self.request.size);
        let request = Request {
            size,
            ..self.request
        };
        let (addr, errno) = errno::after(|| {
            // SAFETY: the block is live and replaced by what is returned.
            unsafe {
                match self.request.align {
                    None => raw::realloc(self.addr, size),
                    Some(align) => raw::realloc_aligned(self.addr, size, align),
                }
            }
        });
        if addr.is_null() {
            assert_eq!(errno, libc::ENOMEM, "{request:?} was refused");
            self.verify();
            return false;
        }
        assert_eq!(errno, errno::UNTOUCHED, "{request:?} touched errno");
        // SAFETY: `addr` is a live block.
        let usable = unsafe { raw::usable_size(addr) };
        *self = Block {
            addr,
            request,
            usable,
            ..*self
        };
        self.check_promises();
        let (filled_at, filled, kept) = (before.0, before.1, before.2.min(size));
        // SAFETY: the block has `size` >= `kept` bytes.
        let kept = unsafe { pattern::is_filled(addr, filled_at, filled, kept, self.seed) };
        assert!(kept, "{before:?} did not keep its content as {self:?}");
        self.fill();
        true
    }

    /// Frees the block, its content checked.
    pub fn free(self) {
        self.verify();
        self.free_unseen();
    }

    /// Frees the block without a look at it.
    pub fn free_unseen(self) {
        let ((), errno) = errno::after(|| {
            // SAFETY: the block is live and nobody uses it any more.
            unsafe { raw::free(self.addr) }
        });
        assert_eq!(errno, errno::UNTOUCHED, "free touched errno");
    }
}

/// A block of `size` bytes, its content of the seed `size`.
pub fn block(size: usize) -> Block {
    Block::new(Request::of(size), size as u64).expect("there is memory")
}

/// A block all of whose pages are there, if it is not refused.
pub fn touched(size: usize, seed: u64) -> Option<Block> {
    let block = Block::new(Request::of(size), seed)?;
    for at in (0..block.usable()).step_by(memory::PAGE) {
        // SAFETY: the byte is the block's, and stays what it is.
        unsafe {
            let byte = block.addr.add(at);
            byte.write_volatile(byte.read_volatile());
        }
    }
    Some(block)
}

/// The same, of which nobody knows the content: raw, for who frees it as it is.
pub fn written(size: usize) -> *mut u8 {
    // SAFETY: the block has `size` bytes.
    unsafe {
        let at = raw::malloc(size);
        assert!(!at.is_null());
        at.write_bytes(1, size);
        at
    }
}

/// A block of `to` bytes that doubled from `from` on, each page written when it came and read at the end.
pub fn doubled(from: usize, to: usize) -> *mut u8 {
    let mark = |at: usize| (at / (4 * KIB)) as u8 | 1;
    // SAFETY: a live block of the bytes written and read.
    unsafe {
        let (mut block, mut size, mut new) = (raw::malloc(from), from, 0);
        loop {
            (new..size)
                .step_by(4 * KIB)
                .for_each(|at| block.add(at).write(mark(at)));
            if size >= to {
                break;
            }
            (size, new) = (size * 2, size.next_multiple_of(4 * KIB));
            block = raw::realloc(block, size);
        }
        assert!(
            (0..size)
                .step_by(4 * KIB)
                .all(|at| block.add(at).read() == mark(at))
        );
        block
    }
}

pub fn free_all(blocks: Vec<Block>) {
    blocks.into_iter().for_each(Block::free);
}
