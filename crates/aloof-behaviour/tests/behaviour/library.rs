//! The library as a file: what it exports and needs, its header, and the examples that link with it.

use aloof_behaviour::{
    Case, Link, archive, behaviours, build_directory, compile_library, library, root,
};
use std::path::Path;
use std::process::Command;

behaviours! {
    the_header_and_the_library_agree = Case::new("api.c", &[])
        .link(Link::Shared)
        .fault("blind", "aloof_stats: ")
        .fault("blind-purge", "aloof_purge: ");
}

fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every name that a program may expect of its process's allocator, and the library's own.
const EXPORTS: &str = "
    malloc free calloc realloc reallocarray aligned_alloc memalign posix_memalign valloc pvalloc malloc_usable_size
    free_sized free_aligned_sized cfree malloc_trim mallopt mallinfo mallinfo2 malloc_info malloc_stats
    __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_memalign __libc_valloc __libc_pvalloc __posix_memalign
    _Znwm _Znam _ZnwmSt11align_val_t _ZnamSt11align_val_t
    _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t
    _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t
    _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t
    _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t
    aloof_malloc aloof_calloc aloof_realloc aloof_aligned_alloc aloof_free aloof_usable_size
    aloof_purge aloof_set aloof_on_soft_limit aloof_stats aloof_print_stats aloof_version";

fn exports(file: &Path) -> Vec<String> {
    let listing = output(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(file),
    );
    listing
        .lines()
        .filter_map(|line| line.split([' ', '@']).next())
        .map(str::to_owned)
        .collect()
}

/// What is missing from the exports, and what is too much.
fn differences(exported: &[String]) -> Vec<String> {
    let expected: Vec<&str> = EXPORTS.split_whitespace().collect();
    let missing = expected
        .iter()
        .filter(|name| !exported.iter().any(|export| export == *name));
    let extra = exported
        .iter()
        .filter(|export| !expected.contains(&export.as_str()));
    missing
        .map(|name| format!("{name} is missing"))
        .chain(extra.map(|name| format!("{name} is too much")))
        .collect()
}

#[test]
fn the_exports_are_the_list() {
    assert_eq!(differences(&exports(&library())), Vec::<String>::new());
}

#[test]
fn a_wrong_export_list_is_noticed() {
    let found = differences(&exports(&compile_library("plug.c", &[])));
    assert!(
        found.contains(&"malloc is missing".to_owned())
            && found.contains(&"plug_give is too much".to_owned()),
        "{found:?}"
    );
}

