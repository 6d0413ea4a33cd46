//! Explicit sessions, as an embedded program sees them: kept, resumed by key, listed and ended.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::internals::{HeldLog, Slip};
use tenure::{
    Clock, Code, EndReason, Engine, EngineBuilder, Error, Failover, Limits, Lost, Session,
    SessionId, SessionKey, SessionKind, SessionSettings,
};

const TTL: Duration = Duration::from_secs(3);
const MS: Duration = Duration::from_millis(1);
/// A timer is never early, and at most this late.
const TICK: Duration = Duration::from_millis(2);

fn builder() -> (EngineBuilder, Clock) {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(1_000));
    let shards = NonZeroUsize::new(4).unwrap();
    (Engine::builder().clock(clock.clone()).manual_timers().shards(shards), clock)
}

fn engine() -> (Engine, Clock) {
    let (builder, clock) = builder();
    (builder.open().unwrap(), clock)
}

fn open(engine: &Engine, failover: Failover) -> (Session, SessionKey) {
    let settings = SessionSettings { ttl: TTL, failover, owner: "node-a".into() };
    engine.open_session(settings).unwrap()
}

fn pass(engine: &Engine, clock: &Clock, time: Duration) {
    clock.advance(time);
    engine.tick(clock.now());
}

#[test]
fn an_explicit_session_outlives_its_handles() {
    let (engine, clock) = engine();
    let (session, key) = open(&engine, Failover::Exclusive);
    let (id, election) = (session.id(), engine.election("e").unwrap());
    election.enter(&session, "a").unwrap();
    drop(session);
    pass(&engine, &clock, TTL - MS);
    let resumed = engine.resume_session(&key).unwrap();
    assert_eq!((resumed.id(), resumed.owner(), resumed.ttl()), (id, "node-a", TTL));
    assert_eq!(resumed.deadline(), Some(clock.now() + TTL), "resuming renews");
    drop(resumed);
    pass(&engine, &clock, TTL - MS);
    assert_eq!(election.term().to_string(), "t1 a []");
    pass(&engine, &clock, MS + TICK);
    assert_eq!(election.term().to_string(), "t1 \"\" []");
    let expired = Error::SessionEnded { reason: EndReason::Expired };
    assert_eq!(engine.resume_session(&key).unwrap_err(), expired);
}

/// Row A1: a key that was guessed, or is off by one bit, opens nothing; and none is like another.
#[test]
fn a1_only_the_key_resumes() {
    let (engine, _) = engine();
    let (_, key) = open(&engine, Failover::Exclusive);
    for bit in 0..128 {
        let mut guess = *key.as_bytes();
        guess[bit / 8] ^= 1 << (bit % 8);
        let refused = engine.resume_session(&SessionKey::from_bytes(guess)).unwrap_err();
        assert_eq!(refused, Error::UnknownSession { session: None });
        assert_eq!(refused.code(), Code::NotFound);
        assert!(!refused.to_string().contains(&key.to_hex()));
    }
    assert!(engine.resume_session(&key.to_hex().parse().unwrap()).is_ok());
    let other = Engine::builder().open().unwrap();
    assert!(other.resume_session(&key).is_err(), "another engine's");
    let mut keys: Vec<_> =
        (0..1_000).map(|_| *open(&engine, Failover::Fast).1.as_bytes()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 1_000);
    let ones: u32 = keys.iter().flatten().map(|byte| byte.count_ones()).sum();
    assert!((62_000..66_000).contains(&ones), "{ones} of 128,000 bits");
}

