//! The summary of `--stats`.

use std::fs;
use std::process::Command;

use crate::support::{
    compiled, copy_program, ends_with, fake_library, has, output, run, stderr, worker,
};

/// `aloof run --stats` of the worker on the stand-in library.
fn work(arguments: &[&str]) -> Command {
    let mut command = run(["--stats", "--lib"]);
    command
        .arg(fake_library())
        .arg("--")
        .arg(worker())
        .args(arguments);
    command
}

/// The cells of the line that begins with this label, without what follows a wide gap after them.
#[track_caller]
fn line<'a>(text: &'a str, label: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .unwrap_or_else(|| panic!("no {label:?} in:\n{text}"))
        .trim()
}

#[track_caller]
fn fits_one_screen(text: &str) {
    assert!(
        text.lines().count() <= 24,
        "{} lines:\n{text}",
        text.lines().count()
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn the_embedded_library_writes_what_is_shown() {
    let text = stderr(&ends_with(&mut run(["--stats", "sort", "/etc/passwd"]), 0));
    fits_one_screen(&text);
    has(&text, &["program    sort (process ", "main process"]);
    assert_eq!(line(&text, "processes"), "1 seen, 1 with statistics");
    for label in [
        "peak RSS",
        "peak committed",
        "reserved address space",
        "metadata",
    ] {
        assert!(
            !line(&text, label).starts_with("0 B"),
            "{label} in:\n{text}"
        );
    }
    let allocations: u64 = line(&text, "pool  ")
        .split_whitespace()
        .next()
        .unwrap()
        .replace(',', "")
        .parse()
        .unwrap();
    assert!(allocations > 0, "{text}");
}

#[test]
fn one_process_shows_its_own_numbers() {
    let text = stderr(&ends_with(&mut work(&["exit", "3"]), 3));
    fits_one_screen(&text);
    has(
        &text,
        &[
            "worker: exit status 3",
            " wall, ",
            " user, ",
            " system",
            "main process",
        ],
    );
    assert_eq!(line(&text, "processes"), "1 seen, 1 with statistics");
    assert_eq!(line(&text, "peak RSS"), "11.8 MiB");
    assert_eq!(line(&text, "live at exit"), "2.00 KiB");
    assert_eq!(line(&text, "  in blocks"), "1,234");
    assert_eq!(line(&text, "peak committed"), "8.00 MiB");
    assert_eq!(line(&text, "reserved address space"), "9.00 TiB");
    assert_eq!(line(&text, "metadata, of committed"), "64.0 KiB  0.78 %");
    assert_eq!(line(&text, "threads started, at once"), "5       3");
    for (n, tier) in ["pool  ", "chunk", "run", "direct", "huge"]
        .iter()
        .enumerate()
    {
        let n = n + 1;
        let cells: Vec<_> = line(&text, tier).split_whitespace().collect();
        assert_eq!(
            cells,
            [
                &format!("{n},000"),
                &(100 * n).to_string(),
                "B",
                &format!("{n}.00"),
                "MiB"
            ]
        );
    }
    has(&text, &["pool allocs: blocks handed to thread caches"]);
    assert!(!text.contains("note:"), "{text}");
}

#[test]
fn several_processes_show_the_main_one_beside_sums_and_maxima() {
    let text = stderr(&ends_with(&mut work(&["fork", "fork", "exit", "0"]), 0));
    fits_one_screen(&text);
    has(&text, &["main process", "all 3"]);
    assert_eq!(line(&text, "processes"), "3 seen, 3 with statistics");
    let cells = |label| {
        line(&text, label)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(cells("peak RSS"), "11.8 MiB 11.8 MiB largest");
    assert_eq!(cells("live at exit"), "2.00 KiB 6.00 KiB sum");
    assert_eq!(cells("  in blocks"), "1,234 3,702 sum");
    assert_eq!(
        cells("metadata, of committed"),
        "64.0 KiB 0.78 % 64.0 KiB 0.78 % largest"
    );
    assert_eq!(cells("threads started, at once"), "5 3 15 3 sum, largest");
    assert_eq!(cells("pool  "), "1,000 100 B 1.00 MiB 3,000 300 B 1.00 MiB");
}

#[test]
fn a_main_process_without_statistics_is_told_with_the_reason_and_the_kernels_figures() {
    let text = stderr(&ends_with(&mut work(&["_exit", "2"]), 2));
    fits_one_screen(&text);
    has(
        &text,
        &[
            "exit status 2",
            "The main process left no statistics",
            "_exit",
            "--lib must be an aloof",
        ],
    );
    has(line(&text, "peak RSS"), &["MiB (from the kernel"]);
    assert_eq!(line(&text, "processes"), "1 seen, 0 with statistics");

    let output = output(&mut work(&["signal", "9"]));
    has(
        &stderr(&output),
        &[
            "killed by signal 9 (SIGKILL)",
            "signal 9 (SIGKILL) came before it could",
        ],
    );

    let still = compiled("worker.c", "worker-static", &["-static"]);
    let text = stderr(&ends_with(&mut work(&["exec", still.to_str().unwrap()]), 0));
    has(
        &text,
        &[
            "left no statistics",
            "become (exec) a program that cannot run\non aloof",
        ],
    );
}

#[test]
fn an_exec_into_another_dynamic_program_keeps_the_statistics() {
    let text = stderr(&ends_with(&mut work(&["exec", "/bin/true"]), 0));
    has(&text, &["program    /bin/true (process "]);
    assert_eq!(line(&text, "processes"), "1 seen, 1 with statistics");
}

#[test]
fn children_are_shown_when_the_main_process_left_nothing() {
    let script = "\"$1\" exit 0; \"$1\" exit 0; kill -KILL $$";
    let mut command = run(["--stats", "--lib"]);
    command
        .arg(fake_library())
        .args(["--", "sh", "-c", script, "sh"])
        .arg(worker());
    let text = stderr(&output(&mut command));
    fits_one_screen(&text);
    has(&text, &["2 without it", "3 seen, 2 with statistics"]);
    assert!(!text.contains("must be an aloof"), "{text}");
}

#[test]
fn unusable_files_are_named_and_the_rest_still_shown() {
    let text = stderr(&ends_with(work(&["exit", "0"]).env("FAKE_STATS", "cut"), 0));
    fits_one_screen(&text);
    has(&text, &["note: ", ".stats unusable: cut off"]);
    assert_eq!(
        line(&text, "processes"),
        "1 seen, 0 with statistics, 1 with unusable ones"
    );
    has(line(&text, "peak RSS"), &["(from the kernel"]);
    assert!(!text.contains("left no statistics"), "{text}");

    let text = stderr(&ends_with(
        work(&["exit", "0"]).env("FAKE_STATS", "number"),
        0,
    ));
    has(&text, &["peak_rss_bytes is \"1234five\", not a number"]);

    let text = stderr(&ends_with(&mut work(&["fifo", "exit", "0"]), 0));
    fits_one_screen(&text);
    has(
        &text,
        &["note: 1.stats unusable: not a regular file", "main process"],
    );
    assert_eq!(
        line(&text, "processes"),
        "2 seen, 1 with statistics, 1 with unusable ones"
    );
}

#[test]
fn the_worst_cases_still_fit_one_screen() {
    let damage = "for n in 1 2 3 4; do echo x > \"$ALOOF_STATS_DIR/$n.stats\"; done;";
    let with_main = format!("{damage} exec \"$1\" fork exit 0");
    let without = format!("{damage} \"$1\" exit 0; \"$1\" exit 0; exec \"$1\" _exit 0");
    for (script, column) in [(with_main, "all 2"), (without, "2 without it")] {
        let mut command = run(["--stats", "--lib"]);
        command
            .arg(fake_library())
            .args(["--", "bash", "-c", &script, "bash"])
            .arg(worker());
        let text = stderr(&ends_with(&mut command, 0));
        fits_one_screen(&text);
        has(
            &text,
            &["note: 1.stats", "note: 3 more files unusable", column],
        );
    }
}

#[test]
fn text_of_the_program_cannot_drive_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("odd\u{1b}[2J");
    copy_program(worker(), &odd);
    let mut command = run(["--stats", "--lib"]);
    let text = stderr(&ends_with(
        command.arg(fake_library()).arg("--").arg(odd),
        0,
    ));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn nothing_stays_in_the_temporary_directory() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [["exit", "0"], ["_exit", "1"], ["signal", "15"]] {
        let output = output(work(&arguments).env("TMPDIR", directory.path()));
        has(&stderr(&output), &["aloof: "]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
