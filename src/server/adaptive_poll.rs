//! Whether a reactor that has told of a change waits awake for what comes next.
//!
//! Waking a sleeping thread takes tens of microseconds: more than all else that a hand-over takes. Where one change
//! follows the other, the next request comes sooner than a sleep would pay. So a reactor that has told somebody
//! of a change looks for what comes next without sleeping, up to a limit, as long as it most often came
//! within the limit. It yields before each look, so that others get its core first; where others keep
//! it, or the peers themselves run there, it sleeps again. What is only read, and a session's signs of life,
//! keep no reactor awake.

use std::time::Duration;

use crate::clock::Moment;

/// A look takes longer only if another thread had the core.
const GLANCE: Duration = Duration::from_micros(5);

pub(super) struct AdaptivePoll {
    limit: Duration,
    trust: Trust,
    /// When somebody was told of a change and nothing has come since.
    since: Option<Moment>,
}

impl AdaptivePoll {
    /// `limit`: how long it looks at most; zero: it never does.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, trust: Trust(0), since: None }
    }

    /// A pass is over that told of a change.
    pub(super) fn begin(&mut self, now: Moment) {
        self.since = Some(now);
    }

    /// Whether to look once more.
    pub(super) fn goes_on(&self, now: Moment) -> bool {
        self.since.is_some_and(|since| now - since < self.limit && self.trust.is_enough())
    }

    /// It looked, and others had the core meanwhile if they wanted it.
    pub(super) fn looked(&mut self, before: Moment, now: Moment, has_found: bool) {
        let took = now - before;
        let is_first = self.since == Some(before);
        if took > self.limit {
            // Somebody keeps the core busy: who yields comes last there, and who sleeps is let in.
            self.since = None;
            self.trust.lose();
        } else if is_first && has_found && took > GLANCE {
            // The peer ran on this core, it seems. It gets that as soon from a sleeper, and for less.
            self.since = None;
            self.trust.doubt();
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Moment) {
        let Some(since) = self.since.take() else { return };
        let after = now - since;
        // What was there already would have kept nobody asleep.
        if after > GLANCE {
            self.trust.learn(after < self.limit);
        }
    }
}

/// That what comes next comes soon: it is, where four of five times it did.
struct Trust(i32);

impl Trust {
    const MOST: i32 = 8;
    const ENOUGH: i32 = 4;
    /// What a time that was not soon costs, in times that were.
    const PRICE: i32 = 4;
    /// Where it begins again after somebody was busy on the core, and after the peers themselves were there.
    const LOST: i32 = -1_000;
    const DOUBTED: i32 = -100;

    fn is_enough(&self) -> bool {
        self.0 >= Self::ENOUGH
    }

    fn learn(&mut self, soon: bool) {
        self.0 = match soon {
            true => (self.0 + 1).min(Self::MOST),
            false if self.0 > 0 => (self.0 - Self::PRICE).max(0),
            false => self.0,
        };
    }

    fn lose(&mut self) {
        self.0 = Self::LOST;
    }

