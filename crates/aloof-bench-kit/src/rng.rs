//! A wyrand-style generator: one multiplication a number, so that drawing costs next to nothing
//! beside a malloc.

/// A small, fast, seedable generator; the same seed gives every allocator the same work.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that yields the same sequence for the same `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d);
        rng.draw();
        rng
    }

    /// The next 64 bits.
    #[inline(always)]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// A number that depends on `seed` and `index` alone.
    #[inline(always)]
    pub fn nth(seed: u64, index: usize) -> usize {
        let wide = u128::from(seed ^ 0xa076_1d64_78bd_642f)
            * u128::from(
                (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xe703_7ed1_a0b4_28db,
            );
        ((wide >> 64) as u64 ^ wide as u64) as usize >> 1
    }

    /// A number below `bound` (which must fit 32 bits), almost uniform.
    #[inline(always)]
    pub fn below(&mut self, bound: usize) -> usize {
        (((self.draw() >> 32) * bound as u64) >> 32) as usize
    }

    /// A number in `low..=high`.
    #[inline(always)]
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn same_seed_same_numbers_and_other_seed_others() {
        let take = |seed| {
            let mut rng = Rng::new(seed);
            std::array::from_fn::<u64, 16, _>(|_| rng.draw())
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn numbers_by_index_are_even() {
        let mut seen = [0usize; 10];
        for i in 0..100_000 {
            seen[Rng::nth(99, i) % 10] += 1;
        }
        assert!(
            seen.iter().all(|&n| (9_000..11_000).contains(&n)),
            "{seen:?}"
        );
    }

    #[test]
    fn between_reaches_both_ends_and_is_even() {
        let mut rng = Rng::new(7);
        let mut seen = [0usize; 10];
        for _ in 0..100_000 {
            seen[rng.between(3, 12) - 3] += 1;
        }
        assert!(
            seen.iter().all(|&n| (9_000..11_000).contains(&n)),
            "{seen:?}"
        );
    }
}
