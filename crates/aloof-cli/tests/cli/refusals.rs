//! Programs that are not there, cannot be executed, or cannot run on aloof.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::support::{
    ALOOF, NOBODY, all_ways, clean, compiled, copy_program, ends_with, executable, has, is_root,
    run, set_mode, stderr, stdout,
};

#[test]
fn a_program_that_is_not_there_gives_127() {
    for way in all_ways() {
        let output = ends_with(run(&way).arg("no-such-program-anywhere"), 127);
        has(
            &stderr(&output),
            &["aloof: no-such-program-anywhere: command not found"],
        );
        has(
            &stderr(&ends_with(run(&way).arg("./none"), 127)),
            &["./none: no such file"],
        );
        ends_with(run(&way).arg("/etc/passwd/none"), 127);
        ends_with(run(&way).arg(""), 127);
    }
}

#[test]
fn a_file_that_is_not_executable_gives_126() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain-file");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    for way in all_ways() {
        let by_path = ends_with(run(&way).arg(&file), 126);
        has(
            &stderr(&by_path),
            &["plain-file: not executable", "Permission denied"],
        );
        let by_name = ends_with(
            run(&way).arg("plain-file").env("PATH", directory.path()),
            126,
        );
        has(&stderr(&by_name), &["plain-file: not executable"]);
        has(
            &stderr(&ends_with(run(&way).arg("/usr"), 126)),
            &["/usr: is a directory"],
        );
    }
}

#[test]
fn a_file_that_the_kernel_cannot_execute_gives_126() {
    let directory = tempfile::tempdir().unwrap();
    let junk = directory.path().join("junk");
    executable(&junk, b"\x01\x02\0\x03");
    for way in all_ways() {
        has(
            &stderr(&ends_with(run(&way).arg(&junk), 126)),
            &["cannot execute", "Exec format error"],
        );
    }
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo")
        .arg("-m755")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    has(
        &stderr(&ends_with(run(["--"]).arg(&pipe), 126)),
        &["cannot execute", "Permission denied"],
    );
    executable(&junk, &fs::read("/bin/sh").unwrap()[..100]);
    has(
        &stderr(&ends_with(run(["--"]).arg(&junk), 126)),
        &["damaged ELF file"],
    );
}

#[test]
fn a_static_program_is_refused_with_the_reason_and_does_not_run() {
    let directory = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("worker-static", ["-static"]),
        ("worker-static-pie", ["-static-pie"]),
    ] {
        let program = compiled("worker.c", name, &options);
        for way in all_ways() {
            // Were it run, its status would be 42.
            let output = ends_with(
                run(&way)
                    .arg(&program)
                    .args(["exit", "42"])
                    .current_dir(&directory),
                1,
            );
            let text = stderr(&output);
            has(
                &text,
                &[
                    name,
                    "statically linked",
                    "LD_PRELOAD",
                    "loader",
                    "libaloof.a",
                    "#[global_allocator]",
                ],
            );
        }
    }
}

#[test]
fn the_loader_itself_is_no_static_program() {
    let loader = fs::read_dir("/lib64").unwrap().flatten().map(|e| e.path());
    let loader = loader
        .into_iter()
        .find(|p| p.to_string_lossy().contains("ld-linux"))
        .unwrap();
    let output = ends_with(
        run(["--"])
            .arg(loader)
            .args(["/bin/cat", "/proc/self/maps"]),
        0,
    );
    has(&stdout(&output), &["libaloof-"]);
}

#[test]
fn a_program_of_another_machine_is_refused_with_both_named() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("other");
    let mut image = fs::read("/bin/true").unwrap();
    image[18..20].copy_from_slice(&243_u16.to_le_bytes());
    executable(&program, &image);
    has(
        &stderr(&ends_with(run(["--"]).arg(&program), 1)),
        &["64-bit RISC-V program", "this aloof is 64-bit"],
    );

    // The header of a 32-bit program for the 80386, nothing behind it.
    let mut header = [0_u8; 52];
    header[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    (header[16], header[18], header[20], header[40]) = (2, 3, 1, 52);
    executable(&program, header);
    has(
        &stderr(&ends_with(run(["--"]).arg(&program), 1)),
        &["32-bit x86 program", "its own kind"],
    );
}

#[test]
fn a_program_for_musl_is_refused_and_one_without_its_loader_not_found() {
    let option = "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1";
    let musl = compiled("worker.c", "worker-musl", &[option]);
    has(
        &stderr(&ends_with(run(["--"]).arg(musl), 1)),
        &["musl", "/lib/ld-musl-x86_64.so.1", "glibc"],
    );
    let lost = compiled(
        "worker.c",
        "worker-lost",
        &["-Wl,--dynamic-linker=/nowhere/ld.so"],
    );
    has(
        &stderr(&ends_with(run(["--"]).arg(lost), 127)),
        &["needs the loader /nowhere/ld.so"],
    );
}

