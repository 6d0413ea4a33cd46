//! Ends sessions whose deadline has passed.
//!
//! Timers are lazy: a renewal does not touch them. When one fires and the deadline has moved, it is
//! set again.
//!
//! Nobody waits for the timers: who opens or ends a session leaves word in a queue. A session may have
//! ended before its opening is heard of; then no timer is set.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam::queue::SegQueue;

use super::record::Record;
use super::{Engine, Inner};
use crate::clock::Moment;
use crate::lease::{Ending, Expiry};
use crate::wheel::Wheel;

const HORIZON: Duration = Duration::from_secs(30);
/// Timers worked off between two looks at what is new.
const BATCH: usize = 1024;
/// How often the thread looks at the clock while there are sessions.
const BEAT: Duration = Duration::from_millis(100);
/// A beat that comes this late means that nobody could be heard in between.
const PAUSED: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Timers {
    news: SegQueue<News>,
    state: Mutex<State>,
    thread: Mutex<Option<Thread>>,
    is_manual: bool,
}

/// What the timers have not taken notice of yet.
enum News {
    Opened(Arc<Record>),
    Ended(Arc<Record>),
}

struct State {
    wheel: Wheel<Arc<Record>>,
    /// The last time this process is known to have run.
    beat: Option<Moment>,
    /// When it last woke from a pause: until a whole TTL after, nobody expires.
    woke: Option<Moment>,
}

impl Default for State {
    fn default() -> Self {
        Self { wheel: Wheel::new(), beat: None, woke: None }
    }
}

impl Timers {
    pub(super) fn new(is_manual: bool) -> Self {
        Self { is_manual, ..Self::default() }
    }

    /// Watches over a session's deadline from now on.
    pub(super) fn add(&self, engine: &Engine, record: Arc<Record>) {
        self.news.push(News::Opened(record));
        self.tidy(engine);
        if self.is_manual {
            return;
        }
        let mut thread = lock(&self.thread);
        match &*thread {
            Some(thread) => thread.unpark(),
            None => *thread = Some(start(Arc::downgrade(&engine.inner))),
        }
    }

    /// A session has ended: nothing is left to watch over.
    pub(super) fn forget(&self, engine: &Engine, record: &Arc<Record>) {
        let has_expired = record.member.lease.ended() == Some(Ending::Expired);
        if record.member.ttl.is_zero() || has_expired {
            return;
        }
        self.news.push(News::Ended(record.clone()));
        self.tidy(engine);
    }

    /// Who opens and ends sessions faster than the thread looks does its work: so what waits here has
    /// a bound.
    fn tidy(&self, engine: &Engine) {
        if self.news.len() >= BATCH
            && let Ok(mut state) = self.state.try_lock()
        {
            self.hear(&mut state, engine.clock().now());
        }
    }

    fn hear(&self, state: &mut State, now: Moment) {
        for _ in 0..self.news.len() {
            match self.news.pop() {
                Some(News::Opened(record)) => {
                    // Nothing was heard before the first beat either, if that comes late.
                    state.beat.get_or_insert(record.opened());
                    state.set(record, now);
                }
                Some(News::Ended(record)) => state.cancel(&record),
                None => return,
            }
        }
    }

    /// Ends what is due at `now`. When to come again, if there is anything to come for.
    pub(super) fn tick(&self, engine: &Engine, now: Moment, is_own_beat: bool) -> Option<Moment> {
        let mut state = lock(&self.state);
        self.hear(&mut state, now);
        if is_own_beat {
            state.beat(now);
        }
        let mut due = Vec::new();
        loop {
            let more = state.wheel.advance(now, BATCH, &mut due);
            for record in due.drain(..) {
                record.timer.store(None);
                let mercy = state.mercy(&record);
                match record.member.lease.expire(now, mercy) {
                    Expiry::Ended(shards) => engine.tell_ended(&record, shards),
                    Expiry::NotBefore(_) => state.set(record, now),
                    Expiry::Nothing => {}
                }
            }
            if !more {
                break;
            }
            self.hear(&mut state, now);
        }
        let next = state.wheel.next_deadline();
        if next.is_none() {
            state.beat = None;
        }
        next
    }

    /// What waits to be heard of.
    #[cfg(test)]
    pub(super) fn unheard(&self) -> usize {
        self.news.len()
    }

