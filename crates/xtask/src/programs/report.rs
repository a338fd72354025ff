//! The table of real programs, for people and as JSON.

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::launch::Report;

/// What one run used.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub seconds: f64,
    pub user_seconds: f64,
    pub system_seconds: f64,
    pub peak_rss_bytes: u64,
}

impl Measured {
    pub fn of(report: &Report) -> Self {
        Self {
            seconds: report.seconds,
            user_seconds: report.user_seconds,
            system_seconds: report.system_seconds,
            peak_rss_bytes: report.peak_rss_bytes,
        }
    }
}

/// One program on both allocators.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    program: &'static str,
    pub glibc: Option<Measured>,
    pub aloof: Option<Measured>,
    /// Files and bytes that were compared and equal.
    pub files: usize,
    pub bytes: u64,
    pub failure: Option<String>,
}

impl Comparison {
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            glibc: None,
            aloof: None,
            files: 0,
            bytes: 0,
            failure: None,
        }
    }

    pub fn name(&self) -> &'static str {
        self.program
    }

    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// Of both runs together.
    pub fn seconds(&self) -> f64 {
        [&self.glibc, &self.aloof]
            .into_iter()
            .flatten()
            .map(|run| run.seconds)
            .sum()
    }

    /// Peak RSS against glibc's.
    fn rss_ratio(&self) -> Option<f64> {
        let (glibc, aloof) = (self.glibc.as_ref()?, self.aloof.as_ref()?);
        Some(aloof.peak_rss_bytes as f64 / glibc.peak_rss_bytes as f64)
    }

    /// One line while the others still run.
    pub fn line(&self) -> String {
        match &self.failure {
            None => format!("{}: {} bytes the same", self.program, self.bytes),
            Some(failure) => format!("{}: FAILED: {failure}", self.program),
        }
    }
}

/// The table, with the geometric mean of the ratios in its last row.
pub fn table(results: &[Comparison]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header([
        "program",
        "result",
        "bytes compared",
        "glibc s",
        "aloof s",
        "glibc peak MiB",
        "aloof peak MiB",
        "ratio",
    ]);
    for result in results {
        let number = |run: &Option<Measured>, of: fn(&Measured) -> f64| {
            run.as_ref().map_or("-".into(), |m| format!("{:.1}", of(m)))
        };
        let seconds = |m: &Measured| m.seconds;
        let peak = |m: &Measured| m.peak_rss_bytes as f64 / f64::from(1 << 20);
        table.add_row([
            result.program.to_string(),
            if result.passed() { "same" } else { "FAILED" }.into(),
            result.bytes.to_string(),
            number(&result.glibc, seconds),
            number(&result.aloof, seconds),
            number(&result.glibc, peak),
            number(&result.aloof, peak),
            result.rss_ratio().map_or("-".into(), |r| format!("{r:.2}")),
        ]);
    }
    if let Some(mean) = mean_ratio(results) {
        let mut row = vec![String::new(); 8];
        row[0] = "geometric mean".into();
        row[7] = format!("{mean:.2}");
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn mean_ratio(results: &[Comparison]) -> Option<f64> {
    let ratios: Vec<f64> = results.iter().filter_map(Comparison::rss_ratio).collect();
    if ratios.is_empty() {
        return None;
    }
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    Some((sum / ratios.len() as f64).exp())
}

/// The same as JSON.
pub fn json(library: &Path, results: &[Comparison]) -> Result<String> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        comparison: &'a Comparison,
        passed: bool,
        peak_rss_ratio: Option<f64>,
    }
    #[derive(Serialize)]
    struct Document<'a> {
        library: &'a Path,
        programs: Vec<Row<'a>>,
        peak_rss_ratio_geomean: Option<f64>,
    }
    let document = Document {
        library,
        programs: results
            .iter()
            .map(|comparison| Row {
                comparison,
                passed: comparison.passed(),
                peak_rss_ratio: comparison.rss_ratio(),
            })
            .collect(),
        peak_rss_ratio_geomean: mean_ratio(results),
    };
    serde_json::to_string_pretty(&document).context("cannot write the results as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_peaks(program: &'static str, glibc: u64, aloof: u64) -> Comparison {
        let measured = |peak_rss_bytes| {
            Some(Measured {
                seconds: 1.5,
                user_seconds: 1.0,
                system_seconds: 0.5,
                peak_rss_bytes,
            })
        };
        Comparison {
            glibc: measured(glibc),
            aloof: measured(aloof),
            ..Comparison::new(program)
        }
    }

    #[test]
    fn ratios_and_their_mean_are_against_glibc() {
        let results = [with_peaks("a", 100, 50), with_peaks("b", 100, 200)];
        assert_eq!(results[0].rss_ratio(), Some(0.5));
        assert!((mean_ratio(&results).expect("two ratios") - 1.0).abs() < 1e-9);
        assert_eq!(mean_ratio(&[Comparison::new("c")]), None);
    }

    #[test]
    fn a_failure_stands_in_the_line_the_table_and_the_json() {
        let mut failed = Comparison::new("a");
        failed.failure = Some("it broke".into());
        assert!(failed.line().contains("FAILED: it broke"));
        assert!(table(&[failed.clone()]).to_string().contains("FAILED"));
        let text = json(Path::new("/x.so"), &[failed]).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["programs"][0]["passed"], false);
        assert_eq!(value["programs"][0]["failure"], "it broke");
    }
}