/// Row A4: what can be printed shows no key.
#[test]
fn a4_no_key_is_shown() {
    let (engine, _) = engine();
    let (session, key) = open(&engine, Failover::Fast);
    let error = engine.end_session(SessionId::new(99).unwrap()).unwrap_err();
    let shown = format!(
        "{engine:?} {session:?} {:?} {:?} {key:?} {error:?} {error}",
        engine.list_sessions(None, 10),
        session.info(),
    );
    assert!(!shown.contains(&key.to_hex()), "{shown}");
    let bytes = format!("{:?}", key.as_bytes());
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn somebody_else_ends_a_session_and_says_why() {
    let (engine, _) = engine();
    let (session, key) = open(&engine, Failover::Exclusive);
    let election = engine.election("e").unwrap();
    let leads = election.lead(&session, "a").unwrap();
    engine.end_session_because(session.id(), "zone b is going down").unwrap();
    let reason = EndReason::Ended { note: "zone b is going down".into() };
    let ended = Error::SessionEnded { reason: reason.clone() };
    assert_eq!(ended.code(), Code::FailedPrecondition);
    assert_eq!(
        ended.to_string(),
        "session ended: ended by somebody else: zone b is going down; open a new one"
    );
    assert_eq!(leads.lost(), Some(Lost::SessionEnded(reason)));
    assert_eq!(session.renew().unwrap_err(), ended);
    assert_eq!(election.enter(&session, "a").unwrap_err(), ended);
    assert_eq!(engine.resume_session(&key).unwrap_err(), ended);
    assert_eq!(engine.end_session(session.id()).unwrap_err(), ended);
    assert!(election.term().is_vacant());
    assert_eq!(engine.sessions(), 0);
}

#[test]
fn any_kind_of_session_can_be_ended_by_id() {
    let (engine, _) = engine();
    let embedded = engine.session().unwrap();
    engine.end_session(embedded.id()).unwrap();
    assert_eq!(embedded.ended(), Some(EndReason::Ended { note: "".into() }));
    assert_eq!(embedded.ended().unwrap().to_string(), "ended by somebody else");
    for id in [embedded.id(), SessionId::new(u64::MAX).unwrap()] {
        let unknown = engine.end_session(id).unwrap_err();
        assert_eq!(unknown, Error::UnknownSession { session: Some(id) });
        assert!(unknown.to_string().contains(&id.to_string()), "{unknown}");
    }
    let long = "x".repeat(257);
    for (note, what) in [(long.as_str(), "257 bytes"), ("a\nb", "U+000A")] {
        let (session, _) = open(&engine, Failover::Fast);
        let refused = engine.end_session_because(session.id(), note).unwrap_err();
        assert!(refused.to_string().contains(what), "{refused}");
        assert_eq!((refused.code(), session.ended()), (Code::InvalidArgument, None));
    }
}

#[test]
fn every_reason_has_its_sentence() {
    let note = || Box::from("why");
    let said = [
        (EndReason::Closed, "closed by its owner"),
        (EndReason::Disconnected, "its connection closed"),
        (EndReason::Expired, "its deadline passed"),
        (EndReason::Ended { note: Box::default() }, "ended by somebody else"),
        (EndReason::Ended { note: note() }, "ended by somebody else: why"),
    ];
    for (reason, words) in said {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn settings_are_checked_before_anything_is_opened() {
    let (engine, _) = engine();
    let good = SessionSettings::default();
    assert_eq!((good.ttl, good.failover), (TTL, Failover::Exclusive));
    let long = SessionSettings { owner: "x".repeat(257), ..good.clone() };
    let control = SessionSettings { owner: "a\tb".into(), ..good.clone() };
    let short = SessionSettings { ttl: 499 * MS, ..good.clone() };
    for (wrong, what) in [(long, "owner has 257 bytes"), (control, "owner has"), (short, "ttl: ")] {
        let refused = engine.open_session(wrong).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.to_string().starts_with(what), "{refused}");
    }
    assert_eq!(engine.sessions(), 0);
    let longest = SessionSettings { owner: "x".repeat(256), ..good };
    assert_eq!(engine.open_session(longest).unwrap().0.owner().len(), 256);
}

/// Row Q1, at the bound: one too many is refused by name, and an end makes room.
#[test]
fn q1_sessions_at_their_limit() {
    let (builder, clock) = builder();
    let limits = Limits { sessions: 3, ..Limits::default() };
    let engine = builder.limits(limits).open().unwrap();
    let (first, _) = open(&engine, Failover::Exclusive);
    let embedded = engine.session().unwrap();
    let (last, key) = open(&engine, Failover::Fast);
    for _ in 0..10 {
        let refused = engine.open_session(SessionSettings::default()).unwrap_err();
        assert!(matches!(refused, Error::LimitReached { limit: "sessions", max: 3, .. }));
        assert_eq!(engine.sessions(), 3);
    }
    assert!(engine.resume_session(&key).is_ok(), "resuming opens nothing");
    first.end();
    assert!(engine.session().is_ok_and(|session| session.ended().is_none()));
    drop(embedded);
    pass(&engine, &clock, TTL + TICK);
    assert!(last.ended().is_some());
    assert_eq!(engine.sessions(), 0);
}

#[test]
fn a_listing_is_in_order_and_in_pages() {
    let (engine, clock) = engine();
    let embedded = engine.session().unwrap();
    let sessions: Vec<_> = (0..1_000)
        .map(|n| {
            let owner = format!("node-{n}");
            let failover = if n % 2 == 0 { Failover::Fast } else { Failover::Exclusive };
            let settings = SessionSettings { ttl: TTL, failover, owner };
            engine.open_session(settings).unwrap().0
        })
        .collect();
    clock.advance(MS);
    sessions[7].end();
    let mut seen = Vec::new();
    loop {
        let page = engine.list_sessions(seen.last().copied(), 300);
        seen.extend(page.iter().map(|info| info.id));
        if page.len() < 300 {
            break;
        }
    }
    let live = sessions.iter().filter(|session| session.ended().is_none()).map(Session::id);
    assert!(seen.iter().copied().eq(std::iter::once(embedded.id()).chain(live)));
    assert_eq!(engine.list_sessions(seen.last().copied(), 300), []);
    assert_eq!(engine.list_sessions(None, 0), []);
    let info = engine.session_info(sessions[3].id()).unwrap();
    assert_eq!((info.kind, &*info.owner, info.peer), (SessionKind::Exclusive, "node-3", None));
    assert_eq!((info.ttl, info.remaining, info.age, info.silent), (TTL, TTL - MS, MS, MS));
    assert_eq!(engine.session_info(embedded.id()).unwrap().kind, SessionKind::Owned);
    assert_eq!(engine.session_info(sessions[7].id()), None);
}

/// While others come and go, a walk over all pages meets everybody who stays, once and in order.
#[test]
fn a_listing_under_churn_misses_nobody_who_stays() {
    let (engine, _) = engine();
    let staying: Vec<_> = (0..2_000)
        .map(|_| {
            drop(engine.session().unwrap());
            engine.session().unwrap()
        })
        .collect();
    let done = crossbeam::atomic::AtomicCell::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load() {
                open(&engine, Failover::Fast).0.end();
            }
        });
        for most in [1_000, 100, 7] {
            let (mut last, mut met) = (None, Vec::new());
            while last < staying.last().map(Session::id) {
                let page = engine.list_sessions(last, most);
                met.extend(page.iter().map(|info| info.id));
                last = met.last().copied();
            }
            assert!(met.is_sorted_by(|a, b| a < b));
            met.retain(|id| staying.binary_search_by_key(id, Session::id).is_ok());
            assert_eq!(met.len(), staying.len());
        }
        done.store(true);
    });
}

