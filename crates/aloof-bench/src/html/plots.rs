//! The plots: ratios by workload, scaling over threads, memory over time.

use super::svg::{Scale, escape, label, line, short};
use super::{Palette, suite_lines};
use crate::record::{Report, Row};
use std::fmt::Write;

const WIDTH: f64 = 1040.0;
const LABELS: f64 = 260.0;
const ROW: f64 = 19.0;

/// One row a workload, one dot a peer, on a logarithmic axis with a line at 1.
pub fn ratios(
    report: &Report,
    suite: &str,
    palette: &Palette,
    ratio: fn(&Row) -> Option<f64>,
) -> String {
    let lines = suite_lines(report, suite);
    let values = || {
        lines
            .iter()
            .flat_map(|l| l[1..].iter().filter_map(|r| ratio(r)))
    };
    let low = values().fold(0.5, f64::min).max(0.02) * 0.9;
    let high = values().fold(2.0, f64::max).min(50.0) * 1.1;
    let x = Scale::log(low, high, LABELS, WIDTH - 20.0);
    let bottom = ROW * lines.len() as f64 + 4.0;
    let mut out = format!(
        "<svg width=\"{WIDTH}\" height=\"{}\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\">",
        bottom + 22.0,
        bottom + 22.0
    );
    for (i, _) in lines.iter().enumerate().step_by(2) {
        let _ = write!(
            out,
            "<rect class=\"stripe\" x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"{ROW}\"/>",
            i as f64 * ROW
        );
    }
    for tick in x.ticks() {
        let class = if tick == 1.0 { "one" } else { "grid" };
        line(&mut out, (x.at(tick), 0.0), (x.at(tick), bottom), class);
        label(
            &mut out,
            x.at(tick),
            bottom + 14.0,
            "middle",
            "soft",
            &short(tick),
        );
    }
    for (i, rows) in lines.iter().enumerate() {
        let y = i as f64 * ROW + ROW / 2.0;
        let failed = rows.iter().any(|row| row.failed);
        let class = if failed { "failed" } else { "" };
        let name = workload_name(rows[0], failed);
        label(&mut out, LABELS - 12.0, y + 4.0, "end", class, &name);
        for row in &rows[1..] {
            let Some(value) = ratio(row) else { continue };
            let _ = write!(
                out,
                "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.2\" fill=\"{}\" fill-opacity=\".85\"><title>{}: {} {}</title></circle>",
                palette.class(&row.allocator),
                x.at(value),
                palette.color(&row.allocator),
                escape(&name),
                escape(&row.allocator),
                short(value)
            );
        }
    }
    out.push_str("</svg>");
    out
}

fn workload_name(row: &Row, failed: bool) -> String {
    let threads = match row.threads {
        1 => String::new(),
        n => format!(" ×{n}"),
    };
    let failed = if failed { " (failed)" } else { "" };
    format!("{}{threads}{failed}", row.workload)
}

