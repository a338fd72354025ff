//! Reads the first line of scripts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The kernel looks no further than this for the end of the first line.
pub const HEAD: usize = 256;

/// What `#!` names.
#[derive(Debug, PartialEq)]
pub struct Interpreter {
    pub path: PathBuf,
    /// The rest of the line: the kernel passes it as one argument.
    pub argument: Option<OsString>,
}

/// The interpreter of a script, from the head of the file; none when it is no script or names nothing.
pub fn interpreter(head: &[u8]) -> Option<Interpreter> {
    let line = head.strip_prefix(b"#!")?;
    let line = trimmed(line.split(|&b| b == b'\n').next()?);
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (path, argument) = (&line[..end], trimmed(&line[end..]));
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    (!path.is_empty()).then(|| Interpreter {
        path: owned(path).into(),
        argument: (!argument.is_empty()).then(|| owned(argument)),
    })
}

/// The kernel knows no other white space; a carriage return belongs to the name.
fn is_blank(byte: &u8) -> bool {
    b" \t".contains(byte)
}

fn trimmed(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|b| !is_blank(b))
        .map_or(start, |last| last + 1);
    &line[start..end]
}

impl Interpreter {
    /// The command that `env` will run, when the interpreter is `env` and its argument names one.
    pub fn through_env(&self) -> Option<OsString> {
        if self.path.file_name() != Some("env".as_ref()) {
            return None;
        }
        let argument = self.argument.clone()?.into_vec();
        if argument[0] != b'-' {
            return Some(OsString::from_vec(argument));
        }
        // Options only make sense with the one that splits: -S, joined with others (-iS) or long.
        let rest = match argument.strip_prefix(b"--split-string".as_slice()) {
            Some(rest) => &rest[1.min(rest.len())..],
            None => &argument[argument.iter().position(|&b| b == b'S')? + 1..],
        };
        let mut words = rest
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            match word {
                // These take the next word.
                b"-u" | b"-C" | b"--unset" | b"--chdir" => drop(words.next()),
                _ if word[0] == b'-' || word.contains(&b'=') => {}
                _ => return Some(OsString::from_vec(word.to_vec())),
            }
        }
        None
    }
}

/// Whether a shell would take the file for a script of its own: no binary zero before the end of the first line.
pub fn is_text(head: &[u8]) -> bool {
    !head.iter().take_while(|&&b| b != b'\n').any(|&b| b == 0)
}

/// Whether the interpreter's name ends in a carriage return, as files written on Windows have it.
pub fn has_dos_ending(head: &[u8]) -> bool {
    head.starts_with(b"#!")
        && head
            .split(|&b| b == b'\n')
            .next()
            .is_some_and(|line| line.ends_with(b"\r"))
}

/// The shell that runs text without a `#!` line.
pub fn shell() -> &'static Path {
    Path::new("/bin/sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_the_first_word_and_the_rest_one_argument() {
        for (head, path, argument) in [
            (&b"#!/bin/sh\necho"[..], "/bin/sh", None),
            (b"#! /bin/sh -e -u \n", "/bin/sh", Some("-e -u")),
            (b"#!\t/usr/bin/awk\t-f", "/usr/bin/awk", Some("-f")),
            (b"#!tool", "tool", None),
            (b"#!/bin/sh\r\n", "/bin/sh\r", None),
        ] {
            let expected = Interpreter {
                path: path.into(),
                argument: argument.map(OsString::from),
            };
            assert_eq!(interpreter(head), Some(expected));
        }
        for head in [
            &b"#!\n/bin/sh"[..],
            b"#!  \t\n",
            b"# !/bin/sh",
            b"",
            b"#",
            b"\x7fELF",
        ] {
            assert_eq!(interpreter(head), None);
        }
    }

    #[test]
    fn env_runs_its_first_word_that_is_no_option_or_assignment() {
        for (line, command) in [
            ("#!/usr/bin/env python3", Some("python3")),
            ("#!/usr/bin/env python3 -u", Some("python3 -u")),
            ("#!/usr/bin/env -S python3 -u", Some("python3")),
            ("#!/usr/bin/env -iS A=b -u C perl -w", Some("perl")),
            ("#!/usr/bin/env --split-string=ruby -w", Some("ruby")),
            ("#!/usr/bin/env -S -v", None),
            ("#!/usr/bin/env -i", None),
            ("#!/usr/bin/env", None),
            ("#!/bin/sh -e", None),
        ] {
            let found = interpreter(line.as_bytes()).unwrap().through_env();
            assert_eq!(found, command.map(OsString::from), "{line}");
        }
    }

    #[test]
    fn a_zero_byte_in_the_first_line_means_binary() {
        assert!(is_text(b"echo hello\n\0"));
        assert!(is_text(b""));
        assert!(!is_text(b"\xca\xfe\0\n"));
    }
}
