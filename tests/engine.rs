//! The embedded engine, as its users see it.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use tenure::{Code, EndReason, Engine, Error, Limits, NameFault, Reason};

const PATIENCE: Duration = Duration::from_secs(60);

fn engine() -> Engine {
    Engine::builder().open().unwrap()
}

fn small(limits: Limits) -> Engine {
    Engine::builder().limits(limits).shards(NonZeroUsize::MIN).open().unwrap()
}

/// SPEC section 1, "a conversation that must hold", with a session for each candidate and a watch
/// that is open before anything happens.
#[test]
fn the_conversation() {
    let engine = engine();
    let election = engine.election("the/election").unwrap();
    let [s1, s2, s3] = [(); 3].map(|()| engine.session().unwrap());
    let mut watch = election.watch();
    let mut observer = election.observe();
    let mut holds = |term: Arc<tenure::Term>, expected: &str| {
        assert_eq!(term.to_string(), expected);
        assert_eq!(observer.term().to_string(), expected);
        assert_eq!(watch.next_within(PATIENCE).unwrap().to_string(), expected);
        assert!(watch.try_next().is_none(), "one event for one change");
    };

    holds(election.term(), "t0 \"\" []");
    holds(election.enter(&s1, "c1").unwrap(), "t1 c1 []");
    holds(election.enter(&s2, "c2").unwrap(), "t1 c1 [c2]");
    holds(election.enter(&s3, "c3").unwrap(), "t1 c1 [c2 c3]");
    holds(election.promote("c3").unwrap(), "t1 c1 [c3 c2]");
    holds(election.promote("c3").unwrap(), "t2 c3 [c1 c2]");
    holds(election.anoint("c2").unwrap(), "t3 c2 [c3 c1]");
    holds(election.withdraw(&s2, "c2").unwrap(), "t4 c3 [c1]");
    holds(election.evict("c3").unwrap(), "t5 c1 []");
    holds(election.enter(&s2, "c2").unwrap(), "t5 c1 [c2]");
    holds(election.anoint("c2").unwrap(), "t6 c2 [c1]");
    holds(election.leave(&s2).unwrap(), "t7 c1 []");
    drop(s1);
    holds(election.term(), "t7 \"\" []");
    drop(s3);
    assert_eq!(engine.term("the/election").unwrap().to_string(), "t7 \"\" []");
}

#[test]
fn reading_never_creates() {
    let engine = engine();
    let term = engine.term("nobody/was/here").unwrap();
    assert_eq!((term.number(), term.leader(), term.candidates().len()), (0, None, 0));
    assert_eq!(engine.elections(), 0);
    // A handle makes room for the name while it is held, and no longer.
    let handle = engine.election("nobody/was/here").unwrap();
    let watch = handle.watch();
    drop(handle);
    assert_eq!(engine.elections(), 1, "the watch still follows the name");
    drop(watch);
    assert_eq!(engine.elections(), 0);
}

#[test]
fn an_ended_session_stays_ended() {
    let engine = engine();
    let election = engine.election("e").unwrap();
    let session = engine.session().unwrap();
    election.enter(&session, "a").unwrap();
    assert_eq!((session.ended(), engine.sessions()), (None, 1));
    session.end();
    session.end();
    assert_eq!((session.ended(), engine.sessions()), (Some(EndReason::Closed), 0));
    assert!(election.term().is_vacant());
    for refused in [
        election.enter(&session, "a"),
        election.withdraw(&session, "a"),
        election.leave(&session),
        election.take_over(&session, "a"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error, Error::SessionEnded { reason: EndReason::Closed });
        assert_eq!(error.code(), Code::FailedPrecondition);
    }
    assert!(election.term().is_vacant());
}

#[test]
fn a_session_ends_in_every_election_at_once() {
    let engine = engine();
    let elections: Vec<_> =
        (0..1_000).map(|n| engine.election(&format!("e{n}")).unwrap()).collect();
    let [dies, stays] = [(); 2].map(|()| engine.session().unwrap());
    for election in &elections {
        election.enter(&dies, "x").unwrap();
        election.enter(&stays, "y").unwrap();
        election.enter(&dies, "z").unwrap();
    }
    drop(dies);
    for election in &elections {
        let term = election.term();
        assert_eq!(term.to_string(), "t2 y []");
        assert_eq!((term.revision(), term.reason()), (4, Reason::SessionEnded), "one change");
    }
}

