//! The rooms of the core crate have an order, and each names only itself and lower ones.
//!
//! A room is a folder or a file at the top of `src`. Paths are read from the token stream, so code in
//! macros and in tests counts, and comments and strings do not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The rooms, highest first.
const ROOMS: &[&str] = &[
    "api",
    "thread",
    "stats",
    "heap",
    "pool",
    "arena",
    "run",
    "direct",
    "sub",
    "remote",
    "partition",
    "space",
    "os",
    "num",
    "sync",
];

/// A place where a module names a room through the crate root.
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    line: usize,
    name: String,
}

/// Checks every room under the source folder of a crate.
pub fn check(source: &Path) -> Result<()> {
    check_rooms(source, ROOMS)
}

fn check_rooms(source: &Path, rooms: &[&str]) -> Result<()> {
    let mut faults = Vec::new();
    let mut files = 0;
    for entry in sorted(source)? {
        let name = entry
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if entry.is_file() && (name == "lib" || entry.extension().is_none_or(|e| e != "rs")) {
            continue;
        }
        let Some(height) = rooms.iter().position(|room| *room == name) else {
            faults.push(format!(
                "{}: `{name}` is not in the list of rooms",
                entry.display()
            ));
            continue;
        };
        let mut room = Vec::new();
        collect(&entry, 1, &mut room)?;
        for (file, depth) in room {
            files += 1;
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let tokens: TokenStream = text
                .parse()
                .map_err(|e| anyhow::anyhow!("{}: not Rust: {e}", file.display()))?;
            for mention in mentions(tokens, depth) {
                if let Some(fault) = fault(&mention.name, height, rooms) {
                    faults.push(format!("{}:{}: {fault}", file.display(), mention.line));
                }
            }
        }
    }
    if !faults.is_empty() {
        bail!("rooms out of order:\n  {}", faults.join("\n  "));
    }
    println!("{files} files, order: {}", rooms.join(" > "));
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}

/// The files of a room, each with the depth of its module below the crate root.
fn collect(path: &Path, depth: usize, found: &mut Vec<(std::path::PathBuf, usize)>) -> Result<()> {
    if path.is_file() {
        if path.extension().is_some_and(|e| e == "rs") {
            found.push((path.to_path_buf(), depth));
        }
        return Ok(());
    }
    for entry in sorted(path)? {
        let is_door = entry.file_name().is_some_and(|name| name == "mod.rs");
        collect(&entry, if is_door { depth } else { depth + 1 }, found)?;
    }
    Ok(())
}

/// What is wrong with a room of this height naming `name`, if anything.
fn fault(name: &str, height: usize, rooms: &[&str]) -> Option<String> {
    match rooms.iter().position(|room| *room == name) {
        Some(other) if other >= height => None,
        Some(_) => Some(format!(
            "`{}` names the higher room `{name}`",
            rooms[height]
        )),
        None => Some(format!(
            "`{name}` is named through the crate root, which hides its room"
        )),
    }
}

/// Every name that follows `crate::`, or as many `super::` as lead to the root.
fn mentions(tokens: TokenStream, depth: usize) -> Vec<Mention> {
    let mut found = Vec::new();
    walk(tokens, depth, &mut found);
    found
}

fn walk(tokens: TokenStream, depth: usize, found: &mut Vec<Mention>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let TokenTree::Group(group) = &tokens[at] {
            let inline_module = group.delimiter() == Delimiter::Brace
                && at >= 2
                && is_word(&tokens[at - 2], "mod")
                && matches!(tokens[at - 1], TokenTree::Ident(_));
            walk(group.stream(), depth + usize::from(inline_module), found);
            at += 1;
            continue;
        }
        match root_path(&tokens[at..], depth) {
            // `pub(crate)` and the like name nothing.
            Some(length) => {
                names(&tokens[at + length..], found);
                at += length;
            }
            None => at += 1,
        }
    }
}

