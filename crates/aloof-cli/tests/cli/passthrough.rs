//! What passes through aloof untouched: status, input and output, what is inherited.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::support::{
    ALOOF, all_ways, clean, ends_with, executable, fed, has, output, run, stderr, stdout, worker,
};

#[test]
fn the_exit_status_is_that_of_the_program() {
    for way in all_ways() {
        for status in [0, 1, 3, 255] {
            ends_with(
                run(&way).arg(worker()).args(["exit", &status.to_string()]),
                status,
            );
        }
    }
}

#[test]
fn a_death_by_signal_is_a_death_by_the_same_signal() {
    for way in all_ways() {
        for signal in [
            libc::SIGKILL,
            libc::SIGTERM,
            libc::SIGSEGV,
            libc::SIGABRT,
            libc::SIGUSR1,
            libc::SIGCHLD,
        ] {
            let output = output(
                run(&way)
                    .arg(worker())
                    .args(["signal", &signal.to_string()]),
            );
            let expected = if signal == libc::SIGCHLD {
                None
            } else {
                Some(signal)
            };
            assert_eq!(
                output.status.signal(),
                expected,
                "{way:?} {signal}: {}",
                stderr(&output)
            );
        }
        let worker = worker();
        let script = "\"$@\"; echo $?";
        let output = ends_with(
            clean("sh")
                .args(["-c", script, "sh", ALOOF, "run"])
                .args(&way)
                .arg(worker)
                .args(["signal", "15"]),
            0,
        );
        assert_eq!(stdout(&output), "143\n");
    }
}

#[test]
fn a_program_that_dies_leaves_no_second_core_dump() {
    let directory = tempfile::tempdir().unwrap();
    let limits = "ulimit -c unlimited; exec \"$@\"";
    let output = output(clean("sh").current_dir(directory.path()).args([
        "-c",
        limits,
        "sh",
        ALOOF,
        "run",
        "--stats",
        "sh",
        "-c",
        "ulimit -c 0; kill -SEGV $$",
    ]));
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGSEGV),
        "{}",
        stderr(&output)
    );
    assert!(!output.status.core_dumped());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn input_and_output_pass_byte_for_byte() {
    let mut state = 1_u64;
    let input: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(3_000_001)
    .collect();
    for way in all_ways() {
        let output = fed(run(&way).arg("cat"), input.clone());
        assert!(output.status.success());
        assert!(
            output.stdout == input,
            "{way:?}: {} bytes came back",
            output.stdout.len()
        );
    }
    let output = fed(
        run(["--", "sh", "-c", "cat >&2"]).env("FAKE_STATS", "none"),
        input.clone(),
    );
    assert!(
        output.stderr == input,
        "{} bytes on stderr",
        output.stderr.len()
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn the_summary_goes_to_stderr_only_and_without_stats_nothing_is_added() {
    let plain = ends_with(&mut run(["sh", "-c", "echo out; echo err >&2"]), 0);
    assert_eq!(
        (stdout(&plain), stderr(&plain)),
        ("out\n".to_owned(), "err\n".to_owned())
    );
    let stats = ends_with(
        &mut run(["--stats", "sh", "-c", "echo out; echo err >&2"]),
        0,
    );
    assert_eq!(stdout(&stats), "out\n");
    has(&stderr(&stats), &["err\naloof: sh: exit status 0\n"]);
}

#[test]
fn a_closed_stderr_changes_no_exit_status() {
    let worker = worker().display().to_string();
    for (arguments, status) in [
        (["--stats", &worker, "exit", "3"], 3),
        (["--", "no-such-program", "", ""], 127),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = run(arguments).stderr(writer).status().unwrap();
        assert_eq!(ended.code(), Some(status), "{ended}");
    }
}

/// Runs a script that starts `"$@"` in an odd state, first plain and then on aloof in both ways: all must print the same.
#[track_caller]
fn same_as_without(script: &str, program: &[&str]) {
    let plain = output(clean("sh").args(["-c", script, "sh"]).args(program));
    assert!(!plain.stdout.is_empty(), "{script}: {}", stderr(&plain));
    for way in all_ways() {
        let output = output(
            clean("sh")
                .args(["-c", script, "sh", ALOOF, "run"])
                .args(&way)
                .args(program),
        );
        assert_eq!(
            stdout(&output),
            stdout(&plain),
            "{way:?} {script}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn ignored_and_blocked_signals_are_inherited_as_they_were() {
    let masks = ["grep", "^Sig[BI]", "/proc/self/status"];
    same_as_without("exec \"$@\"", &masks);
    same_as_without("exec env --ignore-signal=PIPE,HUP,CHLD,TSTP \"$@\"", &masks);
    same_as_without(
        "exec env --block-signal=USR1,TERM,CHLD,WINCH \"$@\"",
        &masks,
    );
}

#[test]
fn closed_descriptors_stay_closed_and_open_ones_open() {
    // The shell's own `exec` keeps the first from being lent to anything else.
    let list = [
        "sh",
        "-c",
        "for n in 0 1 2 7; do [ -e /proc/$$/fd/$n ] && echo $n >&9; done; true",
    ];
    same_as_without("exec 9>&1 7</dev/null; exec \"$@\" <&-", &list);
    same_as_without("exec 9>&1; exec \"$@\" >&- 7>&-", &list);
}

#[test]
fn limits_directory_and_environment_are_inherited_as_they_were() {
    let print = [
        "sh",
        "-c",
        "ulimit -n; ulimit -c; umask; pwd; env | grep -v -e ^LD_PRELOAD -e ^ALOOF_ -e ^_=; nice",
    ];
    same_as_without(
        "ulimit -n 77; ulimit -c 0; umask 031; cd /usr; A=b C= exec \"$@\"",
        &print,
    );
}

#[test]
fn text_without_a_first_line_for_the_kernel_runs_in_the_shell() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    executable(&text, "echo \"$0 $1 $LD_PRELOAD\"\n");
    for way in all_ways() {
        let output = stdout(&ends_with(run(&way).arg(&text).arg("one"), 0));
        has(&output, &[&format!("{} one /", text.display()), ".so"]);
    }
}
