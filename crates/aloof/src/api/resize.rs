//! realloc: in place where the block has room or its neighbours give it, else by copying.

use crate::direct;
use crate::heap::{Place, locate};
use crate::num::class::SizeClass;
use crate::num::ids::SubRegionId;
use crate::num::size::*;
use crate::os::message::fault;
use crate::pool::Pool;
use crate::run;
use crate::space;
use crate::sub::SubRegion;
use crate::thread::current;

/// Bytes of the block at `addr`; ends the process if there is none.
pub fn usable(operation: &str, addr: usize) -> usize {
    match locate(addr) {
        Err(why) => fault(operation, addr, why),
        Ok(Place::Pool(id, tag)) => {
            let class = SizeClass(tag as u8);
            if Pool::of(id).block_at(addr - space::base()).is_err() {
                fault(operation, addr, "not the start of a block");
            }
            class.size()
        }
        Ok(Place::Chunk(id, _, n)) => (n as usize) << id.partition().chunk_shift(),
        Ok(Place::Run(id, at)) => {
            (run::block_units(SubRegion::of(id), at) as usize) << id.partition().unit_shift()
        }
        Ok(Place::Direct(id)) => direct::bytes(id, SubRegion::of(id)),
        Ok(Place::Huge(bytes)) => bytes,
    }
}

/// Whether a block of `have` bytes may serve `size`: without wasting more than half, or because a new block
/// would be no smaller.
fn fits(have: usize, size: usize) -> bool {
    size <= have && (size >= have / 2 || (have <= SMALL_MAX && SizeClass::of(size).size() == have))
}

/// Makes the block at `addr` hold `size` bytes where it is; false if it cannot. `have` is what it holds.
pub fn in_place(addr: usize, have: usize, size: usize) -> bool {
    if have > SMALL_MAX
        && let Ok(Place::Run(id, at)) = locate(addr)
        && let Some(heap) = current()
        && SubRegion::of(id).owner() == heap.id()
        && size > SMALL_MAX
        && stays(id, size)
    {
        return heap.resize_run_block(id, at, size).is_some();
    }
    fits(have, size)
}

/// Whether a run of this size still belongs in its partition: a much shrunk one moves to a smaller.
fn stays(id: SubRegionId, size: usize) -> bool {
    size >= 16 << id.partition().unit_shift() || id.partition().0 == 0
}
