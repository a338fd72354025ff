//! operator new and delete, preloaded and linked in every way.

use aloof_behaviour::{Case, Link, behaviours};

fn forms() -> Case {
    Case::new("new.cpp", &["forms"]).fault("new-misaligned", "is not aligned")
}

fn throwing() -> Case {
    Case::new("new.cpp", &["throw"]).fault("new-null", "does not throw")
}

fn handler() -> Case {
    Case::new("new.cpp", &["handler"]).fault("new-deaf", "handler: called 0 times instead of 3")
}

fn replaced(mode: &'static str) -> Case {
    Case::new("replaced.cpp", &[mode]).fault("direct", "signal 6")
}

behaviours! {
    all_forms = forms();
    refusal_throws_bad_alloc = throwing();
    the_new_handler_is_called = handler();
    nothrow_gives_null = Case::new("new.cpp", &["nothrow"])
        .fault("nothrow-null", "instead of 3")
        .fault("nothrow-throws", "signal 6");
    replaced_basic_operators_serve_the_others = replaced("plain");
    replaced_basic_operators_serve_arrays = replaced("arrays");
    replaced_aligned_operators_serve_the_others = replaced("aligned");
    what_replaced_operators_refuse_is_null_or_thrown = Case::new("replaced.cpp", &["refused"])
        .fault("nothrow-throws", "signal 6");
    containers = Case::new("new.cpp", &["containers"]).fault("scribble-odd", "content: ");
}

/// The archive gives the same as the preloaded library; its faults are those of the tests above.
#[test]
fn the_archive_gives_the_same() {
    for link in [Link::Archive, Link::ArchiveCxx, Link::Static] {
        for case in [
            forms(),
            throwing(),
            handler(),
            Case::new("new.cpp", &["containers"]),
        ] {
            case.link(link).hold();
        }
    }
}

/// Linked first or preloaded, the program's own operators come before the library's.
#[test]
fn replaced_operators_serve_where_the_library_is_linked() {
    for mode in ["plain", "arrays", "aligned", "refused"] {
        Case::new("replaced.cpp", &[mode]).link(Link::Shared).hold();
    }
}

#[test]
fn the_archive_serves_programs_in_c() {
    for link in [Link::Archive, Link::Static] {
        Case::new("regress.c", &[]).link(link).hold();
        Case::new("pattern.c", &["8", "20000", "3", "100", "6"])
            .link(link)
            .hold();
        Case::new("fork.c", &["load", "10"]).link(link).hold();
        Case::new("ends.c", &["key"]).link(link).hold();
        Case::new("churn.c", &["1000"]).link(link).hold();
    }
}

#[test]
#[should_panic(expected = "is linked with another allocator")]
fn a_program_without_the_archive_is_noticed() {
    let program = aloof_behaviour::compile("regress.c", Link::None);
    assert!(
        aloof_behaviour::defines(&program, "malloc"),
        "it is linked with another allocator"
    );
}