/// A small chart for each workload that ran with several thread counts.
pub fn scaling(report: &Report, suite: &str, palette: &Palette) -> String {
    let lines = suite_lines(report, suite);
    let mut names: Vec<&str> = lines.iter().map(|l| l[0].workload.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = String::new();
    for name in names {
        let of_name: Vec<_> = lines.iter().filter(|l| l[0].workload == name).collect();
        if of_name.len() < 2 {
            continue;
        }
        let cost = |row: &Row| row.ns_per_op.unwrap_or(row.seconds * 1e3);
        let unit = if of_name[0][0].ns_per_op.is_some() {
            "ns a pair"
        } else {
            "ms"
        };
        let series: Vec<Series> = (0..of_name[0].len())
            .map(|i| Series {
                allocator: &of_name[0][i].allocator,
                points: of_name
                    .iter()
                    .enumerate()
                    .filter(|(_, l)| !l[i].failed)
                    .map(|(at, l)| (at as f64, cost(l[i])))
                    .collect(),
            })
            .collect();
        let marks = of_name
            .iter()
            .enumerate()
            .map(|(at, l)| (at as f64, l[0].threads.to_string()))
            .collect();
        out.push_str(&chart(
            name,
            &series,
            palette,
            Axis::Marks(marks),
            "threads",
            unit,
        ));
    }
    out
}

/// A small chart for each workload that ran long enough to be sampled.
pub fn memory(report: &Report, suite: &str, palette: &Palette) -> String {
    let mut out = String::new();
    for rows in suite_lines(report, suite) {
        if rows.iter().all(|row| row.memory.len() < 5) {
            continue;
        }
        let series: Vec<Series> = rows
            .iter()
            .map(|row| Series {
                allocator: &row.allocator,
                points: thinned(&row.memory),
            })
            .collect();
        let name = workload_name(rows[0], false);
        out.push_str(&chart(&name, &series, palette, Axis::Linear, "ms", "MiB"));
    }
    out
}

/// At most about a hundred points, the highest of each stretch.
fn thinned(memory: &[(u32, u64)]) -> Vec<(f64, f64)> {
    memory
        .chunks(memory.len().div_ceil(100).max(1))
        .filter_map(|stretch| stretch.iter().max_by_key(|(_, bytes)| *bytes))
        .map(|&(ms, bytes)| (f64::from(ms), bytes as f64 / f64::from(1 << 20)))
        .collect()
}

struct Series<'a> {
    allocator: &'a str,
    points: Vec<(f64, f64)>,
}

enum Axis {
    Linear,
    Marks(Vec<(f64, String)>),
}

fn chart(
    title: &str,
    series: &[Series],
    palette: &Palette,
    axis: Axis,
    x_unit: &str,
    y_unit: &str,
) -> String {
    let (width, height, left, top, bottom) = (330.0, 190.0, 46.0, 30.0, 160.0);
    let points = || series.iter().flat_map(|s| &s.points);
    let highest = points().fold(0.0, |m: f64, p| m.max(p.1));
    let widest = points().fold(0.0, |m: f64, p| m.max(p.0));
    let x = Scale::linear(0.0, widest, left, width - 14.0);
    let y = Scale::linear(0.0, highest * 1.05, bottom, top);
    let mut out = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">"
    );
    let heading = format!("{title}, {y_unit}");
    label(&mut out, left, 12.0, "start", "", &heading);
    for tick in y.ticks() {
        line(
            &mut out,
            (left, y.at(tick)),
            (width - 14.0, y.at(tick)),
            "grid",
        );
        label(
            &mut out,
            left - 6.0,
            y.at(tick) + 4.0,
            "end",
            "soft",
            &short(tick),
        );
    }
    let marks = match axis {
        Axis::Linear => x.ticks().into_iter().map(|t| (t, short(t))).collect(),
        Axis::Marks(marks) => marks,
    };
    for (at, text) in marks {
        label(&mut out, x.at(at), bottom + 14.0, "middle", "soft", &text);
    }
    label(&mut out, width - 14.0, bottom + 27.0, "end", "soft", x_unit);
    // The first allocator is drawn last, on top.
    for s in series.iter().rev() {
        let path: Vec<String> = s
            .points
            .iter()
            .map(|p| format!("{:.1},{:.1}", x.at(p.0), y.at(p.1)))
            .collect();
        let _ = write!(
            out,
            "<polyline class=\"{}\" stroke=\"{}\" points=\"{}\"><title>{}</title></polyline>",
            palette.class(s.allocator),
            palette.color(s.allocator),
            path.join(" "),
            escape(s.allocator)
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::thinned;

    #[test]
    fn thinning_keeps_the_peak() {
        let mut memory: Vec<(u32, u64)> = (0..1000).map(|ms| (ms, 1 << 20)).collect();
        memory[503].1 = 9 << 20;
        let points = thinned(&memory);
        assert!(points.len() <= 100);
        assert!(points.contains(&(503.0, 9.0)));
        assert!(thinned(&[]).is_empty());
    }
}
