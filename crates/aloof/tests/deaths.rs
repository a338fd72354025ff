//! Frees of what is no live block end the process, after one line that names the pointer. Each case
//! is a child that commits one fault.

mod support;

use std::ffi::c_void;
use std::io::Write;
use std::sync::mpsc::channel;

use aloof::raw;
use support::plain::{free, malloc};
use support::{GIB, KIB, MIB, child, on_a_thread};

/// Sizes of all tiers whose frees are seen at once.
const LARGE: [usize; 5] = [64 * KIB, 100_000, 8 * MIB, 300 * MIB, 9 * GIB];
/// Sizes of small blocks, the last of a pool of several chunks.
const SMALL: [usize; 4] = [8, 48, 1000, 20 * KIB];

/// Tells the parent which pointer the line must name.
fn doomed(pointer: *mut u8) -> *mut u8 {
    println!("DOOMED {pointer:p}.");
    std::io::stdout().flush().expect("stdout is a pipe");
    pointer
}

/// A pointer that threads may share.
#[derive(Clone, Copy)]
struct Shared(*mut u8);
// SAFETY: the tests do with it what they want to see fail.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn free(self) {
        free(self.0);
    }
}

/// When a fault with an own small block must have been seen at the latest.
#[derive(Clone, Copy, Debug)]
enum Latest {
    ProcessExit,
    ThreadExit,
    ManyFrees,
    Purge,
}

const LATEST: [Latest; 4] = [
    Latest::ProcessExit,
    Latest::ThreadExit,
    Latest::ManyFrees,
    Latest::Purge,
];

impl Latest {
    /// Commits `fault`, which may go unseen, then comes to the moment at which it is.
    fn see(self, size: usize, fault: impl FnOnce() + Send) {
        match self {
            Latest::ProcessExit => {
                fault();
                std::process::exit(0);
            }
            Latest::ThreadExit => on_a_thread(fault),
            Latest::ManyFrees => {
                let blocks: Vec<_> = (0..1000).map(|_| malloc(size)).collect();
                fault();
                blocks.into_iter().for_each(free);
            }
            Latest::Purge => {
                fault();
                raw::purge();
            }
        }
    }
}

type Case = (String, Box<dyn FnOnce()>);

fn case(name: impl Into<String>, fault: impl FnOnce() + 'static) -> Case {
    (name.into(), Box::new(fault))
}

/// A fault that is seen by the call itself: the process does not come to its end.
fn at_once(name: impl Into<String>, fault: impl FnOnce() + 'static) -> Case {
    case(name, || {
        fault();
        leave();
    })
}

/// The same with a block of this size, by another thread, which has some of its own and does not come to its end either.
fn at_once_by_another(
    name: impl Into<String>,
    size: usize,
    fault: impl FnOnce(Shared) + Send + 'static,
) -> Case {
    case(name, move || {
        let block = Shared(malloc(size));
        on_a_thread(move || {
            let _own: Vec<_> = (0..40).map(|_| malloc(size)).collect();
            fault(block);
            leave();
        });
    })
}

/// Ends the process; nothing of the allocator runs any more.
fn leave() {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) };
}

/// The fault with a warm heap, and as the first call of the process.
fn cold_and_warm(name: &str, fault: impl FnOnce() + Clone + 'static) -> [Case; 2] {
    let warm = fault.clone();
    [
        at_once(format!("{name}, first call"), fault),
        at_once(format!("{name}, later"), move || {
            free(malloc(100));
            free(malloc(100_000));
            warm();
        }),
    ]
}

fn foreign() -> Vec<Case> {
    static mut STATIC: [u64; 16] = [0; 16];
    let mut cases = Vec::new();
    cases.extend(cold_and_warm("stack", || {
        let mut on_stack = [0u64; 16];
        free(doomed(on_stack.as_mut_ptr().cast()));
    }));
    cases.extend(cold_and_warm("static", || {
        free(doomed((&raw mut STATIC).cast()))
    }));
    cases.extend(cold_and_warm("code", || {
        free(doomed(malloc as *const () as *mut u8))
    }));
    cases.extend(cold_and_warm("another allocator's block", || {
        // SAFETY: no preconditions.
        free(doomed(unsafe { libc::malloc(100) }.cast()));
    }));
    for address in [
        1,
        4096,
        1 << 40,
        isize::MAX as usize,
        usize::MAX - 4095,
        usize::MAX,
    ] {
        let at = std::ptr::without_provenance_mut::<u8>(address);
        cases.extend(cold_and_warm(&format!("address {address:#x}"), move || {
            free(doomed(at))
        }));
    }
    cases.push(at_once("realloc of a stack address", || {
        let mut on_stack = [0u64; 16];
        // SAFETY: none: this is the fault.
        unsafe { raw::realloc(doomed(on_stack.as_mut_ptr().cast()), 1000) };
    }));
    cases.push(at_once("usable size of a stack address", || {
        let mut on_stack = [0u64; 16];
        // SAFETY: none: this is the fault.
        unsafe { raw::usable_size(doomed(on_stack.as_mut_ptr().cast())) };
    }));
    cases
}

