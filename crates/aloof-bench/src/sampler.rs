//! Takes the samples of one workload: the allocators in turn, short measurements more often.

use crate::allocators::Allocator;
use crate::args::Args;
use crate::catalogue::Workload;
use crate::measure::{Sample, measure};
use crate::progress::Progress;
use crate::tools::Tools;
use crate::warm::Warmer;
use std::time::Duration;

/// A machine that is fast and slow by turns tells least about a workload that is over soon: one that no allocator needs
/// so many seconds for is measured more often.
const SHORT: f64 = 1.0;
/// So many times in each pass.
const SHORT_TURNS: usize = 3;

/// Takes samples of all workloads.
pub struct Sampler<'a> {
    /// By workload and allocator.
    pub samples: Vec<Vec<Vec<Sample>>>,
    tools: &'a Tools,
    allocators: &'a [Allocator],
    workloads: &'a [Workload],
    timeout: Duration,
    short_turns: usize,
    warmer: Warmer,
}

impl<'a> Sampler<'a> {
    /// One without samples.
    pub fn new(
        args: &Args,
        tools: &'a Tools,
        allocators: &'a [Allocator],
        workloads: &'a [Workload],
    ) -> Self {
        Sampler {
            samples: vec![vec![Vec::new(); allocators.len()]; workloads.len()],
            tools,
            allocators,
            workloads,
            timeout: Duration::from_secs(args.timeout),
            short_turns: if args.quick { 1 } else { SHORT_TURNS },
            warmer: Warmer::new(workloads.len()),
        }
    }

    /// Measures a workload on these allocators, one after the other, and again if that took little time.
    pub fn take(&mut self, turn: &[(usize, usize)], progress: &mut Progress) {
        for (i, &(w, a)) in turn.iter().enumerate() {
            let workload = &self.workloads[w];
            progress.now(&format!(
                "{} {} x{} on {}",
                workload.suite, workload.name, workload.threads, self.allocators[a].name
            ));
            self.measure(w, a, i == 0 && workload.driver.wants_warm_up());
            // Counted as part of the last, so that the remaining time allows for it.
            if i + 1 == turn.len() {
                self.repeat_if_short(turn);
            }
            progress.done();
        }
    }

    /// Measures all of these again if none took long, another one first each time, as between passes.
    fn repeat_if_short(&mut self, turn: &[(usize, usize)]) {
        if !are_short(turn.iter().map(|&(w, a)| self.samples[w][a].last())) {
            return;
        }
        for more in 1..self.short_turns {
            let (last, first) = turn.split_at(more % turn.len());
            for &(w, a) in first.iter().chain(last) {
                self.measure(w, a, false);
            }
        }
    }

    /// Takes one sample; `again`: after one that is left out, which finds files and caches as another workload left them.
    fn measure(&mut self, w: usize, a: usize, mut again: bool) {
        // One failure spoils the row; the next would take as long, where more memory is wanted than there is.
        if let Some(failed) = self.samples[w][a].iter().find(|s| s.outcome.is_err()) {
            let failed = failed.clone();
            self.samples[w][a].push(failed);
            return;
        }
        loop {
            self.warmer.warm(w);
            let (workload, allocator) = (&self.workloads[w], &self.allocators[a]);
            let sample = measure(workload, allocator, self.tools, self.timeout);
            let figures = sample.outcome.as_ref().ok();
            let cold = figures.is_some_and(|f| self.warmer.learn(w, f.peak_rss_bytes)) || again;
            // Only a figure is left out, never a failure.
            if figures.is_none() || !cold {
                self.samples[w][a].push(sample);
                return;
            }
            again = false;
        }
    }
}

/// Whether these took little time, and none failed.
fn are_short<'a>(mut samples: impl Iterator<Item = Option<&'a Sample>>) -> bool {
    samples.all(|sample| {
        sample
            .and_then(|sample| sample.outcome.as_ref().ok())
            .is_some_and(|figures| figures.seconds < SHORT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Figures;

    fn sample(outcome: Result<f64, &str>) -> Sample {
        let figures = |seconds| Figures {
            seconds,
            ..Figures::default()
        };
        Sample {
            outcome: outcome.map(figures).map_err(str::to_owned),
            memory: Vec::new(),
        }
    }

    #[test]
    fn what_no_allocator_takes_a_second_for_is_short() {
        let [brief, long, failed] = [Ok(0.2), Ok(1.5), Err("died")].map(sample);
        assert!(are_short([Some(&brief), Some(&brief)].into_iter()));
        assert!(!are_short([Some(&brief), Some(&long)].into_iter()));
        assert!(!are_short([Some(&brief), Some(&failed)].into_iter()));
        assert!(!are_short([Some(&brief), None].into_iter()));
    }
}
