//! The operating system: the only room that calls it for memory, time and messages. (Yielding, thread keys
//! and the exit file are one call each in `sync`, `thread` and `stats`.)
//!
//! [`Os`] is what the allocator needs of a platform; [`linux`] is the one that exists and is tested.
//! With the feature `fake-os` every call goes through [`fake`], which tests make refuse.

pub(crate) mod limit;
pub(crate) mod linux;
pub(crate) mod live;
pub(crate) mod message;
pub(crate) mod options;

#[cfg(feature = "fake-os")]
pub mod fake;

#[cfg(not(feature = "fake-os"))]
pub(crate) type System = linux::Linux;
#[cfg(feature = "fake-os")]
pub(crate) type System = fake::Fake;

/// How many of the pages of a range that are looked at have memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// No page.
    None,
    /// Some do, some do not.
    Some,
    /// Every page.
    All,
}

/// Looks at eight pages of a range: whether the program seems to have filled it. Where in each eighth is as good as random,
/// so that no stride of what is written meets them all.
pub fn filled_share(addr: usize, bytes: usize) -> Share {
    const SAMPLES: usize = 8;
    const GOLDEN: usize = 0x9e37_79b9;
    let page = System::page_size();
    let eighth = (bytes / SAMPLES / page).max(1);
    let resident = |&i: &usize| {
        let at = i * eighth + (i + 1).wrapping_mul(GOLDEN) % eighth;
        System::is_resident(addr + at * page % bytes)
    };
    match (0..SAMPLES).filter(resident).count() {
        0 => Share::None,
        SAMPLES => Share::All,
        _ => Share::Some,
    }
}

/// Why the OS refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Something else is mapped there.
    Occupied,
    /// No memory, address space or mappings left, or not allowed.
    NoMemory,
}

/// What the allocator asks of a platform. All addresses and lengths are multiples of the page size.
/// Every call keeps `errno`.
pub trait Os {
    /// Bytes of a page.
    fn page_size() -> usize;
    /// Address space of `len` bytes anywhere, not accessible, free of commit charge.
    fn reserve(len: usize) -> Result<usize, Refused>;
    /// Readable zeros at exactly `addr`, which must be unoccupied; no commit charge.
    fn map_zeros_at(addr: usize, len: usize) -> Result<(), Refused>;
    /// Makes reserved address space read as zeros, without commit charge.
    ///
    /// # Safety
    /// The range must be reserved by the caller.
    unsafe fn show_zeros(addr: usize, len: usize) -> Result<(), Refused>;
    /// Accessible zeroed memory at exactly `addr`, which must be unoccupied.
    fn map_at(addr: usize, len: usize) -> Result<(), Refused>;
    /// Accessible zeroed memory anywhere.
    fn map(len: usize) -> Result<usize, Refused>;
    /// Makes reserved address space accessible.
    ///
    /// # Safety
    /// The range must be reserved by the caller.
    unsafe fn commit(addr: usize, len: usize) -> Result<(), Refused>;
    /// Gives memory and commit charge back and keeps the address space reserved.
    ///
    /// # Safety
    /// The range must be the caller's; its content is lost.
    unsafe fn decommit(addr: usize, len: usize) -> Result<(), Refused>;
    /// Asks for huge pages, or for none, where the range is touched from now on; a system without them ignores it.
    ///
    /// # Safety
    /// The range must be the caller's.
    unsafe fn prefer_huge_pages(addr: usize, len: usize, yes: bool);
    /// Whether the page that holds the address has memory; false if that cannot be told.
    fn is_resident(addr: usize) -> bool;
    /// Moves the pages of one range to another, whose own are lost; the first reads as zeros after. False, and nothing
    /// happened, if the system cannot.
    ///
    /// # Safety
    /// Both ranges must be the caller's and accessible, and must not overlap.
    unsafe fn move_pages(from: usize, to: usize, len: usize) -> bool;
    /// Gives the memory of accessible pages back; they stay accessible and read as zeros. False if the system refuses.
    ///
    /// # Safety
    /// The range must be the caller's; its content is lost.
    unsafe fn discard(addr: usize, len: usize) -> bool;
    /// A full memory barrier on all processors that run threads of this process; false if the system has none.
    fn barrier_everywhere() -> bool;
    /// Gives memory and address space back.
    ///
    /// # Safety
    /// The range must be the caller's; its content is lost.
    unsafe fn unmap(addr: usize, len: usize);
}