/// The number of tokens of a prefix that leads to the crate root, its last `::` included.
fn root_path(tokens: &[TokenTree], depth: usize) -> Option<usize> {
    if is_word(tokens.first()?, "crate") {
        return is_separator(&tokens[1..]).then_some(3);
    }
    let mut ups = 0;
    let mut at = 0;
    if is_word(tokens.first()?, "self") && is_separator(&tokens[1..]) {
        at = 3;
    }
    while tokens.get(at).is_some_and(|t| is_word(t, "super")) && is_separator(&tokens[at + 1..]) {
        ups += 1;
        at += 3;
    }
    (ups > 0 && ups == depth).then_some(at)
}

/// The first names of what follows the crate root: one, or each of a braced list.
fn names(tokens: &[TokenTree], found: &mut Vec<Mention>) {
    match tokens.first() {
        Some(TokenTree::Ident(name)) => {
            let is_macro = matches!(tokens.get(1), Some(TokenTree::Punct(p)) if p.as_char() == '!');
            if !is_macro {
                found.push(Mention {
                    line: name.span().start().line,
                    name: name.to_string(),
                });
            }
        }
        Some(TokenTree::Punct(star)) if star.as_char() == '*' => found.push(Mention {
            line: star.span().start().line,
            name: "*".into(),
        }),
        Some(TokenTree::Group(group)) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_comma = |t: &TokenTree| matches!(t, TokenTree::Punct(p) if p.as_char() == ',');
            for item in inner.split(is_comma) {
                names(item, found);
            }
        }
        _ => {}
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(name) if name == word)
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    let is_colon =
        |t: Option<&TokenTree>| matches!(t, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    is_colon(tokens.first()) && is_colon(tokens.get(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, depth: usize) -> Vec<String> {
        mentions(text.parse().expect("tokens"), depth)
            .into_iter()
            .map(|m| m.name)
            .collect()
    }

    #[test]
    fn names_are_found_in_uses_paths_lists_and_macros() {
        assert_eq!(named("use crate::os::Map;", 1), ["os"]);
        assert_eq!(named("use crate::{num::{A, B}, sync};", 1), ["num", "sync"]);
        assert_eq!(named("fn f() { crate::heap::go() }", 1), ["heap"]);
        assert_eq!(named("assert!(crate::pool::X == 1);", 1), ["pool"]);
        assert_eq!(named("use crate::*;", 1), ["*"]);
    }

    #[test]
    fn visibility_comments_strings_and_macros_of_the_root_name_nothing() {
        assert!(named("pub(crate) fn f() {}", 1).is_empty());
        assert!(named("pub(in crate::heap) fn f() {}", 1) == ["heap"]);
        assert!(named("// crate::heap\nconst A: &str = \"crate::heap\";", 1).is_empty());
        assert!(named("crate::trace!(1);", 1).is_empty());
    }

    #[test]
    fn supers_that_reach_the_root_count_and_shorter_ones_do_not() {
        assert_eq!(named("use super::heap::X;", 1), ["heap"]);
        assert!(named("use super::heap::X;", 2).is_empty());
        assert_eq!(named("use super::super::heap::X;", 2), ["heap"]);
        assert!(named("mod tests { use super::*; }", 1).is_empty());
        assert_eq!(named("mod tests { use super::super::os::X; }", 1), ["os"]);
        assert_eq!(named("use self::super::os::X;", 1), ["os"]);
    }

    #[test]
    fn a_room_may_name_itself_and_lower_rooms_only() {
        let rooms = ["high", "middle", "low"];
        assert_eq!(fault("middle", 1, &rooms), None);
        assert_eq!(fault("low", 1, &rooms), None);
        assert!(fault("high", 1, &rooms).is_some());
        assert!(fault("Thing", 1, &rooms).is_some());
    }

    #[test]
    fn a_tree_with_a_wrong_mention_and_an_unlisted_room_fails_and_names_both() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        };
        write("lib.rs", "mod high; mod low;");
        write("high/mod.rs", "use crate::low::X;");
        write("low/mod.rs", "pub struct X;");
        check_rooms(folder.path(), &["high", "low"]).expect("in order");

        write("low/part.rs", "\nuse super::super::high::Y;");
        write("extra.rs", "");
        let error = check_rooms(folder.path(), &["high", "low"])
            .expect_err("out of order")
            .to_string();
        assert!(error.contains("low/part.rs:2: `low` names the higher room `high`"));
        assert!(error.contains("`extra` is not in the list"));
    }
}
