//! The small print of the C family.

use aloof_behaviour::{Case, behaviours};

behaviours! {
    free_and_success_leave_errno_alone = Case::new("rules.c", &["errno"]).fault("errno-free", "errno: free");
    nothing_is_a_pointer_of_its_own = Case::new("rules.c", &["zero"])
        .fault("zero-null", "gives null")
        .fault("repeat", "two requests of 0 bytes");
    the_impossible_is_refused_with_enomem = Case::new("rules.c", &["limits"])
        .fault("grants-all", "is not refused")
        .fault("quiet-refusal", "sets errno to 0")
        .fault("posix-touch", "touches the pointer")
        .fault("never-again", "nothing works after a refusal")
        .fault("dies-when-refused", "signal 6");
    alignments_are_judged = Case::new("rules.c", &["alignment"])
        .fault("any-alignment", "is not EINVAL")
        .fault("posix-touch", "touches the pointer")
        .fault("misalign", "alignment: ");
    the_usable_size_is_usable = Case::new("rules.c", &["usable"])
        .fault("usable-small", "usable: ")
        .fault("usable-large", "content: ");
    the_extras_answer = Case::new("rules.c", &["extras"]).fault("blind", "mallinfo2 counts");
}
