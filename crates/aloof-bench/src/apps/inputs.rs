//! Makes the inputs of the apps: the same bytes on every machine.

use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes every input into `dir`, unless it is there.
pub fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("work.py"), include_str!("data/work.py"))?;
    fs::write(dir.join("work.pl"), include_str!("data/work.pl"))?;
    fs::write(dir.join("work.js"), include_str!("data/work.js"))?;
    fs::write(dir.join("work.cc"), include_str!("data/work.cc"))?;
    fs::write(dir.join("work.c"), c_source(150))?;
    fs::write(dir.join("text"), prose(8 << 20))?;
    let repository = dir.join("repository.git");
    if !repository.join("complete").exists() {
        let _ = fs::remove_dir_all(&repository);
        history(&repository).context("cannot make the git repository")?;
        fs::write(repository.join("complete"), "")?;
    }
    Ok(())
}

/// The SQL script for so many rows.
pub fn sql(dir: &Path, rows: usize) -> Result<PathBuf> {
    let path = dir.join(format!("work-{rows}.sql"));
    fs::write(
        &path,
        include_str!("data/work.sql").replace("ROWS", &rows.to_string()),
    )?;
    Ok(path)
}

/// A C file of many functions with loops, calls and tables.
fn c_source(functions: usize) -> String {
    let mut text = String::from("#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n");
    for f in 0..functions {
        let _ = writeln!(
            text,
            "static const int table{f}[] = {{{}}};\n\
             struct pair{f} {{ int key; char name[{}]; struct pair{f} *next; }};\n\
             int work{f}(int n, const char *s) {{\n\
             \x20 struct pair{f} head = {{n, \"start\", 0}}, *at = &head; int sum = 0;\n\
             \x20 for (int i = 0; i < n; i++) {{\n\
             \x20   switch ((i ^ n) % 7) {{\n\
             \x20   case 0: sum += table{f}[i % 16]; break;\n\
             \x20   case 1: sum ^= (int)strlen(s) * i; break;\n\
             \x20   case 2: at->key += sum; break;\n\
             \x20   default: sum -= at->name[i % 5] << (i & 3);\n\
             \x20   }}\n\
             \x20   if (sum > 1000) {{ char b[64]; snprintf(b, sizeof b, \"%d %s\", sum, s); sum = (int)strlen(b); }}\n\
             \x20 }}\n\
             \x20 return sum{};\n}}",
            (0..16)
                .map(|i| ((f * 31 + i * 17) % 1000).to_string())
                .collect::<Vec<_>>()
                .join(","),
            8 + f % 24,
            if f > 0 {
                format!(" + work{}(n / 2, s)", f - 1)
            } else {
                String::new()
            },
        );
    }
    text
}

/// Text of about `bytes`, as compressible as prose.
fn prose(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut text = Vec::with_capacity(bytes + 32);
    while text.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The lower word numbers come up more often.
        let word = (state >> 33) as u32 & (state >> 48) as u32 & 0xfff;
        let mut rest = word * 40_503 + 7;
        for _ in 0..2 + word % 7 {
            text.push(b'a' + (rest % 26) as u8);
            rest = rest / 26 + word;
        }
        text.push(if state >> 60 == 0 { b'\n' } else { b' ' });
    }
    text
}

/// A repository of 300 commits over 200 files, all objects loose.
fn history(repository: &Path) -> Result<()> {
    fs::create_dir_all(repository)?;
    git(repository, &["init", "--quiet", "--bare", "."], None)?;
    git(
        repository,
        &["config", "fastimport.unpackLimit", "1000000"],
        None,
    )?;
    git(repository, &["config", "gc.auto", "0"], None)?;
    let mut stream = String::new();
    for commit in 0..300usize {
        let _ = write!(
            stream,
            "commit refs/heads/main\nmark :{}\ncommitter A <a@b> {} +0000\ndata 6\nchange\n",
            commit + 1,
            1_600_000_000 + commit * 60
        );
        if commit > 0 {
            let _ = writeln!(stream, "from :{commit}");
        }
        let files = if commit == 0 {
            0..200
        } else {
            commit % 190..commit % 190 + 10
        };
        for file in files {
            let mut text = String::new();
            for line in 0..120 {
                let version = if line % 11 == commit % 11 { commit } else { 0 };
                let _ = writeln!(
                    text,
                    "file {file} line {line} value {}",
                    file * line + version * 7919
                );
            }
            let _ = writeln!(
                stream,
                "M 100644 inline dir{}/file{file}.txt\ndata {}\n{text}",
                file % 13,
                text.len()
            );
        }
        stream.push('\n');
    }
    git(repository, &["fast-import", "--quiet"], Some(stream))
}

fn git(dir: &Path, args: &[&str], input: Option<String>) -> Result<()> {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::null())
        .spawn()?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        std::io::Write::write_all(&mut pipe, text.as_bytes())?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`git {}` ended with {status}", args.join(" "));
    }
    Ok(())
}
