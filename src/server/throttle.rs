//! Once a second is often enough for a log line that a peer can provoke.

use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use crate::clock::Moment;

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one line through a second, and counts those it keeps back.
#[derive(Default)]
pub(super) struct Throttle {
    /// When the next may pass, in the clock's nanoseconds.
    next: AtomicCell<u64>,
    kept_back: AtomicCell<u64>,
}

impl Throttle {
    /// `Some` if a line may be written now, with the number of those kept back before it.
    pub(super) fn pass(&self, now: Moment) -> Option<u64> {
        let next = self.next.load();
        let after = (now + PAUSE).nanos();
        if now.nanos() < next || self.next.compare_exchange(next, after).is_err() {
            self.kept_back.fetch_add(1);
            return None;
        }
        Some(self.kept_back.swap(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w9_one_line_a_second_and_none_is_forgotten() {
        let (throttle, start) = (Throttle::default(), Moment::from_nanos(5));
        assert_eq!(throttle.pass(start), Some(0));
        assert_eq!(throttle.pass(start), None);
        assert_eq!(throttle.pass(start + PAUSE / 2), None);
        assert_eq!(throttle.pass(start + PAUSE), Some(2));
    }
}
