//! Disks in memory that fail, fill up or are slow.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tenure::internals::{Ask, Desk, Ledger, create_store, open_on, read_store};

use tenure::{Engine, EngineBuilder, Error, Limits, SessionSettings};

use crate::platter::{Cuts, Disk, Image, Trouble};
use crate::support::{PATIENCE, eventually};

fn disk() -> Disk {
    let disk = Disk::of(Image::default());
    create_store(Box::new(disk.clone()), "a server").unwrap();
    Disk::of(disk.shown())
}

fn open(disk: &Disk, builder: EngineBuilder) -> Engine {
    let one = NonZeroUsize::new(1).unwrap();
    open_on(builder.shards(one), Arc::new(disk.clone()), Ledger::default()).unwrap()
}

fn lasting() -> SessionSettings {
    SessionSettings { ttl: Duration::from_secs(3600), ..SessionSettings::default() }
}

fn builder() -> EngineBuilder {
    Engine::builder()
}

/// Sessions end whatever the log says, in steps of at most 64 elections; none of them may hold up what follows.
#[test]
fn d4_sessions_end_after_a_failure_however_many_elections_they_leave() {
    let disk = disk();
    let engine = open(&disk, builder());
    let elections: Vec<_> = (0..200).map(|n| engine.election(&format!("e{n}")).unwrap()).collect();
    let sessions: Vec<_> = (0..3).map(|_| engine.session().unwrap()).collect();
    for (n, election) in elections.iter().enumerate() {
        election.enter(&sessions[n % 3], "a").unwrap();
    }
    disk.plan(Trouble::Sync(0));
    let refused = (0..).find_map(|at| elections[0].enter(&sessions[0], &format!("b{at}")).err());
    assert!(matches!(refused, Some(Error::Storage { .. })), "{refused:?}");
    let ended = thread::spawn(move || drop(sessions));
    eventually("all have ended", || ended.is_finished());
    assert_eq!(engine.sessions(), 0);
    // Nobody sees what could not be kept.
    assert!(elections.iter().all(|election| election.term().is_led_by("a")));
}

/// Nothing is told, nobody is let go on, and the host is told once, in a sentence.
#[test]
fn d4_a_sync_that_fails_once_stops_everything() {
    for trouble in [Trouble::Sync(0), Trouble::Sync(1), Trouble::Write(0)] {
        let disk = disk();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let to = told.clone();
        let builder = builder().on_storage_failure(move |error| {
            to.lock().unwrap().push(error.to_string());
        });
        let engine = open(&disk, builder);
        let session = engine.session().unwrap();
        let election = engine.election("e").unwrap();
        let mut before = election.enter(&session, "a").unwrap();
        disk.plan(trouble);
        let refused = (0..)
            .find_map(|at| match election.enter(&session, &format!("b{at}")) {
                Ok(term) => {
                    before = term;
                    None
                }
                Err(error) => Some(error),
            })
            .unwrap();
        assert!(matches!(refused, Error::Storage { .. }), "{refused}");
        assert!(refused.to_string().contains("platter"), "{refused}");
        let again = election.enter(&session, "c").unwrap_err();
        assert_eq!(again, refused, "it stays so");
        assert_eq!(engine.open_session(SessionSettings::default()).unwrap_err(), refused);
        // Reads tell what was kept.
        assert_eq!(engine.term("e").unwrap().to_string(), before.to_string());
        eventually("the host is told", || !told.lock().unwrap().is_empty());
        assert_eq!(*told.lock().unwrap(), [refused.to_string()]);
        drop((election, session, engine));
        assert_eq!(disk.since_failure(), 0, "{trouble:?}: it was tried again");
        // What is there is whole.
        let engine = open(&Disk::of(disk.shown()), Engine::builder());
        assert_eq!(engine.term("e").unwrap().number(), before.number());
    }
}

#[test]
fn d5_a_full_disk_refuses_what_grows_and_goes_on_by_itself() {
    let disk = disk();
    let engine = open(&disk, builder());
    let (session, key) = engine.open_session(lasting()).unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&session, "a").unwrap();
    election.enter(&session, "b").unwrap();
    let others: Vec<_> = (0..4).map(|at| engine.election(&format!("o{at}")).unwrap()).collect();
    others.iter().for_each(|it| drop(it.enter(&session, "a").unwrap()));
    disk.leave_room(0);
    // What the store has left in its file is used first.
    let long = "n".repeat(500);
    let mut kept = Vec::new();
    let refused = (0..)
        .find_map(|at| {
            let name = format!("more-{at}");
            match engine.election(&name).unwrap().enter(&session, &long) {
                Ok(term) => {
                    kept.push((name, term.number()));
                    None
                }
                Err(error) => Some(error),
            }
        })
        .unwrap();
    assert!(matches!(refused, Error::StorageFull { .. }), "{refused}");
    assert!(refused.to_string().contains("platter"), "{refused}");
    assert!(matches!(
        engine.open_session(SessionSettings::default()),
        Err(Error::StorageFull { .. })
    ));
    assert!(matches!(others[0].anoint("x"), Err(Error::StorageFull { .. })));
    // Reads and renewals go on, and what makes room is let in.
    assert_eq!(election.term().leader(), Some("a"));
    session.renew().unwrap();
    let next = election.withdraw(&session, "a").unwrap();
    assert_eq!((next.leader(), election.term().leader()), (Some("b"), Some("b")));
    assert_eq!(others[1].evict("a").unwrap().leader(), None);
    others[2].delete().unwrap();
    let full = disk.shown();
    disk.make_room();
    eventually("it goes on", || others[3].anoint("x").is_ok());
    election.enter(&session, "z").unwrap();
    drop((others, election, session, engine));
    for image in [full, disk.shown()] {
        let engine = open(&Disk::of(image), builder());
        let session = engine.resume_session(&key).unwrap();
        assert_eq!(engine.term("e").unwrap().leader(), Some("b"));
        assert_eq!(engine.term("o1").unwrap().leader(), None);
        assert_eq!(engine.term("o2").unwrap().number(), 0);
        for (name, number) in &kept {
            assert_eq!(engine.term(name).unwrap().number(), *number);
        }
        session.end();
    }
}