#[test]
fn sessions_of_another_engine_are_refused() {
    let (here, there) = (engine(), engine());
    let foreign = there.session().unwrap();
    let election = here.election("e").unwrap();
    assert_eq!(election.enter(&foreign, "a").unwrap_err(), Error::ForeignSession);
}

#[test]
fn a_deleted_name_starts_again_above_its_last_term() {
    let engine = engine();
    let session = engine.session().unwrap();
    let (old, other) = (engine.election("old").unwrap(), engine.election("other").unwrap());
    let mut watch = old.watch();
    for n in 1..=5 {
        assert_eq!(old.enter(&session, "a").unwrap().number(), n);
        old.withdraw(&session, "a").unwrap();
    }
    old.enter(&session, "a").unwrap();
    old.delete().unwrap();
    old.delete().unwrap();
    assert_eq!(engine.term("old").unwrap().number(), 0, "by name it is forgotten");
    let seen = watch.try_next().unwrap();
    assert_eq!((seen.leader(), seen.number()), (None, 6), "who follows never sees it go back");
    assert_eq!(seen.reason(), Reason::Deleted);
    assert_eq!(old.enter(&session, "b").unwrap().to_string(), "t7 b []");
    assert_eq!(other.enter(&session, "b").unwrap().to_string(), "t7 b []", "the floor is for all");
    drop((old, watch));
    engine.election("old").unwrap().delete().unwrap();
    assert_eq!(engine.elections(), 1);
    assert_eq!(engine.election("old").unwrap().enter(&session, "c").unwrap().number(), 8);
}

#[test]
fn an_election_deleted_while_it_is_used_leaves_no_trace() {
    let engine = engine();
    let session = engine.session().unwrap();
    for n in 0..1_000 {
        let election = engine.election(&format!("e{n}")).unwrap();
        let watch = election.watch();
        election.enter(&session, "a").unwrap();
        election.delete().unwrap();
        drop((election, watch));
    }
    assert_eq!(engine.elections(), 0);
}