fn interior() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in LARGE {
        for offset in [1, 16, 4 * KIB, 64 * KIB, (size / 2) & !0xfff, size - 1] {
            if offset < size {
                cases.push(at_once(format!("{offset} bytes into {size}"), move || {
                    free(doomed(malloc(size).wrapping_add(offset)));
                }));
            }
        }
        cases.push(at_once(format!("behind a block of {size}"), move || {
            let block = malloc(size);
            // SAFETY: the block is live.
            let usable = unsafe { raw::usable_size(block) };
            free(doomed(block.wrapping_add(usable)));
        }));
        cases.push(at_once(
            format!("16 bytes into {size}, by another thread"),
            move || {
                let inside = Shared(doomed(malloc(size).wrapping_add(16)));
                on_a_thread(move || inside.free());
            },
        ));
        cases.push(at_once(
            format!("realloc 16 bytes into {size}"),
            move || {
                // SAFETY: none: this is the fault.
                unsafe { raw::realloc(doomed(malloc(size).wrapping_add(16)), 1000) };
            },
        ));
    }
    for size in SMALL {
        for offset in [1, size / 2] {
            for latest in LATEST {
                let name = format!("{offset} bytes into a small {size}, by {latest:?}");
                cases.push(case(name, move || {
                    latest.see(size, move || {
                        free(doomed(malloc(size).wrapping_add(offset)))
                    });
                }));
            }
            let name = format!("{offset} bytes into a small {size}, by another thread");
            cases.push(at_once(name, move || {
                let inside = Shared(doomed(malloc(size).wrapping_add(offset)));
                on_a_thread(move || inside.free());
            }));
            cases.push(at_once_by_another(
                format!("{offset} bytes into a small {size}, by one that has some"),
                size,
                move |block| free(doomed(block.0.wrapping_add(offset))),
            ));
        }
    }
    for size in SMALL {
        cases.push(at_once(format!("realloc into a small {size}"), move || {
            // SAFETY: none: this is the fault.
            unsafe { raw::realloc(doomed(malloc(size).wrapping_add(1)), 1000) };
        }));
        cases.push(at_once(
            format!("usable size into a small {size}"),
            move || {
                // SAFETY: none: this is the fault.
                unsafe { raw::usable_size(doomed(malloc(size).wrapping_add(size / 2))) };
            },
        ));
    }
    // 64 KiB hold 1365 blocks of 48 bytes, and 16 bytes more.
    let behind_the_last = || {
        let in_the_chunk = malloc(48);
        in_the_chunk.with_addr((in_the_chunk.addr() & !0xffff) + 1365 * 48)
    };
    for latest in LATEST {
        cases.push(case(
            format!("behind the last block of a pool, by {latest:?}"),
            move || {
                latest.see(48, move || free(doomed(behind_the_last())));
            },
        ));
    }
    cases.push(at_once(
        "behind the last block of a pool, by another thread",
        move || {
            let behind = Shared(doomed(behind_the_last()));
            on_a_thread(move || behind.free());
        },
    ));
    cases
}