/// Who lost the lead by force is told so until it lets go.
#[test]
fn lost_terms_are_told_until_they_are_let_go() {
    for failover in [Failover::Exclusive, Failover::Fast] {
        let (engine, _) = engine();
        let [a, b] = [(); 2].map(|()| open(&engine, failover).0);
        let [e, f] = ["e", "f"].map(|name| engine.election(name).unwrap());
        for election in [&e, &f] {
            election.enter(&a, "a").unwrap();
            election.enter(&b, "b").unwrap();
        }
        assert_eq!(a.lost(), []);
        e.anoint("b").unwrap();
        f.evict("a").unwrap();
        let mut lost = a.lost();
        lost.sort_unstable();
        assert_eq!(lost, [("e".into(), 1), ("f".into(), 1)]);
        e.anoint("a").unwrap();
        e.anoint("b").unwrap();
        e.let_go(&a, 1);
        f.let_go(&a, 1);
        assert_eq!(a.lost(), [("e".into(), 3)], "the newest term is what it has to let go");
        assert_eq!(b.lost(), [("e".into(), 2)]);
        e.let_go(&a, 9);
        assert_eq!(a.lost(), []);
        b.end();
        assert_eq!(b.lost(), [], "who has ended has nothing to be told");
        // Leaving of one's own will is no loss.
        e.withdraw(&a, "a").unwrap();
        assert_eq!(a.lost(), []);
    }
}

