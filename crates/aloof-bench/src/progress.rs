//! The progress bar. The remaining time is reckoned from what each measurement took in the pass
//! before; in the first pass from its workload's other allocators, or from the average.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Progress over `passes` times the same plan of `(workload, allocator)`.
pub struct Progress {
    bar: ProgressBar,
    plan: Vec<(usize, usize)>,
    passes: usize,
    /// Seconds that each step of the plan took the last time.
    took: Vec<Option<f64>>,
    finished: usize,
    started: Instant,
}

impl Progress {
    /// A bar at its beginning.
    pub fn new(passes: usize, plan: &[(usize, usize)]) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix} {wide_msg}")
            .expect("the template is well formed");
        Progress {
            bar: ProgressBar::new((passes * plan.len()) as u64).with_style(style),
            plan: plan.to_vec(),
            passes,
            took: vec![None; plan.len()],
            finished: 0,
            started: Instant::now(),
        }
    }

    /// Names the measurement that begins.
    pub fn now(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.started = Instant::now();
    }

    /// The measurement has ended.
    pub fn done(&mut self) {
        self.record(self.started.elapsed());
        let left = self.seconds_left() as u64;
        self.bar
            .set_prefix(format!("{}:{:02} left", left / 60, left % 60));
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn record(&mut self, took: Duration) {
        self.took[self.finished % self.plan.len()] = Some(took.as_secs_f64());
        self.finished += 1;
    }

    fn seconds_left(&self) -> f64 {
        let mean = |steps: &mut dyn Iterator<Item = usize>| {
            let known: Vec<f64> = steps.filter_map(|i| self.took[i]).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let overall = mean(&mut (0..self.plan.len())).unwrap_or(0.0);
        let whole: Vec<f64> = (0..self.plan.len())
            .map(|i| {
                let same = |j: &usize| self.plan[*j].0 == self.plan[i].0;
                let alike = || mean(&mut (0..self.plan.len()).filter(same));
                self.took[i].or_else(alike).unwrap_or(overall)
            })
            .collect();
        let (passes, into) = (
            self.finished / self.plan.len(),
            self.finished % self.plan.len(),
        );
        let full = (self.passes - passes) as f64 * whole.iter().sum::<f64>();
        full - whole[..into].iter().sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_comes_from_the_same_steps() {
        let mut progress = Progress::new(2, &[(0, 0), (0, 1), (1, 0), (1, 1)]);
        let second = Duration::from_secs;
        progress.record(second(2));
        // All unknown steps as the only known one: three here and four in the next pass.
        assert_eq!(progress.seconds_left(), 14.0);
        progress.record(second(4));
        progress.record(second(10));
        // The last is as its workload's first: 10, then 2 + 4 + 10 + 10.
        assert_eq!(progress.seconds_left(), 36.0);
        progress.record(second(20));
        assert_eq!(progress.seconds_left(), 36.0);
        progress.record(second(1));
        // What is left of the pass is as it was in the pass before.
        assert_eq!(progress.seconds_left(), 34.0);
        for n in [1, 1, 1] {
            progress.record(second(n));
        }
        assert_eq!(progress.seconds_left(), 0.0);
    }
}
