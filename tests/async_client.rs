//! The client for those who await, against a real server in a process of its own.

mod support;

use std::future::{Future, pending, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use futures_core::Stream;
use rustix::process::Signal;
use support::proxy::{Proxy, Way};
use support::{PATIENCE, Server};
use tenure::client::aio::{Client, Connection, Contender, Leadership, Session, Work};
use tenure::client::{
    Address, ChangeByHand, ClientError, EnterOptions, Lost, OnDisconnect, Options, Verdict,
};

/// Long enough that no deadline passes by itself.
const LONG: Duration = Duration::from_secs(60);

async fn open(address: &str, ttl: Duration, on_disconnect: OnDisconnect) -> Session {
    let address: Address = address.parse().unwrap();
    let options = Options { ttl, on_disconnect, owner: "tests".into(), ..Options::default() };
    Session::open(&address, options).await.unwrap()
}

async fn exclusive(address: &str) -> Session {
    open(address, LONG, OnDisconnect::Exclusive).await
}

/// What comes of it, if it comes at all.
#[track_caller]
fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(PATIENCE, what).await;
        done.unwrap_or_else(|_| panic!("{at}: not within {PATIENCE:?}"))
    }
}

/// As `support::eventually`, without holding up the runtime.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, looks).await;
    assert!(done.is_ok(), "{what}: not within {PATIENCE:?}");
}

async fn stands(server: &Server, candidate: &str) {
    let client = server.client();
    eventually("it stands", async || client.term("jobs").unwrap().has(candidate)).await;
}

fn contender(address: &str, ttl: Duration, candidate: &str) -> Contender {
    Contender {
        address: address.parse().unwrap(),
        options: Options { ttl, ..Options::default() },
        enter: EnterOptions::default(),
        election: "jobs".into(),
        candidate: candidate.into(),
    }
}

#[tokio::test]
async fn who_leads_has_proof_and_passes_it_on() {
    let server = Server::start("");
    let (a, b) = (exclusive(server.address()).await, exclusive(server.address()).await);
    let first = a.election("jobs").lead("a").await.unwrap();
    assert_eq!((first.term(), first.candidate(), first.election()), (1, "a", "jobs"));
    assert!(first.is_valid() && first.ensure(Duration::from_secs(1)));
    assert!(first.remaining() <= LONG - LONG / 20, "never longer than the TTL less the margin");
    assert!(first.as_ref().lost().is_none());
    let waits = tokio::spawn(async move { b.election("jobs").lead("b").await.unwrap() });
    stands(&server, "b").await;
    first.resign().await.unwrap();
    let second = soon(waits).await.unwrap();
    assert_eq!((second.term(), second.is_valid()), (2, true));
}

/// A forced change: who is anointed waits until the former leader has let go.
#[tokio::test]
async fn nobody_acts_beside_a_leader_that_does_not_know_yet() {
    let server = Server::start("");
    let (a, b) = (exclusive(server.address()).await, exclusive(server.address()).await);
    let leads = a.election("jobs").lead("a").await.unwrap();
    b.election("jobs").enter("b", &EnterOptions::default()).await.unwrap();
    let client = Client::over(&b.connection());
    let state = client.change(ChangeByHand::Anoint, "jobs", "b", Some(1), "").await.unwrap();
    assert!(state.term == 2 && state.valid_after_micros > 0, "{state:?}");
    assert_eq!(soon(leads.lost()).await, Lost::TermEnded { present: 2 });
    assert!(!leads.is_valid());
    let heir = tokio::spawn(async move { b.election("jobs").lead("b").await.unwrap() });
    assert!(client.describe("jobs").await.unwrap().state.valid_after_micros > 0);
    drop(leads);
    assert_eq!(soon(heir).await.unwrap().term(), 2);
}

/// The connection of a fast leader is killed: it knows, and the next one leads.
#[tokio::test]
async fn a_killed_connection_hands_a_fast_lead_over() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = open(proxy.address(), LONG, OnDisconnect::Fast).await;
    let heir = open(server.address(), LONG, OnDisconnect::Fast).await;
    let leads = session.election("jobs").lead("a").await.unwrap();
    let waits = tokio::spawn(async move { heir.election("jobs").lead("b").await.unwrap() });
    stands(&server, "b").await;
    proxy.cut();
    assert_eq!(soon(leads.lost()).await, Lost::Disconnected);
    assert_eq!(soon(waits).await.unwrap().term(), 2);
    assert!(matches!(soon(session.lost()).await, Lost::Session { .. }));
    let refused = session.election("jobs").lead("a").await;
    assert!(matches!(refused, Err(ClientError::SessionLost(_))), "{refused:?}");
}

