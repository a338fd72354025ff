//! The tables at the end of a run.

use crate::record::{Report, Row};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write;

/// Everything a reader wants to see on a terminal.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let m = &report.machine;
    let _ = writeln!(
        text,
        "{}, {} cores, {:.1} GiB, {}, {}, glibc {}, {}, huge pages {}, free memory {}",
        m.processor,
        m.cores,
        m.memory_bytes as f64 / (1u64 << 30) as f64,
        m.kernel,
        m.system,
        m.glibc,
        m.rustc,
        m.huge_pages,
        m.free_memory
    );
    for allocator in &report.allocators {
        let _ = writeln!(text, "  {:14} {}", allocator.name, allocator.version);
    }
    if let Some(cut) = report.cut_short() {
        let _ = writeln!(text, "{cut}");
    }
    let mut suites: Vec<&str> = report.rows.iter().map(|row| row.suite.as_str()).collect();
    suites.dedup();
    for suite in suites {
        suite_tables(report, suite, &mut text);
    }
    let failed: Vec<&Row> = report.rows.iter().filter(|row| row.failed).collect();
    if !failed.is_empty() {
        let _ = writeln!(text, "\nFAILED");
        for row in failed {
            let _ = writeln!(
                text,
                "  {} {} x{} on {}: {}",
                row.suite,
                row.workload,
                row.threads,
                row.allocator,
                row.error.as_deref().unwrap_or("unknown")
            );
        }
    }
    text
}

fn suite_tables(report: &Report, suite: &str, text: &mut String) {
    let subject = &report.allocators[0].name;
    let runs = report.runs();
    let _ = writeln!(
        text,
        "\n{suite}: {} time of {subject}, and its ratio to each peer (below 1: {subject} is faster; median of {runs}, +- quartile distance, or measured once)",
        report.clock
    );
    let spread = |row: &Row, spread| row.spread_text(spread, |percent| format!("+-{percent:.0}%"));
    let time = |row: &Row| match row.time_ratio {
        Some(ratio) => format!("{ratio:.2} {}", spread(row, row.time_ratio_spread)),
        None => "-".into(),
    };
    let own_time = |row: &Row| match row.ns_per_op {
        Some(ns) => format!("{ns:.1} ns/op {}", spread(row, row.spread)),
        None => format!("{:.3} s {}", row.seconds, spread(row, row.spread)),
    };
    let time_mean = |g: &crate::record::Geomean| g.time;
    let _ = writeln!(text, "{}", table(report, suite, own_time, time, time_mean));
    let _ = writeln!(
        text,
        "\n{suite}: peak resident memory of {subject} (after the load), and its ratio to each peer (below 1: {subject} is leaner)"
    );
    let rss = |row: &Row| {
        row.rss_ratio
            .map_or("-".into(), |ratio| format!("{ratio:.2}"))
    };
    let own_rss = |row: &Row| match row.end_rss_bytes {
        0 => mib(row.peak_rss_bytes),
        end => format!("{} ({})", mib(row.peak_rss_bytes), mib(end)),
    };
    let rss_mean = |g: &crate::record::Geomean| g.rss;
    let _ = writeln!(text, "{}", table(report, suite, own_rss, rss, rss_mean));
}

