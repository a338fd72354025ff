//! Behaviour tests of the C and C++ door.
//!
//! Each test compiles a small program of `tests/behaviour`, runs it in a process of its own with libaloof.so preloaded, and
//! judges how it ended. Each has a twin that preloads `fault.c` in between, an allocator that breaks one promise: the twin
//! passes when the program notices.
//!
//! The library under test is `libaloof.so` of the release build in the same target directory, or the file that the
//! environment variable `ALOOF_LIB` names.

mod case;
mod compile;
mod paths;
mod process;

pub use case::{Case, Expect};
pub use compile::{Link, compile, compile_library, defines};
pub use paths::{archive, build_directory, library, root};
pub use process::{Machine, Outcome, Run};

/// Declares behaviours: for each, a test that it holds and a test that its faults are noticed.
#[macro_export]
macro_rules! behaviours {
    ($($(#[$attribute:meta])* $name:ident = $case:expr;)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn holds() {
                $crate::Case::hold(&$case);
            }

            #[test]
            fn is_noticed_when_broken() {
                $crate::Case::notice_faults(&$case);
            }
        }
    )*};
}
