//! Streams of operations, drawn at random over all routes, against a shadow model: every block is
//! filled as soon as it is there and looked at before it goes, and no two ever overlap.

mod support;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::block::Request;
use support::{Block, Random};

/// What may happen to a heap. Blocks are named by their place among the live ones.
#[derive(Clone, Debug)]
enum Op {
    Allocate(Request),
    Resize(Index, usize),
    Free(Index),
    /// Gives a block to another thread.
    Send(Index, Index),
    /// Takes what other threads gave.
    Receive,
    Purge,
}

/// Live blocks of one thread at most.
const LIVE: usize = 300;
/// Live bytes of one thread at most: address space, of which little is touched.
const LIVE_BYTES: usize = 2 << 30;

/// Log-uniform sizes over all routes but the OS's; powers of two and their neighbours more often.
fn sizes() -> impl Strategy<Value = usize> {
    let shift = prop_oneof![12 => 0u32..15, 4 => 15u32..22, 1 => 22u32..29];
    (shift, any::<usize>(), 0..8u8).prop_map(|(shift, low, kind)| {
        let power = 1usize << shift;
        match kind {
            0 => power,
            1 => power - 1,
            2 => power + 1,
            _ => power + low % power,
        }
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let align = prop_oneof![8 => Just(None), 2 => (0u32..13).prop_map(Some), 1 => (0u32..25).prop_map(Some)];
    (sizes(), align, prop::bool::weighted(0.3)).prop_map(|(size, align, zeroed)| Request {
        size,
        align: align.map(|shift| 1 << shift),
        // Clearing is slow in debug builds of the largest.
        zeroed: zeroed && size < 8 << 20,
    })
}

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        50 => requests().prop_map(Op::Allocate),
        12 => (any::<Index>(), sizes()).prop_map(|(which, size)| Op::Resize(which, size)),
        30 => any::<Index>().prop_map(Op::Free),
        12 => (any::<Index>(), any::<Index>()).prop_map(|(which, to)| Op::Send(which, to)),
        6 => Just(Op::Receive),
        1 => Just(Op::Purge),
    ];
    vec(op, 1..most)
}

/// All live blocks of the process, by address: none may reach into the next.
#[derive(Default)]
struct Map(Mutex<BTreeMap<usize, usize>>);

impl Map {
    fn insert(&self, block: &Block) {
        let (start, end) = (block.addr(), block.addr() + block.usable());
        let mut map = self.0.lock().unwrap();
        if let Some((&at, &before_end)) = map.range(..end).next_back() {
            assert!(
                before_end <= start,
                "{block:?} overlaps {at:#x}..{before_end:#x}"
            );
        }
        map.insert(start, end);
    }

    fn remove(&self, block: &Block) {
        let end = self.0.lock().unwrap().remove(&block.addr());
        assert_eq!(
            end,
            Some(block.addr() + block.usable()),
            "{block:?} is unknown"
        );
    }
}

/// One thread's part of the model.
struct Shadow {
    live: Vec<Block>,
    bytes: usize,
    map: Option<Arc<Map>>,
    seeds: Random,
}

impl Shadow {
    fn new(seed: u64, map: Option<Arc<Map>>) -> Shadow {
        Shadow {
            live: Vec::new(),
            bytes: 0,
            map,
            seeds: Random::new(seed),
        }
    }

    fn keep(&mut self, block: Block) {
        self.bytes += block.usable();
        self.live.push(block);
    }

    fn take(&mut self, which: &Index) -> Option<Block> {
        if self.live.is_empty() {
            return None;
        }
        let block = self.live.swap_remove(which.index(self.live.len()));
        self.bytes -= block.usable();
        Some(block)
    }

    fn allocate(&mut self, request: Request) {
        if self.live.len() == LIVE || self.bytes + request.size > LIVE_BYTES {
            return;
        }
        let block = Block::new(request, self.seeds.next()).expect("there is memory");
        if let Some(map) = &self.map {
            map.insert(&block);
        }
        self.keep(block);
    }