#[test]
fn scripts_are_followed_to_the_program_that_runs_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let program = compiled("worker.c", "worker-static", &["-static"]);
    std::os::unix::fs::symlink(program, at("interpreter")).unwrap();
    let interpreter = at("interpreter").display().to_string();
    executable(&at("direct"), format!("#!{interpreter} exit\n"));
    executable(&at("by-env"), "#!/usr/bin/env interpreter\n");
    executable(
        &at("by-env-split"),
        "#!/usr/bin/env -S A=1 interpreter exit\n",
    );
    executable(&at("twice"), format!("#! {}\n", at("direct").display()));
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    for name in ["direct", "by-env", "by-env-split", "twice"] {
        let output = ends_with(run(["--", name]).env("PATH", &path), 1);
        has(
            &stderr(&output),
            &["is a script run by", &interpreter, "statically linked"],
        );
    }

    executable(&at("good"), "#!/usr/bin/env sh\ncat /proc/self/maps\n");
    let output = ends_with(run(["--", "good"]).env("PATH", &path), 0);
    has(&stdout(&output), &["libaloof-"]);
    executable(&at("lost"), "#!/nowhere/tool -x\n");
    has(
        &stderr(&ends_with(run(["--", "lost"]).env("PATH", &path), 127)),
        &["/nowhere/tool does not exist"],
    );
    executable(&at("dos"), "#!/bin/sh\r\necho\r\n");
    has(
        &stderr(&ends_with(run(["--", "dos"]).env("PATH", &path), 127)),
        &["Windows line ends"],
    );
    executable(&at("loop"), format!("#!{}\n", at("loop").display()));
    has(
        &stderr(&ends_with(run(["--", "loop"]).env("PATH", &path), 126)),
        &["cannot execute"],
    );
}

/// A copy of a harmless program, for others to use.
fn copy(directory: &Path, name: &str) -> std::path::PathBuf {
    set_mode(directory, 0o755);
    let file = directory.join(name);
    copy_program("/bin/echo", &file);
    set_mode(&file, 0o755);
    file
}

#[test]
fn a_program_that_would_change_user_or_group_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    if !is_root() {
        // Without root no such file can be made; most systems have one.
        for file in ["/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount"].map(Path::new) {
            use std::os::unix::fs::MetadataExt;
            if file
                .metadata()
                .is_ok_and(|m| m.mode() & 0o4000 != 0 && m.uid() == 0)
            {
                has(
                    &stderr(&ends_with(run(["--"]).arg(file).arg("--help"), 1)),
                    &["setuid", "secure-execution"],
                );
            }
        }
        return;
    }
    let file = copy(directory.path(), "echo-as-nobody");
    std::os::unix::fs::chown(&file, Some(NOBODY), None).unwrap();
    set_mode(&file, 0o4755);
    for way in all_ways() {
        let output = ends_with(run(&way).arg(&file).arg("ran"), 1);
        assert_eq!(stdout(&output), "");
        let text = stderr(&output);
        has(
            &text,
            &[
                "user 65534 (setuid)",
                "secure-execution",
                "LD_PRELOAD",
                "sudo aloof run",
                "libaloof.a",
            ],
        );
    }
    // To the user it belongs to, it is a program like any other.
    std::os::unix::fs::chown(&file, Some(0), None).unwrap();
    set_mode(&file, 0o4755);
    assert_eq!(
        stdout(&ends_with(run(["--"]).arg(&file).arg("ran"), 0)),
        "ran\n"
    );

    let file = copy(directory.path(), "echo-of-nogroup");
    std::os::unix::fs::chown(&file, None, Some(NOBODY)).unwrap();
    set_mode(&file, 0o2755);
    has(
        &stderr(&ends_with(run(["--"]).arg(&file).arg("ran"), 1)),
        &["group 65534 (setgid)"],
    );
    // Without execution by the group the bit means something else.
    set_mode(&file, 0o2745);
    assert_eq!(
        stdout(&ends_with(run(["--"]).arg(&file).arg("ran"), 0)),
        "ran\n"
    );
}

/// `aloof run` by another user, who can neither write a home nor read root's files.
fn as_nobody(directory: &Path, options: &[&str]) -> Command {
    let aloof = directory.join("aloof");
    copy_program(ALOOF, &aloof);
    set_mode(&aloof, 0o755);
    let temporary = directory.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    set_mode(&temporary, 0o1777);
    let mut command = clean("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(options)
        .arg("--")
        .arg(aloof)
        .arg("run");
    command
        .env_remove("XDG_CACHE_HOME")
        .env("HOME", "/nonexistent")
        .env("TMPDIR", temporary)
        .current_dir("/");
    command
}

#[test]
fn a_file_with_capabilities_is_refused_to_those_who_would_gain_them() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = copy(directory.path(), "echo-with-capability");
    // Revision 2, effective; permitted: CAP_NET_RAW.
    let value = [0x0200_0001_u32, 1 << 13, 0, 0, 0]
        .map(u32::to_le_bytes)
        .concat();
    let path = std::ffi::CString::new(file.as_os_str().as_bytes()).unwrap();
    // SAFETY: two C strings and a buffer with its length.
    let set = unsafe {
        libc::setxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());

    let output = ends_with(as_nobody(directory.path(), &[]).arg(&file).arg("ran"), 1);
    has(
        &stderr(&output),
        &["given capabilities by its file", "secure-execution"],
    );
    // Where the kernel grants nothing, nothing is in the way; nor for root, who has them all.
    let output = ends_with(
        as_nobody(directory.path(), &["--no-new-privs"])
            .arg(&file)
            .arg("ran"),
        0,
    );
    assert_eq!(stdout(&output), "ran\n");
    assert_eq!(
        stdout(&ends_with(run(["--"]).arg(&file).arg("ran"), 0)),
        "ran\n"
    );
}

#[test]
fn another_user_gets_a_library_of_his_own_in_the_temporary_directory() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let output = ends_with(
        as_nobody(directory.path(), &[]).args(["cat", "/proc/self/maps"]),
        0,
    );
    let expected = directory.path().join("tmp/aloof-65534/libaloof-");
    has(&stdout(&output), &[expected.to_str().unwrap()]);
}
