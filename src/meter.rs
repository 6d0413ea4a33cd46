//! Plain counters, cheap enough to be always on. They know nothing of who shows them.
//!
//! A counter has one writer at a time: a shard's writer, a reactor, the committing role. So adding is a
//! load and a store and asks no other core. What several threads count at once says `shared`.

use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use crate::error::{Error, NameFault};

/// A number that rises, or goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicCell<u64>);

impl Count {
    /// For the one writer of the moment.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load().wrapping_add(more));
    }

    /// For the one writer of the moment.
    #[inline]
    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load().wrapping_sub(less));
    }

    /// For the one writer of the moment: starts again.
    #[inline]
    pub(crate) fn take(&self) -> u64 {
        let count = self.0.load();
        self.0.store(0);
        count
    }

    /// From any thread.
    pub(crate) fn add_shared(&self, more: u64) {
        self.0.fetch_add(more);
    }

    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.0.load()
    }
}

/// Upper bounds of buckets in nanoseconds: 10 us to 10 s.
pub(crate) const TIMES: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds of buckets for how many came together.
pub(crate) const SIZES: [u64; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// The same, for what comes by 64 at most.
pub(crate) const FEW: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Room for the longest scale, and for what is over its last bound.
const BUCKETS: usize = TIMES.len() + 1;

/// How often which values came.
#[derive(Debug)]
pub(crate) struct Histogram {
    scale: &'static [u64],
    buckets: [Count; BUCKETS],
    sum: Count,
}

impl Histogram {
    pub(crate) fn of(scale: &'static [u64]) -> Self {
        debug_assert!(scale.len() < BUCKETS);
        Self { scale, buckets: Default::default(), sum: Count::default() }
    }

    /// `value` came so many times. For the one writer of the moment.
    #[inline]
    pub(crate) fn add(&self, value: u64, times: u64) {
        self.buckets[self.bucket(value)].add(times);
        self.sum.add(value.wrapping_mul(times));
    }

    /// From any thread.
    pub(crate) fn add_shared(&self, value: u64) {
        self.buckets[self.bucket(value)].add_shared(1);
        self.sum.add_shared(value);
    }

    #[inline]
    fn bucket(&self, value: u64) -> usize {
        // Most of what comes is small.
        self.scale.iter().position(|&bound| value <= bound).unwrap_or(self.scale.len())
    }

    pub(crate) fn read(&self) -> Distribution {
        let counts = std::array::from_fn(|at| self.buckets[at].read());
        Distribution { scale: self.scale, counts, sum: self.sum.read() }
    }
}

/// A histogram as it was read, or the sum of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distribution {
    scale: &'static [u64],
    counts: [u64; BUCKETS],
    /// Of all values.
    pub(crate) sum: u64,
}

impl Distribution {
    pub(crate) fn of(scale: &'static [u64]) -> Self {
        Self { scale, counts: [0; BUCKETS], sum: 0 }
    }

    pub(crate) fn add(&mut self, other: &Distribution) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many values came.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bound, with how many values came up to it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut so_far = 0;
        self.scale.iter().zip(self.counts).map(move |(&bound, count)| {
            so_far += count;
            (bound, so_far)
        })
    }
}

/// A time as histograms have it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The limits as errors call them, each with its label. The engine counts the first ones itself, whoever
/// asks; the others are counted where they are answered.
const LIMITS: [(&str, &str); 17] = [
    ("elections", "elections"),
    ("sessions", "sessions"),
    ("mailbox", "mailbox"),
    ("candidates", "candidates"),
    ("candidate_bytes", "candidate_bytes"),
    ("election_metadata_bytes", "election_metadata_bytes"),
    ("connections", "connections"),
    ("streams", "streams"),
    ("frame_bytes", "frame_bytes"),
    ("arriving_bytes", "arriving_bytes"),
    ("output_bytes", "output_bytes"),
    ("name_bytes", "name_bytes"),
    ("request_bytes", "request_bytes"),
    ("metadata_bytes", "metadata_bytes"),
    ("labels", "labels"),
    ("tags of an election", "tags"),
    ("bytes of an election's tags", "tag_bytes"),
];

