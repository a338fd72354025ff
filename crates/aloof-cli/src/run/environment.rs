//! The environment of the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

const PRELOAD: &str = "LD_PRELOAD";
const STATS_DIR: &str = "ALOOF_STATS_DIR";
const LIVE_DIR: &str = "ALOOF_LIVE_DIR";

/// Where the library leaves what aloof reads.
#[derive(Clone, Copy, Default)]
pub struct Directories<'a> {
    /// For the statistics at the end of each process.
    pub stats: Option<&'a Path>,
    /// For the figures of the running ones.
    pub live: Option<&'a Path>,
}

/// The given environment with the library preloaded and the directories named that are wanted.
pub fn with(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    library: &Path,
    directories: Directories,
) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<_> = inherited.into_iter().collect();
    let before = environment
        .iter()
        .find(|(key, _)| key == PRELOAD)
        .map(|(_, value)| value.as_os_str());
    let preload = preload(library, before.unwrap_or_default());
    set(&mut environment, PRELOAD, preload);
    for (key, directory) in [(STATS_DIR, directories.stats), (LIVE_DIR, directories.live)] {
        if let Some(directory) = directory {
            set(&mut environment, key, directory.into());
        }
    }
    environment
}

/// Whether the loader takes a path in LD_PRELOAD for what it is: spaces and colons separate paths there, and a dollar
/// sign begins a substitution.
pub fn is_preloadable(path: &Path) -> bool {
    !path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b" :$".contains(byte))
}

/// The library first, then what was there; the library itself is not named twice.
fn preload(library: &Path, before: &OsStr) -> OsString {
    let library = library.as_os_str().as_bytes();
    let others = before
        .as_bytes()
        .split(|byte| b" :".contains(byte))
        .filter(|p| !p.is_empty() && *p != library);
    OsString::from_vec(
        [library]
            .into_iter()
            .chain(others)
            .collect::<Vec<_>>()
            .join(&b':'),
    )
}

fn set(environment: &mut Vec<(OsString, OsString)>, key: &str, value: OsString) {
    match environment.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => environment.push((key.into(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_goes_in_front_and_only_once() {
        let library = Path::new("/x/our.so");
        for (before, after) in [
            ("", "/x/our.so"),
            ("/a.so", "/x/our.so:/a.so"),
            ("/a.so /b.so", "/x/our.so:/a.so:/b.so"),
            (":/a.so::/x/our.so:", "/x/our.so:/a.so"),
        ] {
            assert_eq!(preload(library, OsStr::new(before)), after);
        }
    }

    #[test]
    fn other_variables_stay_and_the_directory_replaces_an_inherited_one() {
        let pair = |key: &str, value: &str| (OsString::from(key), OsString::from(value));
        let inherited = [pair("A", "1"), pair(STATS_DIR, "/old"), pair("B", "=2")];
        let both = Directories {
            stats: Some(Path::new("/new")),
            live: Some(Path::new("/live")),
        };
        let environment = with(inherited.clone(), Path::new("/l.so"), both);
        assert_eq!(
            environment,
            [
                pair("A", "1"),
                pair(STATS_DIR, "/new"),
                pair("B", "=2"),
                pair(PRELOAD, "/l.so"),
                pair(LIVE_DIR, "/live")
            ]
        );
        let environment = with(inherited, Path::new("/l.so"), Directories::default());
        assert_eq!(environment[1], pair(STATS_DIR, "/old"));
    }

    #[test]
    fn separators_and_substitutions_cannot_be_preloaded() {
        assert!(is_preloadable(Path::new("/home/jo\u{eb}l/lib;x.so")));
        for path in ["/home/a b/l.so", "/a:b/l.so", "/$LIB/l.so"] {
            assert!(!is_preloadable(Path::new(path)), "{path}");
        }
    }
}
