//! Threads that make values, hand them on and drop each other's, on whatever `malloc` the process has.
//! The output depends on nothing but the program.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use rayon::prelude::*;

type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }

    fn word(&mut self) -> String {
        (0..2 + self.below(14))
            .map(|_| char::from(b'a' + self.below(26) as u8))
            .collect()
    }
}

fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A pipeline: makers, two stages of workers, one sink.
fn pipeline() -> u64 {
    fn stage<T: Send + 'static, U: Send + 'static>(
        workers: usize,
        out: &Sender<U>,
        step: fn(T) -> U,
    ) -> Sender<T> {
        let (sender, receiver) = mpsc::channel::<T>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..workers {
            let (receiver, out) = (Arc::clone(&receiver), out.clone());
            thread::spawn(move || {
                loop {
                    let item = receiver.lock().expect("no worker panics").recv();
                    let Ok(item) = item else { break };
                    if out.send(step(item)).is_err() {
                        break;
                    }
                }
            });
        }
        sender
    }
    let (sink, results) = mpsc::channel::<BTreeMap<String, usize>>();
    let counted = stage(2, &sink, |words: Vec<String>| {
        let mut counts = BTreeMap::new();
        for word in words {
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    });
    let split = stage(2, &counted, |text: String| {
        text.split('e').map(str::to_owned).collect::<Vec<_>>()
    });
    drop((sink, counted));
    for maker in 0..4 {
        let split = split.clone();
        thread::spawn(move || {
            let mut random = Random(maker + 1);
            for _ in 0..1500 {
                let text = (0..60).map(|_| random.word()).collect::<Vec<_>>().join(" ");
                split.send(text).expect("the stage runs");
            }
        });
    }
    drop(split);
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    for counts in results {
        for (word, count) in counts {
            *all.entry(word).or_default() += count;
        }
    }
    digest(all)
}

/// Maps and trees in a pool of threads, merged by whichever thread is free.
fn parallel() -> (u64, usize) {
    let table = (0u64..1500)
        .into_par_iter()
        .map(|seed| {
            let mut random = Random(seed + 1);
            let mut part: Map<String, Vec<u64>> = Map::default();
            for number in 0..200 {
                let key = random.word();
                part.entry(key[..2].to_owned()).or_default().push(number);
            }
            part
        })
        .reduce(Map::default, |mut into, from| {
            for (key, mut numbers) in from {
                into.entry(key).or_default().append(&mut numbers);
            }
            into
        });
    let mut rows: Vec<(String, Vec<u64>)> = table.into_iter().collect();
    rows.par_iter_mut()
        .for_each(|(_, numbers)| numbers.sort_unstable());
    rows.par_sort();
    let mut words: Vec<String> = (0..400_000u64)
        .into_par_iter()
        .map(|seed| Random(seed * 7 + 1).word())
        .collect();
    words.par_sort();
    words.dedup();
    (digest(&rows), words.len())
}

/// Short-lived threads that leave their last value to others.
fn churn() -> u64 {
    let shared: Arc<RwLock<Vec<Arc<String>>>> = Arc::default();
    for round in 0..150u64 {
        let crew: Vec<_> = (0..8u64)
            .map(|member| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut random = Random(round * 8 + member + 1);
                    let lists: Vec<Vec<String>> = (0..40)
                        .map(|_| (0..random.below(9)).map(|_| random.word()).collect())
                        .collect();
                    let last = Arc::new(format!("{round}/{member}: {:?}", lists.last()));
                    let seen: usize = shared
                        .read()
                        .expect("readable")
                        .iter()
                        .map(|s| s.len())
                        .sum();
                    assert!(seen < usize::MAX / 2);
                    shared.write().expect("writable").push(last);
                    lists
                })
            })
            .collect();
        let total: usize = crew
            .into_iter()
            .flat_map(|member| member.join().expect("it ends well"))
            .map(|list| list.len())
            .sum();
        if round % 3 == 0 {
            let mut shared = shared.write().expect("writable");
            shared.sort();
            shared.truncate(100 + total % 7);
        }
    }
    let mut left = shared.write().expect("writable");
    left.sort();
    digest(&*left)
}

/// A vector that grows by pushes, and bytes of many sizes.
fn growth() -> u64 {
    let numbers: Vec<u64> = thread::scope(|scope| {
        let parts: Vec<_> = (0..4u64)
            .map(|part| {
                scope.spawn(move || {
                    let mut grown = Vec::new();
                    for n in 0..1_500_000 {
                        grown.push(n * part);
                    }
                    grown
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("it ends well"))
            .collect()
    });
    let mut random = Random(99);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for step in 0..20_000usize {
        let size = 1 << random.below(16);
        kept.push(vec![step as u8; size + step % 100]);
        if kept.len() > 300 {
            kept.swap_remove(random.below(300) as usize);
        }
    }
    digest((numbers, kept))
}

fn main() {
    println!("pipeline {:016x}", pipeline());
    let (rows, words) = parallel();
    println!("parallel {rows:016x} {words}");
    println!("churn {:016x}", churn());
    println!("growth {:016x}", growth());
}
