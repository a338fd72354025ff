//! The owner's side of remote frees: reading the inbox, taking posts.

use super::Heap;
use super::flush::block_fault;
use super::medium::is_empty;
use super::tally::Tier;
use crate::arena;
use crate::num::bits;
use crate::num::ids::*;
use crate::pool::{Fault, Pool};
use crate::remote::{self, Inbox, Node, RemoteHead, World};
use crate::run;
use crate::sub::{Kind, SubRegion};

/// All heaps, as freers see them.
pub(super) struct Heaps;

impl World for Heaps {
    fn head(&self, node: Node) -> &RemoteHead {
        match SubRegion::of_node(node) {
            Some(id) => &SubRegion::of(id).remote,
            None => Pool::remote(PoolId(node.0)),
        }
    }

    fn owner(&self, node: Node) -> u32 {
        match SubRegion::of_node(node) {
            Some(id) => SubRegion::of(id).owner().0,
            None => Heap::owner_of(PoolId(node.0)).0,
        }
    }

    fn inbox(&self, heap: u32) -> &Inbox {
        &Heap::of(HeapId(heap)).shared().inbox
    }
}

impl Heap {
    /// Collects what others freed, if there is word of it.
    #[inline]
    pub fn read_mail(&self) {
        if self.shared().inbox.has_mail() {
            self.collect_mail();
        }
    }

    #[cold]
    fn collect_mail(&self) {
        let first = self.shared().inbox.take_all();
        remote::unlist(&Heaps, self.id().0, first, |node| self.collect_node(node));
    }

    /// Takes the posts of an own node and puts it where it belongs.
    pub(super) fn collect_node(&self, node: Node) {
        match SubRegion::of_node(node) {
            None => {
                let id = PoolId(node.0);
                self.collect_pool(id);
                self.restock(id);
            }
            Some(id) => {
                let sub = SubRegion::of(id);
                self.collect_sub(id, sub);
                self.reshelve(id, sub);
            }
        }
    }

    /// Takes the posts of an own pool.
    pub(super) fn collect_pool(&self, id: PoolId) {
        let pool = Pool::of(id);
        let class = pool.class();
        let n = remote::collect(
            Pool::remote(id),
            Pool::remote_words(id, class),
            |w, mask| {
                let w = w as u32;
                if self.slot_has(class, id, w, mask) || pool.give(w, mask).is_err() {
                    self.double_free(id, pool, w, mask);
                }
            },
        );
        pool.collected.add(n);
        self.count_pool_blocks(class, -i64::from(n));
    }

    /// Takes the posts of an own sub-region.
    pub(super) fn collect_sub(&self, id: SubRegionId, sub: &SubRegion) {
        let p = id.partition();
        let words = if sub.kind() == Kind::Arena {
            &sub.remote_words[..1]
        } else {
            &sub.remote_words
        };
        let n = remote::collect(&sub.remote, words, |w, mask| {
            if sub.kind() == Kind::Arena {
                self.collect_chunks(id, sub, mask);
                return;
            }
            let mut rest = mask;
            while rest != 0 {
                let at = w as u32 * 64 + rest.trailing_zeros();
                rest &= rest - 1;
                let addr = self.unit_addr(id, at);
                if !run::is_start(sub, at) {
                    block_fault(addr, Fault::DoubleFree);
                }
                self.end_posted(addr);
                let units = run::give(sub, at);
                self.count(Tier::Run, -1, -(i64::from(units) << p.unit_shift()));
            }
        });
        sub.collected.add(n);
    }

    fn collect_chunks(&self, id: SubRegionId, sub: &SubRegion, mask: u64) {
        let p = id.partition();
        let mut rest = mask;
        while rest != 0 {
            let at = rest.trailing_zeros();
            let addr = self.chunk_addr(id, at);
            let Some(n) = arena::block_chunks(sub, at)
                .filter(|&n| rest & bits::run(at, n) == bits::run(at, n))
            else {
                block_fault(addr, Fault::DoubleFree)
            };
            self.end_posted(addr);
            rest &= !bits::run(at, n);
            self.count(Tier::Chunk, -1, -(i64::from(n) << p.chunk_shift()));
            self.end_chunks(id, at, n);
            arena::give(sub, bits::run(at, n));
        }
    }

    /// Puts an own sub-region where it belongs after blocks of it came back.
    pub(super) fn reshelve(&self, id: SubRegionId, sub: &SubRegion) {
        let shelf = self.shelf(id, sub);
        let runs = sub.kind() == Kind::Runs;
        let longest = if runs {
            run::longest(sub)
        } else {
            arena::longest(sub)
        };
        shelf.update(id, longest);
        if is_empty(sub) {
            self.close_spare(id, sub, longest);
        }
    }
}
