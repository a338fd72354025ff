//! What `--watch` and `--html` tell where standard error is no terminal.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{
    ALOOF, NOBODY, Watch, clean, ends_with, fake_library, grow, has, is_root, output, run,
    set_mode, stderr, stdout, worker,
};

/// `aloof run` with these options, of a program on the stand-in library.
fn watched(options: &[&str], program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = run(options);
    command
        .arg("--lib")
        .arg(fake_library())
        .arg("--")
        .arg(program.as_ref())
        .args(arguments);
    command
}

/// The size behind a label, in MiB.
#[track_caller]
fn mib(text: &str, label: &str) -> f64 {
    let rest = text
        .split_once(label)
        .unwrap_or_else(|| panic!("no {label:?} in:\n{text}"))
        .1;
    let mut words = rest.split_whitespace();
    let number: f64 = words.next().unwrap().parse().unwrap();
    match words.next().unwrap().trim_end_matches(')') {
        "MiB" => number,
        "KiB" => number / 1024.0,
        "B" => number / 1024.0 / 1024.0,
        unit => panic!("{unit:?} in:\n{text}"),
    }
}

#[track_caller]
fn lies_in(value: f64, range: RangeInclusive<f64>, text: &str) {
    assert!(
        range.contains(&value),
        "{value} is not in {range:?}:\n{text}"
    );
}

#[test]
fn a_line_a_second_tells_memory_now_and_its_peak() {
    let mut steps = ["20"; 9];
    steps[0] = "60";
    let output = ends_with(&mut watched(&["--watch"], grow(), &steps), 0);
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains(" s  RSS "))
        .collect();
    assert!(lines.len() >= 2, "{text}");
    let mut before = 0.0;
    for line in &lines {
        // Late on a busy machine, but never early.
        let time: f64 = line[6..]
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(time.floor() > before, "{text}");
        before = time.floor();
        lies_in(mib(line, "RSS "), 20.0..=30.0, &text);
        lies_in(mib(line, "(peak "), 60.0..=70.0, &text);
        has(line, &["live  10.0 MiB (peak  30.0 MiB)"]);
    }
    has(
        &text,
        &["aloof: grow: exit status 0\n", "\nlive peak  30.0 MiB at "],
    );
    lies_in(mib(&text, "RSS peak "), 60.0..=70.0, &text);
    assert!(
        !text.contains('\u{1b}') && !text.contains("unknown"),
        "{text:?}"
    );
}

#[test]
fn memory_of_all_descendants_is_summed() {
    let script = "\"$1\" 30 30 30 & \"$1\" fork 20 20 20 & wait";
    let mut command = watched(&["--watch"], "sh", &["-c", script, "sh"]);
    let text = stderr(&ends_with(command.arg(grow()), 0));
    lies_in(mib(&text, "RSS peak "), 50.0..=65.0, &text);
    has(
        &text,
        &["\nlive peak  25.0 MiB at ", " looks, up to 4 processes"],
    );
}

#[test]
fn descendants_are_found_behind_threads_and_when_their_parents_are_gone() {
    for kind in ["fork", "thread", "orphan"] {
        let text = stderr(&ends_with(
            &mut watched(&["--watch"], grow(), &[kind, "40"]),
            0,
        ));
        lies_in(
            mib(&text, "RSS peak "),
            40.0..=50.0,
            &format!("{kind}\n{text}"),
        );
        has(&text, &["\nlive peak  20.0 MiB at "]);
    }
}

#[test]
fn live_bytes_that_nobody_tells_are_said_to_be_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    let mut command = watched(
        &["--html", page.to_str().unwrap()],
        grow(),
        &["20", "20", "20", "20"],
    );
    let text = stderr(&ends_with(command.env("FAKE_LIVE", "none"), 0));
    has(&text, &["  live unknown\n"]);
    assert_eq!(text.matches("Live bytes are unknown").count(), 1, "{text}");
    let page = fs::read_to_string(page).unwrap();
    has(
        &page,
        &["Live bytes are unknown", "class=\"line rss\" points"],
    );
    assert!(!page.contains("class=\"line live\""), "{page}");
}

#[test]
fn the_embedded_library_tells_its_live_bytes() {
    let mut command = run([
        "--watch",
        "--",
        "sh",
        "-c",
        "(echo b; sleep 0.3; echo a) | sort -S 20M",
    ]);
    let output = ends_with(&mut command, 0);
    assert_eq!(stdout(&output), "a\nb\n");
    let text = stderr(&output);
    has(&text, &["aloof: sh: exit status 0\n", "RSS peak "]);
    // The buffer of sort, of which little is ever touched.
    lies_in(mib(&text, "live peak "), 19.0..=30.0, &text);
}

#[test]
fn statistics_and_watching_go_together() {
    let text = stderr(&ends_with(
        &mut watched(&["--stats", "--watch"], worker(), &["exit", "3"]),
        3,
    ));
    has(
        &text,
        &[
            "aloof: worker: exit status 3\n",
            "RSS peak ",
            "1 seen, 1 with statistics",
        ],
    );
    assert_eq!(text.matches("exit status").count(), 1, "{text}");
}

