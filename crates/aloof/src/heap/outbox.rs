//! Frees of blocks that belong to another heap, or to nobody.
//!
//! Small blocks gather in the outbox, so that one post serves many; larger ones are posted at once.

use super::collect::Heaps;
use super::magazine::block_fault;
use super::{Heap, OUTBOX};
use crate::arena;
use crate::num::bits;
use crate::num::ids::*;
use crate::partition;
use crate::pool::{Fault, Pool};
use crate::remote;
use crate::sub::SubRegion;

/// Bytes that the outbox holds at most.
const OUTBOX_BYTES: usize = 64 << 10;

impl Heap {
    /// Frees a small block of another's pool.
    pub(super) fn send(&self, addr: usize) {
        let offset = addr - self.base();
        let (id, _) = Pool::of_chunk(ChunkId::at(offset));
        let pool = Pool::of(id);
        if let Err(why) = pool.block_at(offset) {
            block_fault(addr, why);
        }
        let n = self.outbox_len.get() as usize;
        if n > 0 && self.outbox[n - 1].get() == addr {
            block_fault(addr, Fault::DoubleFree);
        }
        self.outbox[n].set(addr);
        self.outbox_len.add(1);
        self.outbox_bytes.add(pool.class().size() as u32);
        if n + 1 == OUTBOX || self.outbox_bytes.get() as usize >= OUTBOX_BYTES {
            self.post_outbox(true);
        }
    }

    /// Posts all of the outbox; orphans met are adopted if `adopt`.
    #[cold]
    #[inline(never)]
    pub(super) fn post_outbox(&self, adopt: bool) {
        let n = self.outbox_len.get() as usize;
        let mut blocks = [0usize; OUTBOX];
        for (to, from) in blocks.iter_mut().zip(&self.outbox[..n]) {
            *to = from.get();
        }
        self.outbox_len.set(0);
        self.outbox_bytes.set(0);
        let blocks = &mut blocks[..n];
        blocks.sort_unstable();
        let mut at = 0;
        while at < n {
            at += self.post_pool(&blocks[at..], adopt);
        }
    }

    /// Posts the first blocks, those of one pool; their number.
    fn post_pool(&self, blocks: &[usize], adopt: bool) -> usize {
        let (id, _) = Pool::of_chunk(ChunkId::at(blocks[0] - self.base()));
        let pool = Pool::of(id);
        let start = pool.offset();
        let end = start + usize::from(pool.class().info().chunks) * crate::num::size::CHUNK;
        let words = Pool::remote_words(id);
        let (mut n, mut summary) = (0, 0u64);
        while n < blocks.len() && blocks[n] - self.base() < end {
            // The bits of one word go in one step.
            let Ok(first) = pool.block_at(blocks[n] - self.base()) else { block_fault(blocks[n], Fault::Interior) };
            let (w, mut mask) = (first / 64, 1u64 << (first % 64));
            let addr = blocks[n];
            n += 1;
            while n < blocks.len() && blocks[n] - self.base() < end {
                let Ok(block) = pool.block_at(blocks[n] - self.base()) else { block_fault(blocks[n], Fault::Interior) };
                if block / 64 != w {
                    break;
                }
                if mask >> (block % 64) & 1 != 0 {
                    block_fault(blocks[n], Fault::DoubleFree);
                }
                mask |= 1 << (block % 64);
                n += 1;
            }
            if !remote::post_word(&words[w as usize], mask) {
                block_fault(addr, Fault::DoubleFree);
            }
            summary |= 1 << w;
        }
        let sub = ChunkId::at(start).subregion();
        remote::finish_post(&Heaps, Pool::node(id), summary, n as u32);
        self.claim_orphan(sub, adopt);
        n
    }

    /// Adopts a sub-region that was found to be nobody's: its blocks are freed by this thread anyway.
    fn claim_orphan(&self, id: SubRegionId, adopt: bool) {
        if adopt && SubRegion::of(id).owner() == HeapId::NONE && partition::adopt(id) {
            self.adopt(id);
        }
    }

    /// Posts a chunk block of another's arena.
    pub(super) fn post_chunk_block(&self, id: SubRegionId, at: u32, addr: usize) {
        let sub = SubRegion::of(id);
        let Some(n) = arena::block_chunks(sub, at) else { block_fault(addr, Fault::DoubleFree) };
        if !remote::post_word(&sub.remote_words[0], bits::run(at, n)) {
            block_fault(addr, Fault::DoubleFree);
        }
        remote::finish_post(&Heaps, SubRegion::node(id), 1, n);
        self.claim_orphan(id, true);
    }

    /// Posts a run block of another's sub-region.
    pub(super) fn post_run_block(&self, id: SubRegionId, at: u32, addr: usize) {
        let sub = SubRegion::of(id);
        if !remote::post_word(&sub.remote_words[at as usize / 64], 1 << (at % 64)) {
            block_fault(addr, Fault::DoubleFree);
        }
        remote::finish_post(&Heaps, SubRegion::node(id), 1 << (at / 64), 1);
        self.claim_orphan(id, true);
    }
}
