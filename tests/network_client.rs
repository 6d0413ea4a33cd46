//! The clients of Tenure's own services, against a real server in a process of its own.

mod support;

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use rustix::process::Signal;
use support::proxy::{Proxy, Way};
use support::{Server, eventually};
use tenure::client::{
    Address, ChangeByHand, Client, ClientError, Contender, EnterOptions, LatchListener,
    LeaderLatch, Leadership, Lost, OnConflict, OnDisconnect, Options, Session, Verdict,
    candidate_id,
};
use tenure::{Elector, Leads};

fn open(address: &str, ttl: Duration, on_disconnect: OnDisconnect) -> Session {
    let address: Address = address.parse().unwrap();
    let options = Options { ttl, on_disconnect, owner: "tests".into(), ..Options::default() };
    Session::open(&address, options).unwrap()
}

fn exclusive(address: &str) -> Session {
    open(address, Duration::from_secs(2), OnDisconnect::Exclusive)
}

#[track_caller]
fn lost(leads: &Leadership) -> Lost {
    leads.wait_lost(support::PATIENCE).expect("it is lost")
}

#[test]
fn who_leads_has_proof_and_passes_it_on() {
    let server = Server::start("");
    let [a, b] = [(); 2].map(|()| exclusive(server.address()));
    let first = a.election("jobs").lead("a").unwrap();
    assert_eq!((first.term(), first.candidate(), first.election()), (1, "a", "jobs"));
    assert!(first.is_valid() && first.lost().is_none() && first.ensure(Duration::from_millis(500)));
    // Never longer than the TTL less the margin.
    assert!(first.remaining() <= Duration::from_millis(1_900), "{first:?}");
    let waits = thread::spawn(move || b.election("jobs").lead("b").unwrap());
    let client = server.client();
    eventually("b waits", || client.term("jobs").unwrap().has("b"));
    first.resign().unwrap();
    let second = waits.join().unwrap();
    assert_eq!((second.term(), second.is_valid()), (2, true));
}

/// A forced change: who is anointed waits until the former leader has let go, and no longer.
#[test]
fn nobody_acts_beside_a_leader_that_does_not_know_yet() {
    let server = Server::start("");
    let [a, b] = [(); 2].map(|()| exclusive(server.address()));
    let leads = a.election("jobs").lead("a").unwrap();
    b.election("jobs").enter("b", &EnterOptions::default()).unwrap();
    let client = server.client();
    let state = client.change(ChangeByHand::Anoint, "jobs", "b", Some(1), "rollout").unwrap();
    assert_eq!((state.term, state.leader.as_ref().unwrap().name.as_str()), (2, "b"));
    assert!(state.valid_after_micros > 0, "a may still act");
    assert_eq!((state.change.cause, state.change.reason.as_str()), ("anointed", "rollout"));
    assert_eq!(lost(&leads), Lost::TermEnded { present: 2 });
    assert!(!leads.is_valid());
    // It has noticed, and still holds its proof: its work may not have ended.
    assert!(client.describe("jobs").unwrap().state.valid_after_micros > 0);
    let waits = thread::spawn(move || b.election("jobs").lead("b").unwrap());
    drop(leads);
    let heir = waits.join().unwrap();
    assert_eq!((heir.term(), heir.is_valid()), (2, true));
    assert_eq!(client.describe("jobs").unwrap().state.valid_after_micros, 0);
}

/// An exclusive session outlives its connection, resumes on another one, and keeps its term.
#[test]
fn a_cut_connection_costs_an_exclusive_leader_nothing() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = exclusive(proxy.address());
    let leads = session.election("jobs").lead("a").unwrap();
    for _ in 0..3 {
        let peer = || {
            let mut all = server.client().sessions().unwrap().into_iter();
            all.find(|it| it.session == session.id()).unwrap().peer
        };
        let before = peer();
        proxy.cut();
        eventually("it is resumed on another connection", || {
            let now = peer();
            !now.is_empty() && now != before
        });
        assert!(leads.is_valid(), "{leads:?}");
    }
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
    // What it observes goes on too: a later change is not missed.
    server.client().change(ChangeByHand::Evict, "jobs", "a", None, "").unwrap();
    assert_eq!(lost(&leads), Lost::TermEnded { present: 1 });
}