#[test]
fn the_live_directory_is_private_set_for_watching_only_and_gone_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let show = "echo $ALOOF_LIVE_DIR; stat -c %a \"$ALOOF_LIVE_DIR\"; ls \"$ALOOF_LIVE_DIR\"";
    let mut command = watched(&["--watch"], "sh", &["-c", show]);
    command
        .env("TMPDIR", directory.path())
        .env("ALOOF_LIVE_DIR", "/inherited");
    let text = stdout(&ends_with(&mut command, 0));
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(directory.path().to_str().unwrap()),
        "{text}"
    );
    assert_eq!(lines[1], "700");
    assert!(lines[2].ends_with(".live"), "{text}");
    for arguments in [["_exit", "1"], ["signal", "9"]] {
        output(watched(&["--watch"], worker(), &arguments).env("TMPDIR", directory.path()));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let text = stdout(&ends_with(
        &mut watched(&["--stats"], "sh", &["-c", "echo $ALOOF_LIVE_DIR"]),
        0,
    ));
    assert_eq!(text.lines().next(), Some(""), "{text}");
}

#[test]
fn the_page_stands_alone_and_shows_both_lines_with_units() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    // An older, longer one.
    fs::write(&page, "old".repeat(100_000)).unwrap();
    let options = ["--html", page.to_str().unwrap()];
    let script = "\"$1\" 40 20; exit 5 # <b> & \"";
    let mut command = watched(&options, "sh", &["-c", script, "sh"]);
    let output = ends_with(command.arg(grow()), 5);
    has(&stderr(&output), &["aloof: sh: exit status 5\n"]);
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"),
        "{page}"
    );
    has(
        &page,
        &[
            "<title>Memory of sh -c ",
            "exit 5 # &lt;b&gt; &amp; &quot;",
            "exit status 5 after ",
            ">time (ms)<",
            ">memory (MiB)<",
            ">resident memory (RSS)<",
            ">live bytes<",
            ">peak 20.0 MiB<",
            "<tr><th>Peak live bytes</th><td>20.0 MiB at ",
            "<tr><th>Peak committed memory</th><td>40.0 MiB at ",
        ],
    );
    for elsewhere in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!page.contains(elsewhere), "{elsewhere} in:\n{page}");
    }
    let rss = points(&page, "line rss");
    let live = points(&page, "line live");
    assert!(rss.len() > 20, "{page}");
    assert!(rss.windows(2).all(|two| two[0].0 <= two[1].0), "{rss:?}");
    let highest = |points: &[(f64, f64)]| points.iter().map(|p| p.1).fold(f64::MAX, f64::min);
    // The paper grows downwards; its zero is at 400.
    let (rss, live) = (400.0 - highest(&rss), 400.0 - highest(&live));
    lies_in(rss / live, 2.0..=2.3, &page);
}

/// The points of a line.
#[track_caller]
fn points(page: &str, class: &str) -> Vec<(f64, f64)> {
    let rest = page
        .split_once(&format!("class=\"{class}\" points=\""))
        .unwrap()
        .1;
    let points = rest.split_once('"').unwrap().0.split(' ');
    let point = |p: &str| {
        p.split_once(',')
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
    };
    points.map(|p| point(p).unwrap()).collect()
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_the_program_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (page, why) in [
        (path("none/page.html"), "its directory does not exist"),
        (path(""), "it is a directory"),
    ] {
        let output = ends_with(run(["--html", &page, "--", "touch"]).arg(path("ran")), 1);
        has(
            &stderr(&output),
            &["aloof: --html ", "cannot be written", why],
        );
    }
    if is_root() {
        set_mode(directory.path(), 0o755);
        let mut command = clean("setpriv");
        let user = format!("--reuid={NOBODY}");
        command.args([
            &user,
            "--clear-groups",
            ALOOF,
            "run",
            "--html",
            &path("page.html"),
            "--",
            "true",
        ]);
        let text = stderr(&ends_with(command.env_remove("XDG_CACHE_HOME"), 1));
        has(&text, &["page.html: cannot be written: Permission denied"]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn no_page_is_left_when_the_program_does_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    let mut command = run(["--html", page.to_str().unwrap(), "--", "true"]);
    let text = stderr(&ends_with(command.env("TMPDIR", "/nonexistent"), 1));
    has(&text, &["cannot make a temporary directory"]);
    ends_with(
        &mut run(["--html", page.to_str().unwrap(), "--", "./none"]),
        127,
    );
    assert!(!page.exists());
}

#[test]
fn a_page_lost_at_the_end_is_told_and_only_a_success_becomes_a_failure() {
    for (status, expected) in [("0", 1), ("4", 4)] {
        let mut command = watched(&["--html", "/dev/full"], worker(), &["exit", status]);
        let text = stderr(&ends_with(&mut command, expected));
        has(
            &text,
            &["aloof: cannot write the report /dev/full: No space left"],
        );
    }
}

#[test]
fn misuse_is_told() {
    for arguments in [
        &["--html"][..],
        &["--html", "--", "true"],
        &["--html", "page.html"],
        &["--html", "", "true"],
    ] {
        has(&stderr(&ends_with(&mut run(arguments), 2)), &["--help"]);
    }
}

#[test]
fn a_sleeping_reader_of_stderr_does_not_keep_signals_from_the_program() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: asks for the size of an open pipe.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
    writer.write_all(&vec![b'x'; size as usize]).unwrap();
    let script =
        "trap 'echo got; exit 7' TERM; sleep 1.3; echo ready; while :; do sleep 0.02; done";
    let mut command = watched(&["--watch"], "sh", &["-c", script]);
    command.stdout(Stdio::piped()).stderr(writer);
    let mut child = command.process_group(0).spawn().unwrap();
    drop(command);
    let _watch = Watch::over(&child);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    // SAFETY: the child is not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(lines.next().map(Result::unwrap).as_deref(), Some("got"));
    let rest = std::thread::spawn(move || std::io::read_to_string(&mut reader).unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    has(&rest.join().unwrap(), &["xaloof: sh: exit status 7\n"]);
}