    /// Nobody may need the thread any more.
    pub(super) fn wake(&self) {
        if let Some(thread) = &*lock(&self.thread) {
            thread.unpark();
        }
    }
}

impl State {
    fn beat(&mut self, now: Moment) {
        if self.beat.is_some_and(|last| now.since(last) > PAUSED) {
            self.woke = Some(now);
        }
        self.beat = Some(now);
    }

    /// Before this, a session that could not be heard is not blamed for its silence.
    fn mercy(&self, record: &Record) -> Moment {
        self.woke.map_or(Moment::default(), |woke| woke + record.member.ttl)
    }

    fn set(&mut self, record: Arc<Record>, now: Moment) {
        let Some(deadline) = record.member.lease.deadline() else { return };
        let deadline = deadline.max(self.mercy(&record)).min(now + HORIZON);
        let timer = self.wheel.insert(deadline, record.clone());
        record.timer.store(Some(timer));
    }

    fn cancel(&mut self, record: &Record) {
        if let Some(timer) = record.timer.take() {
            self.wheel.cancel(timer);
        }
    }
}

fn start(engine: Weak<Inner>) -> Thread {
    let beat = move || {
        while let Some(inner) = engine.upgrade() {
            let engine = Engine { inner };
            let now = engine.clock().now();
            let next = engine.inner.timers.tick(&engine, now, true);
            drop(engine);
            match next {
                Some(next) => thread::park_timeout(next.since(now).min(BEAT)),
                None => thread::park(),
            }
        }
    };
    thread::Builder::new()
        .name("tenure-timers".into())
        .spawn(beat)
        .expect("a process that can't start a thread can't keep time")
        .thread()
        .clone()
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::engine::Failover;
    use crate::error::EndReason;

    const TTL: Duration = Duration::from_secs(3);

    fn at_work() -> (Engine, Clock, impl Fn(Duration)) {
        let clock = Clock::manual();
        let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
        let (beaten, turned) = (engine.clone(), clock.clone());
        let beat = move |after| {
            turned.advance(after);
            beaten.inner.timers.tick(&beaten, turned.now(), true);
        };
        (engine, clock, beat)
    }

    /// Row T3: a server that was paused for a minute gives every session one grace TTL on waking:
    /// late, never early.
    #[test]
    fn t3_a_paused_server_blames_nobody_for_its_silence() {
        let (engine, clock, beat) = at_work();
        let silent = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
        let renewed = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
        beat(BEAT);
        beat(Duration::from_secs(60));
        assert_eq!((silent.ended(), renewed.ended()), (None, None));
        let mut left = TTL;
        while left > 2 * BEAT {
            beat(BEAT);
            left -= BEAT;
            assert_eq!(silent.ended(), None, "{left:?} of the grace are left");
        }
        renewed.renew().unwrap();
        (0..4).for_each(|_| beat(BEAT));
        assert_eq!(silent.ended(), Some(EndReason::Expired), "one grace TTL, and no more");
        assert_eq!(renewed.ended(), None);
        assert!(clock.now() > Moment::default());
    }

    #[test]
    fn beats_in_time_are_no_pause() {
        let (engine, _, beat) = at_work();
        let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
        (0..31).for_each(|_| beat(BEAT));
        assert_eq!(session.ended(), Some(EndReason::Expired));
    }

    /// Row T3: the pause comes before the timers' thread has run at all.
    #[test]
    fn t3_a_pause_before_the_first_beat() {
        let (engine, _, beat) = at_work();
        let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
        beat(Duration::from_secs(60));
        assert_eq!(session.ended(), None);
        (0..32).for_each(|_| beat(BEAT));
        assert_eq!(session.ended(), Some(EndReason::Expired));
    }

    /// Who opens and closes sessions with long TTLs leaves no timers behind.
    #[test]
    fn timers_of_ended_sessions_are_forgotten() {
        let (engine, _, beat) = at_work();
        let long = || engine.session_with_ttl(Duration::from_secs(3600), Failover::Fast).unwrap();
        let known = long();
        beat(BEAT);
        (0..1_000).for_each(|_| drop(long()));
        assert_eq!(lock(&engine.inner.timers.state).wheel.len(), 1);
        drop(known);
        beat(BEAT);
        let timers = &engine.inner.timers;
        assert_eq!((timers.unheard(), lock(&timers.state).wheel.len()), (0, 0));
    }
}
