//! Maps, vectors and boxes.

use aloof_bench_kit::Rng;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

/// A map of strings to lists that grows, is looked up and shrinks.
pub fn hash_map(rounds: usize) {
    let mut rng = Rng::new(4);
    for _ in 0..rounds {
        let mut map: HashMap<String, Vec<u32>> = HashMap::new();
        for i in 0..120_000u32 {
            map.entry(format!("key {}", rng.below(30_000)))
                .or_default()
                .push(i);
        }
        let total: usize = map.values().map(Vec::len).sum();
        assert_eq!(total, 120_000);
        let copy = map.clone();
        map.retain(|_, list| list.len() % 2 == 0);
        let removed = copy.iter().filter(|(key, _)| !map.contains_key(*key));
        assert!(removed.clone().all(|(_, list)| list.len() % 2 == 1));
        assert_eq!(map.len() + removed.count(), copy.len());
    }
}

/// An ordered map under insertion, removal and ranges.
pub fn b_tree(rounds: usize) {
    let mut rng = Rng::new(5);
    for _ in 0..rounds {
        let mut map: BTreeMap<u64, String> = BTreeMap::new();
        for _ in 0..60_000 {
            let key = rng.below(40_000) as u64;
            if rng.below(4) == 0 {
                map.remove(&key);
            } else {
                map.insert(key, format!("value {key}"));
            }
        }
        for low in (0..40_000).step_by(1000) {
            assert!(
                map.range(low..low + 500)
                    .all(|(key, value)| value.ends_with(&key.to_string()))
            );
        }
        let upper = map.split_off(&20_000);
        assert!(map.keys().all(|&k| k < 20_000) && upper.keys().all(|&k| k >= 20_000));
    }
}

/// Sorts, removes doubles from and groups vectors of strings.
pub fn sort_strings(rounds: usize) {
    let mut rng = Rng::new(6);
    let words: Vec<String> = (0..50_000)
        .map(|_| format!("{:x}", rng.draw() >> (rng.below(7) * 8)))
        .collect();
    for _ in 0..rounds {
        let mut sorted = words.clone();
        sorted.sort();
        assert!(sorted.is_sorted());
        sorted.dedup();
        let mut by_length: Vec<Vec<String>> = vec![Vec::new(); 17];
        for word in sorted {
            by_length[word.len()].push(word);
        }
        for group in &mut by_length {
            group.sort_by(|a, b| b.cmp(a));
        }
        assert!(by_length.concat().len() <= words.len());
    }
}

/// Vectors that grow to many megabytes, alone and side by side.
pub fn vec_growth(rounds: usize) {
    for round in 0..rounds {
        let mut long: Vec<u64> = Vec::new();
        for i in 0..3_000_000u64 {
            long.push(i ^ round as u64);
        }
        assert_eq!(long[2_999_999], 2_999_999 ^ round as u64);
        let mut many: Vec<Vec<u32>> = vec![Vec::new(); 200];
        for i in 0..800_000u32 {
            many[i as usize % 200].push(i);
        }
        assert!(
            many.iter()
                .enumerate()
                .all(|(i, v)| v[3999] % 200 == i as u32)
        );
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..2000 {
            bytes.extend_from_slice(&[7; 5000]);
        }
        assert_eq!(bytes.len(), 10_000_000);
    }
}

/// Boxes of 24 bytes: made and dropped at once, and replaced at random.
pub fn boxes(rounds: usize) {
    let mut rng = Rng::new(7);
    let mut table: Vec<Box<[u64; 3]>> = (0..100_000).map(|i| Box::new([i; 3])).collect();
    for _ in 0..rounds {
        for i in 0..3_000_000u64 {
            let boxed = black_box(Box::new([i, i, i]));
            assert_eq!(boxed[2], i);
        }
        for _ in 0..600_000 {
            let i = rng.below(table.len());
            assert_eq!(table[i][0], i as u64);
            table[i] = black_box(Box::new([i as u64; 3]));
        }
    }
}