    /// Now and then means nothing.
    fn doubt(&mut self) {
        self.0 -= 1;
        if !self.is_enough() {
            self.0 = Self::DOUBTED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(200);
    const SOON: Duration = Duration::from_micros(50);
    const LATE: Duration = Duration::from_millis(1);

    /// A server where every change is followed by something after some time.
    struct Reactor {
        poll: AdaptivePoll,
        now: Moment,
    }

    impl Reactor {
        fn new() -> Self {
            Self { poll: AdaptivePoll::new(LIMIT), now: Moment::from_nanos(0) }
        }

        fn waits_awake(&mut self, comes_after: Duration) -> bool {
            self.poll.begin(self.now);
            let is_awake = self.poll.goes_on(self.now);
            self.now = self.now + comes_after;
            self.poll.heard(self.now);
            is_awake
        }

        /// How many times of so many.
        fn times_awake(&mut self, comes_after: Duration, of: usize) -> usize {
            (0..of).filter(|_| self.waits_awake(comes_after)).count()
        }

        /// Finds something in a look that begins after this time. Whether it would look the next time.
        fn finds(&mut self, after: Duration, took: Duration) -> bool {
            self.poll.begin(self.now);
            let before = self.now + after;
            self.now = before + took;
            self.poll.looked(before, self.now, true);
            self.poll.heard(self.now);
            self.poll.begin(self.now);
            self.poll.goes_on(self.now)
        }
    }

    #[test]
    fn it_looks_once_what_comes_next_has_come_soon_a_few_times() {
        let mut reactor = Reactor::new();
        assert_eq!(reactor.times_awake(SOON, 4), 0);
        assert_eq!(reactor.times_awake(SOON, 100), 100);
    }

    #[test]
    fn it_sleeps_where_nothing_comes_soon() {
        let mut reactor = Reactor::new();
        assert_eq!(reactor.times_awake(LATE, 100), 0);
        reactor.times_awake(SOON, 100);
        assert_eq!(reactor.times_awake(LATE, 100), 2, "it takes two to forget");
    }

    #[test]
    fn every_other_time_is_not_enough() {
        let mut reactor = Reactor::new();
        let awake = (0..100).map(|_| reactor.times_awake(SOON, 1) + reactor.times_awake(LATE, 1));
        assert_eq!(awake.sum::<usize>(), 0);
    }

    #[test]
    fn nobody_is_looked_for_longer_than_the_limit() {
        let mut reactor = Reactor::new();
        reactor.times_awake(SOON, 8);
        reactor.poll.begin(reactor.now);
        assert!(reactor.poll.goes_on(reactor.now + (LIMIT - Duration::from_nanos(1))));
        assert!(!reactor.poll.goes_on(reactor.now + LIMIT));
    }

    #[test]
    fn without_a_limit_to_look_up_to_it_never_looks() {
        let mut reactor = Reactor { poll: AdaptivePoll::new(Duration::ZERO), ..Reactor::new() };
        assert_eq!(reactor.times_awake(SOON, 100), 0);
    }

    #[test]
    fn nothing_is_awaited_unless_a_change_was_told() {
        let mut reactor = Reactor::new();
        reactor.times_awake(SOON, 8);
        assert!(!reactor.poll.goes_on(reactor.now));
    }

    #[test]
    fn who_shares_the_core_with_somebody_busy_sleeps_for_long() {
        let mut reactor = Reactor::new();
        reactor.times_awake(SOON, 8);
        reactor.poll.begin(reactor.now);
        reactor.poll.looked(reactor.now, reactor.now + SOON, false);
        assert!(reactor.poll.goes_on(reactor.now), "giving way is not being kept away");
        reactor.poll.looked(reactor.now, reactor.now + LATE, false);
        assert!(!reactor.poll.goes_on(reactor.now));
        assert_eq!(reactor.times_awake(SOON, 1_004), 0);
        assert_eq!(reactor.times_awake(SOON, 1), 1);
    }

    #[test]
    fn who_shares_the_core_with_its_peer_sleeps() {
        let mut reactor = Reactor::new();
        reactor.times_awake(SOON, 8);
        let (at_once, quick) = (Duration::ZERO, Duration::from_micros(1));
        for _ in 0..100 {
            reactor.finds(SOON, quick);
            reactor.finds(SOON, quick);
            reactor.finds(at_once, quick);
            reactor.finds(at_once, SOON);
        }
        assert!(reactor.finds(at_once, quick), "that is chance");
        let goes_on = (0..10).take_while(|_| reactor.finds(at_once, SOON)).count();
        assert_eq!(goes_on, 3, "from seven to four");
        assert_eq!(reactor.times_awake(SOON, 100), 0);
        assert_eq!(reactor.times_awake(SOON, 10), 6);
    }
}
