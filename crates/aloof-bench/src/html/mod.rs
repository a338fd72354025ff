//! The report as one HTML file that needs nothing else: tables, inline SVG plots, a few lines of
//! script that light up one allocator.

mod plots;
mod svg;

use crate::record::{Report, Row};
use std::fmt::Write;
use svg::{escape, short};

/// The whole page.
pub fn render(report: &Report) -> String {
    let palette = Palette::new(report);
    let subject = &report.allocators[0].name;
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(
        page,
        "<title>{subject}: benchmark</title><style>{}</style></head><body>",
        include_str!("style.css")
    );
    head(report, &mut page);
    palette.legend(report, &mut page);
    summary(report, &mut page);
    let mut suites: Vec<&str> = report.rows.iter().map(|row| row.suite.as_str()).collect();
    suites.dedup();
    for suite in suites {
        section(report, suite, &palette, &mut page);
    }
    let _ = write!(page, "<script>{SCRIPT}</script></body></html>");
    page
}

/// Hovering over a name in the legend dims every other allocator.
const SCRIPT: &str = "for (const item of document.querySelectorAll('.legend span')) {\
  const others = () => document.querySelectorAll('svg circle:not(.' + item.dataset.class + '), svg polyline:not(.' + item.dataset.class + ')');\
  item.onmouseenter = () => others().forEach(e => e.classList.add('dim'));\
  item.onmouseleave = () => others().forEach(e => e.classList.remove('dim'));\
}";

fn head(report: &Report, page: &mut String) {
    let m = &report.machine;
    let subject = &report.allocators[0].name;
    let runs = report.runs();
    let _ = write!(
        page,
        "<h1>{} against its peers</h1><p class=\"note\">{} (UTC), {} cores of {}, {:.1} GiB, {}, {}, glibc {}, {}, transparent huge pages {}, free memory {}. \
         Runs of everything: {runs}, allocators in turn, a fresh process each; {} min in all. Command: <code>{}</code></p>",
        escape(subject),
        crate::record::utc_date(report.started_unix),
        m.cores,
        escape(&m.processor),
        m.memory_bytes as f64 / (1u64 << 30) as f64,
        escape(&m.kernel),
        escape(&m.system),
        escape(&m.glibc),
        escape(&m.rustc),
        escape(&m.huge_pages),
        escape(&m.free_memory),
        (report.elapsed_seconds / 60.0).ceil(),
        escape(&report.command),
    );
    if let Some(cut) = report.cut_short() {
        let _ = write!(page, "<p class=\"failed\">{cut}</p>");
    }
    let failed: Vec<&Row> = report.rows.iter().filter(|row| row.failed).collect();
    if !failed.is_empty() {
        let _ = write!(
            page,
            "<p class=\"failed\">{} failed measurements:</p><ul class=\"failed\">",
            failed.len()
        );
        for row in failed {
            let _ = write!(
                page,
                "<li>{} {} ×{} on {}: {}</li>",
                escape(&row.suite),
                escape(&row.workload),
                row.threads,
                escape(&row.allocator),
                escape(row.error.as_deref().unwrap_or("unknown"))
            );
        }
        page.push_str("</ul>");
    }
}