/// The limits that the engine counts.
const ENGINES: usize = 6;

/// How often each limit was hit. That is seldom, so any thread may count.
#[derive(Debug, Default)]
pub(crate) struct LimitHits([AtomicCell<u64>; LIMITS.len()]);

impl LimitHits {
    /// Counts a limit by the name that errors have for it.
    pub(crate) fn hit(&self, limit: &str) {
        if let Some(at) = LIMITS.iter().position(|&(name, _)| name == limit) {
            self.0[at].fetch_add(1);
        }
    }

    /// Counts an error of the engine if it tells of one of the engine's limits.
    #[cold]
    pub(crate) fn refused(&self, error: &Error) {
        if let Error::LimitReached { limit, .. } = error
            && is_engines(limit)
        {
            self.hit(limit);
        }
    }

    /// Counts an error that a client is told, if it tells of a limit that the engine has not counted.
    pub(crate) fn told(&self, error: &Error) {
        match error {
            Error::LimitReached { limit, .. } if !is_engines(limit) => self.hit(limit),
            Error::InvalidName { fault: NameFault::TooLong { .. }, .. } => self.hit("name_bytes"),
            _ => {}
        }
    }

    /// Each limit's label, with how often it was hit.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LIMITS.iter().map(|&(_, label)| label).zip(self.0.iter().map(AtomicCell::load))
    }
}

fn is_engines(limit: &str) -> bool {
    LIMITS[..ENGINES].iter().any(|&(name, _)| name == limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let histogram = Histogram::of(&SIZES);
        for (value, times) in [(1, 5), (2, 1), (3, 2), (4096, 1), (5000, 3)] {
            histogram.add(value, times);
        }
        let read = histogram.read();
        let up_to = |bound| read.cumulative().find(|&(it, _)| it == bound).unwrap().1;
        assert_eq!([1, 2, 4, 2048, 4096].map(up_to), [5, 6, 8, 8, 9]);
        assert_eq!((read.count(), read.sum), (12, 5 + 2 + 6 + 4096 + 15_000));
    }

    #[test]
    fn distributions_add_up() {
        let (one, other) = (Histogram::of(&TIMES), Histogram::of(&TIMES));
        one.add(nanos(Duration::from_micros(10)), 2);
        other.add_shared(nanos(Duration::from_secs(60)));
        let mut sum = Distribution::of(&TIMES);
        sum.add(&one.read());
        sum.add(&other.read());
        assert_eq!((sum.count(), sum.sum), (3, 60_000_020_000));
        assert_eq!(sum.cumulative().last(), Some((10_000_000_000, 2)), "the minute is over all");
    }

    #[test]
    fn a_limit_is_counted_once_by_whoever_hits_it() {
        let (engines, told) = (LimitHits::default(), LimitHits::default());
        for limit in ["sessions", "streams", "tags of an election"] {
            let error = Error::LimitReached { limit, max: 1, advice: "" };
            engines.refused(&error);
            told.told(&error);
        }
        let fault = NameFault::TooLong { bytes: 2, max: 1 };
        told.told(&Error::InvalidName { field: "candidate", fault });
        told.told(&Error::Draining);
        let hit = |hits: &LimitHits| -> Vec<_> {
            hits.read().filter(|&(_, hits)| hits > 0).map(|(limit, _)| limit).collect()
        };
        assert_eq!(hit(&engines), ["sessions"]);
        assert_eq!(hit(&told), ["streams", "name_bytes", "tags"]);
    }

    /// A limit that no label stands for would be hit unseen.
    #[test]
    fn every_limit_that_an_error_names_has_a_label() {
        fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    sources(&path, found);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    found.push(std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut all = Vec::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        let mut seen = 0;
        for text in &all {
            for opening in ["limit: \"", " over(\"", "full(\""] {
                for (at, _) in text.match_indices(opening) {
                    let name = text[at + opening.len()..].split('"').next().unwrap();
                    assert!(LIMITS.iter().any(|&(it, _)| it == name), "{name:?} has no label");
                    seen += 1;
                }
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
