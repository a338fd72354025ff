//! Which library is preloaded, and where it lies.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    NOBODY, all_ways, ended, ends_with, executable, fake_library, has, is_root, output, run,
    set_mode, stderr, stdout, worker,
};

/// `aloof run` of a program that prints its LD_PRELOAD and what is mapped from there.
fn show(options: &[&str]) -> Command {
    let mut command = run(options);
    command.args(["sh", "-c", "echo $LD_PRELOAD; cat /proc/$$/maps"]);
    command
}

/// The one library preloaded by a command, which must be mapped too.
#[track_caller]
fn preloaded(command: &mut Command) -> PathBuf {
    let output = ends_with(command, 0);
    let text = stdout(&output);
    let (preload, maps) = text.split_once('\n').unwrap();
    let real = Path::new(preload).canonicalize().unwrap();
    assert!(
        maps.contains(real.to_str().unwrap()),
        "{preload} is not mapped:\n{maps}\n{}",
        stderr(&output)
    );
    preload.into()
}

fn only_entry(directory: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn the_embedded_library_is_a_real_one_kept_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    for way in ["--", "--stats"] {
        let path = preloaded(show(&[way]).env("XDG_CACHE_HOME", cache.path()));
        assert_eq!(path, only_entry(&cache.path().join("aloof")));
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o755);
        assert!(metadata.len() > 1000);
        assert_eq!(
            cache.path().join("aloof").metadata().unwrap().mode() & 0o7777,
            0o700
        );
    }
}

#[test]
fn without_a_cache_directory_the_one_in_the_home_is_used() {
    let home = tempfile::tempdir().unwrap();
    for relative in [None, Some("not/absolute")] {
        let mut command = show(&["--"]);
        command
            .env("HOME", home.path())
            .env_remove("XDG_CACHE_HOME");
        if let Some(relative) = relative {
            command.env("XDG_CACHE_HOME", relative);
        }
        assert!(preloaded(&mut command).starts_with(home.path().join(".cache/aloof")));
    }
}

#[test]
fn a_library_in_the_cache_with_other_content_or_owner_is_replaced_not_used() {
    let cache = tempfile::tempdir().unwrap();
    let command = || output(show(&["--"]).env("XDG_CACHE_HOME", cache.path()));
    command();
    let path = only_entry(&cache.path().join("aloof"));
    let good = fs::read(&path).unwrap();
    let inode = path.metadata().unwrap().ino();
    command();
    assert_eq!(
        path.metadata().unwrap().ino(),
        inode,
        "an intact file is used again"
    );

    let restored = |what: &str| {
        let output = command();
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(
            metadata.is_file() && metadata.mode() & 0o7777 == 0o755,
            "{what}"
        );
        assert!(fs::read(&path).unwrap() == good, "{what}");
        assert_ne!(metadata.ino(), inode, "{what}: written in place");
        // Nothing of the writing stays behind either.
        only_entry(&cache.path().join("aloof"));
        metadata.uid()
    };
    // Through a link, so that the first inode is never free for another file.
    fs::hard_link(&path, cache.path().join("kept")).unwrap();
    let mut other = good.clone();
    *other.last_mut().unwrap() ^= 1;
    executable(&cache.path().join("fresh"), &other);
    fs::rename(cache.path().join("fresh"), &path).unwrap();
    restored("one bit differs");
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    restored("cut off");
    set_mode(&path, 0o777);
    restored("writable by all");
    fs::remove_file(&path).unwrap();
    symlink(cache.path().join("kept"), &path).unwrap();
    restored("a link");
    assert!(fs::read(cache.path().join("kept")).unwrap() == good);
    if is_root() {
        chown(&path, Some(NOBODY), None).unwrap();
        assert_eq!(restored("of another user"), 0);
    }
}

#[test]
fn unfit_directories_are_passed_over_for_one_below_the_temporary() {
    let root = tempfile::tempdir().unwrap();
    let temporary = root.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let make = |name: &str, mode: u32| {
        let cache = root.path().join(name);
        fs::create_dir_all(cache.join("aloof")).unwrap();
        set_mode(&cache.join("aloof"), mode);
        cache
    };
    let above = make("open-above", 0o700);
    set_mode(&above, 0o777);
    let file = root.path().join("no-directory");
    fs::write(&file, "").unwrap();
    let mut unfit = vec![
        make("with space", 0o700),
        make("with:colon", 0o700),
        make("with$LIB", 0o700),
        make("open", 0o777),
        above,
        file,
    ];
    if is_root() {
        let foreign = make("foreign", 0o700);
        chown(foreign.join("aloof"), Some(NOBODY), None).unwrap();
        let below_foreign = make("below-foreign", 0o700);
        chown(&below_foreign, Some(NOBODY), None).unwrap();
        let link = root.path().join("link");
        fs::create_dir(&link).unwrap();
        symlink(&temporary, link.join("aloof")).unwrap();
        unfit.extend([foreign, below_foreign, link, "/proc".into()]);
    }
    for cache in unfit {
        let path = preloaded(
            show(&["--"])
                .env("XDG_CACHE_HOME", &cache)
                .env("TMPDIR", &temporary),
        );
        // SAFETY: geteuid always succeeds.
        let own = format!("aloof-{}", unsafe { libc::geteuid() });
        assert_eq!(
            path.parent().unwrap(),
            temporary.join(own),
            "{}",
            cache.display()
        );
        assert_eq!(
            path.parent().unwrap().metadata().unwrap().mode() & 0o7777,
            0o700
        );
    }
}