/// A server that stopped while the disk was full starts on it.
#[test]
fn d5_a_full_disk_is_started_on() {
    let disk = disk();
    let engine = open(&disk, builder());
    let (session, key) = engine.open_session(lasting()).unwrap();
    engine.election("e").unwrap().enter(&session, "a").unwrap();
    disk.cut();
    drop((session, engine));
    let disk = Disk::of(disk.shown());
    disk.leave_room(100_000);
    let engine = open(&disk, builder());
    let session = engine.resume_session(&key).unwrap();
    let election = engine.election("e").unwrap();
    assert!(matches!(election.enter(&session, "b"), Err(Error::StorageFull { .. })));
    assert_eq!(election.withdraw(&session, "a").unwrap().leader(), None);
    disk.make_room();
    eventually("it goes on", || election.enter(&session, "b").is_ok());
}

const SLOW: Duration = Duration::from_secs(2);

#[test]
fn d8_a_slow_sync_holds_up_no_renewal() {
    let disk = disk();
    let limits = Limits { mailbox: 8, ..Limits::default() };
    let engine = open(&disk, builder().limits(limits));
    // Shorter than what a commit takes.
    let settings = SessionSettings { ttl: Duration::from_secs(1), ..SessionSettings::default() };
    let (session, _) = engine.open_session(settings).unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&session, "leads").unwrap();
    disk.slow_down(SLOW);
    let desk = Desk::default();
    for number in 0..40 {
        let candidate = &*format!("c{number}");
        desk.ask(&election, Ask::Enter { candidate, session: &session }, number);
    }
    let started = Instant::now();
    let (mut answered, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    while answered + refused < 40 {
        while let Some((_, outcome)) = desk.fetch() {
            match outcome {
                Ok(_) => {
                    assert!(started.elapsed() > SLOW / 2, "it can't be kept yet");
                    answered += 1;
                }
                Err(Error::LimitReached { limit, max, .. }) => {
                    assert_eq!((limit, max), ("mailbox", 8));
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let before = Instant::now();
        session.renew().expect("nobody expires for the disk");
        assert_eq!(election.term().leader(), Some("leads"));
        slowest = slowest.max(before.elapsed());
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(answered >= 8 && refused > 0, "{answered} answered, {refused} refused");
    assert!(slowest < SLOW / 2, "a renewal took {slowest:?}");
    assert_eq!(session.ended(), None);
    disk.slow_down(Duration::ZERO);
}

/// Who asks again for what is not kept yet is not told before it is.
#[test]
fn d10_a_duplicate_waits_with_the_change_that_it_repeats() {
    let disk = disk();
    let start = disk.shown();
    let engine = open(&disk, builder());
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    disk.slow_down(Duration::from_millis(300));
    let before = disk.journal().len();
    let desk = Desk::default();
    let enter = Ask::Enter { candidate: "a", session: &session };
    desk.ask(&election, enter, 1);
    // Until it is being kept.
    eventually("it is written", || disk.journal().len() > before);
    assert_eq!(election.term().number(), 0, "nobody sees it yet");
    desk.ask(&election, enter, 2);
    desk.ask(&election, Ask::Anoint { candidate: "a" }, 3);
    let mut told = Vec::new();
    while told.len() < 3 {
        if let Some((number, outcome)) = desk.fetch() {
            // Whatever the disk makes of it now, it is there.
            let journal = disk.journal();
            let mut rng = Rng::with_seed(number);
            let cut = Cuts::after(start.clone(), &journal, &mut rng).cut(&mut rng);
            let found = read_store(Box::new(Disk::of(cut))).unwrap();
            assert!(found.records.keys().any(|(table, _)| *table == "elections"), "{number}");
            assert_eq!(outcome.unwrap().to_string(), "t1 a []");
            told.push(number);
        }
    }
    assert_eq!(told, [1, 2, 3]);
    disk.slow_down(Duration::ZERO);
}