#[test]
fn names_are_checked() {
    let engine = engine();
    let fault = |name: &str| match engine.election(name).unwrap_err() {
        error @ Error::InvalidName { .. } => {
            assert_eq!(error.code(), Code::InvalidArgument);
            assert_eq!(engine.term(name).unwrap_err(), error);
            match error {
                Error::InvalidName { field: "election name", fault } => fault,
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other}"),
    };
    assert_eq!(fault(""), NameFault::Empty);
    assert_eq!(fault(&"x".repeat(513)), NameFault::TooLong { bytes: 513, max: 512 });
    assert_eq!(fault("a\nb"), NameFault::Control { at: 1, code: 10 });
    assert_eq!(fault("é\u{85}"), NameFault::Control { at: 2, code: 0x85 });
    assert!(engine.election(&"x".repeat(512)).is_ok());

    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    let error = election.enter(&session, "").unwrap_err();
    assert_eq!(error.to_string(), "candidate is empty; give it at least one byte");
    for refused in [
        election.withdraw(&session, "\0"),
        election.anoint("\0"),
        election.promote("\0"),
        election.demote("\0"),
        election.evict("\0"),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
}

/// Row Q1: at each bound a clear error that names it, and what was there goes on.
#[test]
fn q1_every_limit_of_the_engine_at_its_bound() {
    let engine = small(Limits {
        candidates: 3,
        candidate_bytes: 10,
        elections: 2,
        sessions: 2,
        ..Limits::default()
    });
    let limit = |error: Error| match error {
        Error::LimitReached { limit, max, .. } => {
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert!(
                error.to_string().contains(limit) && error.to_string().contains(&max.to_string())
            );
            (limit, max)
        }
        other => panic!("{other}"),
    };

    let (one, two) = (engine.session().unwrap(), engine.session().unwrap());
    assert_eq!(limit(engine.session().unwrap_err()), ("sessions", 2));
    drop(two);
    let _three = engine.session().unwrap();

    let (a, b) = (engine.election("a").unwrap(), engine.election("b").unwrap());
    assert_eq!(limit(engine.election("c").unwrap_err()), ("elections", 2));
    assert!(engine.election("a").is_ok() && engine.term("c").is_ok());
    drop(b);
    engine.election("c").unwrap();

    for name in ["x", "y", "z"] {
        a.enter(&one, name).unwrap();
    }
    assert_eq!(limit(a.enter(&one, "w").unwrap_err()), ("candidates", 3));
    a.withdraw(&one, "z").unwrap();
    assert_eq!(limit(a.enter(&one, "123456789").unwrap_err()), ("candidate_bytes", 10));
    assert_eq!(a.enter(&one, "12345678").unwrap().to_string(), "t1 x [y 12345678]");
}

/// Row Q1: names that come and go leave nothing behind.
#[test]
fn q1_churn_leaves_nothing_behind() {
    let engine = small(Limits { elections: 10, sessions: 10, ..Limits::default() });
    for n in 0..10_000 {
        let session = engine.session().unwrap();
        let election = engine.election(&format!("e{n}")).unwrap();
        election.enter(&session, "a").unwrap();
        election.delete().unwrap();
    }
    assert_eq!((engine.elections(), engine.sessions(), engine.waiting()), (0, 0, 0));
}

/// Row Q3: a reader that keeps an old snapshot keeps that one and no other.
#[test]
fn q3_an_old_snapshot_keeps_only_itself() {
    let engine = engine();
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    let old = election.enter(&session, "a").unwrap();
    let between = Arc::downgrade(&election.enter(&session, "b").unwrap());
    election.enter(&session, "c").unwrap();
    assert!(between.upgrade().is_none(), "the one in between is gone");
    assert_eq!(old.to_string(), "t1 a []");
    assert_eq!(Arc::strong_count(&old), 1, "nobody else keeps it");
}

/// Row A2: names that collide under a fixed hash don't under a keyed one. Two engines place and
/// bucket the same names differently.
#[test]
fn a2_names_are_hashed_with_a_key_of_the_engine() {
    let shards_of = |engine: &Engine| {
        (0..64).map(|n| engine.election(&format!("n{n}")).unwrap().shard()).collect::<Vec<_>>()
    };
    let wide = || Engine::builder().shards(NonZeroUsize::new(64).unwrap()).open().unwrap();
    let (one, other) = (wide(), wide());
    assert_ne!(shards_of(&one), shards_of(&other), "chance: one in 64^64");
    assert_eq!(shards_of(&one), shards_of(&one));
}

#[test]
fn settings_out_of_range_are_refused() {
    let error = Engine::builder().shards(NonZeroUsize::new(65).unwrap()).open().unwrap_err();
    assert_eq!(error.to_string(), "shards: 65 is too many; give 1 to 64");
}

#[test]
fn a_blocking_watch_wakes_for_each_change() {
    let engine = engine();
    let election = engine.election("e").unwrap();
    let session = engine.session().unwrap();
    let mut watch = election.watch();
    assert_eq!(watch.next().unwrap().number(), 0);
    let (seen, see) = channel();
    let watcher = thread::spawn(move || {
        for term in watch.take(200) {
            seen.send(term.revision()).unwrap();
        }
    });
    for revision in 1..=200 {
        if revision % 2 == 1 {
            election.enter(&session, "a").unwrap();
        } else {
            election.withdraw(&session, "a").unwrap();
        }
        // To a reader that had taken the last one, the change comes by itself.
        assert_eq!(see.recv_timeout(PATIENCE).unwrap(), revision);
    }
    watcher.join().unwrap();
}

#[test]
fn a_watch_is_a_stream_that_needs_no_runtime() {
    struct Flag(crossbeam::atomic::AtomicCell<usize>);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1);
        }
    }

    let engine = engine();
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    let woken = Arc::new(Flag(crossbeam::atomic::AtomicCell::new(0)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut watch = pin!(election.watch());
    let mut next = || match watch.as_mut().poll_next(&mut context) {
        Poll::Ready(term) => Some(term.unwrap().to_string()),
        Poll::Pending => None,
    };
    assert_eq!(next().as_deref(), Some("t0 \"\" []"));
    assert_eq!(next(), None);
    let before = woken.0.load();
    election.enter(&session, "a").unwrap();
    election.enter(&session, "b").unwrap();
    assert_eq!(woken.0.load(), before + 1, "told once, however many changes");
    assert_eq!(next().as_deref(), Some("t1 a [b]"), "the newest, merged");
    assert_eq!(next(), None);
}

/// A waker is its user's code. It is called outside the writer's role, so it may change the very
/// election that it was woken for, and a panic in it breaks nothing but its caller.
#[test]
fn a_waker_may_call_the_engine_or_panic() {
    struct Meddler(tenure::Election, tenure::Session);
    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {
            let term = self.0.enter(&self.1, "meddler").unwrap();
            assert!(term.participants().all(|it| it != "bad"), "a planted panic");
        }
    }

    let engine = small(Limits::default());
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    let meddler = Arc::new(Meddler(election.clone(), engine.session().unwrap()));
    let waker = Waker::from(meddler);
    let mut watch = pin!(election.watch());
    let mut listen =
        || while watch.as_mut().poll_next(&mut Context::from_waker(&waker)).is_ready() {};
    listen();
    election.enter(&session, "a").unwrap();
    assert_eq!(election.term().to_string(), "t1 a [meddler]");
    listen();
    let caller = (election.clone(), engine.session().unwrap());
    let broken = thread::spawn(move || caller.0.enter(&caller.1, "bad").map(drop));
    assert!(broken.join().is_err(), "the planted panic is the caller's");
    listen();
    election.evict("bad").unwrap();
    assert_eq!(election.enter(&session, "b").unwrap().to_string(), "t1 a [meddler b]");
}