/// Symbols that the loader would not find.
fn unresolved(file: &Path) -> Vec<String> {
    let listing = Command::new("ldd")
        .arg("-r")
        .arg(file)
        .output()
        .expect("ldd runs");
    let text = [listing.stdout, listing.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| line.contains("undefined symbol"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_is_undefined() {
    assert_eq!(unresolved(&library()), Vec::<String>::new());
}

#[test]
fn an_undefined_symbol_is_noticed() {
    let lacking = compile_library("plug.c", &["-Dmalloc=malloc_that_nobody_has", "-Wno-error"]);
    assert!(
        unresolved(&lacking)
            .iter()
            .any(|line| line.contains("malloc_that_nobody_has"))
    );
}

fn dynamic_flags(file: &Path) -> String {
    output(Command::new("readelf").arg("-dW").arg(file))
}

#[test]
fn it_stays_loaded_binds_at_once_and_needs_only_the_c_library() {
    let flags = dynamic_flags(&library());
    for wanted in ["NODELETE", "NOW", "[libaloof.so]"] {
        assert!(flags.contains(wanted), "{wanted} is missing:\n{flags}");
    }
    let needed: Vec<&str> = flags
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .collect();
    let known = |line: &&str| {
        ["[libc.so.6]", "[ld-linux-x86-64.so.2]"]
            .iter()
            .any(|name| line.contains(name))
    };
    assert!(needed.iter().all(known), "{needed:#?}");
    assert!(
        !dynamic_flags(&compile_library("plug.c", &[])).contains("NODELETE"),
        "any library would pass"
    );
}

/// Instructions that x86-64 processors need not have.
fn beyond_the_baseline(file: &Path) -> Vec<String> {
    const EXTENSIONS: [&str; 14] = [
        "popcnt", "lzcnt", "andn", "bextr", "blsi", "blsr", "blsmsk", "bzhi", "mulx", "pdep",
        "pext", "rorx", "shlx", "shrx",
    ];
    let listing = output(
        Command::new("objdump")
            .args(["-d", "--no-show-raw-insn"])
            .arg(file),
    );
    let beyond = |line: &&str| {
        let instruction = line
            .split('\t')
            .nth(1)
            .and_then(|text| text.split(' ').next())
            .unwrap_or_default();
        EXTENSIONS.contains(&instruction)
            || line.contains("%ymm")
            || line.contains("%zmm")
            || instruction.starts_with("vp")
    };
    listing.lines().filter(beyond).map(str::to_owned).collect()
}

#[test]
fn it_runs_on_every_x86_64() {
    assert_eq!(beyond_the_baseline(&library()), Vec::<String>::new());
    let modern = compile_library("fault.c", &["-fexceptions", "-march=haswell", "-O3"]);
    assert!(
        !beyond_the_baseline(&modern).is_empty(),
        "any library would pass"
    );
}

#[test]
fn the_header_is_plain_c_and_cxx() {
    let strict = |compiler: &str, standard: &str, language: &str| {
        let mut command = Command::new(compiler);
        command.args([
            standard,
            "-x",
            language,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Werror",
            "-fsyntax-only",
        ]);
        command
            .arg("-I")
            .arg(root().join("include"))
            .arg(root().join("tests/behaviour/header.c"));
        output(&mut command);
    };
    for standard in ["-std=c99", "-std=c11", "-std=c17"] {
        strict("gcc", standard, "c");
    }
    for standard in ["-std=c++11", "-std=c++17", "-std=c++20"] {
        strict("g++", standard, "c++");
    }
}

/// Builds an example in its three ways and returns the programs.
fn example(language: &str, name: &str) -> [std::path::PathBuf; 3] {
    let build = build_directory().join(format!("example-{language}"));
    std::fs::create_dir_all(&build).expect("the build directory can be made");
    let libraries = build.join("libraries");
    std::fs::create_dir_all(&libraries).expect("the library directory can be made");
    for file in [library(), archive()] {
        let name = file.file_name().expect("a library has a name");
        std::fs::copy(&file, libraries.join(name)).expect("the library can be copied");
    }
    let arguments = [
        format!("BUILD={}", build.display()),
        format!("ALOOF_DIR={}", libraries.display()),
    ];
    let mut make = Command::new("make");
    make.arg("--always-make")
        .arg("-C")
        .arg(root().join("examples").join(language))
        .args(arguments);
    for inherited in ["MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS"] {
        make.env_remove(inherited);
    }
    output(&mut make);
    ["dynamic", "static", "wholly-static"].map(|way| build.join(format!("{name}-{way}")))
}

/// The last line is the allocator's own report: the program runs on it, however it was linked.
fn check_report(text: &str, program: &Path) {
    let line = text.lines().last().unwrap_or_default();
    let live = line
        .strip_prefix("aloof ")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|word| word.parse::<u64>().ok());
    assert!(
        live.is_some_and(|bytes| bytes > 1000),
        "{} reports {line:?}",
        program.display()
    );
}

#[test]
fn the_c_example_runs_in_every_way() {
    let text = "one two two three three three four four four four and one more word: one";
    for program in example("c", "wordcount") {
        let input = std::env::temp_dir().join(format!("aloof-words-{}", std::process::id()));
        std::fs::write(&input, text).expect("the input can be written");
        let file = std::fs::File::open(&input).expect("the input can be read");
        let printed = output(Command::new(&program).arg("--stats").stdin(file));
        std::fs::remove_file(&input).expect("the input can be removed");
        assert!(
            printed.starts_with("4 four\n3 one\n3 three\n2 two\n1 and\n1 more\n1 word\n"),
            "{printed}"
        );
        check_report(&printed, &program);
    }
}

#[test]
fn the_cxx_example_runs_in_every_way() {
    for program in example("cpp", "pipeline") {
        let printed = output(Command::new(&program).arg("--stats"));
        let expected = "numbers below 100000 have 343604 prime factors in all\na vector of 4 EiB does not fit\n";
        assert!(printed.starts_with(expected), "{printed}");
        check_report(&printed, &program);
    }
}
