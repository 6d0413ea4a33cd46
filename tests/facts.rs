//! What an election tells beyond who leads: metadata, reasons, history, listings.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime};

use tenure::{
    ChangeOptions, Clock, Code, Engine, EnterOptions, Error, Failover, Limits, Metadata, Reason,
    Session, SessionSettings, Verdict,
};

fn at_work() -> (Engine, Clock) {
    let clock = Clock::manual();
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    (engine, clock)
}

fn because(note: &str) -> ChangeOptions {
    ChangeOptions { note: note.into(), ..ChangeOptions::default() }
}

fn in_term(number: u64) -> ChangeOptions {
    ChangeOptions { expected_term: Some(number), ..ChangeOptions::default() }
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
    // Whoever enters again and says nothing leaves it as it was.
    election.enter(&session, "b").unwrap();
    known("bc");
    election.enter_with(&session, "a", says("a:80")).unwrap();
    known("abc");
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
    let terms = || election.term().history().map(|reign| reign.term).collect::<Vec<u64>>();
    assert_eq!(terms(), (985..=1_000).rev().collect::<Vec<_>>());
    election.enter(&session, "a").unwrap();
    assert_eq!(terms(), (985..=1_001).rev().collect::<Vec<_>>(), "sixteen, and the present one");
    election.delete().unwrap();
    assert_eq!(terms(), Vec::<u64>::new());
}

/// Each change tells who asked for it, and why.
#[test]
fn changes_tell_who_and_why() {
    let (engine, _) = at_work();
    let [s1, s2, boss] = [(); 3].map(|()| engine.session().unwrap());
    let election = engine.election("jobs").unwrap();
    let told = |by: Option<&Session>, reason: Reason, note: &str| {
        let change = election.term().change();
        assert_eq!((change.by, change.reason), (by.map(Session::id), reason));
        assert_eq!(&*change.note, note);
    };
    let starts = EnterOptions { note: "starts".into(), ..EnterOptions::default() };
    election.enter_with(&s1, "a", starts).unwrap();
    told(Some(&s1), Reason::Entered, "starts");
    election.enter(&s2, "b").unwrap();
    told(Some(&s2), Reason::Entered, "");
    let by_boss = |note: &str| ChangeOptions { by: Some(boss.id()), ..because(note) };
    election.anoint_with("b", by_boss("rollout")).unwrap();
    told(Some(&boss), Reason::Anointed, "rollout");
    election.demote_with("b", because("back")).unwrap();
    told(None, Reason::Demoted, "back");
    election.promote_with("b", by_boss("")).unwrap();
    told(Some(&boss), Reason::Promoted, "");
    election.evict_with("b", because("broken")).unwrap();
    told(None, Reason::Evicted, "broken");
    // Who withdraws does so itself, whatever is said.
    election.withdraw_with(&s1, "a", by_boss("done")).unwrap();
    told(Some(&s1), Reason::Withdrawn, "done");
    let began: Vec<_> = election.term().history().map(|reign| reign.began.note).collect();
    assert_eq!(
        began.iter().map(|note| &**note).collect::<Vec<_>>(),
        ["broken", "", "back", "rollout", "starts"]
    );
    election.enter(&s1, "a").unwrap();
    election.delete_with(by_boss("over")).unwrap();
    told(Some(&boss), Reason::Deleted, "over");
}

/// Row W6: a note is for people's terminals.
#[test]
fn w6_a_note_is_short_and_can_be_shown() {
    let (engine, _) = at_work();
    let session = engine.session().unwrap();
    let election = engine.election("jobs").unwrap();
    election.enter(&session, "a").unwrap();
    election.evict_with("nobody", because(&"x".repeat(256))).unwrap();
    for note in ["x".repeat(257), "a\nb".into()] {
        let error = election.evict_with("a", because(&note)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.to_string().starts_with("reason has "), "{error}");
        let options = EnterOptions { note, ..EnterOptions::default() };
        assert!(election.enter_with(&session, "b", options).is_err());
    }
    assert_eq!(election.term().to_string(), "t1 a []");
}

/// Row P2: a late duplicate does nothing in a newer term.
#[test]
fn p2_a_change_may_be_for_one_term_alone() {
    let (engine, _) = at_work();
    let session = engine.session().unwrap();
    let election = engine.election("jobs").unwrap();
    let enter = |term| {
        let options = EnterOptions { expected_term: Some(term), ..EnterOptions::default() };
        election.enter_with(&session, "a", options)
    };
    let moved = |expected, present| Err(Error::TermMoved { expected, present });
    assert_eq!(enter(1).map(drop), moved(1, 0));
    assert_eq!(enter(0).unwrap().number(), 1, "nobody knows it: it reads as 0");
    for term in [0, 2] {
        assert_eq!(election.anoint_with("a", in_term(term)).map(drop), moved(term, 1));
        assert_eq!(election.promote_with("a", in_term(term)).map(drop), moved(term, 1));
        assert_eq!(election.demote_with("a", in_term(term)).map(drop), moved(term, 1));
        assert_eq!(election.evict_with("a", in_term(term)).map(drop), moved(term, 1));
        assert_eq!(election.withdraw_with(&session, "a", in_term(term)).map(drop), moved(term, 1));
        assert_eq!(election.delete_with(in_term(term)), moved(term, 1));
    }
    assert_eq!(election.term().to_string(), "t1 a []");
    election.delete_with(in_term(1)).unwrap();
    // From then on it reads as 0, also to who still holds a handle.
    assert_eq!(election.delete_with(in_term(1)), moved(1, 0));
    assert_eq!(enter(1).map(drop), moved(1, 0));
    election.delete_with(in_term(0)).unwrap();
    assert_eq!(enter(0).unwrap().number(), 2);
}