/// A fast session ends with its connection, on both sides.
#[test]
fn a_cut_connection_ends_a_fast_leader() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = open(proxy.address(), Duration::from_secs(60), OnDisconnect::Fast);
    let heir = open(server.address(), Duration::from_secs(60), OnDisconnect::Fast);
    let leads = session.election("jobs").lead("a").unwrap();
    heir.election("jobs").enter("b", &EnterOptions::default()).unwrap();
    proxy.cut();
    assert_eq!(lost(&leads), Lost::Disconnected);
    assert_eq!(heir.election("jobs").lead("b").unwrap().term(), 2);
    eventually("the server's word arrives", || {
        matches!(session.lost(), Some(Lost::Session { .. }))
    });
    let refused = session.election("jobs").lead("a");
    assert!(matches!(refused, Err(ClientError::SessionLost(_))), "{refused:?}");
}

/// A server that can't be reached: the leader is a leader until its own deadline, which passes before the
/// server's.
#[test]
fn c8_a_partition_ends_a_leadership_before_the_server_gives_it_on() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = open(proxy.address(), Duration::from_secs(1), OnDisconnect::Exclusive);
    let heir = exclusive(server.address());
    let leads = session.election("jobs").lead("a").unwrap();
    heir.election("jobs").enter("b", &EnterOptions::default()).unwrap();
    proxy.block(Way::ToServer);
    proxy.block(Way::ToClient);
    assert!(leads.is_valid(), "nothing is lost yet");
    let next = heir.election("jobs").lead("b").unwrap();
    assert!(!leads.is_valid(), "two leaders at the same time");
    assert_eq!((leads.lost(), next.term()), (Some(Lost::Late), 2));
    proxy.unblock(Way::ToServer);
    proxy.unblock(Way::ToClient);
    proxy.cut();
    eventually("it learns why", || session.lost().is_some());
}

/// A partition of one way is as good as one of both: the leader stops first, and when it heals the loser
/// learns why.
#[test]
fn c8_a_partition_of_one_way() {
    for way in [Way::ToServer, Way::ToClient] {
        let server = Server::start("");
        let proxy = Proxy::before(server.address());
        let session = open(proxy.address(), Duration::from_secs(1), OnDisconnect::Exclusive);
        let heir = exclusive(server.address());
        let leads = session.election("jobs").lead("a").unwrap();
        heir.election("jobs").enter("b", &EnterOptions::default()).unwrap();
        proxy.block(way);
        let silenced = thread::spawn(move || {
            let why = lost(&leads);
            (leads, why)
        });
        if way == Way::ToClient {
            // What it sends still arrives, so it is the leader until it stops sending.
            let (leads, why) = silenced.join().unwrap();
            assert_eq!((why, leads.is_valid()), (Lost::Late, false));
            proxy.cut();
            drop(leads);
            assert_eq!(heir.election("jobs").lead("b").unwrap().term(), 2);
        } else {
            let next = heir.election("jobs").lead("b").unwrap();
            let (leads, why) = silenced.join().unwrap();
            assert_eq!((why, leads.is_valid(), next.term()), (Lost::Late, false, 2));
            proxy.unblock(way);
            proxy.cut();
            eventually("it learns why", || session.lost().is_some());
        }
    }
}

/// Connections that are reset cost an exclusive leader nothing.
#[test]
fn c8_resets() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = exclusive(proxy.address());
    let leads = session.election("jobs").lead("a").unwrap();
    for _ in 0..5 {
        proxy.reset();
        renewed(&leads);
        assert!(leads.is_valid() && session.lost().is_none());
    }
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
}

/// A slow link delays, and nothing else: what is left of the lead counts from when a heartbeat was sent.
#[test]
fn c8_a_slow_link() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let (one_way, ttl) = (Duration::from_millis(100), Duration::from_secs(2));
    proxy.delay(Way::ToServer, one_way);
    proxy.delay(Way::ToClient, one_way);
    let session = exclusive(proxy.address());
    let leads = session.election("jobs").lead("a").unwrap();
    for _ in 0..5 {
        renewed(&leads);
        assert!(leads.is_valid() && leads.remaining() <= ttl - 2 * one_way, "{leads:?}");
    }
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
}

/// Waits until a heartbeat has been answered.
#[track_caller]
fn renewed(leads: &Leadership) {
    let mut least = leads.remaining();
    eventually("a heartbeat is answered", || {
        let now = leads.remaining();
        let is_more = now > least;
        least = least.min(now);
        is_more
    });
}