/// Whoever begins to read while it changes sees what was told, and nothing go back.
#[test]
fn a_first_reader_in_the_midst_of_changes() {
    let engine = engine();
    let session = engine.session().unwrap();
    for round in 0..2_000 {
        let election = engine.election(&format!("e{round}")).unwrap();
        let told = crossbeam::atomic::AtomicCell::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..4 {
                    told.store(election.enter(&session, "a").unwrap().revision());
                    told.store(election.withdraw(&session, "a").unwrap().revision());
                }
            });
            let mut seen = told.load();
            let mut observer = election.observe();
            while seen < 8 {
                let floor = told.load().max(seen);
                seen = observer.term().revision();
                assert!(seen >= floor, "{seen} after {floor}");
                std::hint::spin_loop();
            }
        });
    }
}

/// Many threads on one election: nothing is lost, terms are unique, and every watch ends at the
/// newest.
#[test]
fn many_threads_lose_nothing() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 2_000;
    let engine = small(Limits::default());
    let election = engine.election("e").unwrap();
    let mut watch = election.watch();
    let mut terms: Vec<u64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|n| {
                let (engine, election) = (&engine, &election);
                scope.spawn(move || {
                    let session = engine.session().unwrap();
                    let name = format!("c{n}");
                    let mut led = Vec::new();
                    for _ in 0..ROUNDS {
                        let entered = election.enter(&session, &name).unwrap();
                        assert!(entered.participants().any(|it| it == name), "an enter was lost");
                        led.extend(entered.is_led_by(&name).then(|| entered.number()));
                        let left = election.withdraw(&session, &name).unwrap();
                        assert!(left.participants().all(|it| it != name), "a withdraw was lost");
                    }
                    led
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let last = election.term();
    assert_eq!(last.revision(), (2 * THREADS * ROUNDS) as u64, "every change counted once");
    assert!(last.is_vacant());
    terms.sort_unstable();
    assert!(terms.windows(2).all(|pair| pair[0] < pair[1]), "a term was held twice");
    let mut newest = 0;
    while let Some(term) = watch.try_next() {
        assert!(term.revision() > newest);
        newest = term.revision();
    }
    assert_eq!(newest, last.revision());
}

/// Sessions that end while others enter: no candidate outlives its session.
#[test]
fn sessions_that_end_during_use_leave_nobody_behind() {
    let engine = small(Limits::default());
    let election = engine.election("e").unwrap();
    for _ in 0..500 {
        let session = engine.session().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..8 {
                    match election.enter(&session, &format!("c{n}")) {
                        Ok(_) => {}
                        Err(Error::SessionEnded { .. }) => return,
                        Err(other) => panic!("{other}"),
                    }
                }
            });
            session.end();
        });
        assert!(election.term().is_vacant(), "{}", election.term());
    }
}
