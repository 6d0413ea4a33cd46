//! Enter with `on_conflict` wait: answered once the candidate is free.

use std::time::Duration;

use tenure::internals::{HeldLog, Slip};
use tenure_schema::ttrpc_tenure::elections::{EnterRequest, EnterResponse, OnConflict};
use tenure_schema::ttrpc_tenure::sessions::{CloseRequest, KeepAliveRequest};
use tokio::task::JoinHandle;
use ttrpc::Code;
use ttrpc::context::{self, Context};

use crate::peer::{Host, PATIENCE, Peer, TTL, by, enter, patiently, refused, show, status};

type Waiting = JoinHandle<ttrpc::Result<EnterResponse>>;

impl Peer {
    /// Begins to wait for candidate "a" of "jobs", and comes back when the server has heard of it.
    async fn wait(&self, session: u64, context: Context) -> Waiting {
        self.wait_as(EnterRequest { ..enter(session, "jobs", "a") }, context).await
    }

    async fn wait_as(&self, request: EnterRequest, context: Context) -> Waiting {
        let on_conflict = OnConflict::ON_CONFLICT_WAIT.into();
        let request = EnterRequest { on_conflict, ..request };
        let elections = self.elections.clone();
        let call = tokio::spawn(async move { elections.enter(context, &request).await });
        tokio::task::yield_now().await;
        // Whatever comes behind it on its connection is read after it.
        self.state("jobs").await;
        call
    }
}

async fn answer(waiting: Waiting) -> ttrpc::Result<EnterResponse> {
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time").unwrap()
}

async fn two() -> (Host, Peer, u64, Peer, u64) {
    let host = Host::start();
    let (holder, waiter) = (host.peer().await, host.peer().await);
    let (holds, waits) = (holder.session().await.id, waiter.session().await.id);
    holder.enter(holds, "jobs", "a").await.unwrap();
    (host, holder, holds, waiter, waits)
}

#[tokio::test]
async fn a_free_candidate_is_not_waited_for() {
    let host = Host::start();
    let peer = host.peer().await;
    let session = peer.session().await.id;
    for _ in 0..2 {
        let reply = answer(peer.wait(session, patiently()).await).await.unwrap();
        assert_eq!((reply.entered, &*show(&reply.state)), (true, "t1 a []"));
    }
}

