//! Requests with numbers: each once, in order, also over other connections.

use tenure::internals::{HeldLog, Slip};
use tenure::{Engine, Server};

use crate::node::{Node, acknowledging, header, serve};
use crate::served;

#[tokio::test]
async fn a_request_that_ran_gets_its_stored_reply_on_any_connection_of_any_server() {
    let (engine, server) = served();
    let other = serve(&engine);
    let node = Node::to(&server).await;
    let session = node.create().await;
    let first = node.join(session, 1, "a").await;
    assert_eq!(node.join(session, 2, "b").await.ok(), r#"1 "a" [a b]"#);
    drop(node);
    let node = Node::to(&other).await;
    let again = node.join(session, 1, "a").await;
    assert_eq!(again.ok(), r#"1 "a" [a]"#, "as it was");
    assert_eq!((again.header.index, again.ids()), (first.header.index, first.ids()));
    // Without a number each one runs.
    let (one, two) = (node.join(session, 0, "a").await, node.join(session, 0, "a").await);
    assert!(first.header.index < one.header.index && one.header.index < two.header.index);
    assert_eq!(node.keep_alive(header(session, 1)).await.failure(), None);
    let late = node.join(session, 1, "a").await;
    assert_eq!(late.refused(), "sequence number 1 has already been acknowledged");
    assert_eq!(late.state(), r#"1 "a" [a b]"#);
    assert_eq!(node.join(session, 2, "b").await.ok(), r#"1 "a" [a b]"#, "not acknowledged");
}

#[tokio::test]
async fn a_command_ahead_waits_for_the_gap_to_fill() {
    let (_engine, server) = served();
    let (early, node) = (Node::to(&server).await, Node::to(&server).await);
    let session = node.create().await;
    let (third, second, got, first) = tokio::join!(
        early.join(session, 3, "c"),
        early.join(session, 2, "b"),
        early.get(header(session, 3)),
        node.join(session, 1, "a"),
    );
    assert_eq!(first.ok(), r#"1 "a" [a]"#);
    assert_eq!(second.ok(), r#"1 "a" [a b]"#);
    assert_eq!(third.ok(), r#"1 "a" [a b c]"#);
    assert_eq!(got.ok(), r#"1 "a" [a b c]"#, "a Get waits for the requests before it");
}

#[tokio::test]
async fn get_waits_for_an_index_to_come() {
    let (_engine, server) = served();
    let (reader, node) = (Node::to(&server).await, Node::to(&server).await);
    let created = node.try_create(None).await.header;
    let mut ahead = header(0, 0);
    ahead.index = created.index + 1;
    let (got, joined) = tokio::join!(reader.get(ahead), node.join(created.session_id, 1, "a"));
    assert!(got.failure().is_none() && got.header.index > created.index);
    assert_eq!(joined.header.index, created.index + 1);
}

#[tokio::test]
async fn an_outcome_is_kept_when_its_caller_has_gone() {
    let log = HeldLog::new(Slip::None, |_, _| {});
    let engine = log.open(Engine::builder()).unwrap();
    let server: Server = serve(&engine);
    let (leaving, node) = (Node::to(&server).await, Node::to(&server).await);
    let session = node.create().await;
    let holds = || (0..engine.shards()).any(|shard| log.holds(shard) > 0);
    let asked = tokio::spawn(async move { leaving.join(session, 1, "a").await });
    while !holds() {
        tokio::task::yield_now().await;
    }
    asked.abort();
    assert!(asked.await.is_err_and(|ended| ended.is_cancelled()), "it was not answered");
    while server.counters().connections > 1 {
        tokio::task::yield_now().await;
    }
    let release = || (0..engine.shards()).for_each(|shard| while log.let_go(shard) {});
    release();
    let again = node.join(session, 1, "a").await;
    assert_eq!(again.ok(), r#"1 "a" [a]"#);
    assert_eq!(engine.election(crate::NAME).unwrap().term().revision(), 1, "it ran once");
    assert!(!holds(), "nothing was submitted again");
    release();
}

#[tokio::test]
async fn events_tell_changes_and_go_on_over_another_connection() {
    let (_engine, server) = served();
    let (node, v1) = (Node::to(&server).await, Node::to(&server).await);
    let session = node.create().await;
    node.join(session, 1, "a").await;
    let reading = Node::to(&server).await;
    let mut events = reading.events(header(session, 2)).await;
    let opened = events.next().await.unwrap();
    assert_eq!((opened.shown(), opened.ids()), ("1 OPEN_STREAM -".into(), (session, 2, 1)));
    let read = node.get(header(session, 2)).await;
    assert_eq!(read.header.index, opened.header.index, "the stream's is the command's");
    // No present state; then each change.
    assert_eq!(v1.enter("v").await.unwrap(), "t1 a [v]");
    assert_eq!(events.say().await, r#"2 RESPONSE 1 "a" [a v]"#);
    let latest = node.join(session, 3, "b").await.header.index;
    let event = events.next().await.unwrap();
    assert_eq!(event.shown(), r#"3 RESPONSE 1 "a" [a v b]"#);
    assert!(event.header.index >= latest, "the index at sending");
    assert_eq!(event.ids(), (session, 2, 3));
    drop((events, reading));
    node.keep_alive(acknowledging(session, 3, &[(2, 2)])).await;
    v1.anoint("v").await;
    let mut events = node.events(header(session, 2)).await;
    assert_eq!(events.say().await, r#"3 RESPONSE 2 "v" [v a b]"#, "again, with the newest state");
    assert_eq!(v1.anoint("b").await, "t3 b [v a]");
    assert_eq!(events.say().await, r#"4 RESPONSE 3 "b" [b v a]"#);
    // One that is not listed is closed.
    node.keep_alive(acknowledging(session, 3, &[])).await;
    assert_eq!(events.say().await, "5 CLOSE_STREAM -");
    assert_eq!(events.say().await, "the end");
    let mut events = node.events(header(session, 2)).await;
    let refused = events.next().await.unwrap();
    assert_eq!(refused.refused(), "sequence number 2 has already been acknowledged");
    assert_eq!(events.say().await, "the end");
}
