//! Free pages of heaps go back to the OS: of heaps whose threads are quiet, of orphans, of one's own.
//!
//! A sub-region, a pool and a 64th of an arena are **cold** when nothing was taken or given in them between two
//! looks. What is cold and free goes back: chunks, units and pages inside pools; cold empty pools and arenas are
//! closed. What a busy thread works in never is.
//!
//! Other heaps are entered by their gate, one sub-region at a time, and left alone while their threads are inside.
//! Magazines and slots are their threads' alone.

use super::huge_pages::{small_pages, small_pages_in};
use super::{Heap, common, registry};
use crate::arena;
use crate::num::bits;
use crate::num::ids::*;
use crate::num::size::FANOUT;
use crate::os::{Os, System};
use crate::partition;
use crate::pool::Pool;
use crate::run;
use crate::space;
use crate::sub::{Kind, SubRegion};
use crate::sync::{Lock, Ordering, fence};

/// Held by whoever visits other heaps, and over a fork.
pub static VISITS: Lock = Lock::new();

/// What to give back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// What is cold.
    Cold,
    /// All that is free.
    All,
}

/// Visits another heap, if its thread is not inside; `f` may do what the thread may, but for magazines and slots. The common
/// heap is used in turn with the threads: between them its gate is seldom open.
fn visit<R>(id: HeapId, f: impl FnOnce(&'static Heap) -> R) -> Option<R> {
    let heap = Heap::of(id);
    if common::is_common(id) {
        let _in_use = common::enter();
        return Some(f(heap));
    }
    heap.gate.try_visit(System::barrier_everywhere).then(|| {
        let result = f(heap);
        heap.gate.end_visit();
        result
    })
}

/// Looks at all sub-regions of all heaps, and at orphans; `me` is the caller's heap. True if another look would find
/// more to give back.
pub fn pass(me: &Heap, reach: Reach) -> bool {
    let Some(_visits) = (match reach {
        Reach::Cold => VISITS.try_lock(),
        Reach::All => Some(VISITS.lock()),
    }) else {
        // Somebody is at it, or forks.
        return true;
    };
    if registry::live().any(|id| id != me.id() && !common::is_common(id)) {
        // The first barrier of a process takes milliseconds: before any gate, so that no thread waits for it.
        System::barrier_everywhere();
    }
    let mut more = false;
    for id in registry::live() {
        let (heap, mine) = (Heap::of(id), id == me.id());
        let cached = !heap.medium_cache.is_empty();
        if !mine && (cached || heap.shared().inbox.has_mail()) {
            visit(id, |heap| {
                // It may have ended meanwhile; inside the gate it cannot.
                if !heap.shared().inbox.is_closed() {
                    heap.read_mail();
                    heap.flush_medium_if(reach);
                }
            });
        } else if mine {
            heap.flush_medium_if(reach);
        }
        more |= !heap.medium_cache.is_empty();
    }
    for id in partition::active() {
        let sub = SubRegion::of(id);
        let owner = sub.owner();
        if owner == HeapId::NONE {
            more |= me.scavenge_orphan(id, reach);
        } else if reach == Reach::Cold && sub.stirred.get() == 0 {
            continue;
        } else if sub.kind() == Kind::Arena && common::is_common(owner) {
            scavenge_pools(me, id, sub, reach);
        } else if owner == me.id() {
            me.scavenge_own(id, sub, reach);
        } else {
            visit(owner, |heap| {
                // It may have changed hands meanwhile.
                if sub.owner() == owner {
                    heap.scavenge_own(id, sub, reach);
                }
            });
        }
        more |= sub.kind() != Kind::Free && sub.stirred.get() != 0;
    }
    more
}

/// Gives the whole pages of a range of a sub-region, from the base, back to the OS.
fn discard(id: SubRegionId, sub: &SubRegion, offset: usize, len: usize) -> bool {
    let page = System::page_size() - 1;
    let start = (space::base() + offset + page) & !page;
    let end = (space::base() + offset + len) & !page;
    if start >= end {
        return false;
    }
    if sub.kind() == Kind::Arena && id.partition().0 != 0 {
        // Blocks that grow there go on with huge pages.
        small_pages_in(sub, start, end - start);
    } else {
        small_pages(id, sub);
    }
    // SAFETY: the range is free, and whoever could hand it out waits for us.
    unsafe { System::discard(start, end - start) }
}

/// Gives the free pages inside a pool back.
fn discard_in_pool(id: SubRegionId, sub: &SubRegion, pool: &Pool) {
    pool.each_free_stretch(|offset, len| {
        discard(id, sub, offset, len);
    });
}

/// Gives the free chunks or units of a sub-region back.
fn discard_free(id: SubRegionId, sub: &SubRegion, cold: bool) {
    let (p, start) = (id.partition(), id.offset());
    if sub.kind() == Kind::Runs {
        run::each_free_pages(sub, cold, |at, n| {
            discard(
                id,
                sub,
                start + ((at as usize) << p.unit_shift()),
                (n as usize) << p.unit_shift(),
            )
        });
        return;
    }
    let mut left = arena::free_pages(sub, cold);
    while left != 0 {
        let at = left.trailing_zeros();
        let n = (!(left >> at)).trailing_zeros();
        let mask = bits::run(at, n);
        left &= !mask;
        if discard(
            id,
            sub,
            start + ((at as usize) << p.chunk_shift()),
            (n as usize) << p.chunk_shift(),
        ) {
            arena::untouch(sub, mask);
        }
    }
}

/// Gives back what is free in an arena of pools: in pools as a guest of their owners, who own parts of it, then what is no pool's.
fn scavenge_pools(me: &Heap, id: SubRegionId, sub: &SubRegion, reach: Reach) {
    let is_ours = || common::is_common(sub.owner()) && sub.kind() == Kind::Arena;
    let mut owners = [HeapId::NONE; FANOUT];
    let mut n = 0;
    {
        let _in_use = common::enter();
        if !is_ours() {
            return;
        }
        Heap::each_pool(id, sub, |pool| {
            // What is cold already waits for nothing.
            let due = reach == Reach::All || Pool::of(pool).stirred.get() != 0;
            let owner = Heap::owner_of(pool);
            if due && !owners[..n].contains(&owner) {
                owners[n] = owner;
                n += 1;
            }
        });
    }
    let owners = &owners[..n];
    if owners.contains(&me.id()) {
        me.scavenge_own_pools(id, sub, reach);
    }
    // A barrier for all: each is felt by all threads.
    let others = || {
        let others = owners
            .iter()
            .filter(|&&owner| owner != me.id() && !common::is_common(owner));
        others.map(|&owner| Heap::of(owner))
    };
    others().for_each(|heap| heap.gate.announce());
    let passed = others().next().is_some() && System::barrier_everywhere();
    for heap in others() {
        if heap.gate.admits(passed) {
            heap.scavenge_own_pools(id, sub, reach);
            heap.gate.end_visit();
        }
    }
    let common = common::enter();
    if is_ours() {
        common.scavenge_own_pools(id, sub, reach);
    }
    if is_ours() {
        common.scavenge_own(id, sub, reach);
    }
    if is_ours() {
        // Owners use their pools meanwhile: what one noted in a pool comes before what it noted here, which may be overwritten.
        fence(Ordering::SeqCst);
        let mut stirred = false;
        Heap::each_pool(id, sub, |pool| stirred |= Pool::of(pool).stirred.get() != 0);
        if stirred && sub.stirred.get() == 0 {
            sub.stirred.set(1);
        }
    }
}

impl Heap {
    /// Gives back the larger blocks that are kept, if they are cold or all is wanted.
    fn flush_medium_if(&self, reach: Reach) {
        if self.medium_cache.look() || reach == Reach::All {
            self.flush_medium();
        }
    }

    /// Gives back what is free in an own sub-region.
    fn scavenge_own(&self, id: SubRegionId, sub: &SubRegion, reach: Reach) {
        let cold = reach == Reach::Cold;
        let left = sub.stirred.get().saturating_sub(1);
        discard_free(id, sub, cold);
        sub.set_recent(0);
        sub.stirred.set(left);
        if super::medium::is_empty(sub) && (left == 0 || !cold) {
            self.close_if_quiet(id, sub, partition::release_cold);
        }
    }

    /// Gives back what is free in own pools that lie in an arena: all are, since pools come and go by their owner's hand alone.
    fn scavenge_own_pools(&self, id: SubRegionId, sub: &SubRegion, reach: Reach) {
        for at in 0..FANOUT as u32 {
            let chunk = ChunkId(id.first_chunk().0 + at);
            // Relaxed: this heap's tags are written in its gate.
            if space::tag(chunk).load(Ordering::Relaxed) >> 8 == self.id().0
                && let (pool, 0) = Pool::of_chunk(chunk)
            {
                self.scavenge_pool(id, sub, pool, reach);
            }
        }
    }

    fn scavenge_pool(&self, sub_id: SubRegionId, sub: &SubRegion, id: PoolId, reach: Reach) {
        let pool = Pool::of(id);
        let was = pool.stirred.get();
        let left = was.saturating_sub(1);
        pool.stirred.set(left);
        if reach == Reach::Cold && (left != 0 || was == 0) {
            return;
        }
        if !pool.is_empty() || !self.dissolve_quiet(id, true) {
            discard_in_pool(sub_id, sub, pool);
        }
    }

    /// Takes the posts of an orphan, and gives back what is free in it. True if another look would find more.
    fn scavenge_orphan(&self, id: SubRegionId, reach: Reach) -> bool {
        if !partition::adopt(id) {
            return false;
        }
        let sub = SubRegion::of(id);
        let before = sub.stirred.get();
        let collected = sub.collected.get();
        self.collect_sub(id, sub);
        let left = if sub.collected.get() != collected {
            crate::sub::STIRRED
        } else {
            before.saturating_sub(1)
        };
        sub.stirred.set(left);
        if reach == Reach::All || before != 0 && left == 0 {
            discard_free(id, sub, false);
            sub.set_recent(0);
            sub.stirred.set(0);
        }
        let more = sub.stirred.get() != 0;
        super::life::give_up(id, sub);
        // Who posted meanwhile could not sweep.
        self.sweep_if_posted(id);
        more
    }
}