fn freed_large() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in LARGE {
        cases.push(at_once(format!("{size} twice"), move || {
            let block = doomed(malloc(size));
            free(block);
            free(block);
        }));
        cases.push(at_once(
            format!("{size} twice, another between"),
            move || {
                let (block, other) = (doomed(malloc(size)), malloc(size));
                free(block);
                free(other);
                free(block);
            },
        ));
        cases.push(at_once(
            format!("{size} twice, purged between"),
            move || {
                let block = doomed(malloc(size));
                free(block);
                raw::purge();
                free(block);
            },
        ));
        cases.push(at_once(
            format!("{size} again by another thread"),
            move || {
                let block = Shared(doomed(malloc(size)));
                block.free();
                on_a_thread(move || block.free());
            },
        ));
        cases.push(at_once(
            format!("{size} twice by another thread"),
            move || {
                let (block, _other) = (Shared(doomed(malloc(size))), malloc(size));
                on_a_thread(move || {
                    block.free();
                    block.free();
                });
            },
        ));
        cases.push(case(
            format!("{size} by another thread, then by its own"),
            move || {
                // Others keep the sub-region open.
                let others = [malloc(size), malloc(size)];
                let block = Shared(doomed(malloc(size)));
                on_a_thread(move || block.free());
                block.free();
                // The owner has to hear of the first free.
                raw::purge();
                others.into_iter().for_each(free);
            },
        ));
        cases.push(at_once(
            format!("{size} of a thread that ended, twice"),
            move || {
                let (give, take) = channel();
                on_a_thread(move || {
                    for _ in 0..2 {
                        give.send(Shared(malloc(size)))
                            .expect("the other end is open");
                    }
                });
                let block = take.recv().expect("the thread gave one");
                doomed(block.0);
                block.free();
                block.free();
            },
        ));
        cases.push(at_once(format!("realloc of a freed {size}"), move || {
            let block = doomed(malloc(size));
            free(block);
            // SAFETY: none: this is the fault.
            unsafe { raw::realloc(block, 10) };
        }));
    }
    cases
}

fn freed_small() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in SMALL {
        cases.push(at_once(format!("small {size} twice"), move || {
            let block = doomed(malloc(size));
            free(block);
            free(block);
        }));
        for latest in LATEST {
            let name = format!("small {size} twice, another between, by {latest:?}");
            cases.push(case(name, move || {
                latest.see(size, move || {
                    let (block, other) = (doomed(malloc(size)), malloc(size));
                    free(block);
                    free(other);
                    free(block);
                });
            }));
            let name = format!("small {size} by its own and by another thread, by {latest:?}");
            cases.push(case(name, move || {
                latest.see(size, move || {
                    let block = Shared(doomed(malloc(size)));
                    block.free();
                    on_a_thread(move || block.free());
                });
            }));
            let name = format!("small {size} by another thread and by its own, by {latest:?}");
            cases.push(case(name, move || {
                latest.see(size, move || {
                    let block = Shared(doomed(malloc(size)));
                    on_a_thread(move || block.free());
                    block.free();
                });
            }));
        }
        cases.push(at_once(
            format!("small {size} twice by another thread"),
            move || {
                let (block, other) = (Shared(doomed(malloc(size))), Shared(malloc(size)));
                on_a_thread(move || {
                    block.free();
                    other.free();
                    block.free();
                });
            },
        ));
        cases.push(at_once_by_another(
            format!("small {size} twice by another thread, which has some of its own"),
            size,
            |block| {
                doomed(block.0);
                block.free();
                block.free();
            },
        ));
        for latest in LATEST {
            let name =
                format!("small {size} twice by another thread, which has some, by {latest:?}");
            cases.push(case(name, move || {
                let (block, other) = (Shared(doomed(malloc(size))), Shared(malloc(size)));
                on_a_thread(move || {
                    latest.see(size, move || {
                        let _own: Vec<_> = (0..40).map(|_| malloc(size)).collect();
                        block.free();
                        other.free();
                        block.free();
                    });
                });
            }));
        }
        cases.push(case(
            format!("small {size} by two other threads"),
            move || {
                let block = Shared(doomed(malloc(size)));
                on_a_thread(move || block.free());
                on_a_thread(move || block.free());
                raw::purge();
            },
        ));
        cases.push(at_once(
            format!("small {size} again when its pool is gone"),
            move || {
                let blocks: Vec<_> = (0..5000).map(|_| malloc(size)).collect();
                blocks.iter().copied().for_each(free);
                raw::purge();
                free(doomed(blocks[2500]));
            },
        ));
    }
    cases
}

/// `n` blocks of a size, one behind the other.
fn in_a_row<const N: usize>(size: usize) -> [Shared; N] {
    loop {
        let blocks = [(); N].map(|()| Shared(malloc(size)));
        // SAFETY: the block is live.
        let step = unsafe { raw::usable_size(blocks[0].0) };
        if blocks
            .windows(2)
            .all(|w| w[0].0.addr() + step == w[1].0.addr())
        {
            return blocks;
        }
    }
}