#[tokio::test]
async fn it_is_answered_once_the_other_has_left() {
    let (_host, holder, holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    // Changes that don't free it are none of its business.
    holder.enter(holds, "jobs", "b").await.unwrap();
    holder.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    waiter.state("jobs").await;
    assert!(!waiting.is_finished());
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    let reply = answer(waiting).await.unwrap();
    assert_eq!((reply.entered, &*show(&reply.state)), (true, r#"t2 b ["a"]"#));
    assert_eq!(reply.state.candidates[0].session, waits);
}

#[tokio::test]
async fn it_is_answered_once_the_others_session_has_ended_or_the_election_is_deleted() {
    let (_host, holder, holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    let close = CloseRequest { session: holds, ..Default::default() };
    holder.sessions.close(patiently(), &close).await.unwrap();
    assert_eq!(show(&answer(waiting).await.unwrap().state), "t2 a []");
    let next = holder.session().await.id;
    let waiting = holder.wait(next, patiently()).await;
    holder.delete("jobs", None).await.unwrap();
    assert_eq!(show(&answer(waiting).await.unwrap().state), "t3 a []");
}

/// Nothing in the election changes then.
#[tokio::test]
async fn it_fails_when_its_own_session_ends() {
    let (host, holder, holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    host.clock.advance(TTL - Duration::from_millis(1));
    let alive = KeepAliveRequest { session: holds, ..Default::default() };
    holder.sessions.keep_alive(patiently(), &alive).await.unwrap();
    host.pass(Duration::from_millis(5));
    let code = refused(answer(waiting).await, "session ended: its deadline passed");
    assert_eq!(code, Code::FAILED_PRECONDITION);
    assert_eq!(holder.shown("jobs").await, "t1 a []");
}

#[tokio::test]
async fn it_is_answered_when_its_session_has_taken_over_meanwhile() {
    let (_host, _holder, _holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    let on_conflict = OnConflict::ON_CONFLICT_TAKE_OVER.into();
    waiter.enter_as(&EnterRequest { on_conflict, ..enter(waits, "jobs", "a") }).await.unwrap();
    let reply = answer(waiting).await.unwrap();
    assert_eq!((reply.entered, reply.state.leader.session), (true, waits));
}

#[tokio::test]
async fn of_two_who_wait_one_enters_and_the_other_waits_on() {
    let (host, holder, holds, waiter, waits) = two().await;
    let third = host.peer().await;
    let also = third.session().await.id;
    let (one, two) = (waiter.wait(waits, patiently()).await, third.wait(also, patiently()).await);
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    let engine = host.engine.clone();
    host.until("one has entered", || engine.term("jobs").unwrap().number() == 2).await;
    let leads = holder.state("jobs").await.leader.session;
    let (first, rest, of) = if leads == waits { (one, two, &waiter) } else { (two, one, &third) };
    assert_eq!(show(&answer(first).await.unwrap().state), "t2 a []");
    assert!(!rest.is_finished());
    of.change("Withdraw", &by(leads, "jobs", "a")).await.unwrap();
    assert_eq!(show(&answer(rest).await.unwrap().state), "t3 a []");
}

#[tokio::test]
async fn who_waits_longest_is_next_and_who_gives_up_holds_up_nobody() {
    let (host, holder, holds, first, one) = two().await;
    let (second, third) = (host.peer().await, host.peer().await);
    let (two, three) = (second.session().await.id, third.session().await.id);
    let gives_up = first.wait(one, patiently()).await;
    let next = second.wait(two, patiently()).await;
    let last = third.wait(three, patiently()).await;
    let close = CloseRequest { session: one, ..Default::default() };
    first.sessions.close(patiently(), &close).await.unwrap();
    refused(answer(gives_up).await, "session ended: closed by its owner");

    // Back in line behind the others, though it asks when nobody has the candidate.
    let withdraw = by(holds, "jobs", "a");
    holder.change("Withdraw", &withdraw).await.unwrap();
    let again = holder.wait(holds, patiently()).await;
    for (waiting, session, peer) in [(next, two, &second), (last, three, &third)] {
        let reply = answer(waiting).await.unwrap();
        assert_eq!(reply.state.leader.session, session);
        assert!(!again.is_finished());
        peer.change("Withdraw", &by(session, "jobs", "a")).await.unwrap();
    }
    assert_eq!(answer(again).await.unwrap().state.leader.session, holds);
}

/// A disk that is slow changes nothing about who comes next, and the next one asks while it still writes: so a
/// withdrawal and what follows from it are kept by one commit.
#[tokio::test]
async fn the_line_goes_by_what_was_asked_and_not_by_what_is_kept() {
    let log = HeldLog::new(Slip::None, |_, _| {});
    let host = Host::over(&log);
    let (holder, waiter) = (host.peer().await, host.peer().await);
    let (holds, waits) = (holder.session().await.id, waiter.session().await.id);
    let let_all_go = || while log.let_go(0) {};
    let entering = holder.wait(holds, patiently()).await;
    host.until("the first one stands", || {
        let_all_go();
        entering.is_finished()
    })
    .await;

    let next = waiter.wait(waits, patiently()).await;
    assert_eq!(log.holds(0), 1, "its question, which is refused");
    // That alone: what it does next may come while this goes.
    assert!(log.let_go(0));
    host.until("it follows, in line", || log.holds(0) == 1).await;
    let_all_go();

    let leaver = holder.clone();
    let leaving = tokio::spawn(async move {
        leaver.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    });
    tokio::task::yield_now().await;
    let again = holder.wait(holds, patiently()).await;
    host.until("the next one has asked", || log.holds(0) == 2).await;
    assert!(!leaving.is_finished(), "nothing is kept yet");
    assert_eq!(holder.state("jobs").await.leader.session, holds);
    let_all_go();
    leaving.await.unwrap();
    let reply = answer(next).await.unwrap();
    assert_eq!((reply.state.term, reply.state.leader.session), (2, waits));
    assert!(!again.is_finished(), "it stands behind");
}

/// The second of its calls is answered though another waits before it.
#[tokio::test]
async fn who_gets_it_is_answered_on_all_its_calls() {
    let (host, holder, holds, waiter, waits) = two().await;
    let other = host.peer().await;
    let others = other.session().await.id;
    let first = waiter.wait(waits, patiently()).await;
    let between = other.wait(others, patiently()).await;
    let second = waiter.wait(waits, patiently()).await;
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    for waiting in [first, second] {
        assert_eq!(answer(waiting).await.unwrap().state.leader.session, waits);
    }
    assert!(!between.is_finished());
    waiter.change("Withdraw", &by(waits, "jobs", "a")).await.unwrap();
    assert_eq!(answer(between).await.unwrap().state.leader.session, others);
}

#[tokio::test]
async fn only_if_leads_holds_for_who_waits_too() {
    let (_host, holder, holds, waiter, waits) = two().await;
    holder.enter(holds, "jobs", "b").await.unwrap();
    let request = EnterRequest { only_if_leads: true, ..enter(waits, "jobs", "a") };
    let waiting = waiter.wait_as(request, patiently()).await;
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    let reply = answer(waiting).await.unwrap();
    assert_eq!((reply.entered, &*show(&reply.state)), (false, "t2 b []"));
}

/// What it is told does not depend on who else waits.
#[tokio::test]
async fn only_if_leads_does_not_wait_in_line_for_the_lead_of_another() {
    let (host, holder, holds, waiter, waits) = two().await;
    holder.enter(holds, "jobs", "b").await.unwrap();
    let behind = waiter.wait_as(enter(waits, "jobs", "b"), patiently()).await;
    let other = host.peer().await;
    let others = other.session().await.id;
    let request = EnterRequest { only_if_leads: true, ..enter(others, "jobs", "b") };
    let reply = answer(other.wait_as(request, patiently()).await).await.unwrap();
    assert_eq!((reply.entered, &*show(&reply.state)), (false, "t1 a [\"b\"]"));
    holder.change("Withdraw", &by(holds, "jobs", "b")).await.unwrap();
    assert!(answer(behind).await.unwrap().entered);
}

/// Its time runs out by the server's clock, which a request in passing makes it look at.
#[tokio::test]
async fn its_time_may_run_out_with_nothing_changed() {
    let (host, holder, holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, context::with_duration(PATIENCE)).await;
    host.clock.advance(PATIENCE + Duration::from_millis(5));
    waiter.state("jobs").await;
    let (code, message) = status(answer(waiting).await);
    assert_eq!((code, &*message), (Code::DEADLINE_EXCEEDED, "deadline exceeded"));
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    assert_eq!(holder.shown("jobs").await, "t1 - []", "nobody waits any more");
}

#[tokio::test]
async fn who_waits_and_goes_enters_nothing() {
    let (host, holder, holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    waiting.abort();
    drop(waiter);
    let engine = host.engine.clone();
    let info = move || engine.session_info(tenure::SessionId::new(waits).unwrap());
    host.until("its connection is closed", || info().unwrap().peer.is_none()).await;
    holder.change("Withdraw", &by(holds, "jobs", "a")).await.unwrap();
    assert_eq!(holder.shown("jobs").await, "t1 - []");
}

#[tokio::test]
async fn a_draining_server_waits_for_nobody_who_waits() {
    let (host, holder, _holds, waiter, waits) = two().await;
    let waiting = waiter.wait(waits, patiently()).await;
    let Host { server, .. } = host;
    let drained = tokio::task::spawn_blocking(move || server.drain(PATIENCE));
    assert_eq!(refused(answer(waiting).await, "draining"), Code::UNAVAILABLE);
    drop((holder, waiter));
    assert!(drained.await.unwrap());
}