/// A server stopped for less than the TTL: nobody loses anything.
#[test]
fn a_pause_shorter_than_the_ttl_is_survived() {
    let server = Server::start("");
    let session = open(server.address(), Duration::from_secs(60), OnDisconnect::Exclusive);
    let leads = session.election("jobs").lead("a").unwrap();
    server.process.stop();
    thread::sleep(Duration::from_millis(100));
    assert!(leads.is_valid());
    server.process.go_on();
    assert_eq!(server.client().term("jobs").unwrap().leader.as_deref(), Some("a"));
    assert!(leads.is_valid() && session.lost().is_none());
}

/// A memory server that restarts has forgotten everything, and every client notices.
#[test]
fn a_restarted_memory_server_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("tenure").display());
    let mut first = Server::start(&format!("--listen {socket}"));
    let session = open(&socket, Duration::from_secs(60), OnDisconnect::Exclusive);
    let leads = session.election("jobs").lead("a").unwrap();
    first.process.signal(Signal::KILL);
    first.process.wait();
    eventually("it is not reached", || !session.is_connected());
    assert!(leads.is_valid() && session.lost().is_none(), "not lost: not reached");
    let _second = Server::start(&format!("--listen {socket}"));
    assert_eq!(lost(&leads), Lost::ServerReplaced);
    assert_eq!(session.lost(), Some(Lost::ServerReplaced));
}

