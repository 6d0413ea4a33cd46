//! Whether a reactor that has told of a change waits awake for what comes next.
//!
//! Waking a sleeping thread takes tens of microseconds: more than all else that a hand-over takes. Where one change
//! follows the other, the next request comes sooner than a sleep would pay. So a reactor that has told somebody
//! of a change looks for what comes next without sleeping, up to a limit, once it came within the limit a few
//! times in a row. It yields before each look, so that others get its core first. What goes wrong, a look in
//! vain or on a core that others need, is paid for by sleeping, and mostly twice as long if it goes wrong again before
//! that has paid. What is only read, and a session's signs of life, keep no reactor awake.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock::Moment;

/// A look takes longer only if another thread had the core.
const GLANCE: Duration = Duration::from_micros(5);
/// It takes longer only if others keep the core, or it is out of the time that it was given there.
const STALL: Duration = Duration::from_micros(200);

pub(super) struct AdaptivePoll {
    limit: Duration,
    trust: Trust,
    /// When somebody was told of a change and nothing has come since.
    since: Option<Moment>,
}

impl AdaptivePoll {
    /// `limit`: how long it looks at most; zero: it never does.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, trust: Trust::default(), since: None }
    }

    /// A pass is over that told of a change.
    pub(super) fn begin(&mut self, now: Moment) {
        if self.since.is_some_and(|since| now - since >= self.limit) {
            self.trust.was_late();
        }
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
        if took > STALL {
            // Who yields comes last there, and who sleeps is let in.
            self.since = None;
            self.trust.fail(Trust::STALLED);
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
        if after >= self.limit {
            self.trust.was_late();
        } else if after > GLANCE {
            self.trust.was_soon();
        }
        // What was there already would have kept nobody asleep.
    }
}

type Price = RangeInclusive<i64>;

/// That what comes next comes soon.
#[derive(Default)]
struct Trust {
    level: i64,
    /// What the last failure cost, in times that something came soon; and how often a look has paid since.
    price: i64,
    paid: i64,
}

impl Trust {
    const MOST: i64 = 8;
    const ENOUGH: i64 = 4;
    /// What failures cost, at least and at most: looks in vain, on the peers' own core (which may change soon), and
    /// on one that others keep.
    const IN_VAIN: Price = 16..=1_024;
    const SHARED: Price = 128..=128;
    const STALLED: Price = 1_024..=65_536;

    fn is_enough(&self) -> bool {
        self.level >= Self::ENOUGH
    }

    fn was_soon(&mut self) {
        self.paid += i64::from(self.is_enough());
        self.level = (self.level + 1).min(Self::MOST);
    }

    fn was_late(&mut self) {
        if self.is_enough() {
            self.fail(Self::IN_VAIN);
        } else {
            self.level = self.level.min(0);
        }
    }

    /// Now and then means nothing.
    fn doubt(&mut self) {
        self.level -= 1;
        if !self.is_enough() {
            self.fail(Self::SHARED);
        }
    }

    fn fail(&mut self, price: Price) {
        let owed = if self.paid < self.price { self.price } else { 0 };
        self.price = (2 * owed).clamp(*price.start(), *price.end()).max(owed);
        (self.level, self.paid) = (-self.price, 0);
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
    fn it_looks_once_what_comes_next_has_come_soon_four_times() {
        let mut reactor = Reactor::new();
        assert_eq!(reactor.times_awake(SOON, 3), 0);
        assert_eq!(reactor.times_awake(LATE, 1), 0);
        assert_eq!(reactor.times_awake(SOON, 4), 0);
        assert_eq!(reactor.times_awake(SOON, 100), 100);
    }

    #[test]
    fn it_sleeps_where_nothing_comes_soon() {
        let mut reactor = Reactor::new();
        assert_eq!(reactor.times_awake(LATE, 100), 0);
        reactor.times_awake(SOON, 100);
        assert_eq!(reactor.times_awake(LATE, 100), 1, "a single one in vain");
        assert_eq!(reactor.times_awake(SOON, 20), 0);
        assert_eq!(reactor.times_awake(SOON, 1), 1);
    }

    /// Each burst pays for the look at its end; a rhythm where only the last one is looked for does not.
    #[test]
    fn looks_in_vain_become_rare() {
        let mut reactor = Reactor::new();
        let mut awake = |soon| {
            let mut rounds = || (reactor.times_awake(SOON, soon), reactor.times_awake(LATE, 1));
            let sums =
                |(paid, vain): (usize, usize), next: (usize, usize)| (paid + next.0, vain + next.1);
            (0..1_000).map(|_| rounds()).fold((0, 0), sums)
        };
        assert_eq!(awake(100), (80_016, 1_000));
        let (paid, vain) = awake(4);
        assert!(paid + vain < 10, "{paid} and {vain} of 5,000");
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

    /// Also where the limit is long; and where that comes again and again, as under a quota, ever longer.
    #[test]
    fn who_is_kept_from_the_core_sleeps_for_long() {
        let hour = AdaptivePoll::new(Duration::from_secs(3_600));
        let mut reactor = Reactor { poll: hour, ..Reactor::new() };
        reactor.times_awake(SOON, 8);
        for price in [1_024, 2_048, 4_096] {
            reactor.poll.begin(reactor.now);
            reactor.poll.looked(reactor.now, reactor.now + SOON, false);
            assert!(reactor.poll.goes_on(reactor.now), "giving way is not being kept away");
            reactor.poll.looked(reactor.now, reactor.now + LATE, false);
            assert!(!reactor.poll.goes_on(reactor.now));
            assert_eq!(reactor.times_awake(SOON, price + 4), 0);
            assert_eq!(reactor.times_awake(SOON, 1_000), 1_000);
        }
        reactor.times_awake(SOON, 4_000);
        reactor.poll.begin(reactor.now);
        reactor.poll.looked(reactor.now, reactor.now + LATE, false);
        assert_eq!(reactor.times_awake(SOON, 1_028), 0, "it has paid for the last time");
        assert_eq!(reactor.times_awake(SOON, 1), 1);
    }

    /// A look in vain is no reason to try sooner again where others keep the core.
    #[test]
    fn what_is_owed_is_not_forgiven() {
        let mut trust = Trust::default();
        (0..4).for_each(|_| trust.was_soon());
        trust.fail(Trust::STALLED);
        assert_eq!(trust.price, 1_024);
        trust.fail(Trust::IN_VAIN);
        assert_eq!(trust.price, 1_024);
        trust.fail(Trust::SHARED);
        assert_eq!(trust.price, 1_024);
        trust.fail(Trust::STALLED);
        assert_eq!(trust.price, 2_048);
        (0..5_000).for_each(|_| trust.was_soon());
        trust.fail(Trust::IN_VAIN);
        assert_eq!(trust.price, 16);
    }

    /// Also where no event ended it, but the next change was told by a timer.
    #[test]
    fn a_look_in_vain_is_noticed_in_any_case() {
        let mut reactor = Reactor::new();
        reactor.times_awake(SOON, 8);
        reactor.poll.begin(reactor.now);
        reactor.poll.begin(reactor.now + LATE);
        assert!(!reactor.poll.goes_on(reactor.now + LATE));
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
        assert_eq!(reactor.times_awake(SOON, 132), 0);
        assert_eq!(reactor.times_awake(SOON, 1), 1);
    }
}