/// An exclusive session outlives its connection, is resumed by its key on another one, and keeps its term.
#[tokio::test]
async fn a_killed_connection_costs_an_exclusive_leader_nothing() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let session = exclusive(proxy.address()).await;
    let client = Client::to(&server.address().parse().unwrap(), PATIENCE).unwrap();
    let peer = async || {
        let mut all = client.sessions().await.unwrap().into_iter();
        all.find(|it| it.session == session.id()).unwrap().peer
    };
    let leads = session.election("jobs").lead("a").await.unwrap();
    for _ in 0..3 {
        let before = peer().await;
        proxy.cut();
        eventually("it is resumed on another connection", async || {
            let now = peer().await;
            !now.is_empty() && now != before
        })
        .await;
        assert!(leads.is_valid(), "{leads:?}");
    }
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
    client.change(ChangeByHand::Evict, "jobs", "a", None, "").await.unwrap();
    assert_eq!(soon(leads.lost()).await, Lost::TermEnded { present: 1 });
}

/// A server that stands still for less than the TTL can't be reached; nothing is lost by that.
#[tokio::test]
async fn a_stopped_server_is_out_of_reach_and_nothing_is_lost() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    // How long a server may take to greet; on a busy machine the first one may take longer.
    let greets_within = Duration::from_millis(300);
    let connection = Connection::to(&proxy.address().parse().unwrap(), greets_within).unwrap();
    let options = Options { ttl: LONG, patience: PATIENCE, ..Options::default() };
    let mut opened = None;
    eventually("it is open", async || {
        opened = connection.session(options.clone()).await.ok();
        opened.is_some()
    })
    .await;
    let session = opened.unwrap();
    let leads = session.election("jobs").lead("a").await.unwrap();
    server.process.stop();
    let election = session.election("jobs");
    let asks = tokio::spawn(async move { election.enter("other", &EnterOptions::default()).await });
    // A new connection is taken by the system, and greeted by nobody.
    proxy.cut();
    eventually("it says so", async || {
        session.connection().trouble().is_some_and(|it| it.contains("did not greet"))
    })
    .await;
    assert!(leads.is_valid() && !session.is_lost(), "{leads:?}");
    assert!(!session.is_connected() && !asks.is_finished());
    server.process.go_on();
    // It goes on by itself.
    let (state, entered) = soon(asks).await.unwrap().unwrap();
    assert!(leads.is_valid() && entered && state.term == 1, "{state:?}");
    assert_eq!(server.client().term("jobs").unwrap().number, 1);
    leads.resign().await.unwrap();
}

/// A memory server that restarts has forgotten everything, and every client notices. Over a Unix socket.
#[tokio::test]
async fn a_restarted_memory_server_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("tenure").display());
    let mut first = Server::start(&format!("--listen {socket}"));
    let session = exclusive(&socket).await;
    let leads = session.election("jobs").lead("a").await.unwrap();
    let server = session.connection().server().unwrap();
    first.process.signal(Signal::KILL);
    first.process.wait();
    eventually("it is not reached", async || !session.is_connected()).await;
    assert!(leads.is_valid() && !session.is_lost(), "not lost: not reached");
    let _second = Server::start(&format!("--listen {socket}"));
    assert_eq!(soon(leads.lost()).await, Lost::ServerReplaced);
    assert_eq!(soon(session.lost()).await, Lost::ServerReplaced);
    assert_ne!(session.connection().server().unwrap(), server);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Works,
    Ended,
}

/// How far some work is.
#[derive(Clone)]
struct Progress(Arc<AtomicCell<Stage>>);

impl Progress {
    fn new() -> Self {
        Self(Arc::new(AtomicCell::new(Stage::Before)))
    }

    fn is(&self, stage: Stage) -> bool {
        self.0.load() == stage
    }

    async fn begun(&self) {
        eventually("the work has begun", async || !self.is(Stage::Before)).await;
    }

    /// From now until it is dropped it works.
    fn work(&self) -> impl Drop + use<> {
        struct Works(Progress);
        impl Drop for Works {
            fn drop(&mut self) {
                self.0.0.store(Stage::Ended);
            }
        }
        self.0.store(Stage::Works);
        Works(self.clone())
    }
}

