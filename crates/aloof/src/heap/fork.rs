//! The child of a fork: the other threads are gone; their pools become the common heap's, their sub-regions orphans.
//!
//! A thread may have been stopped between any two stores, so nothing of its lists and counts is trusted:
//! what is free is derived from the bits, where a block met twice does no harm. A block that the thread
//! was moving from one place to another may be lost to the child; none is ever handed out twice. Outboxes
//! are not read: what is in them may have been posted. In the common heap nobody was: of it, as of the forking thread's, only
//! what freers write is looked at anew.

use super::{Heap, common, registry};
use crate::num::bits;
use crate::num::ids::*;
use crate::partition;
use crate::pool::Pool;
use crate::remote;
use crate::run;
use crate::sub::{Kind, SubRegion};

/// Ends all heaps but `me` and the common one. The caller is the only thread of the process.
pub fn orphan_all_but(me: Option<HeapId>) {
    let kept = |id| Some(id) == me || common::is_common(id);
    let others = || registry::live().filter(|&id| !kept(id));
    if others().next().is_none() {
        return;
    }
    for id in others() {
        let heap = Heap::of(id);
        heap.gate.reset();
        heap.spill_caches();
        heap.spill_medium();
        heap.forget_all();
        heap.shared().inbox.close();
    }
    for id in me.into_iter().chain([HeapId::COMMON]) {
        Heap::of(id).shared().inbox.open();
    }
    for id in partition::active() {
        let sub = SubRegion::of(id);
        let owner = sub.owner();
        match sub.kind() {
            Kind::Arena if common::is_common(owner) => Heap::each_pool(id, sub, |pool| {
                let owner = Heap::owner_of(pool);
                if kept(owner) {
                    settle_pool(Heap::of(owner), pool);
                } else {
                    inherit(pool);
                }
            }),
            Kind::Arena | Kind::Runs if kept(owner) => settle_own(Heap::of(owner), id, sub),
            Kind::Arena | Kind::Runs => orphan(id, sub),
            _ => {}
        }
    }
    for id in others() {
        let heap = Heap::of(id);
        heap.report_all();
        registry::recycle(id);
    }
    registry::reset_alive(me.is_some().into());
}

/// Collects all posts to an own sub-region; freers that were at it never come back.
fn settle_own(heap: &Heap, id: SubRegionId, sub: &SubRegion) {
    sub.remote.expect_posts();
    heap.collect_sub(id, sub);
    sub.remote.forget_freers(sub.collected.get());
    heap.reshelve(id, sub);
}

/// The same for a pool of a heap.
fn settle_pool(heap: &Heap, id: PoolId) {
    Pool::remote(id).expect_posts();
    heap.collect_pool(id);
    Pool::remote(id).forget_freers(Pool::of(id).collected.get());
    heap.restock(id);
}

/// Makes a pool of a thread that is no more, or that was on its way to one, the common heap's.
fn inherit(id: PoolId) {
    let pool = Pool::of(id);
    Pool::remote(id).expect_posts();
    remote::collect(
        Pool::remote(id),
        Pool::remote_words(id, pool.class()),
        |w, mask| pool.give_again(w as u32, mask),
    );
    pool.recount();
    pool.set_visited(false);
    Pool::remote(id).forget_freers(pool.collected.get());
    common::enter().take_over(id);
}

/// Makes a sub-region of a thread that is no more, or that was on its way from one to another, an orphan.
fn orphan(id: SubRegionId, sub: &SubRegion) {
    sub.remote.expect_posts();
    let words = if sub.kind() == Kind::Arena {
        &sub.remote_words[..1]
    } else {
        &sub.remote_words
    };
    let taken = remote::collect(&sub.remote, words, |w, mask| {
        let mut rest = mask;
        while rest != 0 {
            let at = w as u32 * 64 + rest.trailing_zeros();
            rest &= rest - 1;
            give_again(sub, at);
        }
    });
    sub.collected.add(taken);
    sub.remote.forget_freers(sub.collected.get());
    if sub.kind() == Kind::Arena {
        sub.set_starts_word(0, sub.starts_word(0) & !sub.free.get());
    } else {
        run::recount(sub);
    }
    sub.set_owner(HeapId::NONE);
    partition::abandon(id, sub.kind() == Kind::Runs);
}

/// Frees a chunk or a run, if it is not free already.
fn give_again(sub: &SubRegion, at: u32) {
    if sub.kind() == Kind::Runs {
        if run::is_start(sub, at) {
            run::give(sub, at);
        }
    } else if sub.free.get() >> at & 1 == 0 {
        crate::arena::give(sub, bits::run(at, 1));
    }
}
