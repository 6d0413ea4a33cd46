//! Sessions with a deadline, under a clock that the test turns.

use std::num::NonZeroUsize;
use std::time::Duration;

use tenure::{Clock, EndReason, Engine, Error, Failover, Reason, SessionKind};

const TTL: Duration = Duration::from_secs(3);
const MS: Duration = Duration::from_millis(1);
/// A timer is never early, and at most this late.
const TICK: Duration = Duration::from_millis(2);

/// An engine whose time stands still, and what turns it.
fn engine() -> (Engine, Clock) {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(1_000));
    let engine = Engine::builder()
        .clock(clock.clone())
        .manual_timers()
        .shards(NonZeroUsize::new(4).unwrap())
        .open()
        .unwrap();
    (engine, clock)
}

fn pass(engine: &Engine, clock: &Clock, time: Duration) {
    clock.advance(time);
    engine.tick(clock.now());
}

#[test]
fn a_session_lives_until_its_deadline_and_no_longer() {
    let (engine, clock) = engine();
    let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    let other = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&session, "a").unwrap();
    election.enter(&other, "b").unwrap();
    assert_eq!((session.ttl(), session.kind()), (TTL, SessionKind::Exclusive));
    assert_eq!(session.deadline(), Some(clock.now() + TTL));

    pass(&engine, &clock, TTL - MS);
    assert_eq!(session.ended(), None);
    pass(&engine, &clock, MS + TICK);
    assert_eq!(session.ended(), Some(EndReason::Expired));
    let term = election.term();
    assert_eq!((term.to_string().as_str(), term.reason()), ("t2 b []", Reason::SessionEnded));
    assert_eq!(engine.sessions(), 1);
    assert_eq!(
        session.renew().unwrap_err(),
        Error::SessionEnded { reason: EndReason::Expired },
        "an ended session stays ended"
    );
}

#[test]
fn each_renewal_gives_a_whole_ttl() {
    let (engine, clock) = engine();
    let session = engine.session_with_ttl(TTL, Failover::Fast).unwrap();
    for _ in 0..100 {
        pass(&engine, &clock, TTL - MS);
        assert_eq!(session.renew(), Ok(TTL));
    }
    pass(&engine, &clock, TTL + TICK);
    assert_eq!(session.ended(), Some(EndReason::Expired));
}

/// Late, never early: who is heard before the expiry has happened is alive.
#[test]
fn a_renewal_that_comes_before_the_expiry_wins() {
    let (engine, clock) = engine();
    let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    clock.advance(TTL + TTL);
    assert!(session.renew().is_ok());
    engine.tick(clock.now());
    assert_eq!(session.ended(), None);
}

#[test]
fn dropping_an_embedded_session_ends_it_before_its_deadline() {
    let (engine, clock) = engine();
    let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&session, "a").unwrap();
    drop(session);
    assert!(election.term().is_vacant());
    assert_eq!(engine.sessions(), 0);
    // Its timer finds nothing to do, and nothing is counted twice.
    pass(&engine, &clock, TTL);
    assert_eq!(engine.sessions(), 0);
}

/// Row W7: a TTL of nothing, too much, or the largest there is.
#[test]
fn w7_ttl_out_of_range() {
    let (engine, _) = engine();
    let day = Duration::from_secs(24 * 60 * 60);
    for (ttl, failover, good) in [
        (Duration::ZERO, Failover::Fast, false),
        (99 * MS, Failover::Fast, false),
        (100 * MS, Failover::Fast, true),
        (499 * MS, Failover::Exclusive, false),
        (500 * MS, Failover::Exclusive, true),
        (day, Failover::Exclusive, true),
        (day + MS, Failover::Exclusive, false),
        (Duration::MAX, Failover::Fast, false),
    ] {
        match engine.session_with_ttl(ttl, failover) {
            Ok(session) => assert!(good && session.ttl() == ttl, "{ttl:?}"),
            Err(error) => {
                assert!(!good, "{ttl:?}: {error}");
                assert!(error.to_string().starts_with("ttl: "), "{error}");
                assert!(error.to_string().contains("24") || error.to_string().contains("86400"));
            }
        }
    }
    assert_eq!(engine.sessions(), 0, "what was refused is not counted");
}

/// The clock's last moment is a deadline like any other.
#[test]
fn w7_no_overflow_at_the_end_of_time() {
    let clock = Clock::manual();
    clock.advance(Duration::from_nanos(u64::MAX - 1_000));
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    assert!(session.deadline().is_some());
    engine.tick(clock.now());
    assert_eq!(session.ended(), None);
}

/// Row T5: very many sessions due at once all end, in one call.
#[test]
fn t5_many_sessions_due_at_once() {
    let (engine, clock) = engine();
    let election = engine.election("e").unwrap();
    let sessions: Vec<_> = (0..5_000)
        .map(|n| {
            let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
            if n % 50 == 0 {
                election.enter(&session, &format!("c{n}")).unwrap();
            }
            session
        })
        .collect();
    let survivor = engine.session().unwrap();
    election.enter(&survivor, "survivor").unwrap();
    pass(&engine, &clock, TTL + TICK);
    assert!(sessions.iter().all(|session| session.ended() == Some(EndReason::Expired)));
    assert_eq!(election.term().leader(), Some("survivor"));
    assert_eq!(engine.sessions(), 1);
}

/// With the system's clock and the engine's own thread.
#[test]
fn the_engine_expires_sessions_by_itself() {
    let engine = Engine::builder().open().unwrap();
    let election = engine.election("e").unwrap();
    let mut watch = election.watch();
    let session = engine.session_with_ttl(Duration::from_millis(100), Failover::Fast).unwrap();
    let entered = engine.clock().now();
    election.enter(&session, "a").unwrap();
    let patience = Duration::from_secs(20);
    let left = std::iter::from_fn(|| watch.next_within(patience))
        .find(|term| term.reason() == Reason::SessionEnded)
        .expect("the change is announced");
    assert!(left.is_vacant());
    let lived = engine.clock().now() - entered;
    assert!(lived >= Duration::from_millis(99), "ended {lived:?} after its last renewal");
    assert_eq!(session.ended(), Some(EndReason::Expired));
}
