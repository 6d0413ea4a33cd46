//! Sessions with a deadline, under a clock that the test turns.

use std::num::NonZeroUsize;
use std::time::Duration;

use tenure::{Clock, EndReason, Engine, Error, Failover, Lost, Reason, SessionKind};

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
    assert_eq!((term.to_string().as_str(), term.reason()), ("t2 b []", Reason::SessionExpired));
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
    // On a busy machine its time may be over before it has entered; then another one tries.
    let (opened, session) = std::iter::repeat_with(|| {
        let opened = engine.clock().now();
        (opened, engine.session_with_ttl(Duration::from_millis(100), Failover::Fast).unwrap())
    })
    .find(|(_, session)| election.enter(session, "a").is_ok())
    .expect("it goes on for ever");
    let patience = Duration::from_secs(60);
    let left = std::iter::from_fn(|| watch.next_within(patience))
        .find(|term| term.reason() == Reason::SessionExpired)
        .expect("the change is announced");
    assert!(left.is_vacant());
    let lived = engine.clock().now() - opened;
    assert!(lived >= Duration::from_millis(100), "ended {lived:?} after it was opened");
    assert_eq!(session.ended(), Some(EndReason::Expired));
}

/// A forced change takes the lead at once, but under `exclusive` the successor may not act while the
/// former one may.
#[test]
fn a_forced_successor_waits_for_the_former_to_let_go() {
    let (engine, clock) = engine();
    let [a, b] = [(); 2].map(|()| engine.session_with_ttl(TTL, Failover::Exclusive).unwrap());
    let election = engine.election("e").unwrap();
    let leads = election.lead(&a, "a").unwrap();
    assert!(leads.is_valid() && leads.ensure(TTL) && !leads.ensure(TTL + MS));
    election.enter(&b, "b").unwrap();
    assert_eq!(election.anoint("b").unwrap().to_string(), "t2 b [a]");
    assert_eq!(leads.lost(), Some(Lost::TermEnded { present: 2 }));
    assert_eq!(election.valid_after(), TTL);
    clock.advance(MS);
    assert_eq!(election.valid_after(), TTL - MS);
    // A renewal that does not let go makes the wait longer: the former one is alive and may not know.
    a.renew().unwrap();
    assert_eq!(election.valid_after(), TTL);
    election.let_go(&b, 9);
    election.let_go(&a, 0);
    assert_eq!(election.valid_after(), TTL, "not its session, not its term");
    drop(leads);
    assert_eq!(election.valid_after(), Duration::ZERO);
}

#[test]
fn a_forced_successor_waits_no_longer_than_the_deadline() {
    let (engine, clock) = engine();
    let a = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    let b = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&a, "a").unwrap();
    election.enter(&b, "b").unwrap();
    election.evict("a").unwrap();
    assert_eq!(election.valid_after(), TTL);
    clock.advance(TTL);
    assert_eq!(election.valid_after(), Duration::ZERO);
}

/// However the lead was taken, and by whom; and from whom there is nothing to wait for.
#[test]
fn every_forced_change_waits_and_no_other() {
    let (engine, _) = engine();
    type Change = fn(&tenure::Election, &tenure::Session, &tenure::Session);
    let changes: [(&str, bool, Change); 8] = [
        ("anoint", true, |e, _, _| drop(e.anoint("b").unwrap())),
        ("promote", true, |e, _, _| drop(e.promote("b").unwrap())),
        ("demote", true, |e, _, _| drop(e.demote("a").unwrap())),
        ("evict", true, |e, _, _| drop(e.evict("a").unwrap())),
        ("take over", true, |e, _, b| drop(e.take_over(b, "a").unwrap())),
        ("delete", true, |e, _, b| {
            e.delete().unwrap();
            e.enter(b, "b").unwrap();
        }),
        ("withdraw", false, |e, a, _| drop(e.withdraw(a, "a").unwrap())),
        ("leave", false, |e, a, _| drop(e.leave(a).unwrap())),
    ];
    for failover in [Failover::Exclusive, Failover::Fast] {
        for (what, is_forced, change) in changes {
            let [a, b] = [(); 2].map(|()| engine.session_with_ttl(TTL, failover).unwrap());
            let election = engine.election(&format!("{what} {failover:?}")).unwrap();
            election.enter(&a, "a").unwrap();
            election.enter(&b, "b").unwrap();
            change(&election, &a, &b);
            let waits = !election.valid_after().is_zero();
            assert_eq!(waits, is_forced && failover == Failover::Exclusive, "{what} {failover:?}");
            // Who has ended can't act.
            a.end();
            assert!(election.valid_after().is_zero());
        }
    }
}

