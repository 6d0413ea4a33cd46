use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::*;
use crate::clock::Clock;
use crate::engine::Failover;
use crate::error::EndReason;
use crate::id::SessionKind;
use crate::limits::SESSIONS_REMEMBERED;
use crate::shard::{Outcome, Sink, Ticket};

const TTL: Duration = Duration::from_secs(3);
const MS: Duration = Duration::from_millis(1);

fn engine() -> (Engine, Clock) {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(1_000));
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    (engine, clock)
}

fn settings(failover: Failover) -> SessionSettings {
    SessionSettings { ttl: TTL, failover, owner: "node-a".into() }
}

fn open(engine: &Engine, failover: Failover) -> (Session, SessionKey) {
    engine.open_session(settings(failover)).unwrap()
}

#[test]
fn a_closed_connection_ends_fast_and_leaves_exclusive() {
    let (engine, _) = engine();
    let (fast, _) = open(&engine, Failover::Fast);
    let (exclusive, _) = open(&engine, Failover::Exclusive);
    let of_connection = engine.connection_session().unwrap();
    for session in [&fast, &exclusive, &of_connection] {
        session.attach(7, "10.0.0.1:99").unwrap();
        assert!(session.is_attached_to(7) && !session.is_attached_to(8));
        session.detach(8);
        assert_eq!((session.ended(), session.info().peer.as_deref()), (None, Some("10.0.0.1:99")));
        session.detach(7);
        assert!(!session.is_attached_to(7));
        assert_eq!(session.info().peer, None);
    }
    assert_eq!(fast.ended(), Some(EndReason::Disconnected));
    assert_eq!((exclusive.ended(), of_connection.ended()), (None, None));
}

/// Resuming moves a session: what becomes of the former connection no longer matters.
#[test]
fn a_session_is_attached_to_one_connection_at_most() {
    let (engine, _) = engine();
    let (here, key) = open(&engine, Failover::Fast);
    here.attach(1, "one").unwrap();
    let there = engine.resume_session(&key).unwrap();
    there.attach(2, "two").unwrap();
    assert!(!here.is_attached_to(1) && here.is_attached_to(2));
    here.detach(1);
    assert_eq!(there.ended(), None);
    there.detach(2);
    assert_eq!(here.ended(), Some(EndReason::Disconnected));
    let ended = Error::SessionEnded { reason: EndReason::Disconnected };
    assert_eq!(there.attach(3, "three"), Err(ended.clone()));
    assert_eq!(engine.resume_session(&key).unwrap_err(), ended);
}

/// A connection closes while its session moves: it has moved and lives, or has ended and did not.
#[test]
fn a_move_and_a_close_agree() {
    let (engine, _) = engine();
    for _ in 0..2_000 {
        let (session, _) = open(&engine, Failover::Fast);
        session.attach(1, "one").unwrap();
        let moved = std::thread::scope(|scope| {
            let moving = scope.spawn(|| session.attach(2, "two").is_ok());
            session.detach(1);
            moving.join().unwrap()
        });
        assert_eq!(moved, session.ended().is_none());
        assert_eq!(moved, session.is_attached_to(2));
        session.end();
    }
    assert_eq!(engine.sessions(), 0);
}

/// Sessions opened and ended, a hundred thousand of them, in every way, leave no entry and no timer
/// behind but the bounded memory of the last ones' reasons.
#[test]
fn ended_sessions_leave_nothing_behind() {
    let (engine, clock) = engine();
    for n in 0..100_000_u32 {
        let (session, _) = open(&engine, Failover::Fast);
        match n % 4 {
            0 => session.end(),
            1 => engine.end_session(session.id()).unwrap(),
            2 => {
                session.attach(1, "one").unwrap();
                session.detach(1);
            }
            _ => drop(engine.session().unwrap()),
        }
        if n % 4 == 3 {
            session.end();
        }
    }
    assert_eq!(engine.sessions(), 0);
    assert_eq!(engine.list_sessions(None, 1), []);
    let directory = &engine.inner.sessions;
    assert_eq!(directory.remembered(), (SESSIONS_REMEMBERED, SESSIONS_REMEMBERED));
    assert!(engine.inner.timers.unheard() <= 1_024, "the churn does the timers' work");
    assert_eq!(engine.tick(clock.now()), None, "no timer is left");
}

