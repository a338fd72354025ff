//! The command from end to end, on allocators that work and on ones that do not.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The library of `faulty.rs`.
fn faulty() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        let library = dir.join("libfaulty.so");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faulty.rs");
        let status = Command::new(rustc)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "cdylib",
                "-O",
                "-C",
                "panic=abort",
            ])
            .arg(source)
            .arg("-o")
            .arg(&library)
            .status()
            .unwrap();
        assert!(status.success(), "the faulty allocator does not compile");
        library
    })
}

fn bench(args: &[&str], fault: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aloof-bench"));
    command
        .args(args)
        .env_remove("FAULT")
        .env_remove("LD_PRELOAD");
    if let Some(fault) = fault {
        command.env("FAULT", fault);
    }
    command.output().unwrap()
}

/// Runs two workloads on glibc and on the faulty allocator; gives the exit status and the JSON.
fn compare(fault: Option<&str>) -> (Option<i32>, Value) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("rows.json");
    let peers = format!("glibc,faulty={}", faulty().display());
    let output = bench(
        &[
            "--suite",
            "small",
            "--quick",
            "--runs",
            "2",
            "--without-aloof",
            "--no-install",
            "--only",
            "in order 64,producer",
            "--peers",
            &peers,
            "--json",
            json.to_str().unwrap(),
        ],
        fault,
    );
    let text = std::fs::read_to_string(&json).unwrap_or_else(|_| {
        panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

fn row<'a>(report: &'a Value, workload: &str, allocator: &str) -> &'a Value {
    report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["workload"] == workload && row["allocator"] == allocator)
        .expect("every measurement has a row")
}

#[test]
fn working_allocators_are_measured_and_compared() {
    let (status, report) = compare(None);
    assert_eq!(status, Some(0));
    assert_eq!(report["rows"].as_array().unwrap().len(), 4);
    for row in report["rows"].as_array().unwrap() {
        assert_eq!(row["failed"], false, "{row}");
        assert_eq!(row["runs"], 2);
        assert!(row["seconds"].as_f64().unwrap() > 0.0);
        assert!(row["ns_per_op"].as_f64().unwrap() > 0.0);
        assert!(row["peak_rss_bytes"].as_u64().unwrap() > 1 << 19);
        assert!(row["end_rss_bytes"].as_u64().unwrap() > 1 << 19);
        assert!(row["time_ratio"].as_f64().unwrap() > 0.0);
    }
    // It never reuses a block: it must be seen to take more memory.
    let ratio = row(&report, "in order 64", "faulty")["rss_ratio"]
        .as_f64()
        .unwrap();
    assert!(ratio < 0.7, "{ratio}");
    let means = report["geomeans"].as_array().unwrap();
    assert_eq!(means.len(), 1);
    assert_eq!(
        (&means[0]["workloads"], &means[0]["failed"]),
        (&2.into(), &0.into())
    );
    for key in ["kernel", "glibc", "rustc", "processor"] {
        assert!(
            !report["machine"][key].as_str().unwrap().is_empty(),
            "{key}"
        );
    }
}

#[test]
fn an_allocator_that_hands_out_overlapping_blocks_is_marked_failed() {
    let (status, report) = compare(Some("overlap"));
    assert_eq!(status, Some(1));
    let bad = row(&report, "in order 64", "faulty");
    assert_eq!(bad["failed"], true);
    let error = bad["error"].as_str().unwrap();
    assert!(error.contains("no longer held what was written"), "{error}");
    assert!(bad["time_ratio"].is_null());
    assert_eq!(bad["samples"], serde_json::json!([null, null]));
    assert_eq!(row(&report, "in order 64", "glibc")["failed"], false);
    assert_eq!(report["geomeans"][0]["failed"], 1);
}

#[test]
fn an_allocator_that_dies_is_marked_failed_with_its_signal() {
    let (status, report) = compare(Some("die"));
    assert_eq!(status, Some(1));
    let error = row(&report, "in order 64", "faulty")["error"]
        .as_str()
        .unwrap();
    assert!(error.contains("signal 6"), "{error}");
}

#[test]
fn an_allocator_that_refuses_is_marked_failed() {
    let (status, report) = compare(Some("null"));
    assert_eq!(status, Some(1));
    let error = row(&report, "in order 64", "faulty")["error"]
        .as_str()
        .unwrap();
    assert!(error.contains("returned null"), "{error}");
}

#[test]
fn a_library_without_malloc_is_not_mistaken_for_an_allocator() {
    let peers = "glibc,other=/lib/x86_64-linux-gnu/libm.so.6";
    let output = bench(
        &[
            "--suite",
            "small",
            "--quick",
            "--without-aloof",
            "--only",
            "in order 64",
            "--peers",
            peers,
        ],
        None,
    );
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("FAILED") && text.contains("malloc came from"),
        "{text}"
    );
}

#[test]
fn the_report_holds_plots_and_needs_nothing_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let html = dir.path().join("report.html");
    let peers = format!("glibc,faulty={}", faulty().display());
    let output = bench(
        &[
            "--suite",
            "small",
            "--quick",
            "--without-aloof",
            "--threads",
            "1,2",
            "--only",
            "in order 64,in order 1024,random",
            "--peers",
            &peers,
            "--html",
            html.to_str().unwrap(),
        ],
        None,
    );
    assert!(output.status.success(), "{output:?}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("<circle") && page.contains("<polyline"));
    assert!(page.contains("Scaling over threads"));
    for outside in ["http://", "https://", "src=", "<link", "@import"] {
        assert!(!page.contains(outside), "the page asks for {outside}");
    }
}

#[test]
fn misuse_is_told_with_a_status_of_its_own() {
    for args in [
        &["--runs", "0"][..],
        &["--suite", "everything"],
        &["--suite", "small", "--peers", "nobody", "--without-aloof"],
        &["--suite", "small", "--aloof-lib", "/nowhere/lib.so"],
        &[
            "--suite",
            "small",
            "--without-aloof",
            "--peers",
            "glibc",
            "--only",
            "no such workload",
        ],
        &["gate", "--aloof-lib", "/nowhere/lib.so"],
        // Known before anything is measured.
        &["--suite", "small", "--json", "/nowhere/run.json"],
        &["--suite", "small", "--html", "/nowhere/run.html"],
        &["--suite", "small", "--peers", "glibc=/bin/true"],
        &[
            "--suite",
            "rust",
            "--without-aloof",
            "--peers",
            "own=/bin/true",
        ],
        &["--from", "/nowhere/run.json", "--processor-time"],
    ] {
        let output = bench(args, None);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}
