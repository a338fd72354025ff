//! Bins: the pools of a class that a heap has, by what is free in them.

use super::{Bin, Pools};
use crate::num::class::SizeClass;
use crate::num::ids::PoolId;
use crate::pool::{Pool, STOCKS, Stock};

/// Sparse pools of a class, at least, when its blocks are called spread: twice as many where a pool is a word, of few blocks.
const SPREAD_MIN: u32 = 16;

/// Pools of a class from which on a thread takes none over by freeing.
const INHERITED: u32 = 4;

/// Place of the list of pools of which no block was ever used; those before have some that were.
const FRESH: usize = Stock::Fresh as usize - 1;

/// The first pools of lists.
#[inline(always)]
fn firsts(lists: &[Pools]) -> impl Iterator<Item = PoolId> {
    let first = |list: &Pools| PoolId(list.first.get());
    lists.iter().map(first).filter(|id| id.is_some())
}

impl Bin {
    /// The pool to take blocks from.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<PoolId> {
        self.stocked().next()
    }

    /// The same if blocks were freed in it.
    #[inline(always)]
    pub(super) fn first_used(&self) -> Option<PoolId> {
        firsts(&self.lists[..FRESH]).next()
    }

    /// The pool to hand to a thread: one with many free blocks, if there is one.
    pub(super) fn to_hand_out(&self) -> Option<PoolId> {
        let sparse = PoolId(self.list(Stock::Sparse).first.get());
        sparse.is_some().then_some(sparse).or(self.first())
    }

    /// Whether there is a pool besides this one to take blocks from.
    pub(super) fn has_other(&self, id: PoolId) -> bool {
        self.stocked()
            .any(|first| first != id || Pool::of(first).next.get() != 0)
    }

    /// Whether it has more pools than a thread takes over from another that ended.
    pub(super) fn has_many(&self) -> bool {
        self.pools.get() >= INHERITED
    }

    /// Any of its pools.
    pub(super) fn any(&self) -> Option<PoolId> {
        let consumed = PoolId(self.list(Stock::Consumed).first.get());
        self.first().or(consumed.is_some().then_some(consumed))
    }

    /// The first pools of the lists of those that have something free.
    #[inline(always)]
    fn stocked(&self) -> impl Iterator<Item = PoolId> {
        firsts(&self.lists[..STOCKS - 1])
    }

    /// Calls `f`, which may take it out, with each pool that has something free.
    pub(super) fn each_stocked(&self, mut f: impl FnMut(PoolId)) {
        for list in &self.lists[..STOCKS - 1] {
            let mut at = PoolId(list.first.get());
            while at.is_some() {
                let id = at;
                at = PoolId(Pool::of(id).next.get());
                f(id);
            }
        }
    }

    /// The list of a stock; that of the consumed comes last.
    fn list(&self, stock: Stock) -> &Pools {
        &self.lists[(stock as usize).wrapping_sub(1) % STOCKS]
    }

    /// Takes a pool that is in no bin in, as one that has nothing free.
    pub(super) fn enlist(&self, id: PoolId) {
        self.pools.add(1);
        self.link(id, Stock::Consumed);
    }

    /// Takes a pool out.
    pub(super) fn delist(&self, id: PoolId) {
        self.pools.add(1u32.wrapping_neg());
        self.unlink(id);
    }

    /// Moves a pool to the list of a stock.
    #[cold]
    pub(super) fn relist(&self, id: PoolId, stock: Stock) {
        self.unlink(id);
        self.link(id, stock);
    }

    fn link(&self, id: PoolId, stock: Stock) {
        Pool::of(id).set_listed(stock);
        let list = self.list(stock);
        match stock {
            Stock::Fresh | Stock::Consumed => list.link_first(id),
            // At the end: those at the front have had time to collect blocks.
            Stock::Full => list.link_last(id),
            Stock::Sparse => {
                self.sparse.add(1);
                list.link_last(id);
            }
        }
    }

    fn unlink(&self, id: PoolId) {
        let stock = Pool::of(id).listed();
        self.list(stock).unlink(id);
        if stock == Stock::Sparse {
            self.sparse.add(1u32.wrapping_neg());
        }
    }

    /// Whether the blocks of the class that it is for are spread over too many pools, judged anew.
    pub(super) fn judge_spread(&self, class: SizeClass) -> bool {
        let (sparse, pools) = (self.sparse.get(), self.pools.get());
        let least = SPREAD_MIN << u32::from(class.info().words == 1);
        let spread = if self.spread.get() == 0 {
            sparse >= least && sparse > pools / 4
        } else {
            sparse >= least / 2 && sparse > pools / 8
        };
        self.spread.set(spread.into());
        spread
    }

    /// See [`Bin::judge_spread`]; as it was judged last.
    pub(super) fn is_spread(&self) -> bool {
        self.spread.get() != 0
    }

    /// Whether it has no pools, and no memory of any.
    pub(super) fn is_clear(&self) -> bool {
        [&self.pools, &self.sparse, &self.spread]
            .iter()
            .all(|count| count.get() == 0)
            && self.any().is_none()
    }

    /// Forgets all pools.
    pub(super) fn clear(&self) {
        self.lists.iter().for_each(Pools::clear);
        for count in [&self.pools, &self.sparse, &self.spread] {
            count.set(0);
        }
    }
}

impl Pools {
    fn link_first(&self, id: PoolId) {
        let (pool, first) = (Pool::of(id), self.first.get());
        pool.prev.set(0);
        pool.next.set(first);
        self.first.set(id.0);
        self.set_prev(first, id.0);
    }

    fn link_last(&self, id: PoolId) {
        let (pool, last) = (Pool::of(id), self.last.get());
        pool.prev.set(last);
        pool.next.set(0);
        self.last.set(id.0);
        self.set_next(last, id.0);
    }

    fn unlink(&self, id: PoolId) {
        let pool = Pool::of(id);
        let (prev, next) = (pool.prev.get(), pool.next.get());
        self.set_next(prev, next);
        self.set_prev(next, prev);
    }

    /// Sets what follows a pool, or the list's head.
    fn set_next(&self, pool: u32, next: u32) {
        match pool {
            0 => self.first.set(next),
            _ => Pool::of(PoolId(pool)).next.set(next),
        }
    }

    /// Sets what comes before a pool, or the list's tail.
    fn set_prev(&self, pool: u32, prev: u32) {
        match pool {
            0 => self.last.set(prev),
            _ => Pool::of(PoolId(pool)).prev.set(prev),
        }
    }

    fn clear(&self) {
        self.first.set(0);
        self.last.set(0);
    }
}
