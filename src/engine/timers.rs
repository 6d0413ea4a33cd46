//! Ends sessions whose deadline has passed.
//!
//! Timers are lazy: a renewal does not touch them. When one fires and the deadline has moved, it is
//! set again. None is set further ahead than [`HORIZON`], so a session that ended early is forgotten
//! soon.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam::queue::SegQueue;

use super::{Engine, Inner};
use crate::clock::Moment;
use crate::lease::Expiry;
use crate::shard::Member;
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
    /// Sessions that have no timer yet.
    new: SegQueue<Arc<Member>>,
    state: Mutex<State>,
    thread: Mutex<Option<Thread>>,
    is_manual: bool,
}

struct State {
    wheel: Wheel<Arc<Member>>,
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
    pub(super) fn add(&self, engine: &Engine, member: Arc<Member>) {
        self.new.push(member);
        if self.is_manual {
            return;
        }
        let mut thread = lock(&self.thread);
        match &*thread {
            Some(thread) => thread.unpark(),
            None => *thread = Some(start(Arc::downgrade(&engine.inner))),
        }
    }

    /// Ends what is due at `now`. When to come again, if there is anything to come for.
    pub(super) fn tick(&self, engine: &Engine, now: Moment, is_own_beat: bool) -> Option<Moment> {
        let mut state = lock(&self.state);
        if is_own_beat {
            state.beat(now);
        }
        let mut due = Vec::new();
        loop {
            while let Some(member) = self.new.pop() {
                state.set(member, now);
            }
            let more = state.wheel.advance(now, BATCH, &mut due);
            for member in due.drain(..) {
                let mercy = state.mercy(&member);
                match member.lease.expire(now, mercy) {
                    Expiry::Ended(shards) => engine.tell_ended(&member, shards),
                    Expiry::NotBefore(_) => state.set(member, now),
                    Expiry::Nothing => {}
                }
            }
            if !more {
                break;
            }
        }
        let next = state.wheel.next_deadline();
        if next.is_none() {
            state.beat = None;
        }
        next
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
    fn mercy(&self, member: &Member) -> Moment {
        self.woke.map_or(Moment::default(), |woke| woke + member.ttl)
    }

    fn set(&mut self, member: Arc<Member>, now: Moment) {
        let Some(deadline) = member.lease.deadline() else { return };
        let deadline = deadline.max(self.mercy(&member));
        self.wheel.insert(deadline.min(now + HORIZON), member);
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

    /// Who opens and closes sessions with long TTLs leaves no timers behind for longer than the
    /// horizon.
    #[test]
    fn timers_of_ended_sessions_are_forgotten() {
        let (engine, _, beat) = at_work();
        for _ in 0..1_000 {
            drop(engine.session_with_ttl(Duration::from_secs(3600), Failover::Fast).unwrap());
        }
        beat(BEAT);
        beat(HORIZON + BEAT);
        assert_eq!(lock(&engine.inner.timers.state).wheel.len(), 0);
    }
}
