//! Whether the loader will obey LD_PRELOAD in a program, found out before it runs.
//!
//! Scripts are followed to the program that runs them. What cannot be read is left to the kernel's own verdict.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

use super::{elf, find, library, privilege, script};

/// The kernel gives up after this many scripts run by scripts.
const DEEPEST: usize = 5;

/// How to start the program.
#[derive(Debug)]
pub enum Launch {
    /// By exec.
    Direct,
    /// As an argument of this shell: text without a `#!` line.
    Shell(&'static Path),
}

/// Examines a program; fails, with the reason in words, if aloof could not be loaded into it.
pub fn examine(program: &Path) -> Result<Launch, Failure> {
    let mut file = program.to_owned();
    let mut story = String::new();
    for depth in 0..=DEEPEST {
        let Some((opened, head)) = open(&file) else {
            return Ok(Launch::Direct);
        };
        if elf::is_elf(&head) {
            return image(&file, &opened)
                .map(|()| Launch::Direct)
                .map_err(|e| e.explained_by(&story));
        }
        let Some(next) = script::interpreter(&head) else {
            if depth > 0 || !script::is_text(&head) {
                return Ok(Launch::Direct);
            }
            let shell = script::shell();
            return match examine(shell) {
                Ok(_) => Ok(Launch::Shell(shell)),
                Err(e) => Err(e.explained_by(&told(&file, shell))),
            };
        };
        let next_file = followed(&next);
        if !next_file.exists() {
            let hint = if script::has_dos_ending(&head) {
                " (its first line ends in a carriage return: the file has Windows line ends)"
            } else {
                ""
            };
            return Err(Failure::not_found(format!(
                "{}: its interpreter {} does not exist{hint}",
                file.display(),
                next_file.display()
            ))
            .explained_by(&story));
        }
        if !story.is_empty() {
            story.push(' ');
        }
        story.push_str(&told(&file, &next_file));
        file = next_file;
    }
    // Deeper than the kernel goes: it says so best.
    Ok(Launch::Direct)
}

impl Failure {
    /// Puts how the file was reached in front, if it took a script.
    fn explained_by(self, story: &str) -> Self {
        if story.is_empty() {
            self
        } else {
            self.after(story)
        }
    }
}

fn told(script: &Path, interpreter: &Path) -> String {
    format!(
        "{} is a script run by {}.",
        script.display(),
        interpreter.display()
    )
}

/// The program that an interpreter line leads to. `env` itself only passes LD_PRELOAD on, so what counts is the command
/// that it runs; when that is not found, `env` says so best.
fn followed(next: &script::Interpreter) -> PathBuf {
    let path = std::env::var_os("PATH");
    next.through_env()
        .and_then(|command| find::find(&command, path.as_deref()).ok())
        .unwrap_or_else(|| next.path.clone())
}

fn open(file: &Path) -> Option<(File, Vec<u8>)> {
    // First, because opening a pipe would wait for a writer.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let opened = File::open(file).ok()?;
    let mut head = Vec::with_capacity(script::HEAD);
    (&opened)
        .take(script::HEAD as u64)
        .read_to_end(&mut head)
        .ok()?;
    Some((opened, head))
}

/// Examines a file that is an ELF image.
fn image(file: &Path, opened: &File) -> Result<(), Failure> {
    let name = file.display();
    let facts = elf::read(opened)
        .map_err(|e| Failure::not_executable(format!("{name}: damaged ELF file: {e}")))?;
    let ours = library::abi();
    if facts.abi != ours {
        return Err(Failure::refused(format!(
            "{name} is a {} program, and this aloof is {}: a library can be preloaded only into programs of its own \
             kind.\nInstead: use an aloof built for {}.",
            facts.abi.describe(),
            ours.describe(),
            facts.abi.describe()
        )));
    }
    if !facts.is_loadable() {
        return Err(Failure::not_executable(format!(
            "{name} is an object file or a core dump, not a program"
        )));
    }
    if let Some(reason) = privilege::raised_by(file) {
        return Err(Failure::refused(format!(
            "{name} is {reason}. The kernel starts such a program in secure-execution mode, in which the loader \
             ignores paths in LD_PRELOAD: anyone could put code into a privileged program otherwise. It would run, \
             but not on aloof.\nInstead: run aloof itself as the user or group in question (`sudo aloof run -- ...`), \
             run a copy of the program without these rights, or link the program with libaloof.a."
        )));
    }
    match &facts.interpreter {
        Some(loader) => dynamic(file, Path::new(OsStr::from_bytes(loader))),
        None if is_loader(file) => Ok(()),
        None => Err(Failure::refused(format!(
            "{name} is statically linked. LD_PRELOAD is obeyed by the dynamic loader (ld.so), which brings a program \
             and its libraries together when it starts; a static program starts without the loader and carries its \
             own malloc inside, so nothing can be preloaded into it.\nInstead: link the program dynamically, link it \
             with libaloof.a, or, in a Rust program, make `aloof::Aloof` of the crate aloof its #[global_allocator]."
        ))),
    }
}

fn dynamic(file: &Path, loader: &Path) -> Result<(), Failure> {
    let name = file.display();
    if starts_with(loader.file_name(), "ld-musl") {
        return Err(Failure::refused(format!(
            "{name} is linked with the C library musl ({}). libaloof.so is for glibc and cannot be loaded beside \
             musl.\nInstead: build the program for glibc, or, in a Rust program, make `aloof::Aloof` of the crate \
             aloof its #[global_allocator].",
            loader.display()
        )));
    }
    if !loader.exists() {
        return Err(Failure::not_found(format!(
            "{name} needs the loader {}, which does not exist",
            loader.display()
        )));
    }
    Ok(())
}

/// The loader of glibc can be run as a program; it is static, yet it is what obeys LD_PRELOAD.
fn is_loader(file: &Path) -> bool {
    file.canonicalize()
        .is_ok_and(|real| starts_with(real.file_name(), "ld-linux"))
}

fn starts_with(name: Option<&OsStr>, prefix: &str) -> bool {
    name.is_some_and(|name| name.as_bytes().starts_with(prefix.as_bytes()))
}
