//! Threads that hand blocks over, come and go, and the process's own beginning and end.

use aloof_behaviour::{Case, behaviours};

behaviours! {
    frees_in_a_ring_of_two = Case::new("remote.c", &["ring", "2", "40000"])
        .fault("scribble", "content: ")
        .fault("leak", "memory: ");
    frees_in_a_ring_of_four = Case::new("remote.c", &["ring", "4", "25000"])
        .fault("scribble", "content: ")
        .fault("leak", "memory: ");
    frees_by_one_for_many = Case::new("remote.c", &["fan-in", "4", "40000"])
        .fault("scribble", "content: ")
        .fault("leak", "memory: ");
    frees_by_many_for_one = Case::new("remote.c", &["fan-out", "4", "40000"])
        .fault("scribble", "content: ")
        .fault("leak-in-threads", "memory: ");
    frees_along_a_pipeline = Case::new("remote.c", &["pipeline", "4", "60000"])
        .fault("scribble", "content: ")
        .fault("forgetful", "content: ")
        .fault("leak-in-threads", "memory: ");

    ten_thousand_threads_leave_nothing = Case::new("churn.c", &["10000"])
        .fault("leak-in-threads", "memory: ")
        .fault("leak-address", "address space: ")
        .fault("scribble", "content: ");
    blocks_of_ended_threads_are_freed_by_others = Case::new("orphans.c", &["freed-later"])
        .fault("scribble", "content: ")
        .fault("leak", "memory: ");
    room_left_by_ended_threads_is_used_again = Case::new("orphans.c", &["adopted"]).fault("leak", "memory: ");
    exit_while_threads_allocate = Case::new("orphans.c", &["exit-now"]).fault_hangs("late-hang");

    malloc_in_key_destructors = Case::new("ends.c", &["key"])
        .fault("dead-thread", "refused at this moment")
        .fault("scribble", "content: ");
    malloc_in_destructors_of_keys_older_than_the_heap = Case::new("ends.c", &["early-key"])
        .fault("scribble", "content: ");
    malloc_after_the_main_thread = Case::new("ends.c", &["main-key"])
        .fault("dead-thread", "refused at this moment")
        .fault("scribble", "content: ");
    malloc_in_atexit_handlers = Case::new("ends.c", &["atexit"])
        .fault("late", "refused at this moment")
        .fault("scribble", "content: ");
    malloc_in_destructor_functions = Case::new("ends.c", &["destructor"])
        .fault("late", "refused at this moment")
        .fault("scribble", "content: ");
    malloc_before_main = Case::new("ends.c", &["constructor"])
        .fault("early", "refused at this moment")
        .fault("scribble", "content: ");
    new_and_delete_in_thread_local_destructors = Case::new("thread_local.cpp", &[])
        .fault("scribble-odd", "content: ");
}