/// Work that ends when it is asked to: only then is the place given up, and the next one may act.
#[tokio::test(flavor = "multi_thread")]
async fn the_place_is_given_up_when_the_work_has_ended() {
    let server = Server::start("");
    let works = contender(server.address(), LONG, "a");
    let (begun, ended) = (Arc::new(AtomicCell::new(0)), Arc::new(AtomicCell::new(false)));
    let (its_begun, its_ended) = (begun.clone(), ended.clone());
    let worker = tokio::spawn(async move {
        let run = works.run_while_leader(|work: Work| {
            its_begun.store(work.term());
            let ended = its_ended.clone();
            async move {
                if work.term() == 3 {
                    return ControlFlow::Break("done");
                }
                work.cancelled().await;
                assert!(work.is_cancelled());
                // As long as this takes, nobody else may act.
                tokio::time::sleep(Duration::from_millis(50)).await;
                ended.store(true);
                ControlFlow::Continue(())
            }
        });
        run.await
    });
    eventually("the work has begun", async || begun.load() == 1).await;
    let session = exclusive(server.address()).await;
    let heir = session.election("jobs");
    heir.enter("b", &EnterOptions::default()).await.unwrap();
    server.client().change(ChangeByHand::Anoint, "jobs", "b", None, "").unwrap();
    let leads = soon(heir.lead("b")).await.unwrap();
    assert!(ended.load(), "two act at the same time");
    stands(&server, "a").await;
    leads.resign().await.unwrap();
    // It contends again, and gives the last place up too.
    assert_eq!(soon(worker).await.unwrap().unwrap(), "done");
    let term = server.client().term("jobs").unwrap();
    assert_eq!((term.number, term.leader), (3, None));
}

/// Work that does not end by itself is dropped, and its place is given up.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_end_is_dropped() {
    let server = Server::start("");
    let works = contender(server.address(), Duration::from_secs(6), "a");
    let progress = Progress::new();
    let its = progress.clone();
    let worker = tokio::spawn(async move {
        let run = works.run_once(async |_work| {
            let _works = its.work();
            pending::<()>().await;
        });
        run.await
    });
    progress.begun().await;
    let session = exclusive(server.address()).await;
    let heir = session.election("jobs");
    heir.enter("b", &EnterOptions::default()).await.unwrap();
    server.client().change(ChangeByHand::Anoint, "jobs", "b", None, "").unwrap();
    let leads = soon(heir.lead("b")).await.unwrap();
    assert!(progress.is(Stage::Ended), "two act at the same time");
    assert_eq!((leads.term(), soon(worker).await.unwrap().unwrap()), (2, None));
}

/// A server out of reach: the work is cancelled, and dropped, while the leadership still holds.
#[tokio::test(flavor = "multi_thread")]
async fn c8_work_is_dropped_before_the_deadline() {
    struct AtItsEnd(Work, Arc<AtomicCell<Option<Duration>>>);
    impl Drop for AtItsEnd {
        fn drop(&mut self) {
            self.1.store(Some(self.0.leadership().remaining()));
        }
    }
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let ttl = Duration::from_secs(9);
    let works = contender(proxy.address(), ttl, "a");
    let (left, progress) = (Arc::new(AtomicCell::new(None)), Progress::new());
    let its = (left.clone(), progress.clone());
    let worker = tokio::spawn(async move {
        let run = works.run_once(async |work: Work| {
            let work = AtItsEnd(work, its.0);
            let _works = its.1.work();
            work.0.cancelled().await;
            let at_cancellation = work.0.leadership().remaining();
            assert!(at_cancellation <= ttl / 3 && !at_cancellation.is_zero());
            pending::<()>().await;
        });
        run.await
    });
    let heir = exclusive(server.address()).await;
    progress.begun().await;
    proxy.block(Way::ToServer);
    proxy.block(Way::ToClient);
    let heir = soon(heir.election("jobs").lead("b")).await.unwrap();
    let left = left.load().expect("two act at the same time");
    assert!(!left.is_zero() && left < ttl / 3, "{left:?} were left");
    assert_eq!(heir.term(), 2);
    worker.abort();
}

