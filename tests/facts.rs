//! What an election tells beyond who leads: metadata, reasons, history, listings.

use std::time::{Duration, SystemTime};

use tenure::{
    Clock, Engine, EnterOptions, Failover, Metadata, Reason, Session, SessionSettings, Verdict,
};

fn at_work() -> (Engine, Clock) {
    let clock = Clock::manual();
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    (engine, clock)
}

fn says(address: &str) -> EnterOptions {
    EnterOptions { metadata: Metadata::new(address, []).unwrap(), ..EnterOptions::default() }
}

#[test]
fn who_leads_since_when_and_why() {
    let (engine, clock) = at_work();
    let [s1, s2] = [(); 2].map(|()| engine.session().unwrap());
    let election = engine.election("jobs").unwrap();
    assert_eq!(election.term().since(), None);
    clock.advance(Duration::from_secs(10));
    let labels = [("zone", "b"), ("rack", "7")];
    let metadata = Metadata::new("host-1:80", labels).unwrap();
    let options = EnterOptions { metadata, ..EnterOptions::default() };
    let term = election.enter_with(&s1, "a", options).unwrap();
    assert_eq!(term.since(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(10)));
    assert_eq!((term.change().reason, term.change().by), (Reason::Entered, Some(s1.id())));
    let said = term.metadata_of("a").unwrap();
    assert_eq!(said.address(), "host-1:80");
    assert_eq!(said.labels().collect::<Vec<_>>(), [("rack", "7"), ("zone", "b")]);

    clock.advance(Duration::from_secs(5));
    let term = election.enter(&s2, "b").unwrap();
    assert_eq!(term.since(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(10)));
    assert_eq!(term.change().at_unix_micros, 15_000_000);
    assert!(term.metadata_of("a").is_some() && term.metadata_of("b").is_none());
    clock.advance(Duration::from_secs(5));
    drop(s1);
    let term = election.term();
    assert_eq!(term.since(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(20)));
    assert!(term.metadata_of("a").is_none(), "it left");

    let history: Vec<_> = term.history().collect();
    let [present, past] = &history[..] else { panic!("{history:?}") };
    assert_eq!((present.term, &*present.leader, &present.ended), (2, "b", &None));
    assert_eq!((past.term, &*past.leader), (1, "a"));
    let ended = past.ended.as_ref().unwrap();
    assert_eq!((ended.reason, ended.at_unix_micros), (Reason::SessionEnded, 20_000_000));
    assert_eq!(term.verdict_on(2), Verdict::Current);
    assert_eq!(term.verdict_on(1), Verdict::Stale);
    assert_eq!(term.verdict_on(3), Verdict::Unknown);
}

/// Each way a session ends is told as what it was.
#[test]
fn ends_of_sessions_have_their_own_reasons() {
    let (engine, clock) = at_work();
    let election = engine.election("jobs").unwrap();
    let ended = |end: &dyn Fn(Session)| {
        let (session, _key) = engine.open_session(SessionSettings::default()).unwrap();
        let id = session.id();
        election.enter(&session, "a").unwrap();
        end(session);
        let change = election.term().change();
        assert!(election.term().is_vacant(), "{change:?}");
        (change.reason, change.by.map(|by| by == id), String::from(change.note))
    };
    let owner = ended(&|session| session.end());
    assert_eq!(owner, (Reason::SessionEnded, Some(true), String::new()));
    let expired = ended(&|_| {
        clock.advance(Duration::from_secs(60));
        engine.tick(clock.now());
    });
    assert_eq!(expired, (Reason::SessionExpired, None, String::new()));
    let removed = ended(&|session| {
        engine.end_session_because(session.id(), "zone b goes down").unwrap();
    });
    assert_eq!(removed, (Reason::SessionRemoved, None, "zone b goes down".to_owned()));
}

#[test]
fn an_enter_may_be_for_the_lead_alone() {
    let (engine, _) = at_work();
    let [s1, s2] = [(); 2].map(|()| engine.session().unwrap());
    let election = engine.election("jobs").unwrap();
    let only = || EnterOptions { only_if_leads: true, ..EnterOptions::default() };
    assert_eq!(election.enter_with(&s1, "a", only()).unwrap().to_string(), "t1 a []");
    assert_eq!(election.enter_with(&s1, "a", only()).unwrap().revision(), 1, "it leads already");
    assert_eq!(election.enter_with(&s2, "b", only()).unwrap().to_string(), "t1 a []");
    let take = EnterOptions { take_over: true, ..only() };
    assert_eq!(election.enter_with(&s2, "a", take).unwrap().to_string(), "t2 a []");
    assert!(election.enter_with(&s1, "a", only()).is_err(), "another session holds it");
}

/// Metadata follows its candidate through every change of the order, and no further.
#[test]
fn metadata_stays_with_its_candidate() {
    let (engine, _) = at_work();
    let session = engine.session().unwrap();
    let election = engine.election("jobs").unwrap();
    for name in ["a", "b", "c"] {
        election.enter_with(&session, name, says(&format!("{name}:80"))).unwrap();
    }
    let known = |names: &str| {
        let term = election.term();
        for name in ["a", "b", "c"] {
            let said = term.metadata_of(name).map(|it| it.address().to_owned());
            assert_eq!(said, names.contains(name).then(|| format!("{name}:80")), "{name}");
        }
    };
    known("abc");
    election.anoint("c").unwrap();
    election.demote("c").unwrap();
    known("abc");
    election.evict("a").unwrap();
    known("bc");
    election.enter(&session, "a").unwrap();
    known("bc");
    election.leave(&session).unwrap();
    known("");
}

#[test]
fn elections_are_listed_by_prefix_in_pages() {
    let (engine, _) = at_work();
    let session = engine.session().unwrap();
    for n in 0..25 {
        engine.election(&format!("jobs/{n:02}")).unwrap().enter(&session, "a").unwrap();
        engine.election(&format!("other/{n:02}")).unwrap().enter(&session, "a").unwrap();
    }
    engine.election("jobs/07").unwrap().delete().unwrap();
    let _named_and_never_entered = engine.election("jobs/99").unwrap();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let after = seen.last().cloned();
        let page = engine.list_elections("jobs/", after.as_deref(), 7);
        assert!(page.len() <= 7 && page.iter().all(|(_, term)| term.is_led_by("a")));
        if page.is_empty() {
            break;
        }
        pages += 1;
        seen.extend(page.into_iter().map(|(name, _)| String::from(name)));
    }
    let expected: Vec<_> = (0..25).filter(|&n| n != 7).map(|n| format!("jobs/{n:02}")).collect();
    assert_eq!((seen, pages), (expected, 4));
    assert_eq!(engine.list_elections("", None, 100).len(), 49);
    assert!(engine.list_elections("jobs/", None, 0).is_empty());
}

#[test]
fn the_history_of_a_busy_election_is_bounded() {
    let (engine, _) = at_work();
    let (session, _key) = engine
        .open_session(SessionSettings { failover: Failover::Fast, ..Default::default() })
        .unwrap();
    let election = engine.election("jobs").unwrap();
    for _ in 0..1_000 {
        election.enter(&session, "a").unwrap();
        election.withdraw(&session, "a").unwrap();
    }
    let terms: Vec<u64> = election.term().history().map(|reign| reign.term).collect();
    assert!((16..=32).contains(&terms.len()), "{terms:?}");
    assert!(terms.iter().zip(terms.iter().skip(1)).all(|(later, before)| *later == before + 1));
    assert_eq!(terms[0], 1_000);
}
