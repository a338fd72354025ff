//! The redis server on the allocator under test, driven by redis-benchmark on the system's.

use super::programs::locate;
use crate::measure::{Figures, Sample};
use crate::watch::resident;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts a server, drives it with `requests` of each sort, and stops it.
pub fn run(requests: usize, preload: Option<&Path>, timeout: Duration) -> Sample {
    let mut memory = Vec::new();
    let outcome = serve(requests, preload, timeout, &mut memory);
    Sample { outcome, memory }
}

fn serve(
    requests: usize,
    preload: Option<&Path>,
    timeout: Duration,
    memory: &mut Vec<(u32, u64)>,
) -> Result<Figures, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let socket = dir.path().join("socket");
    let mut command = Command::new(program("redis-server")?);
    command
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
        ])
        .arg("--unixsocket")
        .arg(&socket)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match preload {
        Some(library) => command.env("LD_PRELOAD", library),
        // Distributions link the server with an allocator of their own choice: put the C
        // library's first again.
        None => command.env("LD_PRELOAD", "libc.so.6"),
    };
    let server = command
        .spawn()
        .map_err(|e| format!("cannot start redis-server: {e}"))?;
    let mut server = Server(server);
    let outcome = drive(&mut server, &socket, requests, preload, timeout, memory);
    drop(server);
    outcome
}

fn drive(
    server: &mut Server,
    socket: &Path,
    requests: usize,
    preload: Option<&Path>,
    timeout: Duration,
    memory: &mut Vec<(u32, u64)>,
) -> Result<Figures, String> {
    let deadline = Instant::now() + timeout;
    while ask(socket, &["ping"]).as_deref() != Ok("PONG") {
        if let Ok(Some(status)) = server.0.try_wait() {
            return Err(format!("redis-server ended with {status} at its start"));
        }
        if Instant::now() > deadline {
            return Err("redis-server did not answer".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let proc = format!("/proc/{}", server.0.id());
    if let Some(library) = preload {
        let maps = fs::read_to_string(format!("{proc}/maps")).unwrap_or_default();
        if !maps.contains(&*library.to_string_lossy()) {
            return Err("redis-server did not load the library".into());
        }
    }
    let before = Account::read(&proc)?;
    let started = Instant::now();
    let mut driver = Command::new("timeout")
        .arg(timeout.as_secs().to_string())
        .arg(program("redis-benchmark")?)
        .arg("-s")
        .arg(socket)
        .args(["-n", &requests.to_string(), "-r", "100000", "-d", "200"])
        .args(["-P", "16", "-c", "20", "-q"])
        .args(["-t", "set,get,incr,lpush,rpush,lpop,sadd,hset,zadd"])
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot start redis-benchmark: {e}"))?;
    let driven = loop {
        if let Some(status) = driver.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        let at = started.elapsed().as_millis() as u32;
        memory.extend(resident(server.0.id()).map(|bytes| (at, bytes)));
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = started.elapsed().as_secs_f64();
    if !driven.success() {
        return Err("redis-benchmark failed: the server may have died".into());
    }
    let after = Account::read(&proc)?;
    let keys: u64 = ask(socket, &["dbsize"])?.parse().unwrap_or(0);
    if keys == 0 {
        return Err("redis-server holds no keys after the run".into());
    }
    ask(socket, &["flushall", "sync"])?;
    let end = Account::read(&proc)?;
    let ticks = |n: u64| n as f64 / 100.0;
    Ok(Figures {
        seconds,
        ops: 0,
        user_seconds: ticks(after.user_ticks - before.user_ticks),
        system_seconds: ticks(after.system_ticks - before.system_ticks),
        page_faults: after.page_faults - before.page_faults,
        peak_rss_bytes: end.peak_rss,
        end_rss_bytes: end.rss,
    })
}

fn program(name: &str) -> Result<std::path::PathBuf, String> {
    locate(name).ok_or_else(|| format!("{name} is not installed"))
}

fn ask(socket: &Path, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program("redis-cli")?)
        .arg("-s")
        .arg(socket)
        .args(words)
        .env_remove("LD_PRELOAD")
        .output()
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the kernel says of a running process.
struct Account {
    user_ticks: u64,
    system_ticks: u64,
    page_faults: u64,
    rss: u64,
    peak_rss: u64,
}

impl Account {
    fn read(proc: &str) -> Result<Self, String> {
        let gone = |_| "redis-server died".to_owned();
        let stat = fs::read_to_string(format!("{proc}/stat")).map_err(gone)?;
        let status = fs::read_to_string(format!("{proc}/status")).map_err(gone)?;
        // Fields are counted from behind the name, which may hold blanks.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let field = |n: usize| fields.get(n).and_then(|v| v.parse().ok()).unwrap_or(0);
        let kib = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
                .unwrap_or(0)
                * 1024
        };
        Ok(Account {
            user_ticks: field(11),
            system_ticks: field(12),
            page_faults: field(7) + field(9),
            rss: kib("VmRSS:"),
            peak_rss: kib("VmHWM:"),
        })
    }
}
