//! Inputs of the real programs, made anew each time and always the same.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// An input that programs share or that is too large to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Prose of a few thousand words, for xz.
    Prose,
    /// Lines of a word, a number and a tail, many of them twice, for sort.
    Lines,
    /// A history for `git fast-import`.
    History,
    /// Commands in the wire format of redis.
    Commands,
    /// A C file of some hundred functions.
    Functions,
}

impl Input {
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Prose => "prose.txt",
            Self::Lines => "lines.txt",
            Self::History => "history.fi",
            Self::Commands => "commands.resp",
            Self::Functions => "functions.c",
        }
    }

    /// Writes the input into a folder.
    pub fn write(self, folder: &Path) -> Result<()> {
        let path = folder.join(self.file_name());
        let make = || -> io::Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            match self {
                Self::Prose => prose(&mut out, 64 << 20)?,
                Self::Lines => lines(&mut out, 900_000)?,
                Self::History => history(&mut out, 400, 150)?,
                Self::Commands => commands(&mut out, 20_000)?,
                Self::Functions => functions(&mut out, 250)?,
            }
            out.flush()
        };
        make().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A small generator (xorshift*), the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn words(random: &mut Random, count: usize) -> Vec<String> {
    const PARTS: [&str; 24] = [
        "al", "be", "cor", "dan", "el", "fir", "gol", "ham", "in", "jo", "kel", "lu", "mar", "no",
        "or", "pel", "qui", "ras", "sol", "tu", "ul", "ver", "wi", "zan",
    ];
    (0..count)
        .map(|_| {
            (0..=random.below(4))
                .map(|_| PARTS[random.below(24) as usize])
                .collect()
        })
        .collect()
}

fn prose(out: &mut impl Write, bytes: usize) -> io::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let words = words(&mut random, 5_000);
    let mut written = 0;
    while written < bytes {
        // Small indices come more often, as words do in a language.
        let limit = 1 + random.below(words.len() as u64);
        let word = &words[random.below(limit) as usize];
        let end = if random.below(11) == 0 { "\n" } else { " " };
        out.write_all(word.as_bytes())?;
        out.write_all(end.as_bytes())?;
        written += word.len() + 1;
    }
    Ok(())
}

fn lines(out: &mut impl Write, count: usize) -> io::Result<()> {
    let mut random = Random(0x1234_5678_9abc_def1);
    let words = words(&mut random, 3_000);
    for _ in 0..count {
        let word = &words[random.below(3_000) as usize];
        let number = random.below(400_000);
        let tail = &words[(number % 3_000) as usize];
        writeln!(out, "{word} {number} {tail}{tail}")?;
    }
    Ok(())
}

fn history(out: &mut impl Write, commits: u64, files: u64) -> io::Result<()> {
    let mut random = Random(0xfeed_f00d_dead_beef);
    let words = words(&mut random, 800);
    let line = |out: &mut String, random: &mut Random| {
        for _ in 0..3 + random.below(9) {
            *out += &words[random.below(800) as usize];
            out.push(' ');
        }
        out.push('\n');
    };
    let mut tree: Vec<String> = Vec::new();
    for commit in 0..commits {
        let message = format!("change {commit}");
        writeln!(out, "commit refs/heads/main")?;
        writeln!(
            out,
            "committer Some One <one@example.org> {} +0000",
            1_600_000_000 + commit * 600
        )?;
        writeln!(out, "data {}\n{message}", message.len())?;
        let changes = if commit == 0 {
            files
        } else {
            1 + random.below(6)
        };
        for change in 0..changes {
            let index = if commit == 0 {
                change
            } else {
                random.below(files)
            } as usize;
            if index == tree.len() {
                tree.push(String::new());
                for _ in 0..40 + random.below(200) {
                    line(&mut tree[index], &mut random);
                }
            } else {
                let mut rows: Vec<String> =
                    tree[index].split_inclusive('\n').map(Into::into).collect();
                for _ in 0..1 + random.below(8) {
                    let mut row = String::new();
                    line(&mut row, &mut random);
                    let place = random.below(rows.len() as u64) as usize;
                    if random.below(3) == 0 {
                        rows.insert(place, row);
                    } else {
                        rows[place] = row;
                    }
                }
                tree[index] = rows.concat();
            }
            writeln!(out, "M 100644 inline part{}/file{index}.txt", index % 12)?;
            writeln!(out, "data {}\n{}", tree[index].len(), tree[index])?;
        }
    }
    writeln!(out, "done")
}

