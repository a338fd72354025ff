//! The chart of `--watch` on a terminal.

use std::num::NonZero;
use std::path::Path;
use std::process::Command;

use crate::support::{ALOOF, clean, compiled, ended, ends_with, fake_library, grow, has, stderr};
use crate::terminal::{Processors, Terminal};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
/// The first row of the chart.
const CHART: usize = 12;

fn watched(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = clean(ALOOF);
    command.args(["run", "--watch", "--lib"]);
    command.arg(fake_library()).arg("--").arg(program.as_ref());
    command.args(arguments).env("TERM", "xterm");
    command
}

fn size(places: u16) -> NonZero<u16> {
    NonZero::new(places).unwrap()
}

/// A terminal and what it shows.
struct Screen {
    terminal: Terminal,
    shown: vt100::Parser,
}

impl Screen {
    fn of(command: Command) -> Self {
        Self {
            terminal: Terminal::sized(command, Processors::All, ROWS, COLUMNS),
            shown: vt100::Parser::new(size(ROWS), size(COLUMNS), 1000),
        }
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.terminal.resize(rows, columns);
        self.shown.screen_mut().set_size(size(rows), size(columns));
    }

    /// Shows more; false when all programs have ended.
    fn goes_on(&mut self) -> bool {
        let bytes = self.terminal.bytes();
        self.shown.process(&bytes);
        !bytes.is_empty()
    }

    fn rows(&self) -> Vec<String> {
        let columns = self.shown.screen().size().1.get();
        self.shown
            .screen()
            .rows(0, columns)
            .map(|row| row.trim_end().to_owned())
            .collect()
    }

    /// Shows more until this is so.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        while !is_so(&self.rows()) {
            assert!(
                self.goes_on(),
                "{what} never came:\n{}",
                self.rows().join("\n")
            );
        }
    }

    /// All rows from the first that left the screen to the last, when all programs have ended.
    fn everything(&mut self) -> Vec<String> {
        while self.goes_on() {}
        let screen = self.shown.screen_mut();
        screen.set_scrollback(usize::MAX);
        let mut rows = Vec::new();
        for back in (0..=screen.scrollback()).rev() {
            screen.set_scrollback(back);
            let mut shown = screen.rows(0, COLUMNS).map(|row| row.trim_end().to_owned());
            match back {
                0 => rows.extend(shown),
                _ => rows.extend(shown.next()),
            }
        }
        rows
    }
}

fn is_chart(row: &str) -> bool {
    row.contains("RSS ") && row.contains("(peak ")
}

#[test]
fn the_chart_stays_at_the_bottom_and_the_program_writes_above_it() {
    let script = "for n in $(seq 100 160); do echo line $n; sleep 0.02; done; printf 'no end'";
    let mut screen = Screen::of(watched("sh", &["-c", script]));
    screen.until("a chart below lines", |rows| {
        is_chart(&rows[CHART + 1]) && rows[..CHART].iter().any(|row| row == "line 120")
    });
    let rows = screen.rows();
    has(&rows[CHART], &["sh -c ", " s  ", "process"]);
    has(&rows[ROWS as usize - 1], &[" 0 ms"]);
    has(&rows[CHART + 2..].join("\n"), &["MiB┤", "│"]);
    assert!(
        rows[..CHART]
            .iter()
            .all(|row| row.is_empty() || row.starts_with("line ")),
        "{rows:#?}"
    );
    let rows = screen.everything();
    let lines: Vec<_> = rows.iter().filter(|row| row.starts_with("line ")).collect();
    let expected: Vec<_> = (100..=160).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected.iter().collect::<Vec<_>>(), "{rows:#?}");
    // The last chart stays, once, below what the program wrote.
    let end = rows.iter().position(|row| row == "no end").unwrap();
    assert_eq!(
        rows.iter().filter(|row| is_chart(row)).count(),
        1,
        "{rows:#?}"
    );
    assert!(is_chart(&rows[end + 2]), "{rows:#?}");
    assert!(
        rows.iter().any(|row| row == "aloof: sh: exit status 0"),
        "{rows:#?}"
    );
    assert!(ended(screen.terminal.child).status.success());
}

#[test]
fn a_program_that_takes_the_whole_window_back_does_not_get_to_the_chart_for_long() {
    let script = "sleep 0.2; printf '\\033[r'; sleep 0.4; seq -f 'line %.0f' 100 140; sleep 0.4";
    let mut screen = Screen::of(watched("sh", &["-c", script]));
    screen.until("the lines above the chart", |rows| {
        rows[..CHART].iter().any(|row| row == "line 140") && is_chart(&rows[CHART + 1])
    });
    screen.everything();
    ended(screen.terminal.child);
}

