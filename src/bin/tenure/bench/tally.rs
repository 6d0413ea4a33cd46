//! What came of a load: how often, how long, and what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tenure::Moment;

/// Three digits, from a nanosecond to an hour.
const DIGITS: u8 = 3;
const LONGEST: u64 = 3_600_000_000_000;

/// Times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are in order, and three digits are few enough"))
    }

    #[inline]
    pub(super) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST));
    }

    #[cfg(test)]
    fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    pub(super) fn shortest(&self) -> Duration {
        Duration::from_nanos(if self.0.is_empty() { 0 } else { self.0.min() })
    }

    /// As they would have been had requests gone on being sent, at the usual pace, while one was waited for.
    /// A client that waits for its answer sends nothing during a stall, and so counts it once; those who
    /// would have come meanwhile have waited, too.
    pub(super) fn without_omission(&self) -> Self {
        let pace = self.0.value_at_percentile(50.0);
        Self(self.0.clone_correct(pace.max(1)))
    }

    fn merge(&mut self, other: &Times) {
        // Never fails: the bounds are the same.
        let _same_bounds = self.0.add(&other.0);
    }
}

/// Of one phase of a load.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Operations that were done, each of one request or more.
    pub(super) done: u64,
    /// Requests that were answered and not refused.
    pub(super) answered: u64,
    /// Refusals, by gRPC's code.
    pub(super) refused: BTreeMap<i32, u64>,
    /// What the first refusal said.
    pub(super) first_refusal: Option<String>,
    /// Connections that ended, and the requests whose answers ended with them.
    pub(super) lost_connections: u64,
    pub(super) lost_requests: u64,
    /// Requests without an answer in time.
    pub(super) overdue: u64,
    /// Operations that were to be done and were not begun, since nobody was left to do them.
    pub(super) not_begun: u64,
    /// From sending to the answer.
    pub(super) taken: Times,
    /// From when it was due, where there is a schedule.
    pub(super) since_due: Option<Times>,
    pub(super) began: Moment,
    pub(super) ended: Moment,
}

impl Tally {
    pub(super) fn new(began: Moment, has_schedule: bool) -> Self {
        Self {
            done: 0,
            answered: 0,
            refused: BTreeMap::new(),
            first_refusal: None,
            lost_connections: 0,
            lost_requests: 0,
            overdue: 0,
            not_begun: 0,
            taken: Times::new(),
            since_due: has_schedule.then(Times::new),
            began,
            ended: began,
        }
    }

    #[inline]
    pub(super) fn is_done(&mut self, due: Moment, sent: Moment, now: Moment) {
        self.done += 1;
        self.taken.add(now - sent);
        if let Some(times) = &mut self.since_due {
            times.add(now - due);
        }
        self.ended = now;
    }

    pub(super) fn is_refused(&mut self, (code, sentence): (i32, String)) {
        *self.refused.entry(code).or_default() += 1;
        self.first_refusal.get_or_insert(sentence);
    }

    pub(super) fn is_lost(&mut self, requests: u64) {
        self.lost_connections += 1;
        self.lost_requests += requests;
    }

    /// Requests that came to nothing, for any reason.
    pub(super) fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.lost_requests + self.overdue + self.not_begun
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed() + self.lost_connections > 0
    }

    pub(super) fn time(&self) -> Duration {
        self.ended - self.began
    }

    /// A second; of operations if `count` is theirs.
    pub(super) fn rate(&self, count: u64) -> f64 {
        let seconds = self.time().as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// The times without coordinated omission: from when each was due, or else corrected afterwards.
    pub(super) fn corrected(&self) -> Times {
        self.since_due.clone().unwrap_or_else(|| self.taken.without_omission())
    }

    /// Adds what another thread did at the same time.
    pub(super) fn merge(&mut self, other: Tally) {
        self.done += other.done;
        self.answered += other.answered;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.lost_connections += other.lost_connections;
        self.lost_requests += other.lost_requests;
        self.overdue += other.overdue;
        self.not_begun += other.not_begun;
        self.taken.merge(&other.taken);
        if let (Some(times), Some(more)) = (&mut self.since_due, &other.since_due) {
            times.merge(more);
        }
        self.began = self.began.min(other.began);
        self.ended = self.ended.max(other.ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// 1,999 answers of 1 ms and one of 300 ms: whoever asked each millisecond would have waited 300 times.
    #[test]
    fn a_stall_counts_for_all_who_would_have_waited() {
        let mut times = Times::new();
        (0..1_999).for_each(|_| times.add(MS));
        times.add(300 * MS);
        assert!(times.percentile(99.9) < 2 * MS, "once of two thousand is not seen");
        let corrected = times.without_omission();
        assert!(corrected.percentile(99.9) > 290 * MS);
        assert!(corrected.percentile(90.0) > 60 * MS);
        assert!((2_295..=2_300).contains(&corrected.count()), "{}", corrected.count());
    }

    #[test]
    fn nothing_measured_is_zero() {
        let tally = Tally::new(Moment::from_nanos(5), true);
        assert_eq!((tally.rate(7), tally.corrected().percentile(99.0)), (0.0, Duration::ZERO));
        assert_eq!(tally.taken.without_omission().shortest(), Duration::ZERO);
        assert!(!tally.has_failed());
    }

    #[test]
    fn threads_add_up() {
        let at = Moment::from_nanos;
        let mut one = Tally::new(at(10), false);
        one.is_done(at(11), at(11), at(21));
        one.is_refused((8, "full".to_owned()));
        let mut other = Tally::new(at(5), false);
        other.is_done(at(6), at(6), at(46));
        other.is_refused((8, "too".to_owned()));
        other.is_lost(3);
        one.merge(other);
        assert_eq!((one.done, one.refused[&8], one.failed()), (2, 2, 5));
        assert_eq!((one.time(), one.taken.count()), (Duration::from_nanos(41), 2));
        assert_eq!(one.first_refusal.as_deref(), Some("full"));
    }
}