    fn resize(&mut self, which: &Index, size: usize) {
        let Some(mut block) = self.take(which) else {
            return;
        };
        if self.bytes + size <= LIVE_BYTES {
            // Another thread may get the old place before this one knows of the new.
            if let Some(map) = &self.map {
                map.remove(&block);
            }
            assert!(block.resize(size), "there is memory");
            if let Some(map) = &self.map {
                map.insert(&block);
            }
        }
        self.keep(block);
    }

    fn free(&mut self, block: Block) {
        if let Some(map) = &self.map {
            map.remove(&block);
        }
        block.free();
    }

    /// What concerns this thread alone.
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Allocate(request) => self.allocate(*request),
            Op::Resize(which, size) => self.resize(which, *size),
            Op::Free(which) => {
                if let Some(block) = self.take(which) {
                    self.free(block);
                }
            }
            Op::Purge => drop(aloof::raw::purge()),
            Op::Send(..) | Op::Receive => {}
        }
    }

    fn free_all(&mut self) {
        for block in std::mem::take(&mut self.live) {
            self.free(block);
        }
        self.bytes = 0;
    }
}

fn one_thread(ops: &[Op]) {
    let mut shadow = Shadow::new(ops.len() as u64, Some(Arc::default()));
    ops.iter().for_each(|op| shadow.apply(op));
    shadow.live.iter().for_each(Block::verify);
    shadow.free_all();
}

/// A thread that works, exchanges blocks with others and ends; what it still has then, half is freed by
/// itself, half left to whoever comes after.
fn worker(
    mut shadow: Shadow,
    ops: &[Op],
    inbox: &Receiver<Block>,
    others: &[Sender<Block>],
    heir: &Sender<Block>,
) {
    for op in ops {
        match op {
            Op::Send(which, to) => {
                if let Some(block) = shadow.take(which) {
                    // A thread that has ended takes nothing: the block stays.
                    if let Err(back) = others[to.index(others.len())].send(block) {
                        shadow.keep(back.0);
                    }
                }
            }
            Op::Receive => inbox.try_iter().for_each(|block| {
                block.verify();
                shadow.keep(block);
            }),
            op => shadow.apply(op),
        }
    }
    inbox.try_iter().for_each(|block| shadow.keep(block));
    let left = shadow.live.split_off(shadow.live.len() / 2);
    left.into_iter()
        .for_each(|block| heir.send(block).expect("the heir lives"));
    shadow.free_all();
}

fn many_threads(streams: &[Vec<Op>], with_map: bool) {
    let map = with_map.then(Arc::<Map>::default);
    let (heir, left) = channel();
    // The second round meets the orphans of the first, and frees them.
    for round in 0..2 {
        let (senders, inboxes): (Vec<_>, Vec<_>) = streams.iter().map(|_| channel()).unzip();
        let inherited: Vec<Block> = left.try_iter().collect();
        inherited.iter().for_each(Block::verify);
        for (i, block) in inherited.into_iter().enumerate() {
            senders[i % senders.len()]
                .send(block)
                .expect("the inbox is open");
        }
        thread::scope(|scope| {
            for (i, (ops, inbox)) in streams.iter().zip(inboxes).enumerate() {
                let shadow = Shadow::new(round << 8 | i as u64, map.clone());
                let (others, heir) = (senders.clone(), heir.clone());
                scope.spawn(move || {
                    worker(shadow, ops, &inbox, &others, &heir);
                    // What is sent from here on comes too late: the inbox stays open until all are through.
                    drop(others);
                    inbox
                        .iter()
                        .for_each(|block| heir.send(block).expect("the heir lives"));
                });
            }
            drop(senders);
        });
    }
    let mut shadow = Shadow::new(0, map);
    left.try_iter().for_each(|block| shadow.keep(block));
    shadow.free_all();
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(160))]

    #[test]
    fn a_stream_of_operations_keeps_every_block_whole(ops in ops(600)) {
        one_thread(&ops);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn threads_that_exchange_blocks_keep_them_whole(streams in vec(ops(400), 2..5), with_map: bool) {
        many_threads(&streams, with_map);
    }
}
