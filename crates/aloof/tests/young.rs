//! The first blocks of a class come from one word, go back there, and need no magazine.

mod support;

use std::ptr::null_mut;

use aloof::raw;
use support::plain::{free, malloc};
use support::{KIB, child, memory};

const SIZES: [usize; 5] = [8, 48, 500, 1000, 4 * KIB];

#[test]
fn what_was_freed_first_is_handed_out_before_what_was_never_used() {
    child::isolated(
        "what_was_freed_first_is_handed_out_before_what_was_never_used",
        || {
            for size in SIZES {
                let row: [*mut u8; 8] = std::array::from_fn(|_| malloc(size));
                free(row[5]);
                free(row[2]);
                assert_eq!(malloc(size), row[2], "{size}");
                assert_eq!(malloc(size), row[5], "{size}");
                row.into_iter().for_each(free);
            }
        },
    );
}

#[test]
fn what_was_used_is_zero_again() {
    child::isolated("what_was_used_is_zero_again", || {
        for size in SIZES {
            let block = malloc(size);
            // SAFETY: the block has that many bytes.
            unsafe { block.write_bytes(0xa5, size) };
            free(block);
            // SAFETY: any size will do.
            let zeroed = unsafe { raw::malloc_zeroed(size) };
            assert_eq!(zeroed, block, "{size}");
            // SAFETY: the block has that many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(zeroed, size) };
            assert!(bytes.iter().all(|&byte| byte == 0), "{size}");
            free(zeroed);
        }
    });
}

#[test]
fn every_block_is_handed_out_once_while_a_class_grows_old() {
    child::isolated(
        "every_block_is_handed_out_once_while_a_class_grows_old",
        || {
            for size in SIZES {
                let mut live = Vec::new();
                // More than a word, and more frees than a young class takes.
                for round in 0..400 {
                    live.push(malloc(size));
                    if round % 3 == 2 {
                        free(live.swap_remove(round % live.len()));
                    }
                    let mut sorted = live.clone();
                    sorted.sort();
                    sorted.dedup();
                    assert_eq!(sorted.len(), live.len(), "{size}, round {round}");
                }
                live.into_iter().for_each(free);
            }
        },
    );
}

#[test]
fn few_blocks_of_many_sizes_touch_no_page_for_magazines() {
    child::isolated(
        "few_blocks_of_many_sizes_touch_no_page_for_magazines",
        || {
            free(malloc(1));
            let sizes: Vec<usize> = (1..=32).map(|n| n * 16).collect();
            let mut row = vec![null_mut(); sizes.len()];
            let before = memory::anonymous();
            for _ in 0..4 {
                for (place, &size) in row.iter_mut().zip(&sizes) {
                    *place = malloc(size);
                }
                row.iter().for_each(|&block| free(block));
            }
            let touched = memory::anonymous() - before;
            // 16 classes of the 8 bytes apart and 16 above them that were not written: tables and lists only.
            assert!(touched <= 48 * KIB, "{touched} bytes");
        },
    );
}
