//! Every route of the allocator is served by the tier that the design names.

mod support;

use aloof::{Tier, raw};
use support::block::Request;
use support::{Block, GIB, KIB, MIB, child, memory};

/// A block that only a machine with too little memory may refuse.
fn allocate(request: Request) -> Option<Block> {
    let block = Block::new(request, request.size as u64);
    if block.is_none() {
        let most = (request.size.max(1).next_power_of_two()).max(request.alignment());
        assert!(memory::os_refuses(2 * most), "{request:?} is refused");
    }
    block
}

fn served_by(request: Request, tier: Tier) -> Option<Block> {
    let block = allocate(request)?;
    assert_eq!(block.tier(), Some(tier), "{request:?}");
    // SAFETY: first and last byte asked for are the block's.
    unsafe {
        block.as_ptr().write(1);
        block.as_ptr().add(request.size.max(1) - 1).write(2);
        assert_eq!(block.as_ptr().add(request.size.max(1) - 1).read(), 2);
    }
    Some(block)
}

fn check(size: usize, tier: Tier) {
    for zeroed in [false, true] {
        // Twice: from memory never used, and from what the first left.
        for _ in 0..2 {
            let request = Request {
                zeroed,
                ..Request::of(size)
            };
            if let Some(block) = served_by(request, tier) {
                block.free_unseen();
            }
        }
    }
}

#[test]
fn up_to_32_kib_come_from_pools() {
    let steps = (0..=KIB).chain((KIB..32 * KIB).step_by(41));
    for size in steps.chain((10..=15).flat_map(|s| [(1 << s) - 1, 1 << s])) {
        check(size, Tier::Pool);
    }
}

#[test]
fn powers_of_two_from_64_kib_to_4_mib_come_from_chunks() {
    for shift in 16..=22 {
        check(1 << shift, Tier::Chunk);
        let block = served_by(Request::of(1 << shift), Tier::Chunk).expect("small");
        assert_eq!(block.usable(), 1 << shift);
        assert!(block.addr().is_multiple_of(1 << shift), "natural alignment");
        block.free_unseen();
    }
}

#[test]
fn odd_sizes_from_32_kib_to_4_mib_come_from_runs() {
    for shift in 15..22 {
        let power = 1usize << shift;
        for size in [
            power + 1,
            power + power / 2,
            power + power / 3,
            2 * power - 1,
        ] {
            check(size, Tier::Run);
        }
    }
}

#[test]
fn powers_of_two_from_8_mib_to_256_mib_are_sub_regions() {
    for shift in 23..=28 {
        check(1 << shift, Tier::Direct);
        let block = served_by(Request::of(1 << shift), Tier::Direct).expect("not large");
        assert_eq!(block.usable(), 1 << shift);
        block.free_unseen();
    }
}

#[test]
fn odd_sizes_from_4_mib_to_256_mib_come_from_runs() {
    for shift in 22..28 {
        let power = 1usize << shift;
        for size in [
            power + 1,
            power + power / 2,
            power + power / 3,
            2 * power - 1,
        ] {
            check(size, Tier::Run);
            let block = served_by(Request::of(size), Tier::Run).expect("not large");
            assert!(
                block.usable() - size <= size / 64,
                "{} for {size}",
                block.usable()
            );
            block.free_unseen();
        }
    }
}

#[test]
fn above_256_mib_the_size_becomes_a_power_of_two_of_sub_regions() {
    let sizes = (28..33).flat_map(|s| {
        [
            (1 << s) + 1,
            (1 << s) + (1 << (s - 1)),
            (1 << (s + 1)) - 1,
            1 << (s + 1),
        ]
    });
    for size in sizes {
        let Some(block) = served_by(Request::of(size), Tier::Direct) else {
            continue;
        };
        assert_eq!(block.usable(), size.next_power_of_two(), "{size}");
        block.free_unseen();
    }
    assert_eq!(
        8 * GIB,
        1 << 33,
        "the last size of the loop is the limit of the tier"
    );
}

#[test]
fn above_8_gib_the_os_maps_the_block() {
    for size in [8 * GIB + 1, 9 * GIB, 12 * GIB + 4097, 16 * GIB] {
        let Some(block) = served_by(Request::zeroed(size), Tier::Huge) else {
            continue;
        };
        assert!(block.usable() - size < memory::PAGE);
        block.free_unseen();
    }
}

