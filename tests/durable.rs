//! What an engine over a data directory keeps across its end, and what it does not.

use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tempfile::TempDir;
use tenure::{Clock, Engine, EngineBuilder, Error, Failover, SessionSettings};

fn builder(folder: &TempDir) -> EngineBuilder {
    Engine::builder().data_dir(folder.path().join("data"))
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn explicit(ttl: Duration) -> SessionSettings {
    SessionSettings { ttl, owner: "a test".into(), ..SessionSettings::default() }
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn elections_terms_and_history_come_back() {
    let folder = folder();
    let engine = builder(&folder).open().unwrap();
    let (server, incarnation) = (engine.server_id().to_owned(), engine.incarnation().to_owned());
    let (session, key) = engine.open_session(explicit(LONG)).unwrap();
    let election = engine.election("billing/cron").unwrap();
    election.enter(&session, "a").unwrap();
    election.enter(&session, "b").unwrap();
    let told = election.anoint("b").unwrap();
    let history: Vec<_> = told.history().collect();
    drop((engine, session, election));

    let engine = builder(&folder).must_exist().open().unwrap();
    assert_eq!(engine.server_id(), server);
    assert_ne!(engine.incarnation(), incarnation);
    let term = engine.term("billing/cron").unwrap();
    assert_eq!(format!("{term} {term:?}"), format!("{told} {told:?}"));
    assert!(term.history().eq(history));
    assert_eq!((term.change(), term.since()), (told.change(), told.since()));
    // The session lives on, with all of its TTL, and is known by its key.
    let session = engine.resume_session(&key).unwrap();
    assert_eq!((session.ttl(), session.owner()), (LONG, "a test"));
    let next = engine.election("billing/cron").unwrap().withdraw(&session, "b").unwrap();
    assert_eq!((next.number(), next.leader()), (told.number() + 1, Some("a")));
}

#[test]
fn sessions_of_the_process_end_with_it_in_one_change_for_each_election() {
    let folder = folder();
    let engine = builder(&folder).open().unwrap();
    let (stays, _) = engine.open_session(explicit(LONG)).unwrap();
    let held = [engine.session().unwrap(), engine.session().unwrap()];
    let election = engine.election("e").unwrap();
    election.enter(&held[0], "held-0").unwrap();
    election.enter(&held[1], "held-1").unwrap();
    election.enter(&stays, "stays").unwrap();
    let before = election.enter(&held[0], "held-2").unwrap();
    let alone = engine.election("alone").unwrap().enter(&held[1], "x").unwrap();
    // As a crash leaves it: nobody has said goodbye.
    let crashed = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("data/store.redb"), crashed.path().join("store.redb")).unwrap();
    drop((held, engine, stays, election));

    let engine = Engine::builder().data_dir(crashed.path()).open().unwrap();
    let term = engine.term("e").unwrap();
    assert_eq!(term.to_string(), format!("t{} stays []", before.number() + 1));
    let vacant = engine.term("alone").unwrap();
    assert_eq!((vacant.number(), vacant.leader()), (alone.number(), None));
    let session = engine.session().unwrap();
    let next = engine.election("alone").unwrap().enter(&session, "y").unwrap();
    assert_eq!(next.number(), alone.number() + 1, "a term is not given twice");
}

#[test]
fn a_deleted_name_starts_above_what_it_had() {
    let folder = folder();
    for round in 0..3 {
        let engine = builder(&folder).open().unwrap();
        let (session, _) = engine.open_session(explicit(LONG)).unwrap();
        let election = engine.election("e").unwrap();
        let term = election.enter(&session, "a").unwrap();
        assert_eq!(term.number(), round + 1);
        election.delete().unwrap();
        assert_eq!(engine.term("e").unwrap().number(), 0);
    }
    let engine = builder(&folder).open().unwrap();
    let (session, _) = engine.open_session(explicit(LONG)).unwrap();
    let other = engine.election("another").unwrap().enter(&session, "a").unwrap();
    assert_eq!(other.number(), 4, "the floor is the server's");
}

#[test]
fn an_ended_session_stays_ended_and_ids_are_not_given_twice() {
    let folder = folder();
    let engine = builder(&folder).open().unwrap();
    let (session, key) = engine.open_session(explicit(LONG)).unwrap();
    engine.election("e").unwrap().enter(&session, "a").unwrap();
    session.end();
    let id = session.id();
    drop((engine, session));
    let engine = builder(&folder).open().unwrap();
    assert!(matches!(engine.resume_session(&key), Err(Error::UnknownSession { .. })));
    assert_eq!(engine.term("e").unwrap().leader(), None);
    assert!(engine.session().unwrap().id() > id);
}

/// The former leader may still act: after a restart its successor waits a whole TTL again, unless it
/// has let go.
#[test]
fn a_hand_over_that_was_waiting_waits_again() {
    let folder = folder();
    let clock = Clock::manual();
    let builder = || builder(&folder).clock(clock.clone()).manual_timers();
    let ttl = Duration::from_secs(10);
    let engine = builder().open().unwrap();
    let (former, former_key) = engine.open_session(explicit(ttl)).unwrap();
    let (next, _) = engine.open_session(explicit(ttl)).unwrap();
    let election = engine.election("e").unwrap();
    let lost = election.enter(&former, "former").unwrap().number();
    election.enter(&next, "next").unwrap();
    election.anoint("next").unwrap();
    clock.advance(Duration::from_secs(4));
    next.renew().unwrap();
    assert_eq!(election.valid_after(), Duration::from_secs(6));
    drop((engine, former, next, election));

    let engine = builder().open().unwrap();
    let election = engine.election("e").unwrap();
    assert_eq!(election.term().leader(), Some("next"));
    assert_eq!(election.valid_after(), ttl);
    let former = engine.resume_session(&former_key).unwrap();
    assert_eq!(former.lost(), [("e".into(), lost)]);
    election.let_go(&former, lost);
    assert_eq!(election.valid_after(), Duration::ZERO);
    drop((engine, former, election));

    let engine = builder().open().unwrap();
    let election = engine.election("e").unwrap();
    assert_eq!(election.valid_after(), Duration::ZERO, "that it let go is kept too");
    assert_eq!(engine.resume_session(&former_key).unwrap().lost(), []);
}

/// That nobody has to be waited for any more is kept in the same turn, of which there is nothing to tell.
#[test]
fn the_end_of_a_session_that_had_lost_the_lead_is_told() {
    let folder = folder();
    let engine = builder(&folder).open().unwrap();
    let (former, _) = engine.open_session(explicit(Duration::from_secs(600))).unwrap();
    let next = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&former, "former").unwrap();
    election.enter(&next, "next").unwrap();
    election.anoint("next").unwrap();
    let mut watch = election.watch();
    // Nothing is to do, but it is answered behind the call that a watch begins with.
    election.enter(&next, "next").unwrap();
    assert_eq!(watch.next().unwrap().to_string(), "t2 next [former]");
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    let waits = Pin::new(&mut watch).poll_next(&mut Context::from_waker(&waker));
    assert!(waits.is_pending());
    engine.end_session(former.id()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !woken.0.load(Ordering::Acquire) {
        assert!(Instant::now() < deadline, "the change was not announced");
        std::thread::yield_now();
    }
    assert_eq!(watch.try_next().unwrap().to_string(), "t2 next []");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Deletion is a forced change too, and a crash does not make anybody forget that.
#[test]
fn who_enters_a_deleted_name_waits_for_who_led_it_also_after_a_restart() {
    let folder = folder();
    let clock = Clock::manual();
    let builder = || builder(&folder).clock(clock.clone()).manual_timers();
    let ttl = Duration::from_secs(10);
    let engine = builder().open().unwrap();
    let (former, key) = engine.open_session(explicit(ttl)).unwrap();
    let election = engine.election("e").unwrap();
    let lost = election.enter(&former, "former").unwrap().number();
    election.delete().unwrap();
    drop((engine, former, election));

    let engine = builder().open().unwrap();
    assert_eq!(engine.term("e").unwrap().number(), 0, "it is deleted all the same");
    assert!(engine.list_elections("", None, 10).is_empty());
    let (next, _) = engine.open_session(explicit(ttl)).unwrap();
    let election = engine.election("e").unwrap();
    assert_eq!(election.enter(&next, "next").unwrap().number(), lost + 1);
    assert_eq!(election.valid_after(), ttl);
    assert_eq!(engine.resume_session(&key).unwrap().lost(), [("e".into(), lost)]);
}

/// However long the start takes, nobody's time runs before somebody can hear them.
#[test]
fn a_session_has_its_whole_ttl_from_the_start_on() {
    let folder = folder();
    let clock = Clock::manual();
    let builder = || builder(&folder).clock(clock.clone()).manual_timers();
    let engine = builder().open().unwrap();
    let (session, key) = engine.open_session(explicit(Duration::from_secs(5))).unwrap();
    engine.election("e").unwrap().enter(&session, "a").unwrap();
    drop((engine, session));
    clock.advance(Duration::from_secs(3600));
    let engine = builder().open().unwrap();
    engine.tick(clock.now() + Duration::from_millis(4_900));
    assert_eq!(engine.term("e").unwrap().leader(), Some("a"));
    assert_eq!(engine.resume_session(&key).unwrap().info().remaining, Duration::from_secs(5));
    clock.advance(Duration::from_millis(5_200));
    engine.tick(clock.now());
    // Whoever waits for a change has waited for those before it.
    engine.open_session(explicit(LONG)).unwrap();
    assert_eq!(engine.term("e").unwrap().leader(), None);
}

/// Somebody else ends the leader's session: its holder may not know, also not after a restart. One that
/// expired is over, and nobody waits for it again.
#[test]
fn after_a_restart_only_those_are_waited_for_who_may_still_act() {
    let folder = folder();
    let clock = Clock::manual();
    let builder = || builder(&folder).clock(clock.clone()).manual_timers();
    let ttl = Duration::from_secs(10);
    let engine = builder().open().unwrap();
    let (next, _) = engine.open_session(explicit(LONG)).unwrap();
    for name in ["removed", "expired"] {
        let (leader, _) = engine.open_session(explicit(ttl)).unwrap();
        let election = engine.election(name).unwrap();
        election.enter(&leader, "leader").unwrap();
        election.enter(&next, "next").unwrap();
        match name {
            "removed" => engine.end_session(leader.id()).unwrap(),
            _ => drop(election.anoint("next").unwrap()),
        }
        assert_eq!(election.valid_after(), ttl, "{name}");
        if name == "expired" {
            clock.advance(ttl + Duration::from_secs(1));
            engine.tick(clock.now());
            engine.open_session(explicit(LONG)).unwrap();
        } else {
            let crashed = tempfile::tempdir().unwrap();
            let store = folder.path().join("data/store.redb");
            fs::copy(store, crashed.path().join("store.redb")).unwrap();
            let again = Engine::builder().data_dir(crashed.path()).clock(clock.clone());
            let again = again.manual_timers().open().unwrap();
            assert_eq!(again.term(name).unwrap().leader(), Some("next"));
            assert_eq!(again.election(name).unwrap().valid_after(), ttl);
        }
    }
    drop((engine, next));
    let engine = builder().open().unwrap();
    assert_eq!(engine.election("expired").unwrap().valid_after(), Duration::ZERO);
}

/// What waits shares a commit, and a change alone has one.
#[test]
fn commits_are_counted() {
    let folder = folder();
    let engine = builder(&folder).open().unwrap();
    let (session, _) = engine.open_session(explicit(LONG)).unwrap();
    let election = engine.election("e").unwrap();
    for _ in 0..10 {
        let before = engine.commits();
        election.enter(&session, "a").unwrap();
        assert_eq!(engine.commits(), before + 1);
        election.enter(&session, "a").unwrap();
        assert_eq!(engine.commits(), before + 1, "what changes nothing needs no commit");
        election.withdraw(&session, "a").unwrap();
    }
    assert_eq!(engine.check_storage(), Ok(()));
}

#[test]
fn tags_of_a_created_election_come_back() {
    let folder = folder();
    let fast = SessionSettings { failover: Failover::Fast, ..explicit(LONG) };
    let engine = builder(&folder).open().unwrap();
    let (session, key) = engine.open_session(fast).unwrap();
    assert_eq!(session.kind(), tenure::SessionKind::Fast);
    drop((engine, session));
    let engine = builder(&folder).open().unwrap();
    assert_eq!(engine.resume_session(&key).unwrap().kind(), tenure::SessionKind::Fast);
}

#[test]
fn d6_two_engines_do_not_share_a_directory() {
    let folder = folder();
    let first = builder(&folder).open().unwrap();
    let refused = builder(&folder).open().unwrap_err().to_string();
    assert!(refused.contains("another process") && refused.contains("data"), "{refused}");
    drop(first);
    builder(&folder).open().unwrap();
}

#[test]
fn d9_a_volume_that_is_not_mounted_is_no_new_one() {
    let folder = folder();
    let refused = builder(&folder).must_exist().open().unwrap_err().to_string();
    assert!(refused.contains("mounted"), "{refused}");
    assert!(!folder.path().join("data").exists());
    let engine = builder(&folder).min_term(1_000).open().unwrap();
    let (session, _) = engine.open_session(explicit(LONG)).unwrap();
    assert_eq!(engine.election("e").unwrap().enter(&session, "a").unwrap().number(), 1_001);
    drop((engine, session));
    let engine = builder(&folder).open().unwrap();
    let (session, _) = engine.open_session(explicit(LONG)).unwrap();
    assert_eq!(engine.election("f").unwrap().enter(&session, "a").unwrap().number(), 1_001);
}
