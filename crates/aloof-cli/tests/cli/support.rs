//! What the tests share: commands, programs compiled from the fixtures, files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Where `aloof` was built.
pub const ALOOF: &str = env!("CARGO_BIN_EXE_aloof");
/// A user that is not root and owns nothing.
pub const NOBODY: u32 = 65534;

/// A command cleared of what could change aloof's ways, with a cache of its own.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for key in [
        "LD_PRELOAD",
        "ALOOF_STATS_DIR",
        "ALOOF_STATS",
        "ALOOF_LIVE_DIR",
        "FAKE_STATS",
        "FAKE_LIVE",
        "NO_COLOR",
        "LC_ALL",
        "LC_CTYPE",
        "LANG",
    ] {
        command.env_remove(key);
    }
    command.env(
        "XDG_CACHE_HOME",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
    );
    command.stdin(Stdio::null());
    command
}

/// `aloof run` with these arguments.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = clean(ALOOF);
    command.arg("run").args(arguments);
    command
}

/// The ways to run a program: in place of aloof, and beside it on the stand-in library.
pub fn all_ways() -> [Vec<String>; 3] {
    let fake = fake_library().to_str().unwrap().to_owned();
    let beside = |option: &str| [option, "--lib", &fake, "--"].map(str::to_owned).to_vec();
    [vec!["--".to_owned()], beside("--stats"), beside("--watch")]
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must end with this status; returns its output.
#[track_caller]
pub fn ends_with(command: &mut Command, status: i32) -> Output {
    let output = output(command);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{command:?}\n{}\n{}",
        stdout(&output),
        stderr(&output)
    );
    output
}

/// Fails unless the text has every part.
#[track_caller]
pub fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Compiles a fixture (once a process) and returns the file.
pub fn compiled(source: &str, name: &str, options: &[&str]) -> PathBuf {
    static DONE: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap();
    let done = done.get_or_insert_default();
    if let Some(file) = done.get(name) {
        return file.clone();
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Another process of the same tests may run the old one meanwhile.
    let fresh = file.with_file_name(format!("{name}.{}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(source);
    let output = Command::new("gcc")
        .args(["-O1", "-D_GNU_SOURCE", "-o"])
        .arg(&fresh)
        .arg(source)
        .args(options)
        .output()
        .expect("gcc is needed to build the programs of these tests");
    assert!(output.status.success(), "gcc: {}", stderr(&output));
    fs::rename(&fresh, &file).unwrap();
    done.insert(name.to_owned(), file.clone());
    file
}

/// A library that writes statistics of known content, and live bytes as the program tells.
pub fn fake_library() -> PathBuf {
    compiled(
        "fake_aloof.c",
        "libfake.so",
        &["-shared", "-fPIC", "-pthread"],
    )
}

/// A program that holds memory as its arguments say.
pub fn grow() -> PathBuf {
    compiled("grow.c", "grow", &["-pthread"])
}

/// A program that ends as its arguments say.
pub fn worker() -> PathBuf {
    compiled("worker.c", "worker", &[])
}

/// Copies a program. Written by this process, the copy could not be executed while another thread of the tests forks:
/// its child holds the file open for a moment.
pub fn copy_program(program: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("cp").arg(program.as_ref()).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Writes an executable file.
pub fn executable(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    set_mode(path, 0o755);
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub fn is_root() -> bool {
    // SAFETY: geteuid always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// What a child leaves at its end. A child that does not end is killed, and fails the test.
#[track_caller]
pub fn ended(child: Child) -> Output {
    let watch = Watch::over(&child);
    let output = child.wait_with_output().unwrap();
    assert!(
        !watch.killed(),
        "did not end in time:\n{}\n{}",
        stdout(&output),
        stderr(&output)
    );
    output
}

/// Runs a command to its end, in a process group of its own.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    ended(
        command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    )
}

/// Kills a child, and the process group that it leads, if this is not dropped in time.
pub struct Watch {
    killed: Arc<AtomicBool>,
    _dropped: mpsc::Sender<()>,
}

impl Watch {
    pub fn over(child: &Child) -> Self {
        let (sender, receiver) = mpsc::channel();
        let killed = Arc::new(AtomicBool::new(false));
        let (pid, tell) = (child.id() as i32, killed.clone());
        std::thread::spawn(move || {
            if receiver.recv_timeout(Duration::from_secs(30))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                tell.store(true, Ordering::SeqCst);
                for target in [-pid, pid] {
                    // SAFETY: kill takes any numbers; the child is not waited for while the sender lives.
                    unsafe { libc::kill(target, libc::SIGKILL) };
                }
            }
        });
        Self {
            killed,
            _dropped: sender,
        }
    }

    fn killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

/// Runs a command with this input; a thread writes it, so that neither side waits for the other.
pub fn fed(command: &mut Command, input: Vec<u8>) -> Output {
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = ended(child);
    writer.join().unwrap().unwrap();
    output
}