#[test]
fn conflicts_are_the_callers_choice() {
    let server = Server::start("");
    let [a, b] = [(); 2].map(|()| exclusive(server.address()));
    let how = |on_conflict| EnterOptions { on_conflict, ..EnterOptions::default() };
    a.election("jobs").enter("worker", &how(OnConflict::Fail)).unwrap();
    let taken = b.election("jobs").enter("worker", &how(OnConflict::Fail)).unwrap_err();
    let ClientError::Refused { code: 6, message } = taken else { panic!("{taken:?}") };
    assert!(message.contains("worker"), "{message}");

    let waiting = b.clone();
    let waits = thread::spawn(move || {
        waiting.election("jobs").enter("worker", &how(OnConflict::Wait)).unwrap()
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!waits.is_finished());
    a.election("jobs").withdraw("worker").unwrap();
    let (state, entered) = waits.join().unwrap();
    assert_eq!((state.term, state.leader.unwrap().session, entered), (2, b.id(), true));

    let (state, entered) = a.election("jobs").enter("worker", &how(OnConflict::TakeOver)).unwrap();
    assert_eq!((state.term, state.leader.unwrap().session, entered), (3, a.id(), true));

    let only = EnterOptions { only_if_leads: true, ..EnterOptions::default() };
    let (state, entered) = b.election("jobs").enter("other", &only).unwrap();
    assert!(!entered && !state.has("other"));
}

#[test]
fn a_server_tells_what_it_knows() {
    let server = Server::start("");
    let session = exclusive(server.address());
    let mut options = EnterOptions { address: "host-1:80".into(), ..EnterOptions::default() };
    options.labels.insert("zone".into(), "b".into());
    session.election("jobs/1").enter("a", &options).unwrap();
    session.election("jobs/1").enter("b", &EnterOptions::default()).unwrap();
    session.election("jobs/2").enter("a", &EnterOptions::default()).unwrap();
    session.election("other").enter("a", &EnterOptions::default()).unwrap();

    let client: Client = server.client();
    let names: Vec<_> = client.list("jobs/").unwrap().into_iter().map(|it| it.election).collect();
    assert_eq!(names, ["jobs/1", "jobs/2"]);
    let described = client.describe("jobs/1").unwrap();
    let leader = described.state.leader.unwrap();
    assert_eq!((leader.address.as_str(), leader.labels["zone"].as_str()), ("host-1:80", "b"));
    let queue: Vec<_> =
        described.queue.iter().map(|(name, it)| (name.as_str(), it.session)).collect();
    assert_eq!(queue, [("a", session.id()), ("b", session.id())]);
    assert_eq!(
        (described.queue[0].1.kind, described.queue[0].1.owner.as_str()),
        ("exclusive", "tests")
    );

    let mut states = client.observe("jobs/1").unwrap();
    assert_eq!(states.next().unwrap().unwrap().revision, 2);
    client.change(ChangeByHand::Promote, "jobs/1", "b", None, "maintenance").unwrap();
    let state = states.next().unwrap().unwrap();
    assert_eq!(
        (state.term, state.change.cause, state.change.reason.as_str()),
        (2, "promoted", "maintenance")
    );
    let history = client.history("jobs/1").unwrap();
    assert_eq!(
        history.iter().map(|it| (it.term, it.leader.as_str())).collect::<Vec<_>>(),
        [(2, "b"), (1, "a")]
    );
    let verdict = |term| client.check("jobs/1", term).unwrap().verdict;
    assert_eq!([1, 2, 3].map(verdict), [Verdict::Stale, Verdict::Current, Verdict::Unknown]);
    assert_eq!(client.check("nobody", 1).unwrap().verdict, Verdict::Unknown);

    let moved = client.change(ChangeByHand::Demote, "jobs/1", "b", Some(1), "").unwrap_err();
    assert!(matches!(moved, ClientError::Refused { code: 9, .. }), "{moved:?}");
    let absent = client.change(ChangeByHand::Anoint, "jobs/1", "nobody", None, "").unwrap_err();
    let ClientError::Refused { code: 5, message } = absent else { panic!("{absent:?}") };
    assert!(message.contains("these do: b, a"), "{message}");

    assert_eq!(client.sessions().unwrap().iter().filter(|it| it.owner == "tests").count(), 1);
    client.end_session(session.id(), "zone b goes down").unwrap();
    eventually("the session learns it", || {
        session.lost().is_some_and(|lost| lost.to_string().contains("zone b goes down"))
    });
    let state = client.describe("jobs/1").unwrap().state;
    assert_eq!((state.leader, state.change.cause), (None, "session ended by somebody else"));
    client.delete("jobs/1", "").unwrap();
    assert_eq!(client.list("jobs/").unwrap().len(), 1);
    assert!(client.history("jobs/1").unwrap().is_empty());
}

/// Bad input gets a sentence, and nothing else suffers.
#[test]
fn w7_settings_out_of_range_are_told() {
    let server = Server::start("");
    let address: Address = server.address().parse().unwrap();
    let refused = |options: Options| match Session::open(&address, options) {
        Err(ClientError::Refused { code: 3, message }) => message,
        other => panic!("{other:?}"),
    };
    let ttl = |ttl| Options { ttl, ..Options::default() };
    assert!(refused(ttl(Duration::from_millis(499))).contains("500ms"));
    assert!(refused(ttl(Duration::from_secs(86_401))).contains("ttl"));
    assert!(refused(ttl(Duration::MAX)).contains("ttl"));
    let owner = Options { owner: "x".repeat(257), ..Options::default() };
    assert!(refused(owner).contains("owner"));
    let session = exclusive(server.address());
    let too_much = EnterOptions { address: "x".repeat(5_000), ..EnterOptions::default() };
    let error = session.election("jobs").enter("a", &too_much).unwrap_err();
    let ClientError::Refused { code: 8, message } = error else { panic!("{error:?}") };
    assert!(message.contains("metadata_bytes"), "{message}");
    assert!(session.election("jobs").lead("a").unwrap().is_valid());
}

fn contender(address: &str, candidate: &str) -> Contender {
    Contender {
        address: address.parse().unwrap(),
        options: Options { ttl: Duration::from_secs(2), ..Options::default() },
        enter: EnterOptions::default(),
        election: "jobs".into(),
        candidate: candidate.into(),
    }
}

/// Work runs only while it leads, its place is given up when it has ended, and it contends again.
#[test]
fn work_is_cancelled_ends_and_is_won_again() {
    let server = Server::start("");
    let client = server.client();
    let begun = Arc::new(AtomicCell::new(0));
    let counted = begun.clone();
    let works = contender(server.address(), "a");
    let worker = thread::spawn(move || {
        works.run_while_leader(|work| {
            counted.store(work.term());
            if work.term() == 3 {
                return ControlFlow::Break("done");
            }
            assert!(work.wait_cancelled(support::PATIENCE), "never cancelled");
            assert_eq!(work.leadership().election(), "jobs");
            ControlFlow::Continue(())
        })
    });
    for term in [1, 2] {
        eventually("the work has begun", || begun.load() == term);
        client.change(ChangeByHand::Evict, "jobs", "a", None, "").unwrap();
    }
    assert_eq!(worker.join().unwrap().unwrap(), "done");
    let term = client.term("jobs").unwrap();
    assert_eq!((term.number, term.leader), (3, None), "given up after the work");
}

/// It contends through a server that dies and comes back empty.
#[test]
fn a_contender_waits_for_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("tenure").display());
    let mut works = contender(&socket, "a");
    works.options.patience = Duration::from_millis(200);
    let led = Arc::new(AtomicCell::new(0_u64));
    let counted = led.clone();
    let worker = thread::spawn(move || {
        works.run_while_leader(|work| {
            if counted.fetch_add(1) == 1 {
                return ControlFlow::Break(());
            }
            work.wait_cancelled(support::PATIENCE);
            ControlFlow::Continue(())
        })
    });
    let mut first = Server::start(&format!("--listen {socket}"));
    eventually("it leads", || led.load() == 1);
    first.process.signal(Signal::KILL);
    first.process.wait();
    let _second = Server::start(&format!("--listen {socket}"));
    worker.join().unwrap().unwrap();
    assert_eq!(led.load(), 2);
}