fn summary(report: &Report, page: &mut String) {
    let subject = escape(&report.allocators[0].name);
    let mut suites: Vec<&str> = report.geomeans.iter().map(|g| g.suite.as_str()).collect();
    suites.dedup();
    let _ = write!(
        page,
        "<h2>Summary</h2><p class=\"note\">Geometric means of {subject}'s ratio to each peer: below 1, {subject} is faster or leaner. \
         A ratio of times is the median over runs made next to each other, one of memory that of the medians.</p><div class=\"scroll\"><table><tr><th>peer</th><th>version</th>"
    );
    for suite in suites.iter().map(|suite| escape(suite)) {
        let _ = write!(page, "<th>{suite}, time</th><th>{suite}, memory</th>");
    }
    page.push_str("</tr>");
    for peer in &report.allocators[1..] {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td>",
            escape(&peer.name),
            escape(&peer.version)
        );
        for suite in &suites {
            let found = report
                .geomeans
                .iter()
                .find(|g| g.suite == *suite && g.against == peer.name);
            for value in [found.and_then(|g| g.time), found.and_then(|g| g.rss)] {
                let class = match value {
                    Some(v) if v <= 1.0 => "good",
                    Some(_) => "bad",
                    None => "",
                };
                let text = value.map_or("–".into(), |v| format!("{v:.3}"));
                let _ = write!(page, "<td class=\"{class}\">{text}</td>");
            }
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}

fn section(report: &Report, suite: &str, palette: &Palette, page: &mut String) {
    let (subject, title) = (escape(&report.allocators[0].name), escape(suite));
    let _ = write!(
        page,
        "<h2>{title}</h2><h3>Time ({}): {subject} / peer</h3><p class=\"note\">One dot a peer; left of 1 {subject} is faster.</p>{}",
        escape(&report.clock),
        plots::ratios(report, suite, palette, |row| row.time_ratio)
    );
    let _ = write!(
        page,
        "<h3>Peak resident memory: {subject} / peer</h3>{}",
        plots::ratios(report, suite, palette, |row| row.rss_ratio)
    );
    let scaling = plots::scaling(report, suite, palette);
    if !scaling.is_empty() {
        let _ = write!(
            page,
            "<h3>Scaling over threads</h3><p class=\"note\">The same amount of work on more threads; lower is better.</p><div class=\"charts\">{scaling}</div>"
        );
    }
    let memory = plots::memory(report, suite, palette);
    if !memory.is_empty() {
        let _ = write!(
            page,
            "<h3>Memory over time</h3><p class=\"note\">Resident memory in the first run, until the process ended; the harness's own tables included.</p><div class=\"charts\">{memory}</div>"
        );
    }
    table(report, suite, page);
}

fn table(report: &Report, suite: &str, page: &mut String) {
    let _ = write!(
        page,
        "<details><summary>All figures of {}</summary><div class=\"scroll\"><table>",
        escape(suite)
    );
    page.push_str("<tr><th>workload</th><th>threads</th><th>allocator</th><th>seconds</th><th>spread</th><th>ns a pair</th><th>user s</th><th>system s</th><th>page faults</th><th>peak MiB</th><th>end MiB</th><th>time ratio</th></tr>");
    let mib = |bytes: u64| short(bytes as f64 / f64::from(1 << 20));
    for row in report.rows.iter().filter(|row| row.suite == suite) {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td>",
            escape(&row.workload),
            row.threads,
            escape(&row.allocator)
        );
        if row.failed {
            page.push_str("<td class=\"bad\">failed</td></tr>");
            continue;
        }
        let _ = write!(
            page,
            "<td>{:.4}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            row.seconds,
            row.spread_text(row.spread, |percent| format!("{percent:.1} %")),
            row.ns_per_op.map_or(String::new(), short),
            row.user_seconds,
            row.system_seconds,
            row.page_faults,
            mib(row.peak_rss_bytes),
            if row.end_rss_bytes > 0 {
                mib(row.end_rss_bytes)
            } else {
                String::new()
            },
            row.time_ratio.map_or(String::new(), |v| format!("{v:.3}")),
        );
    }
    page.push_str("</table></div></details>");
}

/// The rows of a suite, grouped by workload and thread count; in each group the allocators in
/// their order.
fn suite_lines<'a>(report: &'a Report, suite: &str) -> Vec<Vec<&'a Row>> {
    let mut lines: Vec<Vec<&Row>> = Vec::new();
    for row in report.rows.iter().filter(|row| row.suite == suite) {
        match lines.last_mut() {
            Some(line) if line[0].workload == row.workload && line[0].threads == row.threads => {
                line.push(row);
            }
            _ => lines.push(vec![row]),
        }
    }
    lines
}

/// A colour for each allocator.
pub struct Palette(Vec<String>);

impl Palette {
    const COLORS: [&'static str; 13] = [
        "#d4273e", "#4a5563", "#1f77b4", "#7fb4dd", "#2a9d58", "#f08c00", "#8e44ad", "#17a2a2",
        "#a0612b", "#93c47d", "#e06ca8", "#b5a31c", "#5560c8",
    ];

    fn new(report: &Report) -> Self {
        Palette(report.allocators.iter().map(|a| a.name.clone()).collect())
    }

    fn place(&self, allocator: &str) -> usize {
        self.0
            .iter()
            .position(|name| name == allocator)
            .unwrap_or(0)
    }

    fn color(&self, allocator: &str) -> &'static str {
        Self::COLORS[self.place(allocator) % Self::COLORS.len()]
    }

    fn class(&self, allocator: &str) -> String {
        format!("a{}", self.place(allocator))
    }

    fn legend(&self, report: &Report, page: &mut String) {
        page.push_str("<div class=\"legend\">");
        for allocator in &report.allocators {
            let _ = write!(
                page,
                "<span data-class=\"{}\"><i style=\"background:{}\"></i>{}</span>",
                self.class(&allocator.name),
                self.color(&allocator.name),
                escape(&allocator.name)
            );
        }
        page.push_str("</div>");
    }
}
