//! Under a limit of address space, as `ulimit -v` sets it: a refusal is null with ENOMEM, and what is freed
//! can be had again in any size.

mod support;

use aloof::raw;
use support::block::Request;
use support::{Block, GIB, KIB, MIB, child, memory};

fn limit_address_space(bytes: usize) {
    let limit = libc::rlimit {
        rlim_cur: bytes as u64,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// All that can be had in blocks of one size.
fn all_of(size: usize) -> Vec<Block> {
    let more = || Block::new(Request::of(size), size as u64);
    std::iter::from_fn(more).collect()
}

/// Takes all that a limit of `room` bytes gives in each size, whatever the size before left behind.
fn everything_in_each_size(room: usize) {
    for size in [
        1000,
        20 * KIB,
        64 * KIB,
        100_000,
        3 * MIB,
        4 * MIB,
        10 * MIB,
        64 * MIB,
        1000,
    ] {
        let mut blocks = all_of(size);
        let got = blocks.len() * size;
        assert!(
            (room / 10 * 6..room).contains(&got),
            "{got} bytes in blocks of {size}"
        );
        // A refused growth leaves the block as it is, and another makes room.
        if let Some(last) = blocks.last_mut() {
            assert!(!last.resize(room));
        }
        blocks.pop().expect("at least one").free();
        blocks.extend(Block::new(Request::of(size), 1));
        assert_eq!(blocks.len() * size, got, "freed and not to be had again");
        blocks.into_iter().for_each(Block::free);
    }
}

#[test]
fn a_process_that_starts_under_a_limit_uses_what_there_is() {
    child::isolated(
        "a_process_that_starts_under_a_limit_uses_what_there_is",
        || {
            let room = 512 * MIB;
            limit_address_space(memory::address_space() + room);
            everything_in_each_size(room);
            assert!(raw::stats().reserved_bytes <= room as u64);
            // Of the limit's end the allocator learns by itself.
            limit_address_space(64 * GIB);
            Block::new(Request::of(GIB), 1)
                .expect("there is room again")
                .free();
        },
    );
}

#[test]
fn a_limit_set_later_refuses_what_is_not_reserved() {
    child::isolated("a_limit_set_later_refuses_what_is_not_reserved", || {
        Block::new(Request::of(1), 1).expect("no limit yet").free();
        limit_address_space(memory::address_space() + 64 * MIB);
        assert!(Block::new(Request::of(9 * GIB), 2).is_none());
        // What lies in the reservation is there already.
        for size in [1000, 100_000, 64 * MIB, GIB] {
            Block::new(Request::of(size), 3)
                .expect("reserved before")
                .free();
        }
    });
}
