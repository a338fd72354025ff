//! The chart as lines of text: resident memory as a line, live bytes as the area below.

use std::time::Duration;

use crate::human;

use super::history::{History, Sample};
use super::scale::Scale;

/// Width of the labels at the left, as in `1000 MiB`.
const LABEL: usize = 8;
/// The least height with a plot; below it only the figures are told.
const LEAST: usize = 6;
/// Dots of a cell, across and down.
const DOTS: (usize, usize) = (2, 4);
/// The bit of each dot in a braille character, by row and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub colour: bool,
    pub braille: bool,
}

/// What a piece of text is about.
#[derive(Clone, Copy, PartialEq)]
enum Ink {
    Plain,
    Quiet,
    Rss,
    Live,
}

type Pieces = Vec<(Ink, String)>;

/// The lines, none wider than `width`: title, figures and, if there is room, the plot with its axes.
pub fn lines(
    history: &History,
    title: &str,
    width: usize,
    height: usize,
    style: Style,
) -> Vec<String> {
    let mut lines = vec![figures(history, style)];
    if height > 1 {
        lines.insert(0, head(history, title, width));
    }
    if height >= LEAST && width >= 2 * LABEL {
        plot(&mut lines, history, width, height - 2, style);
    }
    lines
        .iter()
        .map(|line| painted(line, width, style))
        .collect()
}

/// The title, cut so that the time and the number of processes stay in sight.
fn head(history: &History, title: &str, width: usize) -> Pieces {
    let processes = processes(history.last.processes);
    let right = format!("  {}  {processes}", seconds(history.elapsed));
    let room = width.saturating_sub(right.len());
    // Wide characters would push the rest over the edge.
    let narrow = title.chars().map(|c| if c < '\u{1100}' { c } else { '?' });
    let mut shown: String = narrow.clone().take(room).collect();
    if narrow.count() > room {
        shown = shown.chars().take(room.saturating_sub(3)).collect();
        shown.push_str("...");
    }
    vec![(Ink::Plain, format!("{shown:room$}")), (Ink::Quiet, right)]
}

fn processes(number: u32) -> String {
    match number {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    }
}

fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        human::duration(span)
    }
}

/// Now and peak of both; the marks are the legend of the plot.
fn figures(history: &History, style: Style) -> Pieces {
    let (line, area) = if style.braille {
        ("⠒⠒ ", "⣿⣿ ")
    } else {
        ("** ", ":: ")
    };
    let now_and_peak =
        |now: u64, peak: u64| format!("{} (peak {})", human::bytes(now), human::bytes(peak));
    let rss = now_and_peak(history.last.rss, history.rss.bytes);
    let mut pieces = vec![
        (Ink::Rss, format!("{line}RSS ")),
        (Ink::Plain, format!("{rss}   ")),
    ];
    match history.live {
        None => pieces.push((Ink::Quiet, "live bytes unknown".to_owned())),
        Some(peak) => {
            let now = history.last.figures.unwrap_or_default().live;
            pieces.push((Ink::Live, format!("{area}live ")));
            pieces.push((Ink::Plain, now_and_peak(now, peak.bytes)));
        }
    }
    pieces
}

fn plot(lines: &mut Vec<Pieces>, history: &History, width: usize, height: usize, style: Style) {
    let (columns, rows) = (width - LABEL - 1, height - 1);
    let scale = Scale::bytes(history.largest(), (rows as u32 / 2).clamp(1, 5));
    let time = Scale::time(history.elapsed, (columns as u32 / 12).clamp(1, 8));
    let mut labels = vec![None; rows];
    for (value, label) in scale.ticks() {
        labels[rows - 1 - position(value, scale.end, rows)] =
            Some(format!("{label} {}", scale.unit));
    }
    let canvas = Canvas::of(history, columns, rows, scale.end);
    let (axis, tick) = if style.braille {
        ("│", "┤")
    } else {
        ("|", "+")
    };
    for (row, label) in labels.into_iter().enumerate() {
        let (label, edge) = label.map_or((String::new(), axis), |label| (label, tick));
        let mut line = vec![(Ink::Quiet, format!("{label:>LABEL$}{edge}"))];
        for column in 0..columns {
            let (ink, mark) = canvas.cell(column, row, style);
            match line.last_mut() {
                Some((last, text)) if *last == ink => text.push(mark),
                _ => line.push((ink, mark.to_string())),
            }
        }
        lines.push(line);
    }
    lines.push(vec![(Ink::Quiet, time_axis(&time, columns))]);
}