#[test]
fn a_relative_temporary_directory_is_named_absolutely() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    let mut command = show(&["--"]);
    command
        .current_dir(root.path())
        .env("XDG_CACHE_HOME", "/dev/null")
        .env("TMPDIR", "tmp");
    assert!(preloaded(&mut command).starts_with(root.path()));
}

#[test]
fn when_no_directory_will_do_each_is_named_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    let spaced = root.path().join("a b");
    fs::create_dir(&spaced).unwrap();
    let output = ends_with(
        show(&["--"])
            .env("XDG_CACHE_HOME", "/dev/null")
            .env("TMPDIR", spaced),
        1,
    );
    has(
        &stderr(&output),
        &[
            "/dev/null/aloof: Not a directory",
            "a b/aloof-",
            "has a space",
            "--lib PATH",
        ],
    );
}

#[test]
fn many_first_runs_at_once_agree() {
    let cache = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..16)
        .map(|_| {
            run(["--", "cat", "/proc/self/maps"])
                .env("XDG_CACHE_HOME", cache.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = ended(child);
        assert!(output.status.success());
        has(&stdout(&output), &["aloof/libaloof-"]);
    }
    only_entry(&cache.path().join("aloof"));
}

#[test]
fn the_users_own_preloads_stay_behind_the_library() {
    let fake = fake_library();
    let fake = fake.to_str().unwrap();
    for way in ["--", "--stats"] {
        let output = stdout(&ends_with(show(&[way]).env("LD_PRELOAD", fake), 0));
        let (first, second) = output.lines().next().unwrap().split_once(':').unwrap();
        assert!(first.contains("/libaloof-") && second == fake, "{output}");
        has(&output, &["libaloof-", "libfake.so\n"]);
    }
}

#[test]
fn a_given_library_is_used_by_absolute_path() {
    let fake = fake_library();
    for way in ["--", "--stats"] {
        let mut command = show(&["--lib", "./libfake.so", way]);
        let path = preloaded(command.current_dir(fake.parent().unwrap()));
        assert!(
            path.is_absolute() && path.ends_with("libfake.so"),
            "{path:?}"
        );
    }
}

#[test]
fn a_given_library_with_an_unspeakable_path_is_reached_by_a_link() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    for name in ["a b", "c:d", "$LIB"] {
        let directory = root.path().join(name);
        fs::create_dir(&directory).unwrap();
        let library = directory.join("lib.so");
        fs::copy(fake_library(), &library).unwrap();
        for _ in 0..2 {
            let path = preloaded(
                show(&["--lib", library.to_str().unwrap(), "--"]).env("XDG_CACHE_HOME", &cache),
            );
            assert!(path.starts_with(&cache), "{path:?}");
            assert_eq!(path.canonicalize().unwrap(), library);
        }
    }
}

#[test]
fn a_library_that_cannot_be_preloaded_is_refused_and_nothing_runs() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("text.so"), "not a library").unwrap();
    fs::write(at("empty.so"), "").unwrap();
    fs::write(at("archive.a"), "!<arch>\nrest").unwrap();
    let mut image = fs::read(fake_library()).unwrap();
    fs::write(at("cut.so"), &image[..70]).unwrap();
    image[18..20].copy_from_slice(&183_u16.to_le_bytes());
    fs::write(at("arm.so"), &image).unwrap();
    let program = worker().display().to_string();
    for (library, why) in [
        (at("none.so"), "No such file"),
        (at(""), "not a file"),
        (at("text.so"), "not a shared library"),
        (at("empty.so"), "not a shared library"),
        (at("archive.a"), "static archive"),
        (at("cut.so"), "damaged ELF file"),
        (at("arm.so"), "for 64-bit AArch64"),
        (program, "no shared library"),
    ] {
        for way in all_ways() {
            // The later of two would win; clap refuses the second.
            let way = if way[0] == "--stats" {
                &["--stats"][..]
            } else {
                &[]
            };
            let output = ends_with(run(way).args(["--lib", &library, "--", "echo", "ran"]), 1);
            assert_eq!(stdout(&output), "");
            has(&stderr(&output), &["aloof: --lib ", why]);
        }
    }
}
