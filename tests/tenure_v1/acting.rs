//! For whom a call acts, and that it renews that session.

use std::time::Duration;

use tenure::SessionId;
use tenure_schema::ttrpc_tenure::connection::HelloRequest;
use tenure_schema::ttrpc_tenure::elections::State;
use tenure_schema::ttrpc_tenure::sessions::KeepAliveRequest;
use ttrpc::Code;

use crate::peer::{Host, TTL, by, enter, patiently, refused, show, status, with_key, with_text};

const MS: Duration = Duration::from_millis(1);
const ENDED: Code = Code::FAILED_PRECONDITION;

/// "Any call that acts for a session renews it", by its id or by its key, on every service.
#[tokio::test]
async fn each_call_renews_the_session_that_it_acts_for() {
    let host = Host::start();
    let peer = host.peer().await;
    let session = peer.session().await;
    let renewed = |what: &str| {
        assert_eq!(host.remaining(session.id), Some(TTL), "{what} renews it");
        host.pass(TTL - MS);
    };
    renewed("Open");
    assert_eq!(peer.keep_alive(session.id).await.unwrap(), TTL);
    renewed("KeepAlive");
    peer.enter(session.id, "jobs", "a").await.unwrap();
    renewed("Enter");
    for method in ["Anoint", "Promote", "Demote", "Evict", "Withdraw"] {
        peer.change(method, &by(session.id, "jobs", "a")).await.unwrap();
        renewed(method);
    }
    let key = || with_key(&session.key);
    peer.sessions.keep_alive(key(), &KeepAliveRequest::default()).await.unwrap();
    renewed("KeepAlive by key");
    peer.enter_v1(key(), "jobs", "b").await.unwrap();
    renewed("v1 Enter by key");
    peer.term_v1(key(), "jobs").await.unwrap();
    renewed("v1 GetTerm by key");
    peer.connection.hello(key(), &HelloRequest::default()).await.unwrap();
    renewed("Hello by key");
    peer.state("jobs").await;
    assert_eq!(host.remaining(session.id), Some(MS), "nobody's call renews nobody");
    // A connection's own has no deadline, and is heard all the same.
    let own = peer.enter(0, "own", "c").await.unwrap().leader.session;
    let silent = || host.engine.session_info(SessionId::new(own).unwrap()).unwrap().silent;
    host.clock.advance(TTL);
    assert_eq!(silent(), TTL);
    peer.enter_v1(patiently(), "own", "c").await.unwrap();
    assert_eq!(silent(), Duration::ZERO);
    host.clock.advance(TTL);
    peer.change("Anoint", &by(0, "own", "c")).await.unwrap();
    assert_eq!(silent(), Duration::ZERO);
}

/// By id if it is attached here, else by the key, else the connection's own.
#[tokio::test]
async fn a_call_acts_for_the_session_that_it_names() {
    let host = Host::start();
    let (peer, elsewhere) = (host.peer().await, host.peer().await);
    let (one, two) = (peer.session().await, peer.session().await);
    let leads = |state: State| state.leader.session;
    assert_eq!(leads(peer.enter(one.id, "by id", "c").await.unwrap()), one.id);
    let request = enter(0, "by key", "c");
    let reply = peer.elections.enter(with_key(&two.key), &request).await.unwrap();
    assert_eq!(leads(reply.state.unwrap()), two.id);
    let own = leads(peer.enter(0, "own", "c").await.unwrap());
    assert!(own != one.id && own != two.id);
    assert_eq!(leads(peer.enter(own, "own by id", "c").await.unwrap()), own);
    // A key needs no attachment, and proves an id too.
    let request = enter(two.id, "by key, elsewhere", "c");
    let reply = elsewhere.elections.enter(with_key(&two.key), &request).await.unwrap();
    assert_eq!(leads(reply.state.unwrap()), two.id);
    // Which attaches nothing: the id alone is still refused there.
    let answer = elsewhere.enter(two.id, "e", "c").await;
    assert_eq!(refused(answer, "not attached"), Code::PERMISSION_DENIED);
    // The v1 services know no ids, and keys all the same.
    elsewhere.enter_v1(with_key(&one.key), "v1", "c").await.unwrap();
    assert_eq!(leads(peer.state("v1").await), one.id);
    let foreign = peer.withdraw_v1(patiently(), "v1", "c").await;
    assert_eq!(status(foreign).0, Code::PERMISSION_DENIED);
    assert_eq!(peer.withdraw_v1(with_key(&one.key), "v1", "c").await.unwrap(), 1);
    // What an explicit session holds does not pass to whoever enters it on v1.
    assert_eq!(
        refused(peer.enter_v1(patiently(), "by key", "c").await, "held by"),
        Code::ALREADY_EXISTS
    );
}