/// Faults amid frees of neighbours, which go back together: the line names the one at fault.
fn among_neighbours() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in SMALL {
        let name = format!("the second of three of {size}, first by another thread");
        cases.push(case(name, move || {
            let row = in_a_row::<3>(size);
            doomed(row[1].0);
            on_a_thread(move || row[1].free());
            // Has the owner collect what others freed.
            free(malloc(64 * KIB));
            row.into_iter().for_each(Shared::free);
            raw::purge();
        }));
        let name = format!("the second of three of {size}, by two other threads");
        cases.push(case(name, move || {
            let row = in_a_row::<3>(size);
            doomed(row[1].0);
            on_a_thread(move || row[1].free());
            on_a_thread(move || row.into_iter().for_each(Shared::free));
        }));
        let name = format!("the third of three of {size}, which was never handed out");
        cases.push(case(name, move || {
            let row = in_a_row::<2>(size);
            // SAFETY: the block is live.
            let step = unsafe { raw::usable_size(row[0].0) };
            let never = Shared(doomed(row[1].0.wrapping_add(step)));
            row.into_iter().for_each(Shared::free);
            never.free();
            raw::purge();
        }));
        let name = format!("far behind three of {size}, never handed out");
        cases.push(case(name, move || {
            let row = in_a_row::<3>(size);
            // SAFETY: the block is live.
            let step = unsafe { raw::usable_size(row[0].0) };
            // Not in the first word of its pool, which holds 64.
            let start = row[0].0.with_addr(row[0].0.addr() & !0xffff);
            let never = Shared(doomed(start.wrapping_add(if size < 20 * KIB {
                64 * step
            } else {
                6 * step
            })));
            row.into_iter().for_each(Shared::free);
            never.free();
            raw::purge();
        }));
    }
    cases
}

/// Runs each case as a child, which must die as documented.
fn all_die(name: &str, cases: Vec<Case>) {
    if let Some(role) = child::role() {
        let (_, fault) = cases.into_iter().find(|(n, _)| *n == role).expect("a case");
        return fault();
    }
    for (role, _) in cases {
        let outcome = child::run(name, &role);
        assert_eq!(
            outcome.signal(),
            Some(libc::SIGABRT),
            "{role}: {outcome:#?}"
        );
        let pointer = outcome.printed("DOOMED ").and_then(|p| p.split('.').next());
        let pointer = pointer.unwrap_or_else(|| panic!("{role} names no pointer: {outcome:#?}"));
        let line = outcome.stderr.strip_suffix('\n').expect("a whole line");
        assert!(
            !line.contains('\n'),
            "{role}: more than a line: {outcome:#?}"
        );
        assert!(line.starts_with("aloof: "), "{role}: {outcome:#?}");
        assert!(
            line.contains(&format!("({pointer})")),
            "{role}: not of {pointer}: {line}"
        );
    }
}

#[test]
fn frees_of_foreign_pointers() {
    all_die("frees_of_foreign_pointers", foreign());
}

#[test]
fn frees_of_interior_pointers() {
    all_die("frees_of_interior_pointers", interior());
}

#[test]
fn second_frees_of_large_blocks() {
    all_die("second_frees_of_large_blocks", freed_large());
}

#[test]
fn second_frees_of_small_blocks() {
    all_die("second_frees_of_small_blocks", freed_small());
}

#[test]
fn frees_amid_those_of_neighbours() {
    all_die("frees_amid_those_of_neighbours", among_neighbours());
}

/// The same steps without the fault: a child lives.
#[test]
fn frees_without_a_fault_say_nothing() {
    let name = "frees_without_a_fault_say_nothing";
    if child::role().is_none() {
        let outcome = child::run(name, "alone");
        outcome.assert_success(name);
        assert_eq!(outcome.stderr, "");
        return;
    }
    free(std::ptr::null_mut());
    for size in LARGE.into_iter().chain(SMALL) {
        let (own, others) = (malloc(size), Shared(malloc(size)));
        free(own);
        on_a_thread(move || others.free());
        raw::purge();
    }
    // SAFETY: a null pointer is no fault.
    unsafe {
        assert_eq!(raw::usable_size(std::ptr::null::<c_void>().cast()), 0);
        free(raw::realloc(std::ptr::null_mut(), 100));
    }
}
