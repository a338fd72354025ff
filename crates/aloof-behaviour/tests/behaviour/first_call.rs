//! Every entry point as the first one that a program calls: before main, in main, in a thread.

use aloof_behaviour::{Case, behaviours};

/// The moments at which the call is made.
const MOMENTS: [&str; 4] = ["preinit", "constructor", "main", "thread"];

struct Entry(&'static str);

impl Entry {
    fn case(&self, moment: &str) -> Case {
        Case::new("first.c", &[self.0, moment]).fault("unready", "signal 6")
    }
}

macro_rules! entries {
    ($($name:ident = $entry:literal;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn holds() {
                for moment in MOMENTS {
                    Entry($entry).case(moment).hold();
                }
            }

            #[test]
            fn is_noticed_when_broken() {
                for moment in MOMENTS {
                    Entry($entry).case(moment).notice_faults();
                }
            }
        }
    )*};
}

entries! {
    malloc = "malloc";
    malloc_of_nothing = "malloc-zero";
    malloc_of_a_run = "malloc-medium";
    malloc_of_chunks = "malloc-chunk";
    malloc_of_a_large_run = "malloc-large";
    malloc_of_sub_regions = "malloc-direct";
    calloc = "calloc";
    realloc = "realloc";
    reallocarray = "reallocarray";
    aligned_alloc = "aligned_alloc";
    memalign = "memalign";
    posix_memalign = "posix_memalign";
    valloc = "valloc";
    pvalloc = "pvalloc";
    free = "free";
    cfree = "cfree";
    free_sized = "free_sized";
    free_aligned_sized = "free_aligned_sized";
    malloc_usable_size = "malloc_usable_size";
    malloc_trim = "malloc_trim";
    mallopt = "mallopt";
    mallinfo = "mallinfo";
    mallinfo2 = "mallinfo2";
    malloc_info = "malloc_info";
}

behaviours! {
    three_blocks_of_two_sizes_are_three_blocks = Case::new("regress.c", &[])
        .fault("repeat", "was handed out twice")
        .fault("scribble", "has changed")
        .fault("dirty-calloc", "calloc is not zero");
}
