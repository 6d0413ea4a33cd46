//! How much is to be begun, and when: at once after each answer, or by a schedule that waits for nobody.

use std::time::Duration;

use tenure::Moment;

use crate::args::bench::Until;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many, each as soon as there is room.
    Count { left: u64 },
    /// As soon as there is room, until then.
    Time { until: Moment },
    /// One each `step` from the beginning.
    Schedule { began: Moment, next: u64, count: u64, step_nanos: f64 },
}

impl Pace {
    /// For one of `threads` that share the work.
    pub(super) fn new(
        until: Until,
        rate: Option<u32>,
        (thread, threads): (u64, u64),
        now: Moment,
    ) -> Self {
        let share = |count: u64| count / threads + u64::from(thread < count % threads);
        let Some(rate) = rate.map(f64::from) else {
            return match until {
                Until::Done(count) => Pace::Count { left: share(count) },
                Until::Over(time) => Pace::Time { until: now + time },
            };
        };
        let count = match until {
            Until::Done(count) => count,
            Until::Over(time) => (rate * time.as_secs_f64()).round() as u64,
        };
        let step = 1e9 / rate;
        // Threads take turns.
        let began = now + Duration::from_nanos((step * thread as f64) as u64);
        Pace::Schedule { began, next: 0, count: share(count), step_nanos: step * threads as f64 }
    }

    pub(super) fn has_schedule(&self) -> bool {
        matches!(self, Pace::Schedule { .. })
    }

    /// When the one that may begin now was due, or nothing if none may.
    #[inline]
    pub(super) fn take(&mut self, now: Moment) -> Option<Moment> {
        match self {
            Pace::Count { left } => {
                *left = left.checked_sub(1)?;
                Some(now)
            }
            Pace::Time { until } => (now < *until).then_some(now),
            Pace::Schedule { .. } => {
                let due = self.next_due().filter(|&due| due <= now)?;
                self.skip();
                Some(due)
            }
        }
    }

    fn skip(&mut self) {
        if let Pace::Schedule { next, .. } = self {
            *next += 1;
        }
    }

    /// When the next one is due, if that depends on the time.
    pub(super) fn next_due(&self) -> Option<Moment> {
        match self {
            Pace::Schedule { began, next, count, step_nanos } if next < count => {
                Some(*began + Duration::from_nanos((step_nanos * *next as f64) as u64))
            }
            _ => None,
        }
    }

    /// How many will never begin if nothing begins any more.
    pub(super) fn left(&self) -> u64 {
        match self {
            Pace::Count { left } => *left,
            Pace::Time { .. } => 0,
            Pace::Schedule { next, count, .. } => count - next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000);

    #[test]
    fn a_count_is_shared_to_the_last_one() {
        let shares = (0..3).map(|thread| Pace::new(Until::Done(11), None, (thread, 3), START));
        assert_eq!(shares.map(|pace| pace.left()).collect::<Vec<_>>(), [4, 4, 3]);
    }

    /// However late one looks, each is due when it was due, and none is left out.
    #[test]
    fn a_schedule_waits_for_nobody() {
        let mut pace = Pace::new(Until::Done(5), Some(1_000), (0, 1), START);
        assert_eq!(pace.take(START), Some(START));
        assert_eq!(pace.take(START), None);
        let late = START + Duration::from_secs(1);
        let due: Vec<u64> = std::iter::from_fn(|| pace.take(late))
            .map(|due| (due - START).as_nanos() as u64)
            .collect();
        assert_eq!(due, [1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        assert_eq!((pace.left(), pace.next_due()), (0, None));
    }

    #[test]
    fn threads_take_turns_in_a_schedule() {
        let hour = Until::Over(Duration::from_secs(3_600));
        let mut both = [0, 1].map(|thread| Pace::new(hour, Some(10), (thread, 2), START));
        assert_eq!(both.map(|pace| pace.left()), [18_000, 18_000]);
        let late = START + Duration::from_secs(1);
        let due = both.each_mut().map(|pace| [pace.take(late), pace.take(late)]);
        let at = |millis| Some(START + Duration::from_millis(millis));
        assert_eq!(due, [[at(0), at(200)], [at(100), at(300)]]);
    }

    #[test]
    fn a_duration_ends_by_the_clock() {
        let mut pace = Pace::new(Until::Over(Duration::from_secs(1)), None, (0, 1), START);
        assert_eq!(pace.take(START), Some(START));
        assert_eq!(pace.take(START + Duration::from_secs(1)), None);
        assert_eq!(pace.left(), 0);
    }
}
