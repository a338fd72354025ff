//! Parsing, printing and searching text.

use aloof_bench_kit::Rng;
use quote::ToTokens;
use serde_json::Value;
use std::fmt::Write;

/// This suite's own source, as a text that a compiler would read.
const SOURCE: &[&str] = &[
    include_str!("main.rs"),
    include_str!("text.rs"),
    include_str!("containers.rs"),
    include_str!("parallel.rs"),
];

/// Parses a document into values and prints it again.
pub fn json(rounds: usize) {
    let mut rng = Rng::new(1);
    let mut document = String::from("[");
    for i in 0..4000 {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(
            document,
            "{comma}{{\"id\":{i},\"name\":\"name {}\",\"email\":\"user{}@example.org\",\
             \"tags\":[\"t{}\",\"tag {}\",\"x\"],\"position\":{{\"x\":{},\"y\":-{}.5}},\"active\":{}}}",
            rng.below(5000),
            rng.below(100_000),
            rng.below(10),
            rng.below(1000),
            rng.below(1000),
            rng.below(1000),
            i % 3 == 0,
        );
    }
    document.push(']');
    for _ in 0..rounds {
        let value: Value = serde_json::from_str(&document).expect("the document is well formed");
        let printed = serde_json::to_string(&value).expect("values can be printed");
        let again: Value = serde_json::from_str(&printed).expect("what was printed can be read");
        assert_eq!(value, again);
    }
}

/// Builds, splits, changes and joins strings.
pub fn strings(rounds: usize) {
    let mut rng = Rng::new(2);
    for _ in 0..rounds {
        let mut lines: Vec<String> = Vec::new();
        for i in 0..10_000 {
            let mut line = format!("{i}: ");
            for _ in 0..rng.between(1, 12) {
                line += "word";
                line += &rng.below(1000).to_string();
                line.push(' ');
            }
            lines.push(line);
        }
        let text = lines.join("\n");
        let upper: Vec<String> = text
            .lines()
            .map(|line| line.replace("word", "W").to_uppercase())
            .collect();
        let words: Vec<String> = upper
            .iter()
            .flat_map(|line| line.split_whitespace().skip(1))
            .map(str::to_owned)
            .collect();
        let before = text.matches("word").count();
        assert_eq!(before, words.len());
        assert!(words.iter().all(|w| w.starts_with('W')));
    }
}

/// Compiles patterns and collects their captures.
pub fn regex(rounds: usize) {
    let mut rng = Rng::new(3);
    let mut text = String::new();
    let mut dates = 0;
    for _ in 0..4000 {
        if rng.below(3) == 0 {
            dates += 1;
            let _ = write!(
                text,
                "on {:04}-{:02}-{:02} ",
                1900 + rng.below(200),
                rng.between(1, 12),
                rng.between(1, 28)
            );
        }
        let _ = write!(
            text,
            "user{}@example{}.org said word {}; ",
            rng.below(999),
            rng.below(9),
            rng.below(99)
        );
    }
    for _ in 0..rounds {
        search(&text, dates);
    }
}

/// Compiling the patterns is part of the work.
fn search(text: &str, dates: usize) {
    let date = regex::Regex::new(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})").expect("well formed");
    let found: Vec<(String, String)> = date
        .captures_iter(text)
        .map(|c| (c["y"].to_owned(), c["m"].to_owned()))
        .collect();
    assert_eq!(found.len(), dates);
    let mail = regex::Regex::new(r"(?i)\b([a-z]+)(\d+)@([a-z0-9]+)\.org\b").expect("well formed");
    let changed = mail.replace_all(text, "$3/$1");
    assert_eq!(mail.find_iter(text).count(), 4000);
    assert!(!changed.contains('@'));
    for i in 0..20 {
        let pattern = format!(r"(word {i}|said\s+word\s+{}[0-9]);", i + 1);
        let pattern = regex::Regex::new(&pattern).expect("well formed");
        assert!(pattern.find_iter(text).count() < 4000);
    }
}

/// Parses source into a syntax tree and prints it as tokens.
pub fn syntax_tree(rounds: usize) {
    for _ in 0..rounds {
        let trees: Vec<syn::File> = SOURCE
            .iter()
            .map(|source| syn::parse_file(source).expect("our own source is well formed"))
            .collect();
        for tree in &trees {
            let printed = tree.to_token_stream().to_string();
            let again = syn::parse_file(&printed).expect("what was printed can be read");
            assert_eq!(tree.items.len(), again.items.len());
        }
    }
}
