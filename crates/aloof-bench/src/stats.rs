//! Medians, spreads, ratios and their geometric means.

/// The median, or `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The distance between the quartiles as a share of the median: how far the middle half of the
/// runs lies apart. 0 for a single value.
pub fn spread(values: &[f64]) -> f64 {
    match (
        quantile(values, 0.25),
        quantile(values, 0.5),
        quantile(values, 0.75),
    ) {
        (Some(low), Some(middle), Some(high)) if middle > 0.0 => (high - low) / middle,
        _ => 0.0,
    }
}

/// The geometric mean of positive values, or `None` of nothing.
pub fn geomean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// The ratios of runs made next to each other: `ours[i] / theirs[i]` where both succeeded.
pub fn paired_ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .filter_map(|(a, b)| Some((*a)? / (*b)?))
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect()
}

fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len().checked_sub(1)?) as f64;
    let (low, high) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 100.0]), Some(3.5));
    }

    #[test]
    fn spread_is_the_quartile_distance_over_the_median() {
        assert_eq!(spread(&[5.0]), 0.0);
        assert_eq!(spread(&[]), 0.0);
        assert!((spread(&[1.0, 2.0, 3.0, 4.0, 5.0]) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(spread(&[2.0, 2.0, 2.0]), 0.0);
    }

    #[test]
    fn geometric_means() {
        assert_eq!(geomean([]), None);
        assert!((geomean([0.5, 2.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!((geomean([0.25, 1.0]).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn ratios_pair_neighbours_and_skip_failures() {
        let ours = [Some(1.0), Some(8.0), None];
        let theirs = [Some(2.0), None, Some(4.0)];
        assert_eq!(paired_ratios(&ours, &theirs), [0.5]);
        // A machine that slows down by half between the runs leaves paired ratios alone.
        let ours = [Some(1.0), Some(2.0)];
        let theirs = [Some(2.0), Some(4.0)];
        assert_eq!(paired_ratios(&ours, &theirs), [0.5, 0.5]);
        assert!(paired_ratios(&[Some(1.0)], &[Some(0.0)]).is_empty());
    }
}