/// Labels under the plot, each beginning below its tick; the last is moved in if it would be cut off.
fn time_axis(time: &Scale, columns: usize) -> String {
    let end = LABEL + 1 + columns;
    let mut text = " ".repeat(LABEL + 1);
    for (value, label) in time.ticks() {
        let label = format!("{label} {}", time.unit);
        let tick = LABEL + 1 + position(value, time.end, columns);
        let at = tick.min(end.saturating_sub(label.len()));
        if text.len() <= at {
            text = format!("{text:at$}{label} ");
        }
    }
    text
}

/// Which of so many places a value has.
fn position(value: f64, end: f64, places: usize) -> usize {
    let last = places.saturating_sub(1);
    ((value / end * last as f64).round() as usize).min(last)
}

/// Dots of the line and of the area, by cell.
struct Canvas {
    columns: usize,
    line: Vec<u8>,
    area: Vec<u8>,
}

impl Canvas {
    fn of(history: &History, columns: usize, rows: usize, end: f64) -> Self {
        let mut canvas = Self {
            columns,
            line: vec![0; columns * rows],
            area: vec![0; columns * rows],
        };
        let (across, down) = (columns * DOTS.0, rows * DOTS.1);
        let height = |bytes: u64| position(bytes as f64, end, down);
        let mut before = None;
        for (x, sample) in spread(history, across).into_iter().enumerate() {
            let rss = height(sample.rss);
            let (low, high) = before.map_or((rss, rss), |b: usize| (b.min(rss), b.max(rss)));
            for y in low..=high {
                Self::dot(&mut canvas.line, columns, x, down - 1 - y);
            }
            for y in 0..sample.live.map_or(0, |live| height(live) + 1) {
                Self::dot(&mut canvas.area, columns, x, down - 1 - y);
            }
            before = Some(rss);
        }
        canvas
    }

    fn dot(cells: &mut [u8], columns: usize, x: usize, y: usize) {
        cells[y / DOTS.1 * columns + x / DOTS.0] |= BITS[y % DOTS.1][x % DOTS.0];
    }

    /// A cell has one colour: where the line passes, the area is left out.
    fn cell(&self, column: usize, row: usize, style: Style) -> (Ink, char) {
        let at = row * self.columns + column;
        let (ink, bits, ascii) = match (self.line[at], self.area[at]) {
            (0, 0) => return (Ink::Plain, ' '),
            (0, area) => (Ink::Live, area, ':'),
            (line, _) => (Ink::Rss, line, '*'),
        };
        let braille = char::from_u32(0x2800 + u32::from(bits));
        let mark = if style.braille {
            braille.unwrap_or(ascii)
        } else {
            ascii
        };
        (ink, mark)
    }
}

/// One sample for each of so many columns of dots: the largest of those that fall there, or the last before.
fn spread(history: &History, across: usize) -> Vec<Sample> {
    let samples = history.samples();
    let Some(&first) = samples.first() else {
        return Vec::new();
    };
    let end = history.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut rest = samples.iter().peekable();
    let mut last = first;
    (0..across)
        .map(|x| {
            let mut here: Option<Sample> = None;
            while let Some(sample) =
                rest.next_if(|sample| position(sample.at.as_secs_f64(), end, across) <= x)
            {
                last = *sample;
                let old = here.unwrap_or(last);
                here = Some(Sample {
                    at: last.at,
                    rss: last.rss.max(old.rss),
                    live: last.live.max(old.live),
                });
            }
            here.unwrap_or(last)
        })
        .collect()
}

