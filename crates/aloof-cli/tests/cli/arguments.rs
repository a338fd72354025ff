//! The command line itself.

use crate::support::{ALOOF, clean, ends_with, has, run, stderr, stdout};

#[test]
fn version_and_help_go_to_stdout_and_show_examples() {
    let version = ends_with(clean(ALOOF).arg("--version"), 0);
    assert_eq!(
        stdout(&version),
        format!("aloof {}\n", env!("CARGO_PKG_VERSION"))
    );
    has(
        &stdout(&ends_with(clean(ALOOF).arg("--help"), 0)),
        &["Examples:", "aloof run -- ls"],
    );
    let help = stdout(&ends_with(&mut run(["--help"]), 0));
    has(
        &help,
        &[
            "--stats",
            "--lib",
            "Examples:",
            "Exit status:",
            "[--] CMD [ARGS]...",
        ],
    );
    assert!(help.lines().all(|line| line.len() <= 120), "{help}");
}

#[test]
fn misuse_is_told_and_ends_with_2() {
    for arguments in [
        &[][..],
        &["rnu"],
        &["run"],
        &["run", "--"],
        &["run", "--bogus", "ls"],
        &["run", "--lib"],
    ] {
        let output = ends_with(clean(ALOOF).args(arguments), 2);
        has(&stderr(&output), &["--help"]);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_measurement_that_cannot_begin_ends_with_2() {
    for arguments in [
        &["bench", "--runs", "0"][..],
        &["bench", "--from", "/nowhere/run.json"],
    ] {
        let output = ends_with(clean(ALOOF).args(arguments), 2);
        has(&stderr(&output), &["aloof: "]);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn everything_after_the_program_is_the_programs() {
    for arguments in [
        &["--", "printf", "%s|"][..],
        &["printf", "%s|"],
        &["--stats", "printf", "%s|"],
    ] {
        let output = ends_with(
            run(arguments).args(["--stats", "-h", "--", "", "a b", "--lib"]),
            0,
        );
        assert_eq!(stdout(&output), "--stats|-h|--||a b|--lib|");
    }
}

#[test]
fn the_program_sees_its_name_as_it_was_typed() {
    assert_eq!(
        stdout(&ends_with(&mut run(["cat", "/proc/self/cmdline"]), 0)),
        "cat\0/proc/self/cmdline\0"
    );
    let stats = ends_with(&mut run(["--stats", "cat", "/proc/self/cmdline"]), 0);
    assert_eq!(stdout(&stats), "cat\0/proc/self/cmdline\0");
}

#[test]
fn bytes_that_are_no_text_reach_the_program_unchanged() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe\n");
    assert_eq!(
        ends_with(run(["printf", "%s"]).arg(odd), 0).stdout,
        odd.as_bytes()
    );
}
