//! Distributions of block sizes.

use crate::options::Options;
use aloof_bench_kit::{Rng, Table};

/// Quantiles kept of a skewed distribution.
const STEPS: usize = 1024;

/// Draws sizes in a range, evenly or skewed towards the small.
pub struct Sizes {
    min: usize,
    max: usize,
    skewed: Option<Table<u32>>,
}

impl Sizes {
    /// Reads `min`, `max` and `skew`: 0 even, 1 Pareto (a fifth of the blocks holds most of the
    /// bytes), 2 in proportion to 1/size (each doubling as likely as any other).
    pub fn take(options: &mut Options) -> Result<Self, String> {
        let min = options.take("min", 1).max(1);
        let max = options.take("max", 1024).max(min);
        let quantile = |u: f64| -> f64 {
            let ratio = max as f64 / min as f64;
            ratio.powf(u) * min as f64
        };
        let pareto = |u: f64| -> f64 {
            let shape = 1.16f64;
            min as f64 / (1.0 - u).powf(1.0 / shape)
        };
        let skewed = match options.take("skew", 0) {
            0 => None,
            1 => Some(table(pareto, max)),
            2 => Some(table(quantile, max)),
            other => return Err(format!("skew={other} is not known")),
        };
        Ok(Sizes { min, max, skewed })
    }

    /// The next size.
    #[inline(always)]
    pub fn draw(&self, rng: &mut Rng) -> usize {
        match &self.skewed {
            None => rng.between(self.min, self.max),
            Some(table) => table[rng.draw() as usize % STEPS] as usize,
        }
    }
}

fn table(quantile: impl Fn(f64) -> f64, max: usize) -> Table<u32> {
    // SAFETY: zero is a valid u32.
    let mut table = unsafe { Table::<u32>::zeroed(STEPS) };
    for (i, size) in table.iter_mut().enumerate() {
        *size = quantile((i as f64 + 0.5) / STEPS as f64).min(max as f64) as u32;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::Sizes;
    use crate::options::Options;
    use aloof_bench_kit::Rng;

    fn draw(args: &[&str]) -> Vec<usize> {
        let mut options = Options::parse(args.iter().map(|s| s.to_string())).unwrap();
        let sizes = Sizes::take(&mut options).unwrap();
        let mut rng = Rng::new(3);
        (0..50_000).map(|_| sizes.draw(&mut rng)).collect()
    }

    fn median(mut sizes: Vec<usize>) -> usize {
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    }

    #[test]
    fn sizes_stay_in_range_and_have_the_median_of_their_kind() {
        for (skew, low, high) in [("0", 500, 530), ("1", 14, 16), ("2", 85, 96)] {
            let skew = format!("skew={skew}");
            let sizes = draw(&["min=8", "max=1024", &skew]);
            assert!(sizes.iter().all(|s| (8..=1024).contains(s)), "{skew}");
            let median = median(sizes);
            assert!((low..=high).contains(&median), "{skew}: {median}");
        }
    }
}
