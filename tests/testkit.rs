//! The test kit, as its users use it: failovers in virtual time.

use std::time::{Duration, Instant};

use tenure::testkit::TestEngine;
use tenure::{EndReason, Engine, Failover, Limits, Lost, Reason, SessionSettings};

const TTL: Duration = Duration::from_secs(10);

fn settings(failover: Failover) -> SessionSettings {
    SessionSettings { ttl: TTL, failover, ..SessionSettings::default() }
}

#[test]
fn a_day_passes_in_no_time() {
    let kit = TestEngine::new();
    let jobs = kit.election("jobs").unwrap();
    let (a, _key) = kit.open_session(settings(Failover::Exclusive)).unwrap();
    let leads = jobs.lead(&a, "a").unwrap();
    let began = Instant::now();
    for _ in 0..24 * 60 * 12 {
        kit.advance(TTL / 2);
        a.renew().unwrap();
        assert!(leads.is_valid());
    }
    assert!(began.elapsed() < Duration::from_secs(60), "a day of renewals: {:?}", began.elapsed());
    assert_eq!(jobs.term().number(), 1);
}

/// A leader that goes silent leads up to its deadline, and not a tick longer than that.
#[test]
fn a_silent_leader_leads_until_its_deadline() {
    let kit = TestEngine::new();
    let jobs = kit.election("jobs").unwrap();
    let (a, _key) = kit.open_session(settings(Failover::Exclusive)).unwrap();
    let heir = kit.session().unwrap();
    let leads = jobs.lead(&a, "a").unwrap();
    jobs.enter(&heir, "b").unwrap();
    kit.advance(TTL - Duration::from_millis(1));
    assert!(leads.is_valid() && jobs.term().is_led_by("a"));
    kit.advance(Duration::from_millis(1));
    assert!(!leads.is_valid(), "the holder knows it by itself");
    kit.advance(Duration::from_millis(10));
    assert_eq!(jobs.term().to_string(), "t2 b []");
    assert_eq!(jobs.term().change().reason, Reason::SessionExpired);
}

#[test]
fn one_session_expires_and_time_stands_still() {
    let kit = TestEngine::new();
    let jobs = kit.election("jobs").unwrap();
    let [(a, _), (b, _)] =
        [(); 2].map(|()| kit.open_session(settings(Failover::Exclusive)).unwrap());
    let leads = jobs.lead(&a, "a").unwrap();
    jobs.enter(&b, "b").unwrap();
    let now = kit.clock().now();
    kit.expire_now(&a);
    kit.expire_now(&a);
    assert_eq!(leads.lost(), Some(Lost::SessionEnded(EndReason::Expired)));
    assert_eq!((jobs.term().to_string(), kit.clock().now()), ("t2 b []".to_owned(), now));
    assert_eq!(b.ended(), None);
}

/// What a cut connection means is the session's choice.
#[test]
fn a_cut_connection_ends_fast_sessions_alone() {
    let kit = TestEngine::new();
    let jobs = kit.election("jobs").unwrap();
    let (fast, _) = kit.open_session(settings(Failover::Fast)).unwrap();
    let (exclusive, key) = kit.open_session(settings(Failover::Exclusive)).unwrap();
    jobs.enter(&fast, "fast").unwrap();
    jobs.enter(&exclusive, "exclusive").unwrap();
    let [one, two] = [&fast, &exclusive].map(|session| kit.connect(session).unwrap());
    kit.cut_connection(one);
    assert_eq!(fast.ended(), Some(EndReason::Disconnected));
    assert_eq!(jobs.term().to_string(), "t2 exclusive []");

    let again = kit.connect(&kit.resume_session(&key).unwrap()).unwrap();
    assert!(again.is_up() && !two.is_up(), "it has moved");
    kit.cut_connection(two);
    kit.cut_connection(again);
    assert_eq!((exclusive.ended(), jobs.term().number()), (None, 2));
    kit.advance(TTL + Duration::from_millis(10));
    assert_eq!(exclusive.ended(), Some(EndReason::Expired));
    assert!(kit.connect(&fast).is_err());
}

#[test]
fn settings_are_kept_but_for_time() {
    let limits = Limits { candidates: 1, ..Limits::default() };
    let kit = TestEngine::with(Engine::builder().limits(limits)).unwrap();
    let session = kit.session().unwrap();
    let jobs = kit.election("jobs").unwrap();
    jobs.enter(&session, "a").unwrap();
    assert!(jobs.enter(&session, "b").is_err());
    assert_eq!(kit.shards(), 1);
}
