//! The chart at the bottom of the terminal.
//!
//! The rows above are made the scrolling region, so what the program writes scrolls there and never meets the chart.
//! Each drawing is one write that saves the cursor and puts it back. Nothing is asked of the terminal: the answer would
//! land in the program's input. Nothing is drawn while another process group has the terminal, nor while it is not in
//! line mode: then a program is drawing by itself.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp, tcgetwinsize};

use super::chart::{self, Style};
use super::history::History;

/// Lines of the chart in a window with room for it.
const LINES: u16 = 12;
/// The size of a terminal that does not tell.
const USUAL: Window = Window {
    rows: 24,
    columns: 80,
};
/// The least window that is divided.
const LEAST: Window = Window {
    rows: 6,
    columns: 20,
};

const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
/// Ends the scrolling region; the cursor goes home.
const WHOLE_WINDOW: &str = "\x1b[r";
const CLEAR_BELOW: &str = "\x1b[J";
/// A line down, scrolling at the end, in the same column. The terminal driver does not translate it.
const DOWN: char = '\x0b';

#[derive(Clone, Copy, PartialEq)]
struct Window {
    rows: u16,
    columns: u16,
}

impl Window {
    fn now() -> Self {
        match tcgetwinsize(stderr()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Self {
                rows: size.ws_row,
                columns: size.ws_col,
            },
            _ => USUAL,
        }
    }

    fn has_room(self) -> bool {
        self.rows >= LEAST.rows && self.columns >= LEAST.columns
    }

    /// At most half of the rows.
    fn chart_lines(self) -> u16 {
        LINES.min(self.rows / 2)
    }

    fn program_lines(self) -> u16 {
        self.rows - self.chart_lines()
    }

    /// The last column stays free: a character there may move the cursor.
    fn chart_columns(self) -> usize {
        usize::from(self.columns) - 1
    }
}

/// Standard error, when it is a terminal that understands.
pub struct Terminal {
    style: Style,
    /// The window as it is divided now.
    divided: Option<Window>,
}

impl Terminal {
    /// None when standard error is something else.
    pub fn new() -> Option<Self> {
        let kind = std::env::var_os("TERM").filter(|kind| !kind.is_empty())?;
        if !stderr().is_terminal() || kind == "dumb" {
            return None;
        }
        Some(Self {
            style: Style {
                colour: !is_set("NO_COLOR"),
                // The console of the kernel has no font for braille.
                braille: kind != "linux" && speaks_utf_8(),
            },
            divided: None,
        })
    }

    /// Draws, unless the terminal is somebody else's or does not take more now.
    pub fn draw(&mut self, history: &History, title: &str) {
        let window = Window::now();
        if !is_ours() {
            return;
        }
        let mut text = String::new();
        if self.divided != Some(window) {
            if self.divided.take().is_some() {
                text += &(SAVE.to_owned() + WHOLE_WINDOW + RESTORE);
            }
            if window.has_room() {
                make_room(&mut text, window);
                self.divided = Some(window);
            }
        }
        if let Some(window) = self.divided {
            let height = window.chart_lines().into();
            let lines = chart::lines(history, title, window.chart_columns(), height, self.style);
            text += SAVE;
            // Again, because a program may have changed the region.
            let _ = write!(text, "\x1b[1;{}r", window.program_lines());
            for (row, line) in (window.program_lines() + 1..).zip(lines) {
                let _ = write!(text, "\x1b[{row};1H\x1b[m\x1b[2K{line}");
            }
            text += RESTORE;
        }
        put(&text);
    }

    /// Gives the whole window back.
    pub fn clear(&mut self) {
        if let Some(window) = self.divided.take() {
            let first = window.program_lines() + 1;
            put(&format!(
                "{SAVE}\x1b[{first};1H\x1b[m{CLEAR_BELOW}{WHOLE_WINDOW}{RESTORE}"
            ));
        }
    }

    /// The chart as text that stays, to be written at the beginning of a line.
    pub fn last(&self, history: &History, title: &str) -> String {
        let window = Window::now();
        if !window.has_room() {
            return String::new();
        }
        // If the program left the cursor within a line, the blanks bring it to the next.
        let mut text = format!("{:1$}\r\x1b[K", "", window.columns.into());
        let height = window.chart_lines().into();
        for line in chart::lines(history, title, window.chart_columns(), height, self.style) {
            text += &line;
            text.push('\n');
        }
        text
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Moves what is on the screen up as far as needed.
fn make_room(text: &mut String, window: Window) {
    let lines = window.chart_lines();
    text.extend(std::iter::repeat_n(DOWN, lines.into()));
    let _ = write!(text, "\x1b[{lines}A");
}

fn is_ours() -> bool {
    let stderr = stderr();
    // A terminal that does not control this session has no groups.
    let in_front = tcgetpgrp(&stderr).map_or(true, |group| group == getpgrp());
    let in_line_mode = tcgetattr(&stderr).is_ok_and(|t| t.local_modes.contains(LocalModes::ICANON));
    in_front && in_line_mode && takes_more()
}

/// Whether standard error can be written without waiting for who reads it: signals must be passed on meanwhile.
pub fn takes_more() -> bool {
    let stderr = stderr();
    let mut writable = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut writable, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn put(text: &str) {
    // One write: what the program writes meanwhile comes before or after it. Whoever closed stderr does not want it.
    let _ = stderr().write_all(text.as_bytes());
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn speaks_utf_8() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os);
    let locale = variables
        .into_iter()
        .flatten()
        .find(|value: &OsString| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