#[test]
fn a_latch_rises_and_falls() {
    struct Notes(mpsc::Sender<Option<u64>>);
    impl LatchListener for Notes {
        fn is_leader(&mut self, term: u64) {
            self.0.send(Some(term)).unwrap();
        }
        fn not_leader(&mut self) {
            self.0.send(None).unwrap();
        }
    }
    let server = Server::start("");
    let (to, heard) = mpsc::channel();
    let first = LeaderLatch::start(contender(server.address(), "a"), Notes(to));
    assert_eq!(first.await_leadership(support::PATIENCE), Some(1));
    assert!(first.has_leadership());
    let (to, others) = mpsc::channel();
    let second = LeaderLatch::start(contender(server.address(), "b"), Notes(to));
    eventually("the other one waits", || server.client().term("jobs").unwrap().has("b"));
    assert!(!second.has_leadership());
    drop(first);
    assert_eq!(heard.iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(second.await_leadership(support::PATIENCE), Some(2));
    drop(second);
    assert_eq!(others.iter().collect::<Vec<_>>(), [Some(2), None]);
    assert_eq!(server.client().term("jobs").unwrap().leader, None);
}

/// A program that leads moves from an embedded engine to a network by changing one line.
#[test]
fn one_program_for_both() {
    fn program<E: Elector>(session: &E) -> u64 {
        let leads = session.lead("jobs", "a").unwrap();
        assert!(leads.is_valid() && leads.ensure(Duration::from_millis(1)));
        let term = leads.term();
        leads.resign().unwrap();
        term
    }
    let engine = tenure::Engine::builder().open().unwrap();
    assert_eq!(program(&engine.session().unwrap()), 1);
    let server = Server::start("");
    assert_eq!(program(&exclusive(server.address())), 1);
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
}

#[test]
fn candidates_of_one_host_differ() {
    let (one, two) = (candidate_id(), candidate_id());
    assert_ne!(one, two);
    assert!(one.contains(&format!("-{}-", std::process::id())), "{one}");
}

/// Who led without ever asking for proof lets go by itself: a successor does not wait for ever.
#[test]
fn who_never_knew_that_they_led_lets_go() {
    let server = Server::start("");
    let [a, b] = [(); 2].map(|()| exclusive(server.address()));
    a.election("jobs").enter("a", &EnterOptions::default()).unwrap();
    b.election("jobs").enter("b", &EnterOptions::default()).unwrap();
    server.client().change(ChangeByHand::Anoint, "jobs", "b", None, "").unwrap();
    assert_eq!(b.election("jobs").lead("b").unwrap().term(), 2);
    assert!(a.lost().is_none(), "its session lives");
}

/// A term that was let go is not led again: it has to be won anew.
#[test]
fn a_term_that_was_let_go_is_won_anew() {
    let server = Server::start("");
    let a = exclusive(server.address());
    let first = a.election("jobs").lead("a").unwrap();
    drop(first);
    let second = a.election("jobs").lead("a").unwrap();
    assert_eq!((second.term(), second.is_valid()), (2, true));
}

/// Somebody else ends the leader's session: the next one waits until the former can't act any more.
#[test]
fn a_session_ended_by_somebody_else_is_waited_for() {
    let server = Server::start("");
    let [a, b] = [(); 2].map(|()| exclusive(server.address()));
    let leads = a.election("jobs").lead("a").unwrap();
    b.election("jobs").enter("b", &EnterOptions::default()).unwrap();
    let client = server.client();
    client.end_session(a.id(), "").unwrap();
    let state = client.describe("jobs").unwrap().state;
    assert_eq!(state.leader.unwrap().name, "b");
    assert!(state.valid_after_micros > 0 || !leads.is_valid(), "two acting leaders");
    let heir = b.election("jobs").lead("b").unwrap();
    assert!(!leads.is_valid() && heir.is_valid());
}