/// Dropping the whole run ends the work first, and gives up the place at once.
#[tokio::test]
async fn a_dropped_run_gives_up_its_place() {
    let server = Server::start("");
    let works = contender(server.address(), LONG, "a");
    let progress = Progress::new();
    let its = progress.clone();
    let worker = tokio::spawn(async move {
        let run = works.run_while_leader(|_work| {
            let works = its.work();
            async move {
                let _works = works;
                pending::<ControlFlow<()>>().await
            }
        });
        run.await
    });
    let b = exclusive(server.address()).await;
    progress.begun().await;
    b.election("jobs").enter("b", &EnterOptions::default()).await.unwrap();
    worker.abort();
    assert_eq!(soon(b.election("jobs").lead("b")).await.unwrap().term(), 2);
    assert!(progress.is(Stage::Ended));
}

/// It contends through a server that dies and comes back empty.
#[tokio::test]
async fn a_contender_waits_for_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("tenure").display());
    let works = contender(&socket, LONG, "a");
    let led = Arc::new(AtomicCell::new(0_u32));
    let counted = led.clone();
    let worker = tokio::spawn(async move {
        let run = works.run_while_leader(|work: Work| {
            let is_second = counted.fetch_add(1) == 1;
            async move {
                if is_second {
                    return ControlFlow::Break(work.term());
                }
                work.cancelled().await;
                ControlFlow::Continue(())
            }
        });
        run.await
    });
    let mut first = Server::start(&format!("--listen {socket}"));
    eventually("it leads", async || led.load() == 1).await;
    first.process.signal(Signal::KILL);
    first.process.wait();
    let _second = Server::start(&format!("--listen {socket}"));
    assert_eq!(soon(worker).await.unwrap().unwrap(), 1);
}

async fn next(states: &mut (impl Stream + Unpin)) -> Option<()> {
    poll_fn(|context| Pin::new(&mut *states).poll_next(context)).await.map(drop)
}

/// What is observed goes on over other connections: nothing older after something newer, and the newest
/// always comes.
#[tokio::test]
async fn a_watch_has_no_gap_over_a_reconnect() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let connection = Connection::to(&proxy.address().parse().unwrap(), PATIENCE).unwrap();
    let mut states = connection.observe("jobs");
    let first = soon(states.next()).await.unwrap().unwrap();
    assert_eq!((first.term, first.revision, first.leader), (0, 0, None));
    let client = server.client();
    let mut seen = 0;
    for round in 0..20_u64 {
        // Some changes come while there is no connection, some while one is made.
        if round % 2 == 0 {
            proxy.cut();
        }
        client.enter("jobs", &format!("c{round}")).unwrap();
        if round % 3 == 0 {
            proxy.cut();
        }
        while seen < round + 1 {
            let state = soon(states.next()).await.unwrap().unwrap();
            assert!(state.revision > seen, "{} after {seen}", state.revision);
            seen = state.revision;
            let standing = state.candidates.len() + usize::from(state.leader.is_some());
            assert_eq!(standing as u64, seen, "the whole state");
        }
    }
    // It is a stream for who wants one, and ends with an error that another attempt would not mend.
    client.change(ChangeByHand::Evict, "jobs", "c0", None, "").unwrap();
    assert_eq!(soon(next(&mut states)).await, Some(()));
    let mut refused = connection.observe("");
    let error = soon(refused.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Refused { code: 3, .. }), "{error:?}");
    assert!(refused.next().await.is_none());
}

/// Whoever stops waiting leaves nothing behind that has to be cleared away.
#[tokio::test]
async fn a_dropped_future_may_be_asked_again() {
    let server = Server::start("");
    let (a, b) = (exclusive(server.address()).await, exclusive(server.address()).await);
    let first = a.election("jobs").lead("a").await.unwrap();
    let election = b.election("jobs");
    let waits = election.lead("b");
    let given_up = async {
        tokio::select! {
            leads = waits => panic!("{leads:?}"),
            () = stands(&server, "b") => {}
        }
    };
    soon(given_up).await;
    assert!(server.client().term("jobs").unwrap().has("b"), "it goes on standing");
    assert!(election.try_lead("b").await.unwrap().is_none());
    first.resign().await.unwrap();
    let second = soon(election.lead("b")).await.unwrap();
    assert_eq!((second.term(), second.is_valid()), (2, true));

    // A session that is not waited for is closed.
    let address: Address = server.address().parse().unwrap();
    let client = Client::over(&b.connection());
    for _ in 0..20 {
        let ttl = Duration::from_secs(3_600);
        let options = Options { ttl, owner: "x".into(), ..Options::default() };
        let opening = Session::open(&address, options);
        let timed = tokio::time::timeout(Duration::from_micros(300), opening).await;
        drop(timed);
    }
    eventually("none is left", async || {
        client.sessions().await.unwrap().iter().all(|it| it.owner != "x")
    })
    .await;
}

