//! What a block is: its size, alignment, content and place, over every route.

use aloof_behaviour::{Case, behaviours};

behaviours! {
    every_size_to_512_mib = Case::new("sweep.c", &["sizes"])
        .fault("misalign", "is not aligned")
        .fault("repeat", "sweep: ")
        .fault("usable-small", "usable bytes");
    sizes_to_16_gib = Case::new("sweep.c", &["huge"])
        .fault("no-memory", "null though the system has them")
        .fault("usable-small", "usable bytes");
    alignments_to_1_gib = Case::new("sweep.c", &["alignments"]).fault("misalign", "is not aligned");

    patterns_survive_in_one_thread = Case::new("pattern.c", &["1", "60000", "1", "300", "6"])
        .fault("overlap", "overlap: ")
        .fault("scribble", "content: ")
        .fault("misalign", "is not aligned")
        .fault("dirty-calloc", "calloc of")
        .fault("forgetful", "content: ");
    patterns_survive_on_every_route = Case::new("pattern.c", &["2", "10000", "1", "800", "8"])
        .fault("overlap", "overlap: ")
        .fault("scribble", "content: ");
    patterns_survive_among_threads = Case::new("pattern.c", &["3", "60000", "4", "300", "6"])
        .fault("repeat", "content: |calloc of")
        .fault("scribble", "content: |calloc of");

    realloc_keeps_content = Case::new("realloc.c", &["content"]).fault("forgetful", "content: ");
    realloc_grows_by_eighths = Case::new("realloc.c", &["growth"]).fault("forgetful", "content: ");
    realloc_stays_in_the_usable_size = Case::new("realloc.c", &["place"]).fault("restless", "in place: ");
    realloc_grows_into_free_neighbours = Case::new("realloc.c", &["neighbour"]).fault("restless", "in place: ");
    realloc_between_threads = Case::new("realloc.c", &["threads"]).fault("forgetful", "content: ");
    realloc_rules = Case::new("realloc.c", &["rules"])
        .fault("spoiling", "content: ")
        .fault("quiet-refusal", "does not fail with ENOMEM")
        .fault("realloc-zero", "does not free and return null");

    calloc_is_zero_on_reuse = Case::new("calloc.c", &["reuse"]).fault("dirty-calloc", "calloc is not zero");
    calloc_is_zero_among_threads = Case::new("calloc.c", &["threads"]).fault("dirty-calloc", "calloc is not zero");
    calloc_is_zero_when_fresh = Case::new("calloc.c", &["fresh"])
        .fault("dirty-calloc", "calloc is not zero")
        .fault("grants-all", "overflowing calloc");
    calloc_is_zero_after_trimming = Case::new("calloc.c", &["trimmed"]).fault("dirty-calloc", "calloc is not zero");
}
