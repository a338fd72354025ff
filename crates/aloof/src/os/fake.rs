//! An operating system that tests can make refuse: Linux behind a plan.
//!
//! Process-wide and meant for one test thread at a time.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};

use super::linux::Linux;
use super::{Os, Refused};

/// Linux behind a plan.
pub struct Fake;

/// Calls that may be refused so far.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// The call (counted from [`CALLS`]) at which refusals start; none if negative.
static REFUSE_FROM: AtomicI64 = AtomicI64::new(-1);
/// The call at which refusals end again.
static REFUSE_TO: AtomicI64 = AtomicI64::new(-1);
/// Where the next mapping anywhere comes to lie; 0: where the kernel likes.
static NEXT_MAP: AtomicUsize = AtomicUsize::new(0);
static REFUSE_RESERVE: AtomicBool = AtomicBool::new(false);
/// Bytes that may be accessible at the same time; no limit if negative.
static CHARGE_LIMIT: AtomicI64 = AtomicI64::new(-1);
static CHARGED: AtomicI64 = AtomicI64::new(0);

/// Calls so far that a plan could have refused.
pub fn calls() -> u64 {
    CALLS.load(SeqCst)
}

/// Refuses the calls numbered `from..to`, counted like [`calls`].
pub fn refuse(from: u64, to: u64) {
    REFUSE_TO.store(to as i64, SeqCst);
    REFUSE_FROM.store(from as i64, SeqCst);
}

/// Refuses nothing any more.
pub fn relent() {
    REFUSE_FROM.store(-1, SeqCst);
    CHARGE_LIMIT.store(-1, SeqCst);
}

/// Refuses reservations of more than 1 GiB, as a limited address space does.
pub fn refuse_large_reservations(yes: bool) {
    REFUSE_RESERVE.store(yes, SeqCst);
}

/// Puts the next mapping that may lie anywhere at this address, which must be unoccupied.
pub fn map_next_at(addr: usize) {
    NEXT_MAP.store(addr, SeqCst);
}

/// Acts like `vm.overcommit_memory=2`: at most `bytes` may be accessible at the same time.
pub fn limit_charge(bytes: u64) {
    CHARGE_LIMIT.store(bytes as i64, SeqCst);
}

/// Bytes made accessible and not given back.
pub fn charged() -> i64 {
    CHARGED.load(SeqCst)
}

fn allowed() -> Result<(), Refused> {
    let call = CALLS.fetch_add(1, SeqCst) as i64;
    let from = REFUSE_FROM.load(SeqCst);
    if from >= 0 && call >= from && call < REFUSE_TO.load(SeqCst) {
        Err(Refused::NoMemory)
    } else {
        Ok(())
    }
}

fn charge(len: usize) -> Result<(), Refused> {
    let limit = CHARGE_LIMIT.load(SeqCst);
    if CHARGED.fetch_add(len as i64, SeqCst) + len as i64 > limit && limit >= 0 {
        uncharge(len);
        return Err(Refused::NoMemory);
    }
    Ok(())
}

fn uncharge(len: usize) {
    CHARGED.fetch_sub(len as i64, SeqCst);
}

fn charged_call<T>(len: usize, call: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
    allowed()?;
    charge(len)?;
    call().inspect_err(|_| uncharge(len))
}

impl Os for Fake {
    fn page_size() -> usize {
        Linux::page_size()
    }

    fn reserve(len: usize) -> Result<usize, Refused> {
        allowed()?;
        if REFUSE_RESERVE.load(SeqCst) && len > 1 << 30 {
            return Err(Refused::NoMemory);
        }
        Linux::reserve(len)
    }

    fn map_zeros_at(addr: usize, len: usize) -> Result<(), Refused> {
        allowed()?;
        Linux::map_zeros_at(addr, len)
    }

    unsafe fn show_zeros(addr: usize, len: usize) -> Result<(), Refused> {
        allowed()?;
        // SAFETY: the caller's promise.
        unsafe { Linux::show_zeros(addr, len) }
    }

    fn map_at(addr: usize, len: usize) -> Result<(), Refused> {
        charged_call(len, || Linux::map_at(addr, len))
    }

    fn map(len: usize) -> Result<usize, Refused> {
        charged_call(len, || match NEXT_MAP.swap(0, SeqCst) {
            0 => Linux::map(len),
            addr => Linux::map_at(addr, len).map(|()| addr),
        })
    }

    unsafe fn commit(addr: usize, len: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        charged_call(len, || unsafe { Linux::commit(addr, len) })
    }

    unsafe fn decommit(addr: usize, len: usize) -> Result<(), Refused> {
        allowed()?;
        // SAFETY: the caller's promise.
        unsafe { Linux::decommit(addr, len) }.inspect(|()| uncharge(len))
    }

    unsafe fn prefer_huge_pages(addr: usize, len: usize, yes: bool) {
        // SAFETY: the caller's promise.
        unsafe { Linux::prefer_huge_pages(addr, len, yes) }
    }

    fn is_resident(addr: usize) -> bool {
        allowed().is_ok() && Linux::is_resident(addr)
    }

    unsafe fn move_pages(from: usize, to: usize, len: usize) -> bool {
        // SAFETY: the caller's promise.
        allowed().is_ok() && unsafe { Linux::move_pages(from, to, len) }
    }

    unsafe fn discard(addr: usize, len: usize) -> bool {
        // SAFETY: the caller's promise.
        allowed().is_ok() && unsafe { Linux::discard(addr, len) }
    }

    fn barrier_everywhere() -> bool {
        allowed().is_ok() && Linux::barrier_everywhere()
    }

    unsafe fn unmap(addr: usize, len: usize) {
        uncharge(len);
        // SAFETY: the caller's promise.
        unsafe { Linux::unmap(addr, len) }
    }
}