/// A session that was left open is found again by its key, with its candidates.
#[tokio::test]
async fn a_session_is_resumed_by_its_key() {
    let server = Server::start("");
    let first = exclusive(server.address()).await;
    let (id, key) = (first.id(), first.key().unwrap());
    first.election("jobs").enter("a", &EnterOptions::default()).await.unwrap();
    first.leave_open();
    let connection = Connection::to(&server.address().parse().unwrap(), PATIENCE).unwrap();
    let again = connection.resume(&key, Options::default()).await.unwrap();
    assert_eq!((again.id(), again.ttl()), (id, LONG));
    let leads = soon(again.election("jobs").lead("a")).await.unwrap();
    assert_eq!((leads.term(), leads.is_valid()), (1, true));
    again.close().await.unwrap();
    assert!(!leads.is_valid());
    let over = connection.resume(&key, Options::default()).await.unwrap_err();
    assert!(matches!(over, ClientError::Refused { .. }), "{over:?}");
}

#[tokio::test]
async fn a_server_tells_what_it_knows() {
    let server = Server::start("");
    let session = open(server.address(), Duration::from_secs(1), OnDisconnect::Exclusive).await;
    for (election, candidate) in [("jobs/1", "a"), ("jobs/1", "b"), ("jobs/2", "a")] {
        session.election(election).enter(candidate, &EnterOptions::default()).await.unwrap();
    }
    let client = Client::to(&server.address().parse().unwrap(), PATIENCE).unwrap();
    let names: Vec<_> =
        client.list("jobs/").await.unwrap().into_iter().map(|it| it.election).collect();
    assert_eq!(names, ["jobs/1", "jobs/2"]);
    client.change(ChangeByHand::Promote, "jobs/1", "b", Some(1), "maintenance").await.unwrap();
    let history = client.history("jobs/1").await.unwrap();
    let reigns: Vec<_> = history.iter().map(|it| (it.term, it.leader.as_str())).collect();
    assert_eq!(reigns, [(2, "b"), (1, "a")]);
    assert_eq!(client.check("jobs/1", 1).await.unwrap().verdict, Verdict::Stale);
    assert_eq!(client.describe("jobs/1").await.unwrap().queue.len(), 2);
    let refused = client.change(ChangeByHand::Anoint, "jobs/1", "nobody", None, "").await;
    assert!(matches!(refused, Err(ClientError::Refused { code: 5, .. })), "{refused:?}");
    client.delete("jobs/1", "").await.unwrap();
    client.end_session(session.id(), "enough").await.unwrap();
    assert!(soon(session.lost()).await.to_string().contains("enough"));
}

/// Nobody listens there.
#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let address: Address = "unix:///nowhere/tenure".parse().unwrap();
    let refused = Session::open(&address, Options::default()).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
}

/// The runtime that drives a connection is shut down: nothing waits for ever, and proof is not extended.
#[test]
fn nothing_waits_for_a_runtime_that_has_ended() {
    let server = Server::start("");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (session, leads): (Session, Leadership) = first.block_on(async {
        let session = exclusive(server.address()).await;
        let leads = session.election("jobs").lead("a").await.unwrap();
        (session, leads)
    });
    drop(first);
    runtime().block_on(async {
        assert!(matches!(soon(session.lost()).await, Lost::Session { .. }));
        assert!(!leads.is_valid());
        let refused = soon(session.election("jobs").lead("a")).await;
        assert!(matches!(refused, Err(ClientError::SessionLost(_))), "{refused:?}");
        let refused = soon(session.connection().session(Options::default())).await;
        assert!(matches!(refused, Err(ClientError::Lost { .. })), "{refused:?}");
    });
    let outside = Connection::to(&server.address().parse().unwrap(), PATIENCE);
    assert!(matches!(outside, Err(ClientError::Unreachable { .. })), "{outside:?}");
}

/// Everything is done by a task of the runtime.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_thread_is_started() {
    let server = Server::start("");
    let session = exclusive(server.address()).await;
    let _leads = session.election("jobs").lead("a").await.unwrap();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // One that ends meanwhile has no name any more.
    let names = threads.filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("comm")).ok());
    let ours: Vec<String> = names.filter(|name| name.starts_with("tenure-")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
