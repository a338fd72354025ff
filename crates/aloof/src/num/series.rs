//! Arithmetic series of addresses: blocks that follow each other in memory.
//!
//! Programs allocate and free in address order more often than not, so these two loops carry most of what
//! passes between magazines and pools. Two addresses an instruction where every processor can.

/// How many of `blocks`, `limit` at most, each lie `step` bytes (two's complement) behind the one before.
/// At least one: `blocks` is not empty and `limit` not 0.
#[inline(always)]
pub fn len(blocks: &[usize], limit: usize, step: usize) -> usize {
    let blocks = &blocks[..limit.min(blocks.len())];
    let first = blocks[0];
    let mut n = eights(blocks, step);
    let mut expected = first.wrapping_add(step.wrapping_mul(n));
    while n < blocks.len() && blocks[n] == expected {
        expected = expected.wrapping_add(step);
        n += 1;
    }
    n
}

/// A multiple of eight that are known to be in step.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn eights(blocks: &[usize], step: usize) -> usize {
    use core::arch::x86_64::*;
    let (mut at, end) = (0, blocks.len() & !7);
    // SAFETY: SSE2 belongs to x86-64; loads of two places lie in the slice and need no alignment.
    unsafe {
        let two = _mm_set1_epi64x(step.wrapping_mul(2) as i64);
        let mut expected = _mm_set_epi64x(blocks[0].wrapping_add(step) as i64, blocks[0] as i64);
        while at < end {
            let mut differ = _mm_setzero_si128();
            for i in (0..8).step_by(2) {
                let pair = _mm_loadu_si128(blocks.as_ptr().add(at + i).cast());
                differ = _mm_or_si128(differ, _mm_xor_si128(pair, expected));
                expected = _mm_add_epi64(expected, two);
            }
            if _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) != 0xffff {
                break;
            }
            at += 8;
        }
    }
    at
}

/// A multiple of eight that are known to be in step.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
fn eights(blocks: &[usize], step: usize) -> usize {
    let mut expected = blocks[0];
    let mut at = 0;
    for eight in blocks.as_chunks::<8>().0 {
        if (0..8).any(|i| eight[i] != expected.wrapping_add(step.wrapping_mul(i))) {
            break;
        }
        expected = expected.wrapping_add(step.wrapping_mul(8));
        at += 8;
    }
    at
}

/// Writes a series to `places` whose last is `first`: each is `step` more than the one after it.
#[inline(always)]
pub fn write_down_to(places: &mut [usize], first: usize, step: usize) {
    let n = places.len();
    let done = write_eights(places, first, step);
    for (i, place) in places[done..].iter_mut().enumerate() {
        *place = first.wrapping_add(step.wrapping_mul(n - 1 - done - i));
    }
}

/// Writes as many as go eight at a time.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn write_eights(places: &mut [usize], first: usize, step: usize) -> usize {
    use core::arch::x86_64::*;
    let n = places.len();
    let value = first.wrapping_add(step.wrapping_mul(n.wrapping_sub(1)));
    // SAFETY: SSE2 belongs to x86-64; stores of two places lie in the slice and need no alignment.
    unsafe {
        let two = _mm_set1_epi64x(step.wrapping_mul(2) as i64);
        let mut pair = _mm_set_epi64x(value.wrapping_sub(step) as i64, value as i64);
        let (eights, rest) = places.as_chunks_mut::<8>();
        for eight in eights {
            for i in (0..8).step_by(2) {
                _mm_storeu_si128(eight.as_mut_ptr().add(i).cast(), pair);
                pair = _mm_sub_epi64(pair, two);
            }
        }
        n - rest.len()
    }
}

/// Writes as many as go eight at a time: here none.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
fn write_eights(_: &mut [usize], _: usize, _: usize) -> usize {
    0
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_series_ends_where_a_block_is_out_of_step() {
        for step in [8, 48, 8usize.wrapping_neg()] {
            let whole: [usize; 70] =
                core::array::from_fn(|i| 0x7000_0000_0000usize.wrapping_add(i.wrapping_mul(step)));
            for from in 0..whole.len() {
                for limit in [1, 7, 8, 9, 64, 100] {
                    let n = len(&whole[from..], limit, step);
                    assert_eq!(n, limit.min(whole.len() - from));
                }
            }
            for broken in 1..whole.len() {
                for change in [1, 1 << 40] {
                    let mut blocks = whole;
                    blocks[broken] ^= change;
                    assert_eq!(len(&blocks, 100, step), broken);
                }
            }
        }
    }

    #[test]
    fn a_series_is_written_from_the_end() {
        for n in 0..70 {
            let mut places = [0; 70];
            write_down_to(&mut places[..n], 1000, 24);
            for (i, place) in places[..n].iter().rev().enumerate() {
                assert_eq!(*place, 1000 + i * 24);
            }
            assert!(places[n..].iter().all(|&place| place == 0));
        }
    }
}