fn commands(out: &mut impl Write, keys: u64) -> io::Result<()> {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut send = |parts: &[String]| -> io::Result<()> {
        write!(out, "*{}\r\n", parts.len())?;
        for part in parts {
            write!(out, "${}\r\n{part}\r\n", part.len())?;
        }
        Ok(())
    };
    for key in 0..keys {
        let text = "v".repeat(1 + random.below(400) as usize);
        let number = random.below(1_000_000).to_string();
        let few = random.below(500);
        let parts: Vec<String> = match random.below(6) {
            0 | 1 => vec!["SET".into(), format!("string:{key}"), text],
            2 => vec!["HSET".into(), format!("hash:{few}"), number, text],
            3 => vec!["RPUSH".into(), format!("list:{few}"), text, number],
            4 => vec!["SADD".into(), format!("set:{few}"), number, text],
            _ => vec![
                "ZADD".into(),
                format!("sorted:{few}"),
                number.clone(),
                number + "m",
            ],
        };
        send(&parts)?;
        match random.below(10) {
            0 => send(&["DEL".into(), format!("string:{}", random.below(key + 1))])?,
            1 => send(&[
                "APPEND".into(),
                format!("string:{}", random.below(key + 1)),
                "tail".repeat(30),
            ])?,
            _ => {}
        }
    }
    Ok(())
}

fn functions(out: &mut impl Write, count: u64) -> io::Result<()> {
    let mut random = Random(0x00c0_ffee_1234_4321);
    writeln!(
        out,
        "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>"
    )?;
    writeln!(
        out,
        "struct item {{ struct item *next; uint64_t value; char name[24]; }};"
    )?;
    for f in 0..count {
        writeln!(
            out,
            "uint64_t f{f}(struct item *list, const uint32_t *v, size_t n) {{"
        )?;
        writeln!(out, "  uint64_t sum = {}u;", random.below(1 << 30))?;
        writeln!(out, "  for (size_t i = 0; i < n; i++) {{")?;
        writeln!(out, "    switch (v[i] % {}u) {{", 3 + random.below(5))?;
        for case in 0..3 {
            let (a, b) = (random.below(997), 1 + random.below(30));
            writeln!(out, "    case {case}: sum += (v[i] ^ {a}u) << {b}; break;")?;
        }
        writeln!(
            out,
            "    default: sum ^= sum >> {}; }}\n  }}",
            1 + random.below(40)
        )?;
        writeln!(out, "  for (struct item *p = list; p; p = p->next) {{")?;
        writeln!(
            out,
            "    if (strcmp(p->name, \"{}\") < 0) sum += p->value;",
            random.below(100_000)
        )?;
        writeln!(out, "    p->value = sum;\n  }}")?;
        if f > 0 {
            writeln!(
                out,
                "  if (n > 8) sum += f{}(list, v, n / 2);",
                random.below(f)
            )?;
        }
        writeln!(out, "  return sum;\n}}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Make = fn(&mut Vec<u8>) -> io::Result<()>;

    const MAKERS: [Make; 5] = [
        |out| prose(out, 10_000),
        |out| lines(out, 500),
        |out| history(out, 12, 5),
        |out| commands(out, 300),
        |out| functions(out, 4),
    ];

    #[test]
    fn inputs_are_the_same_each_time_and_not_empty() {
        for make in MAKERS {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            make(&mut first).expect("in memory");
            make(&mut second).expect("in memory");
            assert!(first.len() > 1_000);
            assert_eq!(first, second);
        }
    }

    #[test]
    fn prose_is_as_long_as_asked_for() {
        let mut text = Vec::new();
        prose(&mut text, 50_000).expect("in memory");
        assert!((50_000..50_100).contains(&text.len()));
    }

    #[test]
    fn lines_have_duplicates_to_drop() {
        let mut text = Vec::new();
        lines(&mut text, 20_000).expect("in memory");
        let text = String::from_utf8(text).expect("ASCII");
        let words: std::collections::BTreeSet<&str> =
            text.lines().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(text.lines().count(), 20_000);
        assert!(words.len() < 3_001);
    }
}