/// Also those that waited for the shard's writer.
#[test]
fn changes_that_waited_are_told_as_they_were_asked_for() {
    let engine = Engine::builder().shards(NonZeroUsize::MIN).open().unwrap();
    let election = engine.election("jobs").unwrap();
    thread::scope(|threads| {
        for n in 0..4 {
            let (engine, election) = (&engine, &election);
            threads.spawn(move || {
                let session = engine.session().unwrap();
                let name = format!("c{n}");
                for round in 0..500 {
                    let note = format!("{n}:{round}");
                    let address = format!("host-{n}:{round}");
                    let options = EnterOptions { note: note.clone(), ..says(&address) };
                    let term = election.enter_with(&session, &name, options).unwrap();
                    assert_eq!(
                        (term.change().by, &*term.change().note),
                        (Some(session.id()), &*note)
                    );
                    assert_eq!(term.metadata_of(&name).unwrap().address(), address);
                    assert_eq!(term.session_of(&name), Some(session.id()));
                    let term = election.withdraw_with(&session, &name, because(&note)).unwrap();
                    assert_eq!(
                        (term.change().by, &*term.change().note),
                        (Some(session.id()), &*note)
                    );
                    assert_eq!((term.metadata_of(&name), term.session_of(&name)), (None, None));
                }
            });
        }
    });
}

/// Row Q1: what all candidates of an election say of themselves has a bound together, so that a state
/// fits a frame.
#[test]
fn q1_metadata_of_one_election_has_a_bound() {
    let limits = Limits { election_metadata_bytes: 10, ..Limits::default() };
    let engine = Engine::builder().limits(limits).open().unwrap();
    let session = engine.session().unwrap();
    let election = engine.election("jobs").unwrap();
    election.enter_with(&session, "a", says("12345")).unwrap();
    election.enter_with(&session, "b", says("12345")).unwrap();
    let refused = election.enter_with(&session, "c", says("1")).unwrap_err();
    assert!(
        matches!(refused, Error::LimitReached { limit: "election_metadata_bytes", max: 10, .. }),
        "{refused}"
    );
    election.enter(&session, "c").unwrap();
    // Who stands and says something else makes room first.
    election.enter_with(&session, "a", says("123")).unwrap();
    let term = election.enter_with(&session, "c", says("12")).unwrap();
    assert_eq!((term.number(), term.to_string().as_str()), (1, "t1 a [b c]"));
    assert_eq!(term.metadata_of("a").unwrap().address(), "123");
    assert!(
        engine.election("others").unwrap().enter_with(&session, "a", says("1234567890")).is_ok()
    );
}

/// A listing shows what is there, also of elections that came and went since the first one.
#[test]
fn a_listing_follows_what_comes_and_goes() {
    let (engine, _) = at_work();
    let session = engine.session().unwrap();
    let names = || -> Vec<String> {
        engine.list_elections("", None, 1_000).into_iter().map(|(name, _)| name.into()).collect()
    };
    let enter = |name: &str| drop(engine.election(name).unwrap().enter(&session, "a").unwrap());
    let delete = |name: &str| engine.election(name).unwrap().delete().unwrap();
    enter("b");
    assert_eq!(names(), ["b"]);
    ["c", "a", "ß", "a/b", "d"].into_iter().for_each(enter);
    assert_eq!(names(), ["a", "a/b", "b", "c", "d", "ß"]);
    delete("c");
    delete("a");
    assert_eq!((names(), engine.elections()), (["a/b", "b", "d", "ß"].map(String::from).into(), 4));
    enter("c");
    assert_eq!(
        (names(), engine.elections()),
        (["a/b", "b", "c", "d", "ß"].map(String::from).into(), 5)
    );
    drop(engine.election("e").unwrap());
    assert_eq!((names().len(), engine.elections()), (5, 5), "never entered, and forgotten");
    // Vacant is not forgotten.
    drop(session);
    assert_eq!(names().len(), 5);
    assert!(engine.list_elections("", None, 9).iter().all(|(_, term)| term.is_vacant()));
}

/// The first listing may come while names come and go.
#[test]
fn the_first_listing_misses_nobody() {
    const ROUNDS: usize = 40;
    const NAMES: usize = 60;
    let name = |thread: usize, n: usize| format!("{thread}/{n:02}");
    let stays = |thread: usize| (0..NAMES).step_by(2).map(move |n| name(thread, n));
    let stay: BTreeSet<String> = (0..3).flat_map(stays).collect();
    for round in 0..ROUNDS {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        let start = Barrier::new(4);
        thread::scope(|threads| {
            for thread in 0..3 {
                let (engine, session, start) = (&engine, &session, &start);
                threads.spawn(move || {
                    start.wait();
                    for n in 0..NAMES {
                        let election = engine.election(&name(thread, n)).unwrap();
                        election.enter(session, "a").unwrap();
                        if n % 2 == 1 {
                            election.delete().unwrap();
                        }
                    }
                });
            }
            start.wait();
            // A little later in each round, to meet them elsewhere.
            (0..round * 10).for_each(|_| thread::yield_now());
            let listed = engine.list_elections("", None, 1_000);
            assert!(listed.windows(2).all(|pair| pair[0].0 < pair[1].0));
        });
        let listed = engine.list_elections("", None, 1_000);
        let listed: BTreeSet<String> = listed.into_iter().map(|(name, _)| name.into()).collect();
        assert_eq!(listed, stay);
    }
}