/// A chain of forced changes: the last one waits for all who may still act.
#[test]
fn a_chain_of_forced_changes_waits_for_all() {
    let (engine, clock) = engine();
    let sessions = [(); 3].map(|()| engine.session_with_ttl(TTL, Failover::Exclusive).unwrap());
    let election = engine.election("e").unwrap();
    for (session, name) in sessions.iter().zip(["a", "b", "c"]) {
        election.enter(session, name).unwrap();
        clock.advance(MS);
    }
    election.anoint("b").unwrap();
    election.anoint("c").unwrap();
    let [a, b, _] = &sessions;
    election.let_go(b, 2);
    assert!(!election.valid_after().is_zero(), "a has not let go");
    election.let_go(a, 1);
    assert!(election.valid_after().is_zero());
}

#[test]
fn a_leadership_ends_with_its_deadline_without_being_told() {
    let (engine, clock) = engine();
    let session = engine.session_with_ttl(TTL, Failover::Exclusive).unwrap();
    let election = engine.election("e").unwrap();
    let leads = election.lead(&session, "a").unwrap();
    assert_eq!((leads.term(), leads.remaining()), (1, TTL));
    clock.advance(TTL);
    assert_eq!((leads.lost(), leads.remaining()), (Some(Lost::Late), Duration::ZERO));
    engine.tick(clock.now() + TICK);
    assert_eq!(leads.lost(), Some(Lost::SessionEnded(EndReason::Expired)));
}

/// Row P2: a resignation that comes late can't end a newer leadership.
#[test]
fn p2_a_late_resignation_ends_nothing() {
    let (engine, _) = engine();
    let [a, b] = [(); 2].map(|()| engine.session().unwrap());
    let election = engine.election("e").unwrap();
    let first = election.lead(&a, "a").unwrap();
    election.enter(&b, "b").unwrap();
    election.anoint("b").unwrap();
    election.anoint("a").unwrap();
    let second = election.lead(&a, "a").unwrap();
    assert_eq!((first.term(), second.term()), (1, 3));
    first.resign().unwrap();
    assert!(second.is_valid(), "{:?}", second.lost());
    second.resign().unwrap();
    assert_eq!(election.term().to_string(), "t4 b []");
}

/// Waiting to lead ends when it leads, when it is removed, and when its session ends.
#[test]
fn lead_waits_its_turn() {
    let engine = Engine::builder().open().unwrap();
    let election = engine.election("e").unwrap();
    let first = engine.session().unwrap();
    let leads = election.lead(&first, "first").unwrap();
    let wait = |session: tenure::Session, name: &'static str| {
        let election = election.clone();
        let waiting = std::thread::spawn(move || {
            election.lead(&session, name).map(|leadership| (leadership.term(), session))
        });
        let mut watch = self::watch(&engine);
        while !watch.next().unwrap().participants().any(|it| it == name) {}
        waiting
    };
    let removed = wait(engine.session().unwrap(), "removed");
    election.evict("removed").unwrap();
    assert!(matches!(removed.join().unwrap(), Err(Error::NotStanding { .. })));

    let next = wait(engine.session().unwrap(), "next");
    leads.resign().unwrap();
    assert_eq!(next.join().unwrap().unwrap().0, 2);
}

fn watch(engine: &Engine) -> tenure::Watch {
    engine.election("e").unwrap().watch()
}
