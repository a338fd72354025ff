//! The text of one statistics file.

use std::collections::HashMap;

/// The tiers, in the order in which sizes grow.
pub const TIERS: [&str; 5] = ["pool", "chunk", "run", "direct", "huge"];

/// What one tier did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tier {
    pub allocations: u64,
    pub live_bytes: u64,
    pub peak_bytes: u64,
}

/// What one process left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    pub pid: u64,
    pub command: String,
    pub peak_rss_bytes: u64,
    pub live_bytes: u64,
    pub live_blocks: u64,
    pub peak_committed_bytes: u64,
    pub reserved_bytes: u64,
    pub metadata_bytes: u64,
    pub threads_started: u64,
    pub threads_peak: u64,
    pub tiers: [Tier; TIERS.len()],
}

/// Keys that are not shown but belong to a whole file.
const NOT_SHOWN: [&str; 4] = ["elapsed_ns", "user_ns", "system_ns", "committed_bytes"];

/// Reads a file: one `key value` a line, in any order. Keys of newer libraries are passed over.
pub fn process(text: &str) -> Result<Process, String> {
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    if !text.ends_with('\n') {
        return Err("cut off: its last line has no end".to_owned());
    }
    let mut values = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(' ') else {
            return Err(format!(
                "line {}, {}, is not a key and a value",
                number + 1,
                shown(line)
            ));
        };
        if values.insert(key, value).is_some() {
            return Err(format!(
                "line {}: {} for the second time",
                number + 1,
                shown(key)
            ));
        }
    }
    let command = *values.get("command").ok_or("cut off: command is missing")?;
    let integer = |key: &str| -> Result<u64, String> {
        let value = values
            .get(key)
            .ok_or_else(|| format!("cut off: {key} is missing"))?;
        value
            .parse()
            .map_err(|_| format!("{key} is {}, not a number", shown(value)))
    };
    for key in NOT_SHOWN {
        integer(key)?;
    }
    let mut tiers = [Tier::default(); TIERS.len()];
    for (tier, name) in tiers.iter_mut().zip(TIERS) {
        *tier = Tier {
            allocations: integer(&format!("tier.{name}.allocations"))?,
            live_bytes: integer(&format!("tier.{name}.live_bytes"))?,
            peak_bytes: integer(&format!("tier.{name}.peak_bytes"))?,
        };
    }
    Ok(Process {
        pid: integer("pid")?,
        command: command.to_owned(),
        peak_rss_bytes: integer("peak_rss_bytes")?,
        live_bytes: integer("live_bytes")?,
        live_blocks: integer("live_blocks")?,
        peak_committed_bytes: integer("peak_committed_bytes")?,
        reserved_bytes: integer("reserved_bytes")?,
        metadata_bytes: integer("metadata_bytes")?,
        threads_started: integer("threads_started")?,
        threads_peak: integer("threads_peak")?,
        tiers,
    })
}

/// Text of a damaged file, fit for a terminal: quoted, escaped and short.
fn shown(text: &str) -> String {
    const LONGEST: usize = 24;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("{short:?}")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A whole file of a process.
    pub fn example(pid: u64) -> String {
        let mut text = format!("pid {pid}\ncommand /usr/bin/my tool\n");
        let keys = "elapsed_ns user_ns system_ns peak_rss_bytes live_bytes live_blocks committed_bytes \
                    peak_committed_bytes reserved_bytes metadata_bytes threads_started threads_peak";
        for (value, key) in keys.split_whitespace().enumerate() {
            text.push_str(&format!("{key} {}\n", value + 1));
        }
        for (value, tier) in TIERS.iter().enumerate() {
            let value = 100 * (value + 1);
            text.push_str(&format!(
                "tier.{tier}.allocations {value}\ntier.{tier}.live_bytes {}\n",
                value + 1
            ));
            text.push_str(&format!("tier.{tier}.peak_bytes {}\n", value + 2));
        }
        text
    }

    #[test]
    fn every_key_lands_in_its_own_field() {
        let tier = |n| Tier {
            allocations: n,
            live_bytes: n + 1,
            peak_bytes: n + 2,
        };
        let expected = Process {
            pid: 7,
            command: "/usr/bin/my tool".to_owned(),
            peak_rss_bytes: 4,
            live_bytes: 5,
            live_blocks: 6,
            peak_committed_bytes: 8,
            reserved_bytes: 9,
            metadata_bytes: 10,
            threads_started: 11,
            threads_peak: 12,
            tiers: [100, 200, 300, 400, 500].map(tier),
        };
        assert_eq!(process(&example(7)), Ok(expected.clone()));
        assert_eq!(
            process(&(example(7) + "some.newer.key with words\n")),
            Ok(expected)
        );
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = example(7);
        for length in 0..whole.len() {
            assert!(process(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |from: &str, to: &str| process(&example(7).replace(from, to)).unwrap_err();
        assert_eq!(
            with("live_blocks 6\n", ""),
            "cut off: live_blocks is missing"
        );
        assert_eq!(
            with("live_blocks 6", "live_blocks six"),
            "live_blocks is \"six\", not a number"
        );
        assert_eq!(
            with("live_blocks 6", "live_blocks -6"),
            "live_blocks is \"-6\", not a number"
        );
        assert_eq!(
            with("live_blocks 6", "live_blocks 99999999999999999999999"),
            "live_blocks is \"99999999999999999999999\", not a number"
        );
        assert_eq!(
            with("live_blocks 6", "live_bytes 6"),
            "line 8: \"live_bytes\" for the second time"
        );
        assert_eq!(
            with("live_blocks 6", "\u{1b}[2J"),
            "line 8, \"\\u{1b}[2J\", is not a key and a value"
        );
    }
}