/// The pieces as text, cut at the width.
fn painted(pieces: &Pieces, width: usize, style: Style) -> String {
    let mut text = String::new();
    let mut room = width;
    for (ink, piece) in pieces {
        let piece: String = piece.chars().take(room).collect();
        room -= piece.chars().count();
        let code = match ink {
            Ink::Plain => "",
            Ink::Quiet => "2",
            Ink::Rss => "35",
            Ink::Live => "36",
        };
        if style.colour && !code.is_empty() && !piece.is_empty() {
            text.push_str(&format!("\x1b[{code}m{piece}\x1b[m"));
        } else {
            text.push_str(&piece);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::super::processes::{Figures, Seen};
    use super::*;

    const ASCII: Style = Style {
        colour: false,
        braille: false,
    };
    const MIB: u64 = 1 << 20;

    /// RSS grows from 0 to 100 MiB in 10 s, with half of it live.
    fn ramp() -> History {
        let mut history = History::new();
        for n in 0..=100 {
            let figures = Figures {
                live: n * MIB / 2,
                committed: n * MIB,
            };
            let seen = Seen {
                processes: 1,
                rss: n * MIB,
                figures: Some(figures),
                ..Seen::default()
            };
            history.add(Duration::from_millis(n * 100), seen);
        }
        history
    }

    #[test]
    fn the_line_is_above_the_area_and_both_have_axes() {
        let expected = [
            "./app -x                                10.0 s  1 process",
            "** RSS 100 MiB (peak 100 MiB)   :: live 50.0 MiB (peak 50",
            " 100 MiB+                                       *********",
            "        |                             ***********",
            "  50 MiB+                   ***********       :::::::::::",
            "        |         ***********::::::::::::::::::::::::::::",
            "   0 MiB+**********::::::::::::::::::::::::::::::::::::::",
            "         0 s                     5 s                 10 s",
        ];
        assert_eq!(lines(&ramp(), "./app -x", 57, 8, ASCII), expected);
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_room() {
        for style in [
            ASCII,
            Style {
                colour: false,
                braille: true,
            },
        ] {
            for (width, height) in (1..100).flat_map(|w| (1..30).map(move |h| (w, h))) {
                for history in [ramp(), History::new()] {
                    let lines = lines(&history, &"word ".repeat(9), width, height, style);
                    assert!(lines.len() <= height, "{width} {height}");
                    let fits = |line: &String| line.chars().count() <= width;
                    assert!(lines.iter().all(fits), "{width} {height} {lines:#?}");
                }
            }
        }
    }

    #[test]
    fn a_spike_between_two_columns_is_drawn() {
        let mut history = History::new();
        for n in 0..4000 {
            let rss = if n == 2001 { 100 * MIB } else { MIB };
            let seen = Seen {
                processes: 2,
                rss,
                ..Seen::default()
            };
            history.add(Duration::from_millis(n), seen);
        }
        let lines = lines(&history, "x", 60, 10, ASCII);
        assert!(lines[2].contains('*'), "{lines:#?}");
        assert!(lines[0].ends_with("4.0 s  2 processes"), "{lines:#?}");
        assert!(lines[1].ends_with("live bytes unknown"), "{lines:#?}");
    }

    #[test]
    fn colours_end_where_the_text_ends() {
        let style = Style {
            colour: true,
            braille: true,
        };
        for line in lines(&ramp(), "x", 40, 12, style) {
            let (begun, ended) = (
                line.matches("\x1b[").count(),
                line.matches("\x1b[m").count(),
            );
            assert_eq!(begun, 2 * ended, "{line:?}");
        }
    }
}
