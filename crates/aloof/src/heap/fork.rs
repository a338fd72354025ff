//! The child of a fork: the other threads are gone, their heaps become orphans.
//!
//! A thread may have been stopped between any two stores, so nothing of its lists and counts is trusted:
//! what is free is derived from the bits, where a block met twice does no harm. A block that the thread
//! was moving from one place to another may be lost to the child; none is ever handed out twice. Outboxes
//! are not read: what is in them may have been posted.

use super::{Heap, registry};
use crate::num::bits;
use crate::num::ids::*;
use crate::partition;
use crate::pool::{Pool, Stock};
use crate::remote;
use crate::run;
use crate::sub::{Kind, SubRegion};

/// Orphans all heaps but `me`. The caller is the only thread of the process.
pub fn orphan_all_but(me: Option<HeapId>) {
    let others = || registry::live().filter(|&id| Some(id) != me);
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
    if let Some(me) = me {
        Heap::of(me).shared().inbox.open();
    }
    for id in partition::active() {
        let sub = SubRegion::of(id);
        let mine = Some(sub.owner()) == me;
        match (sub.kind(), mine) {
            (Kind::Arena | Kind::Runs, true) => settle_own(Heap::of(sub.owner()), id, sub),
            (Kind::Arena | Kind::Runs, false) => orphan(id, sub),
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
    if sub.kind() == Kind::Arena && id.partition().0 == 0 {
        Heap::each_pool(id, sub, |pool_id| {
            let pool = Pool::of(pool_id);
            Pool::remote(pool_id).expect_posts();
            heap.collect_pool(pool_id);
            Pool::remote(pool_id).forget_freers(pool.collected.get());
            heap.restock(pool_id);
        });
    }
    // An arena that its pools just emptied may be closed already.
    if sub.owner() == heap.id() && sub.kind() != Kind::Free {
        heap.reshelve(id, sub);
    }
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
    }
    if sub.kind() == Kind::Arena && id.partition().0 == 0 {
        Heap::each_pool(id, sub, |pool_id| {
            let pool = Pool::of(pool_id);
            Pool::remote(pool_id).expect_posts();
            remote::collect(
                Pool::remote(pool_id),
                Pool::remote_words(pool_id, pool.class()),
                |w, mask| pool.give_again(w as u32, mask),
            );
            pool.recount();
            pool.set_listed(Stock::Consumed);
            pool.set_visited(false);
            Pool::remote(pool_id).forget_freers(pool.collected.get());
            Heap::tag(
                pool_id,
                HeapId::ORPHAN_TAG.0 << 8 | u32::from(pool.class().0),
            );
        });
    } else if sub.kind() == Kind::Runs {
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