/// Reasons are remembered in the order of the ends, and only of those who may come back with a key.
#[test]
fn the_oldest_reasons_are_forgotten_first() {
    let (engine, _) = engine();
    let (first, first_key) = open(&engine, Failover::Fast);
    let (second, second_key) = open(&engine, Failover::Fast);
    second.end();
    first.end();
    for _ in 2..SESSIONS_REMEMBERED {
        open(&engine, Failover::Fast).0.end();
        drop(engine.session().unwrap());
    }
    let closed = Error::SessionEnded { reason: EndReason::Closed };
    assert_eq!(engine.resume_session(&second_key).unwrap_err(), closed);
    open(&engine, Failover::Fast).0.end();
    let unknown = Error::UnknownSession { session: None };
    assert_eq!(engine.resume_session(&second_key).unwrap_err(), unknown);
    assert_eq!(engine.resume_session(&first_key).unwrap_err(), closed);
}

#[test]
fn who_ended_a_session_is_known() {
    let (engine, _) = engine();
    let [ended, other] = [(); 2].map(|()| open(&engine, Failover::Exclusive).0);
    engine.end_session_by(ended.id(), Some(other.id()), "moving").unwrap();
    let member = ended.visit(&engine, 0).unwrap();
    assert_eq!(member.ended_by(), Some(other.id()));
    // Who says so and comes too late has not ended it.
    other.end();
    let member = other.visit(&engine, 0).unwrap();
    member.give_notice(Some(ended.id()), "late");
    assert_eq!((member.ended(), member.ended_by()), (Some(EndReason::Closed), None));
}

/// Silence is what a deadline tells; where there is none, what was heard last.
#[test]
fn silence_is_counted_from_the_last_hearing() {
    let (engine, clock) = engine();
    let of_connection = engine.connection_session().unwrap();
    let embedded = engine.session().unwrap();
    let (explicit, _) = open(&engine, Failover::Exclusive);
    clock.advance(5 * MS);
    explicit.renew().unwrap();
    of_connection.renew().unwrap();
    embedded.renew().unwrap();
    clock.advance(3 * MS);
    let silent = |session: &Session| session.info().silent;
    assert_eq!((silent(&of_connection), silent(&explicit)), (3 * MS, 3 * MS));
    assert_eq!(silent(&embedded), Duration::ZERO);
    let info = explicit.info();
    assert_eq!((info.age, info.remaining, info.ttl), (8 * MS, TTL - 3 * MS, TTL));
    clock.advance(TTL);
    assert_eq!(explicit.info().silent, TTL + 3 * MS, "nobody has noticed yet");
    assert_eq!(of_connection.info().kind, SessionKind::Connection);
}

/// Counts how often it was called, by ticket.
#[derive(Default)]
struct Calls([AtomicCell<u32>; 4]);

impl Sink for Calls {
    fn reply(&self, _: Ticket, _: Outcome) {}

    fn changed(&self, ticket: Ticket) {
        self.0[ticket.about as usize].fetch_add(1);
    }
}

/// However a session ends, each of its followers hears of it, once; who has left does not, and who
/// comes late does at once.
#[test]
fn an_end_is_told_once_to_each_follower() {
    let ends: [fn(&Engine, &Clock, &Session); 4] = [
        |_, _, session| session.end(),
        |engine, _, session| engine.end_session(session.id()).unwrap(),
        |_, _, session| session.detach(1),
        |engine, clock, _| {
            clock.advance(2 * TTL);
            engine.tick(clock.now());
        },
    ];
    for end in ends {
        let (engine, clock) = engine();
        let calls = Arc::new(Calls::default());
        let sink: Arc<dyn Sink> = calls.clone();
        let (session, _) = open(&engine, Failover::Fast);
        session.attach(1, "one").unwrap();
        let follow = |about| session.follow_end(&sink, Ticket { to: 0, about });
        let (left, first, second) = (follow(0), follow(1), follow(2));
        drop(left);
        let told = || calls.0.each_ref().map(|calls| calls.load());
        assert_eq!(told(), [0; 4]);
        end(&engine, &clock, &session);
        session.end();
        assert_eq!(told(), [0, 1, 1, 0]);
        drop(first);
        let late = follow(3);
        assert_eq!(told(), [0, 1, 1, 1]);
        drop((second, late));
    }
}