#[tokio::test]
async fn a1_other_sessions_and_no_sessions_are_told_apart() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let (theirs, ended) = (other.session().await, other.session().await);
    other.close(ended.id).await.unwrap();
    let denied = Code::PERMISSION_DENIED;
    for (id, code, what) in [
        (theirs.id, denied, "not attached to this connection; resume it here with its key"),
        (ended.id, ENDED, "session ended: closed by its owner; open a new one"),
        (999, Code::NOT_FOUND, "session 999 does not live here"),
    ] {
        for attempt in [
            peer.enter(id, "jobs", "a").await.map(|_| ()),
            peer.change("Anoint", &by(id, "jobs", "a")).await.map(|_| ()),
            peer.keep_alive(id).await.map(|_| ()),
            peer.close(id).await,
        ] {
            assert_eq!(refused(attempt, what), code, "{id}");
        }
    }
    let guess = [7; 16];
    let unknown = "no session has this key";
    let malformed = "session key: give 32 hexadecimal digits";
    let invalid = Code::INVALID_ARGUMENT;
    assert_eq!(refused(peer.resume(&ended.key).await, "closed by its owner"), ENDED);
    assert_eq!(refused(peer.resume(&guess).await, unknown), Code::NOT_FOUND);
    for length in [1, 15, 17, 32] {
        let what = format!("session key: has {length} bytes; give all 16");
        assert_eq!(refused(peer.resume(&vec![7; length]).await, &what), invalid);
    }
    for (context, code, what) in [
        (with_key(&ended.key), ENDED, "closed by its owner"),
        (with_key(&guess), Code::NOT_FOUND, unknown),
        (with_text(""), invalid, malformed),
        (with_key(&theirs.key[..15]), invalid, malformed),
    ] {
        let request = enter(0, "jobs", "a");
        let own = peer.elections.enter(context.clone(), &request).await.map(|_| ());
        assert_eq!(refused(own, what), code);
        let v1 = peer.enter_v1(context.clone(), "jobs", "a").await;
        assert_eq!(refused(v1, what), code);
        assert_eq!(refused(peer.term_v1(context, "jobs").await, what), code);
    }
    assert_eq!(peer.shown("jobs").await, "t0 - []", "nothing was changed");
    assert_eq!(host.engine.sessions(), 1, "and no session made");
}

/// Neither makes a session, and a closed one of the connection is followed by a new one.
#[tokio::test]
async fn without_a_session_there_is_nothing_to_renew_or_close() {
    let host = Host::start();
    let peer = host.peer().await;
    for attempt in [peer.keep_alive(0).await.map(|_| ()), peer.close(0).await] {
        let what = "give the id of one that is attached to it, or a key in the metadata";
        assert_eq!(refused(attempt, what), Code::INVALID_ARGUMENT);
    }
    assert_eq!(host.engine.sessions(), 0);
    let first = peer.enter(0, "jobs", "a").await.unwrap().leader.session;
    assert_eq!(peer.keep_alive(0).await.unwrap(), Duration::ZERO, "it has no deadline");
    peer.close(0).await.unwrap();
    assert_eq!(peer.shown("jobs").await, "t1 - []");
    let next = peer.enter(0, "jobs", "a").await.unwrap();
    assert_eq!(show(&next), "t2 a []");
    assert_ne!(next.leader.session, first);
}