fn table(
    report: &Report,
    suite: &str,
    own: impl Fn(&Row) -> String,
    ratio: impl Fn(&Row) -> String,
    mean: impl Fn(&crate::record::Geomean) -> Option<f64>,
) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    let rows: Vec<&Row> = report
        .rows
        .iter()
        .filter(|row| row.suite == suite)
        .collect();
    let mut names: Vec<String> = rows.iter().map(|row| row.allocator.clone()).collect();
    let first = names[0].clone();
    let taking_part = 1 + names
        .iter()
        .skip(1)
        .take_while(|name| **name != first)
        .count();
    names.truncate(taking_part);
    let mut header = vec!["workload".to_owned(), "threads".to_owned()];
    header.extend(names);
    table.set_header(header);
    for line in rows.chunks(taking_part) {
        let mut cells = vec![line[0].workload.clone(), line[0].threads.to_string()];
        for (i, row) in line.iter().enumerate() {
            cells.push(match (row.failed, i) {
                (true, _) => "FAILED".into(),
                (false, 0) => own(row),
                (false, _) => ratio(row),
            });
        }
        table.add_row(aligned(cells));
    }
    let mut cells = vec!["geomean".to_owned(), String::new(), String::new()];
    for geomean in report.geomeans.iter().filter(|g| g.suite == suite) {
        let mut cell = mean(geomean).map_or("-".into(), |value| format!("{value:.3}"));
        if geomean.failed > 0 {
            let _ = write!(cell, " ({} failed)", geomean.failed);
        }
        cells.push(cell);
    }
    table.add_row(aligned(cells));
    table
}

fn aligned(cells: Vec<String>) -> Vec<Cell> {
    cells
        .into_iter()
        .enumerate()
        .map(|(i, text)| {
            let side = if i == 0 {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            };
            Cell::new(text).set_alignment(side)
        })
        .collect()
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::record::AllocatorNote;

    /// A report on `aloof`, `glibc` and `before`, where `before` takes part in the first suite only.
    fn report() -> Report {
        let row = |suite: &str, workload: &str, allocator: &str, ratio: f64| Row {
            suite: suite.into(),
            workload: workload.into(),
            allocator: allocator.into(),
            time_ratio: Some(ratio),
            rss_ratio: Some(ratio),
            ..Row::default()
        };
        let mut rows = Vec::new();
        for workload in ["first", "second"] {
            rows.push(row("classic", workload, "aloof", 1.0));
            rows.push(row("classic", workload, "glibc", 0.25));
            rows.push(row("classic", workload, "before", 0.75));
        }
        for workload in ["third", "fourth", "fifth"] {
            rows.push(row("rust", workload, "aloof", 1.0));
            rows.push(row("rust", workload, "glibc", 0.5));
        }
        Report {
            started_unix: 0,
            elapsed_seconds: 0.0,
            clock: "wall".into(),
            command: String::new(),
            machine: Machine::here(),
            allocators: ["aloof", "glibc", "before"]
                .map(|name| AllocatorNote {
                    name: name.into(),
                    version: String::new(),
                })
                .into(),
            rows,
            geomeans: Vec::new(),
            passes_done: 0,
            passes_planned: 0,
        }
    }

    #[test]
    fn what_was_measured_once_has_no_spread_and_a_run_cut_short_says_so() {
        let mut report = report();
        assert!(!render(&report).contains("cut short"));
        (report.passes_done, report.passes_planned) = (1, 3);
        let whole = |rows: &mut Vec<Row>, runs| rows.iter_mut().for_each(|row| row.runs = runs);
        whole(&mut report.rows, 1);
        let text = render(&report);
        assert!(
            text.contains("0.25 once") && !text.contains("+-0%"),
            "{text}"
        );
        assert!(text.contains("cut short: 1 pass of 3"), "{text}");
        report.passes_done = 3;
        whole(&mut report.rows, 3);
        let text = render(&report);
        assert!(
            text.contains("0.25 +-0%") && !text.contains("cut short"),
            "{text}"
        );
    }

    #[test]
    fn a_suite_in_which_not_all_take_part_has_its_ratios_in_their_columns() {
        let text = render(&report());
        for (workload, ratio) in [
            ("first", "0.25"),
            ("second", "0.25"),
            ("third", "0.50"),
            ("fourth", "0.50"),
            ("fifth", "0.50"),
        ] {
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| line.trim_start().starts_with(workload))
                .collect();
            assert_eq!(lines.len(), 2, "{workload} in {text}");
            for line in lines {
                assert!(line.contains(ratio), "{line}");
                let of_before = workload == "first" || workload == "second";
                assert_eq!(line.contains("0.75"), of_before, "{line}");
                assert!(!line.contains("1.00"), "{line}");
            }
        }
    }
}
