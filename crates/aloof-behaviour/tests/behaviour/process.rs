//! fork, plug-ins, limits, and the tools that programs are run under.

use super::SMALL;
use aloof_behaviour::{Case, Machine, behaviours};
use std::fs;

fn enomem(smallest: &str, largest: &str, threads: &str) -> Case {
    Case::new("enomem.c", &[smallest, largest, threads])
        .fault("never-again", "enomem: ")
        .fault("quiet-refusal", "enomem: errno is 0")
        .fault("dies-when-refused", "signal 6")
}

/// A program with the limit that a control group of 256 MiB gives it: 1/32 of it is left to what is not counted.
fn limited(arguments: &[&str]) -> Case {
    Case::new("limit.c", arguments).environment("ALOOF_LIMIT", "248M")
}

behaviours! {
    fork_under_load = Case::new("fork.c", &["load", "60"]).fault("child-hangs", "the child hangs");
    fork_from_a_thread = Case::new("fork.c", &["thread", "60"]).fault("child-hangs", "the child hangs");
    fork_in_forked_children = Case::new("fork.c", &["nested", "20"])
        .fault("child-hangs", "the child hangs");
    spawned_programs_run = Case::new("fork.c", &["spawn", "40"]).fault("others-die", "the spawned program failed");

    a_process_ends_with_the_last_thread_of_its_program = Case::new("last_thread.c", &[]).fault_hangs("stays");

    libraries_come_and_go = Case::new("dlopen.c", &["plug"]).with_library("plug.c").fault("scribble-1000", "content: ");
    a_plug_in_in_cxx_catches_bad_alloc = Case::new("load_plug_new.c", &[])
        .with_library("plug_new.cpp")
        .fault("new-null", "caught");

    small_blocks_run_out_and_recover = enomem("16", "2000", "1");
    medium_blocks_run_out_and_recover = enomem("10000", "200000", "1");
    large_blocks_run_out_and_recover = enomem("1000000", "6000000", "1");
    threads_run_out_together_and_recover = enomem("16", "20000", "3");
    everything_runs_out_in_512_mib_and_recovers = enomem("16", "300000", "1").address_space(SMALL);

    a_program_lives_near_its_limit = limited(&["churn", "200", "600", "256"])
        .fault("leak", "refused")
        .fault("wasteful", "beyond 256");
    beyond_the_limit_requests_are_refused_and_served_again = limited(&["beyond", "256", "1"])
        .fault("never-again", "limit: refused after")
        .fault("no-limit", "limit: nothing was refused|beyond 256")
        .fault("dies-when-refused", "signal 6");
    threads_share_a_limit = limited(&["beyond", "256", "3"])
        .fault("never-again", "refused after all was freed")
        .fault("no-limit", "limit: nothing was refused|beyond 256");

    patterns_survive_in_512_mib_of_address_space = Case::new("pattern.c", &["5", "30000", "1", "150", "6"])
        .address_space(SMALL)
        .fault("greedy", "signal 6")
        .fault("scribble", "content: ");
    mappings_do_not_pass_for_small_blocks_in_4_gib_of_address_space = Case::new("apart.c", &["20"])
        .address_space(4 << 30)
        .fault("scribble", "content: ");
    threads_work_in_512_mib_of_address_space = Case::new("remote.c", &["ring", "3", "10000"])
        .address_space(SMALL)
        .fault("greedy", "signal 6");
    fork_works_in_512_mib_of_address_space = Case::new("fork.c", &["load", "10"])
        .address_space(SMALL)
        .fault("greedy", "signal 6");
    patterns_survive_under_valgrind = Case::new("pattern.c", &["6", "3000", "3", "60", "6"])
        .under(&["valgrind", "--tool=none", "-q"])
        .fault("greedy", "signal 6")
        // What is written may be gone by then: the program of several threads then dies of it.
        .fault("scribble", "content: |calloc of|signal 11");
}

/// Strict accounting of memory, with room for 64 GiB beyond what the machine has promised already; undone when dropped.
struct Strict {
    before: [(&'static str, String); 2],
}

const MODE: &str = "/proc/sys/vm/overcommit_memory";
const RATIO: &str = "/proc/sys/vm/overcommit_ratio";
const ROOM: &str = "/proc/sys/vm/overcommit_kbytes";

impl Strict {
    fn enter() -> Option<Self> {
        let read = |path| fs::read_to_string(path).map(|text| (path, text));
        // A ratio of 0 says that the limit is in kilobytes; what is written last of the two counts.
        let ratio = read(RATIO).ok()?;
        let limit = if ratio.1.trim() == "0" {
            read(ROOM).ok()?
        } else {
            ratio
        };
        let strict = Self {
            before: [read(MODE).ok()?, limit],
        };
        let set = fs::write(ROOM, format!("{}\n", promised() + (64 << 20)))
            .and_then(|()| fs::write(MODE, "2\n"));
        if let Err(error) = set {
            eprintln!(
                "{MODE} cannot be set here ({error}); strict accounting is left to the tests with a simulated system"
            );
            return None;
        }
        Some(strict)
    }
}

/// The memory promised to all programs, in KiB.
fn promised() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo can be read");
    let line = text
        .lines()
        .find(|line| line.starts_with("Committed_AS:"))
        .expect("the kernel counts promises");
    line.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("the count is a number")
}

impl Drop for Strict {
    fn drop(&mut self) {
        for (path, text) in &self.before {
            if let Err(error) = fs::write(path, text) {
                eprintln!("{path} could not be set back to {}: {error}", text.trim());
            }
        }
    }
}

/// Under strict accounting every writable byte counts at once: what is only reserved must not be writable.
mod strict_overcommit {
    use super::*;

    fn cases() -> [Case; 3] {
        [
            Case::new("pattern.c", &["7", "20000", "3", "150", "6"]).fault("greedy", "signal 6"),
            Case::new("fork.c", &["load", "10"]).fault("greedy", "signal 6"),
            Case::new("sweep.c", &["alignments"]).fault("greedy", "signal 6"),
        ]
    }

    #[test]
    fn holds() {
        let machine = Machine::alone();
        if let Some(_strict) = Strict::enter() {
            cases().iter().for_each(|case| case.hold_on(&machine));
        }
    }

    #[test]
    fn is_noticed_when_broken() {
        let machine = Machine::alone();
        if let Some(_strict) = Strict::enter() {
            cases()
                .iter()
                .for_each(|case| case.notice_faults_on(&machine));
        }
    }
}