/// The tier of an aligned request: an alignment above what a tier gives makes the size a power of two.
fn expected(size: usize, align: usize) -> Tier {
    if size <= 32 * KIB && align <= 32 * KIB {
        return Tier::Pool;
    }
    if size > 32 * KIB && !size.is_power_of_two() && align <= 4 * KIB && size <= 256 * MIB {
        return Tier::Run;
    }
    match size.max(align).next_power_of_two() {
        0..=0x40_0000 => Tier::Chunk,
        r if r <= 8 * GIB => Tier::Direct,
        _ => Tier::Huge,
    }
}

#[test]
fn every_alignment_up_to_1_gib_goes_with_every_size() {
    let sizes = [
        0,
        1,
        24,
        100,
        4 * KIB,
        30_000,
        32 * KIB,
        33_000,
        64 * KIB,
        100_000,
        MIB,
        3 * MIB + 1,
        4 * MIB,
        5 * MIB,
        16 * MIB,
        100 * MIB + 7,
        256 * MIB,
        300 * MIB,
    ];
    for align in (0..=30).map(|s| 1usize << s) {
        for size in sizes {
            // Clearing what others left in the largest takes its time.
            for zeroed in [false, size < 16 * MIB] {
                let request = Request {
                    zeroed,
                    ..Request::aligned(size, align)
                };
                // The first of a pool is aligned to anything.
                let count = if size <= 32 * KIB { 3 } else { 1 };
                let blocks: Vec<_> = (0..count)
                    .filter_map(|_| served_by(request, expected(size, align)))
                    .collect();
                blocks.into_iter().for_each(Block::free_unseen);
            }
        }
    }
    let block = served_by(Request::aligned(1, 2 * GIB), Tier::Huge);
    block.expect("mappings cost nothing").free_unseen();
}

/// Run as children, which do one thing: their first.
#[test]
fn the_first_request_of_a_process_goes_its_way() {
    let cases = [
        (1, Tier::Pool),
        (64 * KIB, Tier::Chunk),
        (100_000, Tier::Run),
        (8 * MIB, Tier::Direct),
        (512 * MIB, Tier::Direct),
        (9 * GIB, Tier::Huge),
    ];
    let first = |role: &str| {
        let (case, how) = role.split_once(' ').expect("two words");
        let (size, tier) = cases[case.parse::<usize>().expect("a number")];
        let request = match how {
            "malloc" => Request::of(size),
            "calloc" => Request::zeroed(size),
            _ => Request::aligned(size, 32),
        };
        if let Some(block) = served_by(request, tier) {
            block.free_unseen();
        }
    };
    if let Some(role) = child::role() {
        return first(&role);
    }
    for (case, how) in
        (0..cases.len()).flat_map(|c| ["malloc", "calloc", "aligned"].map(|h| (c, h)))
    {
        let role = format!("{case} {how}");
        child::run("the_first_request_of_a_process_goes_its_way", &role).assert_success(&role);
    }
}

#[test]
fn what_is_no_block_has_no_tier() {
    let on_stack = 1u8;
    assert_eq!(raw::tier_of(&on_stack), None);
    assert_eq!(raw::tier_of(std::ptr::null()), None);
    for size in [64 * KIB, 100_000, 8 * MIB] {
        let block = allocate(Request::of(size)).expect("small");
        let inside = block.as_ptr().wrapping_add(1);
        assert_eq!(raw::tier_of(inside), None, "inside a block of {size}");
        let at = block.as_ptr();
        block.free();
        assert_eq!(raw::tier_of(at), None, "a freed block of {size}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_enomem() {
    let most = isize::MAX as usize;
    let requests = [
        Request::of(most),
        Request::of(most + 1),
        Request::of(usize::MAX),
        Request::zeroed(usize::MAX),
        Request::aligned(usize::MAX - 4095, 4096),
        Request::aligned(1, 1 << 62),
        Request::aligned(1, 1 << 63),
        Request::aligned(most, 1 << 30),
    ];
    for request in requests {
        assert!(Block::new(request, 1).is_none(), "{request:?}");
    }
    let mut block = allocate(Request::of(100)).expect("small");
    for size in [most, usize::MAX] {
        assert!(!block.resize(size));
    }
    block.free();
}

#[test]
fn blocks_use_the_room_that_larger_ones_left() {
    child::isolated("blocks_use_the_room_that_larger_ones_left", || {
        let large: Vec<_> = (0..4)
            .filter_map(|_| allocate(Request::of(20_000_000)))
            .collect();
        let mut left = large.into_iter();
        let kept = left.next();
        left.for_each(Block::free);
        let before = raw::stats().committed_bytes;
        let smaller: Vec<_> = (0..6)
            .filter_map(|_| allocate(Request::of(5_000_000)))
            .collect();
        assert_eq!(raw::stats().committed_bytes, before);
        smaller.into_iter().chain(kept).for_each(Block::free);
    });
}