/// Two that take the lead from each other all day, and never let go, cost no more than once.
#[test]
fn terms_lost_over_and_over_are_one() {
    let (engine, _) = engine();
    let [a, b] = [(); 2].map(|()| open(&engine, Failover::Exclusive).0);
    let election = engine.election("e").unwrap();
    election.enter(&a, "a").unwrap();
    election.enter(&b, "b").unwrap();
    for _ in 0..50_000 {
        election.anoint("b").unwrap();
        election.anoint("a").unwrap();
    }
    assert_eq!(a.lost(), [("e".into(), 99_999)]);
    assert_eq!(election.valid_after(), TTL);
    election.let_go(&b, 100_000);
    assert_eq!(election.valid_after(), TTL, "it lost a term itself, and has not let go");
    election.let_go(&a, 99_999);
    assert_eq!(election.valid_after(), Duration::ZERO);
}

/// Identities are random; the incarnation is new with each engine.
#[test]
fn each_engine_is_another() {
    let engines = [(); 2].map(|()| Engine::builder().open().unwrap());
    let mut names: Vec<_> =
        engines.iter().flat_map(|engine| [engine.server_id(), engine.incarnation()]).collect();
    for name in &names {
        assert!(name.len() == 32 && name.bytes().all(|it| it.is_ascii_hexdigit()), "{name}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4);
    assert_eq!(engines[0].incarnation(), engines[0].clone().incarnation());
}

/// Row T1: leases count on the clock that runs through sleep and that nobody sets, not on the wall's.
#[cfg(target_os = "linux")]
#[test]
fn t1_deadlines_are_not_on_the_wall_clock() {
    use rustix::time::{ClockId, clock_gettime};

    let boot = || {
        let now = clock_gettime(ClockId::Boottime);
        Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
    };
    let engine = Engine::builder().open().unwrap();
    let before = boot();
    let (session, _) = open(&engine, Failover::Exclusive);
    let deadline = Duration::from_nanos(session.deadline().unwrap().nanos());
    assert!((before + TTL..=boot() + TTL).contains(&deadline));
}

/// Row T2: a machine sleeps; on waking the guard is invalid before anybody has said so, and the
/// successor is not.
#[test]
fn t2_who_wakes_up_late_knows_it() {
    let (engine, clock) = engine();
    let election = engine.election("e").unwrap();
    let (asleep, _) = open(&engine, Failover::Exclusive);
    let leads = election.lead(&asleep, "a").unwrap();
    let (awake, _) = open(&engine, Failover::Exclusive);
    election.enter(&awake, "b").unwrap();
    clock.advance(TTL);
    awake.renew().unwrap();
    assert_eq!((leads.is_valid(), leads.lost()), (false, Some(Lost::Late)));
    assert_eq!(election.term().leader(), Some("a"), "nobody has noticed yet");
    pass(&engine, &clock, TICK);
    let successor = election.lead(&awake, "b").unwrap();
    assert!(successor.is_valid() && !leads.is_valid());
    // Waking up and renewing does not bring it back.
    assert!(asleep.renew().is_err());
    assert_eq!(leads.lost(), Some(Lost::SessionEnded(EndReason::Expired)));
}

/// Row T4: a client's clock that drifts by 2%. It counts from when it sent, less 5% of the TTL and at
/// least 50 ms, and so has stopped before the session can end, however long its words were under way.
/// Without that margin it has not.
#[test]
fn t4_the_margin_covers_a_drifting_clock() {
    let ends_while_it_leads = |ttl: Duration, margin: Duration, speed: f64, travel: f64| {
        let (engine, clock) = engine();
        let settings = SessionSettings { ttl, ..SessionSettings::default() };
        let session = engine.open_session(settings).unwrap().0;
        let sent = clock.now();
        clock.advance(ttl.mul_f64(travel));
        session.renew().unwrap();
        // The last moment at which the client, by its own clock, believes that it leads.
        let stops = sent + (ttl - margin).div_f64(speed);
        pass(&engine, &clock, stops - clock.now());
        session.ended().is_some()
    };
    for ttl in [500 * MS, TTL, Duration::from_secs(60), Duration::from_secs(24 * 60 * 60)] {
        let margin = (ttl / 20).max(50 * MS);
        for speed in [0.98, 1.0, 1.02] {
            for travel in [0.0, 0.3, 0.9] {
                assert!(
                    !ends_while_it_leads(ttl, margin, speed, travel),
                    "{ttl:?} {speed} {travel}"
                );
            }
        }
        assert!(ends_while_it_leads(ttl, Duration::ZERO, 0.98, 0.0), "{ttl:?}");
    }
}

/// Row T5: very many sessions are due at once. Who is heard while that is worked off lives, although
/// it was due as well: a renewal waits for nobody.
#[test]
fn t5_a_renewal_overtakes_the_expiries_before_it() {
    const DUE: usize = 20_000;
    let heard: Arc<Mutex<Vec<Session>>> = Arc::default();
    let hearing = heard.clone();
    let log = HeldLog::new(Slip::Early, move |_, changes| {
        if changes.iter().any(|it| it.participants.is_empty()) {
            hearing.lock().unwrap().iter().for_each(|session| drop(session.renew()));
        }
    });
    let (builder, clock) = builder();
    let engine = log.open(builder).unwrap();
    let first = open(&engine, Failover::Exclusive).0;
    engine.election("e").unwrap().enter(&first, "a").unwrap();
    let due: Vec<_> = (0..DUE).map(|_| open(&engine, Failover::Exclusive).0).collect();
    let last: Vec<_> = (0..10).map(|_| open(&engine, Failover::Exclusive)).collect();
    let again = last.iter().map(|(_, key)| engine.resume_session(key).unwrap());
    *heard.lock().unwrap() = again.collect();
    pass(&engine, &clock, TTL + TICK);
    assert!(first.ended().is_some() && due.iter().all(|session| session.ended().is_some()));
    assert!(last.iter().all(|(session, _)| session.ended().is_none()));
    assert_eq!(engine.sessions(), last.len());
}

/// Row T6: a renewal and the expiry in the same instant. One wins, and everyone agrees which: the
/// renewer, the session, its election, and who comes with the key.
#[test]
fn t6_renewal_and_expiry_agree() {
    let (engine, clock) = engine();
    let election = engine.election("e").unwrap();
    let (mut renewed, mut expired) = (0, 0);
    for round in 0..2_000 {
        let (session, key) = open(&engine, Failover::Exclusive);
        election.enter(&session, "a").unwrap();
        clock.advance(TTL + TICK);
        let barrier = std::sync::Barrier::new(2);
        let heard = std::thread::scope(|scope| {
            let renewing = scope.spawn(|| {
                barrier.wait();
                (0..round % 50).for_each(|_| std::hint::spin_loop());
                session.renew().is_ok()
            });
            barrier.wait();
            engine.tick(clock.now());
            renewing.join().unwrap()
        });
        assert_eq!(heard, session.ended().is_none());
        assert_eq!(heard, election.term().is_led_by("a"));
        assert_eq!(heard, engine.resume_session(&key).is_ok());
        assert_eq!(heard, engine.session_info(session.id()).is_some());
        *(if heard { &mut renewed } else { &mut expired }) += 1;
        session.end();
    }
    println!("{renewed} renewed, {expired} expired");
    assert_eq!(engine.sessions(), 0);
}
