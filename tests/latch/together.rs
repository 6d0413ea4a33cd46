//! Latch clients and v1 clients in one election.

use std::time::Duration;

use tenure::{Clock, Engine};
use ttrpc::Code;

use crate::node::{NAME, Node, header, patiently, serve};
use crate::{create, name, served};
use tenure_schema::ttrpc_client::headers::RequestHeader;

#[tokio::test]
async fn both_stand_in_one_election() {
    let (_engine, server) = served();
    let (latch, v1) = (Node::to(&server).await, Node::to(&server).await);
    let session = latch.create().await;
    assert_eq!(v1.enter("v").await.unwrap(), "t1 v []");
    assert_eq!(latch.join(session, 1, "a").await.ok(), r#"1 "v" [v a]"#);
    assert_eq!(v1.term().await, "t1 v [a]");
    // Neither takes what the other holds.
    assert!(latch.join(session, 2, "v").await.refused().starts_with(r#"candidate "v" is held"#));
    let Err(ttrpc::Error::RpcStatus(status)) = v1.enter("a").await else { panic!("it is taken") };
    assert_eq!(status.code(), Code::ALREADY_EXISTS);
    // Each hears of the other.
    let mut events = latch.events(header(session, 3)).await;
    assert_eq!(events.say().await, "1 OPEN_STREAM -");
    let refused = latch.close(header(0, 0), true).await;
    assert_eq!(
        refused.refused(),
        "candidate \"v\" stands in the election and is not the latch's; the latch can be deleted \
         when it has left"
    );
    assert_eq!(latch.get(header(session, 0)).await.ok(), r#"1 "v" [v a]"#, "nothing was changed");
    drop(v1);
    assert_eq!(events.say().await, r#"2 RESPONSE 2 "a" [a]"#);
    assert_eq!(latch.close(header(0, 0), true).await.failure(), None);
}

#[tokio::test]
async fn a_latch_is_the_election_of_its_namespace_and_name() {
    let (engine, server) = served();
    let node = Node::to(&server).await;
    for (namespace, expected) in [("", "cron"), ("jobs", "jobs.cron")] {
        let header = RequestHeader { name: name("cron", namespace), ..Default::default() };
        let request = create(header.clone());
        let created = node.latch.create(patiently(), &request).await.unwrap();
        let session_id = created.header.session_id;
        let joined = node.join_with(RequestHeader { session_id, ..header }, expected).await;
        assert_eq!(joined.failure(), None);
        assert_eq!(engine.term(expected).unwrap().leader(), Some(expected));
    }
}

/// No client of a latch can say that it has stopped acting.
#[tokio::test]
async fn a_successor_waits_until_the_loss_has_been_told() {
    let (engine, server) = served();
    let (latch, v1) = (Node::to(&server).await, Node::to(&server).await);
    let election = engine.election(NAME).unwrap();
    let session = latch.create().await;
    latch.join(session, 1, "a").await;
    v1.enter("v").await.unwrap();
    v1.anoint("v").await;
    assert!(!election.valid_after().is_zero(), "its client does not know");
    assert_eq!(latch.get(header(0, 0)).await.ok(), r#"2 "v" [v a]"#);
    assert!(!election.valid_after().is_zero(), "somebody else was told");
    assert_eq!(latch.get(header(session, 0)).await.ok(), r#"2 "v" [v a]"#);
    assert!(election.valid_after().is_zero());

    let mut events = latch.events(header(session, 2)).await;
    assert_eq!(events.say().await, "1 OPEN_STREAM -");
    v1.anoint("a").await;
    assert_eq!(events.say().await, r#"2 RESPONSE 3 "a" [a v]"#);
    v1.anoint("v").await;
    assert_eq!(events.say().await, r#"3 RESPONSE 4 "v" [v a]"#);
    while !election.valid_after().is_zero() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_successor_does_not_wait_for_ever_for_one_who_never_looks() {
    let clock = Clock::manual();
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    let server = serve(&engine);
    let (latch, v1) = (Node::to(&server).await, Node::to(&server).await);
    let election = engine.election(NAME).unwrap();
    let session = latch.create().await;
    latch.join(session, 1, "a").await;
    v1.enter("v").await.unwrap();
    v1.anoint("v").await;
    for _ in 0..3 {
        latch.keep_alive(header(session, 0)).await;
        assert!(!election.valid_after().is_zero());
        clock.advance(Duration::from_secs(10));
        engine.tick(clock.now());
    }
    latch.keep_alive(header(session, 0)).await;
    assert!(election.valid_after().is_zero(), "a whole timeout since a KeepAlive first saw it");
    assert_eq!(engine.sessions(), 2, "it lives");
}
