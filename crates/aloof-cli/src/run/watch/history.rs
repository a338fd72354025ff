//! What was seen over time, in bounded memory.

use std::time::Duration;

use super::processes::Seen;

/// Samples that are kept. When there are more, neighbours become one.
const MOST: usize = 4096;

/// What was seen at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub at: Duration,
    pub rss: u64,
    pub live: Option<u64>,
}

/// The most of something, and when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    pub bytes: u64,
    pub at: Duration,
}

impl Peak {
    fn raise(&mut self, bytes: u64, at: Duration) {
        if bytes > self.bytes {
            *self = Self { bytes, at };
        }
    }
}

/// The samples of a run, its peaks and the last look.
#[derive(Debug)]
pub struct History {
    samples: Vec<Sample>,
    /// Looks that become one sample.
    group: u32,
    /// Looks in the last sample.
    in_last: u32,
    /// When the last look was.
    pub elapsed: Duration,
    /// What it saw.
    pub last: Seen,
    /// The most resident memory.
    pub rss: Peak,
    /// The most live bytes; none before a process told of some.
    pub live: Option<Peak>,
    /// The most committed memory.
    pub committed: Peak,
    /// The most processes at a time.
    pub processes: u32,
    /// How often was looked.
    pub looks: u64,
}

impl History {
    pub fn new() -> Self {
        Self {
            samples: Vec::new(),
            group: 1,
            in_last: 0,
            elapsed: Duration::ZERO,
            last: Seen::default(),
            rss: Peak::default(),
            live: None,
            committed: Peak::default(),
            processes: 0,
            looks: 0,
        }
    }

    /// Takes one look in.
    pub fn add(&mut self, at: Duration, seen: Seen) {
        self.elapsed = at;
        self.last = seen;
        self.looks += 1;
        self.rss.raise(seen.rss, at);
        self.processes = self.processes.max(seen.processes);
        if let Some(figures) = seen.figures {
            self.live
                .get_or_insert(Peak { bytes: 0, at })
                .raise(figures.live, at);
            self.committed.raise(figures.committed, at);
        }
        let sample = Sample {
            at,
            rss: seen.rss,
            live: seen.figures.map(|figures| figures.live),
        };
        match self.samples.last_mut() {
            Some(last) if self.in_last < self.group => {
                *last = joined(*last, sample);
                self.in_last += 1;
            }
            _ => self.begin(sample),
        }
    }

    fn begin(&mut self, sample: Sample) {
        if self.samples.len() == MOST {
            let pairs = self.samples.chunks(2);
            self.samples = pairs
                .map(|pair| pair.iter().copied().reduce(joined).unwrap_or(pair[0]))
                .collect();
            self.group = self.group.saturating_mul(2);
        }
        self.samples.push(sample);
        self.in_last = 1;
    }

    /// The samples, oldest first. Each stands for the largest values until the next.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The largest value of all.
    pub fn largest(&self) -> u64 {
        self.rss.bytes.max(self.live.map_or(0, |peak| peak.bytes))
    }
}

fn joined(a: Sample, b: Sample) -> Sample {
    Sample {
        at: a.at,
        rss: a.rss.max(b.rss),
        live: a.live.max(b.live),
    }
}

#[cfg(test)]
mod tests {
    use super::super::processes::Figures;
    use super::*;

    fn seen(rss: u64, live: Option<u64>) -> Seen {
        Seen {
            processes: 1,
            rss,
            figures: live.map(|live| Figures {
                live,
                committed: 2 * live,
            }),
            ..Seen::default()
        }
    }

    #[test]
    fn peaks_keep_the_time_they_were_first_reached() {
        let mut history = History::new();
        let at = Duration::from_secs;
        history.add(at(0), seen(5, None));
        assert_eq!(history.live, None);
        for (second, rss, live) in [(1, 9, 3), (2, 9, 7), (3, 2, 1)] {
            history.add(at(second), seen(rss, Some(live)));
        }
        let peak = |bytes, second| Peak {
            bytes,
            at: at(second),
        };
        assert_eq!(history.rss, peak(9, 1));
        assert_eq!(history.live, Some(peak(7, 2)));
        assert_eq!(history.committed, peak(14, 2));
        assert_eq!((history.last.rss, history.looks), (2, 4));
    }

    #[test]
    fn a_long_run_is_thinned_evenly_and_keeps_every_spike() {
        let mut history = History::new();
        let looks = 20 * MOST as u64 + 77;
        for n in 0..looks {
            let rss = if n % 10_000 == 5_000 { 1000 } else { 1 };
            history.add(Duration::from_millis(n), seen(rss, Some(n)));
        }
        let samples = history.samples();
        assert!((MOST / 2..=MOST).contains(&samples.len()));
        let spikes = samples.iter().filter(|sample| sample.rss == 1000).count();
        assert_eq!(spikes, 8);
        let steps = samples.windows(2).map(|two| two[1].at - two[0].at);
        assert!(steps.clone().all(|step| step == Duration::from_millis(32)));
        assert_eq!(samples.last().unwrap().live, Some(looks - 1));
    }
}