#[test]
fn what_was_on_the_screen_moves_up_and_nothing_is_lost() {
    let script = "seq 1 20; \"$@\"";
    let aloof = watched("sh", &["-c", "echo begin; sleep 0.4; echo end"]);
    let mut command = clean("sh");
    command
        .args(["-c", script, "sh"])
        .arg(aloof.get_program())
        .args(aloof.get_args())
        .env("TERM", "xterm");
    let rows = Screen::of(command).everything();
    let expected = (1..=20)
        .map(|n| n.to_string())
        .chain(["begin".to_owned(), "end".to_owned()]);
    let rows: Vec<_> = rows.into_iter().take(22).collect();
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn both_figures_are_drawn() {
    let mut screen = Screen::of(watched(grow(), &["80", "80", "80"]));
    screen.until("the figures", |rows| {
        rows[CHART + 1].contains("live 40.0 MiB (peak 40.0 MiB)")
    });
    screen.until("the area", |rows| rows[ROWS as usize - 3].contains("⣿⣿⣿"));
    has(&screen.rows()[CHART + 1], &["RSS 8", " MiB (peak 8"]);
    screen.everything();
    ended(screen.terminal.child);
}

#[test]
fn a_window_that_changes_gets_a_chart_that_fits() {
    let mut screen = Screen::of(watched("sh", &["-c", "sleep 0.5; echo word; sleep 1"]));
    screen.until("the chart", |rows| is_chart(&rows[CHART + 1]));
    screen.resize(16, 60);
    screen.until("the smaller chart", |rows| {
        is_chart(&rows[9]) && rows[15].contains("0 ")
    });
    screen.until("the word", |rows| rows[..8].iter().any(|row| row == "word"));
    screen.resize(4, 60);
    screen.everything();
    assert!(ended(screen.terminal.child).status.success());
}

#[test]
fn a_stopped_job_gives_the_whole_window_back_and_draws_again_later() {
    let mut command = clean(compiled("jobs.c", "jobs", &[]));
    let aloof = watched(
        "sh",
        &["-c", "echo ready; read word; echo got $word; sleep 0.3"],
    );
    command
        .arg(aloof.get_program())
        .args(aloof.get_args())
        .env("TERM", "xterm");
    let mut screen = Screen::of(command);
    screen.until("the chart", |rows| is_chart(&rows[CHART + 1]));
    screen.terminal.press("\x1a");
    screen.until("the stop", |rows| {
        rows.iter().any(|row| row.contains("stopped"))
    });
    let rows = screen.rows();
    assert!(!rows.iter().any(|row| is_chart(row)), "{rows:#?}");
    screen.terminal.press("continue\nthing\n");
    screen.until("the chart again", |rows| is_chart(&rows[CHART + 1]));
    let rows = screen.everything();
    assert!(
        rows.iter().any(|row| row.ends_with("got thing")),
        "{rows:#?}"
    );
    assert!(rows.iter().any(|row| row.ends_with("ended 0")), "{rows:#?}");
}

#[test]
fn nothing_is_drawn_over_a_program_that_draws_by_itself() {
    let script = "stty -icanon; sleep 0.2; echo begin; sleep 0.6; echo end; stty icanon; sleep 0.3";
    let mut terminal = Terminal::sized(
        watched("sh", &["-c", script]),
        Processors::All,
        ROWS,
        COLUMNS,
    );
    let mut bytes = Vec::new();
    loop {
        let more = terminal.bytes();
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
    }
    let text = String::from_utf8_lossy(&bytes);
    has(&text, &["begin\r\nend\r\n", "RSS "]);
    ended(terminal.child);
}

#[test]
fn a_terminal_that_understands_nothing_gets_lines() {
    for kind in ["dumb", ""] {
        let mut command = watched("sleep", &["1.3"]);
        command.env("TERM", kind);
        let rows = Screen::of(command).everything().join("\n");
        has(
            &rows,
            &["aloof:    1.", " s  RSS ", "aloof: sleep: exit status 0"],
        );
    }
}

#[test]
fn colours_and_braille_are_left_out_where_they_are_not_wanted() {
    let bytes = |variable: &str, value: &str| {
        let mut command = watched(grow(), &["30"]);
        command.env(variable, value);
        let mut terminal = Terminal::sized(command, Processors::All, ROWS, COLUMNS);
        let mut text = String::new();
        loop {
            let more = terminal.bytes();
            if more.is_empty() {
                return text;
            }
            text += &String::from_utf8_lossy(&more);
        }
    };
    let usual = bytes("LANG", "C.UTF-8");
    has(&usual, &["\x1b[35m", "\x1b[36m", "⣿"]);
    let plain = bytes("NO_COLOR", "1");
    assert!(
        !plain.contains("\x1b[35m") && plain.contains('⣿'),
        "{plain:?}"
    );
    let ascii = bytes("LANG", "C");
    assert!(
        ascii.is_ascii() && ascii.contains("\x1b[36m::"),
        "{ascii:?}"
    );
}

#[test]
fn a_pipe_gets_no_escape_sequences() {
    let output = ends_with(&mut watched("sleep", &["0.2"]), 0);
    assert!(!stderr(&output).contains('\x1b'));
}
