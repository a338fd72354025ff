//! Signals and job control while aloof stands between the shell and the program (`--stats`, `--watch`).

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{ALOOF, Watch, clean, compiled, ended, fake_library, has, stdout};
use crate::terminal::{Processors, Terminal};

/// `aloof run --stats --watch` of a program, its output in a pipe.
fn beside(program: &Path, arguments: &[&str]) -> Command {
    let mut command = crate::support::run(["--stats", "--watch", "--lib"]);
    // Lines instead of a chart where standard error is a terminal.
    command.env("TERM", "dumb");
    command
        .arg(fake_library())
        .arg("--")
        .arg(program)
        .args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: kill takes any numbers; the child is not yet waited for, so the process number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// Starts a shell that says when it is ready.
fn shell(script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    started(&mut beside(Path::new("sh"), &["-c", script]))
}

fn started(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    // A shell cannot trap what it finds ignored, as `nohup` and background jobs of scripts leave some.
    // SAFETY: only `signal` is called, which may be between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    // In the group of these tests the kernel might ignore a stop, if nobody above it could continue it.
    let mut child = command.process_group(0).spawn().unwrap();
    let _watch = Watch::over(&child);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

fn rest(mut output: impl Read) -> String {
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_signal_sent_to_aloof_reaches_the_program() {
    for (signal, name) in [
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGCONT, "CONT"),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.02; done"
        );
        let (child, output) = shell(&script);
        kill(&child, signal);
        let end = ended(child);
        assert_eq!(rest(output), format!("got {name}\n"));
        assert_eq!(end.status.code(), Some(7), "{name}");
        has(
            &String::from_utf8_lossy(&end.stderr),
            &["aloof: sh: exit status 7"],
        );
    }
}

#[test]
fn a_signal_the_program_does_not_catch_ends_both() {
    use std::os::unix::process::ExitStatusExt;
    let (child, _output) = shell("echo ready; exec sleep 60");
    kill(&child, libc::SIGTERM);
    let end = ended(child);
    assert_eq!(end.status.signal(), Some(libc::SIGTERM));
    has(
        &String::from_utf8_lossy(&end.stderr),
        &["killed by signal 15 (SIGTERM)"],
    );
}

#[test]
fn a_signal_from_the_program_to_its_parent_does_not_come_back() {
    let (child, output) = shell(
        "trap 'echo echoed' USR1 TERM; echo ready; kill -USR1 $PPID; kill -TERM $PPID; sleep 0.3; echo done; exit 5",
    );
    let end = ended(child);
    assert_eq!(
        (rest(output).as_str(), end.status.code()),
        ("done\n", Some(5))
    );
}

#[test]
fn an_ignored_sigchld_does_not_keep_aloof_from_seeing_the_end() {
    let mut command = beside(Path::new("sh"), &["-c", "exit 6"]);
    // SAFETY: signal is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        });
    }
    let end = ended(command.spawn().unwrap());
    assert_eq!(
        end.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&end.stderr)
    );
}

#[test]
fn children_that_aloof_did_not_start_do_not_confuse_it() {
    // The shell becomes aloof, which so has a child that ends first.
    let fake = fake_library();
    let mut command = clean("sh");
    command
        .args([
            "-c",
            "sleep 0.1 & exec \"$@\"",
            "sh",
            ALOOF,
            "run",
            "--stats",
            "--lib",
        ])
        .arg(fake)
        .args(["--", "sh", "-c", "sleep 0.4; echo late; exit 9"]);
    let end = ended(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert_eq!(
        (stdout(&end).as_str(), end.status.code()),
        ("late\n", Some(9))
    );
}

#[test]
fn a_key_of_the_terminal_signals_the_program_once() {
    let counter = compiled("counter.c", "counter", &[]);
    for key in ["\x03", "\x1c"] {
        let mut terminal = Terminal::of(beside(&counter, &[]), Processors::All);
        terminal.shows("ready");
        for count in 1..=8 {
            terminal.press(key);
            terminal.shows(&format!("got {count}"));
        }
        terminal.shows("count 8");
        terminal.shows("exit status 0");
        assert!(ended(terminal.child).status.success());
    }
}

#[test]
fn a_signal_sent_by_a_process_arrives_once() {
    let counter = compiled("counter.c", "counter", &[]);
    for signal in [libc::SIGINT, libc::SIGUSR1] {
        let (child, output) = started(&mut beside(&counter, &[]));
        kill(&child, signal);
        assert!(ended(child).status.success());
        assert_eq!(rest(output), "got 1\ncount 1\n");
    }
}

#[test]
fn the_job_stops_and_continues_as_a_whole() {
    const ROUNDS: u32 = 12;
    let jobs = compiled("jobs.c", "jobs", &[]);
    let script = format!(
        "echo ready; for n in $(seq {ROUNDS}); do read word; echo read $word; done; exit 4"
    );
    let mut command = clean(jobs);
    command
        .args([ALOOF, "run", "--stats", "--lib"])
        .arg(fake_library())
        .args(["--", "sh", "-c", &script]);
    let mut terminal = Terminal::of(command, Processors::One);
    terminal.shows("ready");
    for round in 0..ROUNDS {
        // A stop that comes before aloof has run again after the last one stops it without its doing, perhaps before the
        // program, which may then take a key that was meant for the shell.
        let aloof = only_child(terminal.child.id());
        assert!(eventually(|| state(aloof) == 'S'), "aloof does not sleep");
        terminal.press("\x1a");
        terminal.shows(&format!("stopped {}", libc::SIGTSTP));
        // One line for the shell, one for the program.
        terminal.press(&format!("continue\nword{round}\n"));
        terminal.shows(&format!("read word{round}"));
    }
    terminal.shows("ended 4");
    assert!(ended(terminal.child).status.success());
}

#[test]
fn a_stop_sent_to_aloof_alone_stops_the_program_and_a_continue_to_aloof_alone_continues_it() {
    let script = "echo ready; while :; do echo tick; sleep 0.02; done";
    let mut command = beside(Path::new("sh"), &["-c", script]);
    let (child, output) = started(&mut command);
    let program = only_child(child.id());
    let become_state = |wanted: &[char]| {
        eventually(|| wanted.contains(&state(child.id())) && wanted.contains(&state(program)))
    };
    for _ in 0..3 {
        kill(&child, libc::SIGTSTP);
        assert!(
            become_state(&['T']),
            "aloof {} program {}",
            state(child.id()),
            state(program)
        );
        kill(&child, libc::SIGCONT);
        assert!(
            become_state(&['S', 'R']),
            "aloof {} program {}",
            state(child.id()),
            state(program)
        );
    }
    drop(output);
    kill(&child, libc::SIGTERM);
    ended(child);
}

fn only_child(parent: u32) -> u32 {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap();
    children.trim().parse().unwrap()
}

/// The letter by which the kernel tells what a process does.
fn state(process: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

/// Whether it holds within some seconds.
fn eventually(holds: impl Fn() -> bool) -> bool {
    for _ in 0..1000 {
        if holds() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    false
}
