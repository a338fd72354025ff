//! The plot of the report: inline SVG.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::human;

use super::history::{History, Peak};
use super::scale::Scale;

/// Rules for the elements below.
pub const STYLE: &str = "\
svg { width: 100%; height: auto; display: block; font: 13px system-ui, sans-serif; fill: #4b5563; }
.grid { stroke: #e5e7eb; }
.axis { stroke: #9ca3af; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.rss { stroke: #c2410c; }
.live { stroke: #2563eb; }
.area { fill: #2563eb; fill-opacity: .15; }
.peak { stroke: #ffffff; stroke-width: 1.5; }
.rss-ink { fill: #c2410c; }
.live-ink { fill: #2563eb; }
.name { font-weight: 600; paint-order: stroke; stroke: #ffffff; stroke-width: 3; stroke-opacity: .7; }";

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 936.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 400.0;

/// Where values are on the paper.
struct Paper {
    time: Scale,
    bytes: Scale,
}

impl Paper {
    fn x(&self, at: Duration) -> f64 {
        self.x_of(at.as_secs_f64())
    }

    fn x_of(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.time.end).min(1.0)
    }

    fn y(&self, bytes: u64) -> f64 {
        self.y_of(bytes as f64)
    }

    fn y_of(&self, bytes: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * bytes / self.bytes.end
    }
}

/// Writes the plot.
pub fn write(out: &mut String, history: &History) -> fmt::Result {
    let paper = Paper {
        time: Scale::time(history.elapsed, 10),
        bytes: Scale::bytes(history.largest(), 6),
    };
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"resident memory and live bytes over time\">"
    )?;
    axes(out, &paper)?;
    series(out, history, &paper)?;
    legend(out, history.live.is_some())?;
    peak(out, &paper, "rss-ink", history.rss, -10.0)?;
    if let Some(live) = history.live {
        peak(out, &paper, "live-ink", live, 20.0)?;
    }
    writeln!(out, "</svg>")
}

fn axes(out: &mut String, paper: &Paper) -> fmt::Result {
    for (value, label) in paper.bytes.ticks() {
        let y = paper.y_of(value);
        let class = if value == 0.0 { "axis" } else { "grid" };
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            y + 4.5
        )?;
    }
    for (value, label) in paper.time.ticks() {
        let x = paper.x_of(value);
        writeln!(
            out,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            BOTTOM + 5.0,
            BOTTOM + 21.0
        )?;
    }
    let (middle_x, middle_y) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    writeln!(
        out,
        "<text class=\"name\" x=\"{middle_x}\" y=\"{:.1}\" text-anchor=\"middle\">time ({})</text>\n\
         <text class=\"name\" transform=\"translate(18 {middle_y}) rotate(-90)\" text-anchor=\"middle\">memory ({})</text>",
        BOTTOM + 46.0,
        paper.time.unit,
        paper.bytes.unit
    )
}

/// The lines. That of live bytes is broken where no process told them.
fn series(out: &mut String, history: &History, paper: &Paper) -> fmt::Result {
    let samples = history.samples();
    let told = samples.split(|sample| sample.live.is_none());
    for part in told.filter(|part| !part.is_empty()) {
        let points = part.iter().map(|s| (s.at, s.live.unwrap_or_default()));
        let points = points_of(paper, points);
        let ends = [part[0], part[part.len() - 1]].map(|sample| paper.x(sample.at));
        writeln!(
            out,
            "<polygon class=\"area\" points=\"{:.1},{BOTTOM} {points} {:.1},{BOTTOM}\"/>\n\
             <polyline class=\"line live\" points=\"{points}\"/>",
            ends[0], ends[1]
        )?;
    }
    let points = points_of(paper, samples.iter().map(|s| (s.at, s.rss)));
    writeln!(out, "<polyline class=\"line rss\" points=\"{points}\"/>")
}

fn points_of(paper: &Paper, values: impl Iterator<Item = (Duration, u64)>) -> String {
    let points = values.map(|(at, bytes)| format!("{:.1},{:.1}", paper.x(at), paper.y(bytes)));
    points.collect::<Vec<_>>().join(" ")
}

fn legend(out: &mut String, has_live: bool) -> fmt::Result {
    let mut x = LEFT;
    for (class, name, is_shown) in [
        ("rss", "resident memory (RSS)", true),
        ("live", "live bytes", has_live),
    ] {
        if is_shown {
            writeln!(
                out,
                "<line class=\"line {class}\" x1=\"{x}\" x2=\"{}\" y1=\"18\" y2=\"18\"/>\
                 <text x=\"{}\" y=\"22.5\">{name}</text>",
                x + 28.0,
                x + 36.0
            )?;
        }
        x += 220.0;
    }
    Ok(())
}

/// A dot at a peak, and its size beside it on the side with more room.
fn peak(out: &mut String, paper: &Paper, class: &str, peak: Peak, below: f64) -> fmt::Result {
    let (x, y) = (paper.x(peak.at), paper.y(peak.bytes));
    let (anchor, aside) = if x > (LEFT + RIGHT) / 2.0 {
        ("end", -4.0)
    } else {
        ("start", 4.0)
    };
    writeln!(
        out,
        "<circle class=\"peak {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>\
         <text class=\"name {class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">peak {}</text>",
        x + aside,
        y + below,
        human::bytes(peak.bytes)
    )
}
