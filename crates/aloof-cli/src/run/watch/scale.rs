//! Axes: a unit that fits, and ticks at round numbers of it.

use std::time::Duration;

/// An axis from zero. Values are bytes or seconds.
#[derive(Debug)]
pub struct Scale {
    /// The unit of the labels.
    pub unit: &'static str,
    /// The value at the far end.
    pub end: f64,
    /// One of the unit.
    one: f64,
    /// From tick to tick, in the unit.
    step: f64,
}

impl Scale {
    /// An axis for sizes up to this one with at most so many steps; it ends at a tick.
    pub fn bytes(largest: u64, most: u32) -> Self {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let largest = largest.max(1024) as f64;
        let mut one = 1024.0;
        let mut units = UNITS.iter();
        let mut unit = units.next().unwrap_or(&UNITS[0]);
        while largest >= one * 1024.0
            && let Some(larger) = units.next()
        {
            (one, unit) = (one * 1024.0, larger);
        }
        let step = round_step(largest / one / f64::from(most));
        let end = (largest / one / step).ceil() * step * one;
        Self {
            unit,
            end,
            one,
            step,
        }
    }

    /// An axis for times up to this one, where it ends.
    pub fn time(span: Duration, most: u32) -> Self {
        let end = span.as_secs_f64().max(0.001);
        let (unit, one) = match end {
            s if s < 1.0 => ("ms", 0.001),
            s if s < 180.0 => ("s", 1.0),
            s if s < 3.0 * 3600.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        let step = round_step(end / one / f64::from(most));
        Self {
            unit,
            end,
            one,
            step,
        }
    }

    /// The ticks, zero first: the value, and its label without the unit.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let digits = (-self.step.log10()).ceil().max(0.0) as usize;
        // A little more than the end, for the last tick may be rounded beyond it.
        let last = (self.end / self.one / self.step + 1e-9).floor() as u32;
        (0..=last).map(move |n| {
            let number = f64::from(n) * self.step;
            (number * self.one, format!("{number:.digits$}"))
        })
    }
}

/// The next of 1, 2, 5, 10, 20, 50 and so on.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    // The last is never smaller, unless by rounding.
    *steps
        .iter()
        .find(|&&step| step >= least)
        .unwrap_or(&steps[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().map(|(_, label)| label).collect()
    }

    #[test]
    fn sizes_have_round_ticks_and_lie_within() {
        for (largest, unit, expected) in [
            (0, "KiB", &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"][..]),
            (200 << 20, "MiB", &["0", "50", "100", "150", "200"]),
            (
                (200 << 20) + 1,
                "MiB",
                &["0", "50", "100", "150", "200", "250"],
            ),
            (1023 << 10, "KiB", &["0", "500", "1000", "1500"]),
            (3 << 29, "GiB", &["0.0", "0.5", "1.0", "1.5"]),
        ] {
            let scale = Scale::bytes(largest, 5);
            assert_eq!(
                (scale.unit, &labels(&scale)[..]),
                (
                    unit,
                    &expected.iter().map(|&l| l.to_owned()).collect::<Vec<_>>()[..]
                )
            );
            let last = scale.ticks().last().unwrap().0;
            assert!((scale.end - last).abs() < 1.0);
        }
        for power in 0..64 {
            for largest in [1_u64 << power, (1 << power) + 1, (1 << power) / 3 * 4] {
                let scale = Scale::bytes(largest, 5);
                assert!(scale.end >= largest as f64, "{largest}");
                assert!((2..=6).contains(&scale.ticks().count()), "{largest}");
            }
        }
    }

    #[test]
    fn times_end_where_the_run_ends() {
        for (millis, unit, expected) in [
            (0, "ms", &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"][..]),
            (120, "ms", &["0", "50", "100"]),
            (12_300, "s", &["0", "5", "10"]),
            (240_000, "min", &["0", "1", "2", "3", "4"]),
            (36_000_000, "h", &["0", "2", "4", "6", "8", "10"]),
        ] {
            let scale = Scale::time(Duration::from_millis(millis), 5);
            assert_eq!(scale.unit, unit);
            assert_eq!(labels(&scale), expected);
            assert!(
                scale
                    .ticks()
                    .all(|(value, _)| value <= scale.end * 1.000_001)
            );
        }
    }
}
