//! The leader latch over real sockets, by a client that was not written here. What the transcripts of
//! `src/service/latch/testdata` show of numbers and order is not shown again, but once end to end.

mod node;
mod numbers;
mod time;
mod together;

use node::{NAME, Node, header, serve};
use protobuf::Message as _;
use tenure::{Engine, Failover, Server, SessionKind};
use tenure_schema::ttrpc_client::headers::RequestHeader;
use tenure_schema::ttrpc_client::latch::{CloseRequest, CreateRequest, GetRequest, GetResponse};
use tenure_schema::ttrpc_client::primitive::Name;
use ttrpc::Code;

fn served() -> (Engine, Server) {
    let engine = Engine::builder().open().unwrap();
    let server = serve(&engine);
    (engine, server)
}

#[tokio::test]
async fn create_opens_an_exclusive_session_and_does_not_join() {
    let (engine, server) = served();
    let node = Node::to(&server).await;
    let reply = node.try_create(None).await;
    assert_eq!(reply.failure(), None);
    let (id, stream, response) = reply.ids();
    assert!((1..1 << 63).contains(&id) && (stream, response) == (0, 0), "{:?}", reply.ids());
    assert!(reply.header.index > 0);
    let sessions = engine.list_sessions(None, 10);
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((session.kind, session.ttl.as_secs()), (SessionKind::Exclusive, 30));
    assert!(session.owner.starts_with("latch client at 127.0.0.1:"), "{}", session.owner);
    assert!(!session.owner.contains(&id.to_string()), "who knows the id may act for the session");
    assert_eq!(node.get(header(id, 0)).await.ok(), r#"0 "" []"#);
    assert_ne!(node.create().await, id);
    let reply = node.try_create(Some(2_500)).await;
    assert_eq!(reply.failure(), None);
    assert_eq!(engine.list_sessions(None, 10)[2].ttl.as_millis(), 2_500);
}

#[tokio::test]
async fn a_timeout_out_of_range_is_an_error() {
    let (engine, server) = served();
    let node = Node::to(&server).await;
    let refused = [
        (0, "timeout is zero; give more than zero and at most 24 h, or leave it out for 30 s"),
        (-1, "timeout is negative; give more than zero and at most 24 h, or leave it out for 30 s"),
        (
            86_400_001,
            "timeout is over 24 h; give more than zero and at most 24 h, or leave it out for 30 s",
        ),
        (
            i64::MAX,
            "timeout is over 24 h; give more than zero and at most 24 h, or leave it out for 30 s",
        ),
    ];
    for (timeout, why) in refused {
        let reply = node.try_create(Some(timeout)).await;
        assert_eq!(reply.refused(), why);
        assert_eq!((reply.ids(), reply.header.index), ((0, 0, 0), 0));
    }
    let engines =
        engine.session_with_ttl(std::time::Duration::from_millis(499), Failover::Exclusive);
    let engines = engines.unwrap_err().to_string();
    assert_eq!(node.try_create(Some(499)).await.refused(), engines);
    assert_eq!(engine.sessions(), 0);
    for timeout in [500, 86_400_000] {
        assert_eq!(node.try_create(Some(timeout)).await.failure(), None);
    }
}

#[tokio::test]
async fn latch_joins_once_and_returns_at_once() {
    let (engine, server) = served();
    let (a, b) = (Node::to(&server).await, Node::to(&server).await);
    let (sa, sb) = (a.create().await, b.create().await);
    let joined = a.join(sa, 1, "a").await;
    assert_eq!(joined.ok(), r#"1 "a" [a]"#);
    assert_eq!(joined.ids(), (sa, sa, 1));
    // Behind another, and all the same at once.
    assert_eq!(b.join(sb, 1, "b").await.ok(), r#"1 "a" [a b]"#);
    let revision = engine.election(NAME).unwrap().term().revision();
    assert_eq!(a.join(sa, 2, "a").await.ok(), r#"1 "a" [a b]"#);
    assert_eq!(engine.election(NAME).unwrap().term().revision(), revision, "no change");
    let taken = b.join(sb, 2, "a").await;
    assert!(taken.refused().starts_with(r#"candidate "a" is held by another session"#));
    assert_eq!((taken.ids(), taken.state()), ((sb, sb, 1), r#"1 "a" [a b]"#.into()));
    assert!(b.join(sb, 3, "").await.refused().starts_with("candidate is empty"));
    // Each of these ran.
    assert_eq!(b.join(sb, 4, "c").await.ok(), r#"1 "a" [a b c]"#);
}

#[tokio::test]
async fn get_needs_no_session_but_a_live_one_if_any() {
    let (_engine, server) = served();
    let node = Node::to(&server).await;
    assert_eq!(node.get(header(0, 0)).await.ok(), r#"0 "" []"#, "present, also if nobody joined");
    let session = node.create().await;
    let joined = node.join(session, 1, "a").await;
    for id in [0, session] {
        let got = node.get(header(id, 0)).await;
        assert_eq!((got.ok(), got.ids()), (r#"1 "a" [a]"#.into(), (id, 0, 0)));
        assert_eq!(got.header.index, joined.header.index, "a Get is no command");
    }
    let got = node.get(header(77, 0)).await;
    assert_eq!(
        got.refused(),
        "session 77 does not live here: it ended, or was never created; Create another and join again"
    );
    assert_eq!(got.state(), r#"1 "a" [a]"#);
    assert_eq!(node.close(header(session, 0), false).await.ids(), (session, 0, 0));
    assert!(node.get(header(session, 0)).await.refused().starts_with("session "));
}

#[tokio::test]
async fn the_index_rises_with_each_command_and_across_restarts() {
    let mut last = 0;
    for _ in 0..2 {
        let (_engine, server) = served();
        let node = Node::to(&server).await;
        let created = node.try_create(None).await;
        let session = created.header.session_id;
        let mut indices = vec![last, created.header.index];
        for request in 1..4 {
            indices.push(node.join(session, request, "a").await.header.index);
        }
        let mut events = node.events(header(session, 4)).await;
        indices.push(events.next().await.unwrap().header.index);
        assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
        last = indices[5];
    }
}

#[tokio::test]
async fn close_ends_the_session_and_its_events() {
    let (engine, server) = served();
    let node = Node::to(&server).await;
    let session = node.create().await;
    node.join(session, 1, "a").await;
    let mut events = node.events(header(session, 2)).await;
    assert_eq!(events.say().await, "1 OPEN_STREAM -");
    let closed = node.close(header(session, 0), false).await;
    assert_eq!((closed.failure(), closed.ids()), (None, (session, 0, 0)));
    assert_eq!(engine.sessions(), 0);
    let last = events.next().await.unwrap();
    assert_eq!((last.shown(), last.ids().1), ("2 CLOSE_STREAM -".into(), 2));
    assert_eq!(events.say().await, "the end", "with OK");
    assert_eq!(node.term().await, "t1  []");
    // An ended session is an error to all who need one.
    assert!(node.close(header(session, 0), false).await.refused().contains("does not live"));
    assert!(node.keep_alive(header(session, 0)).await.refused().contains("does not live"));
    assert!(node.join(session, 3, "a").await.refused().contains("does not live"));
    let mut events = node.events(header(session, 3)).await;
    assert!(events.next().await.unwrap().refused().contains("does not live"));
    assert_eq!(events.say().await, "the end", "with OK");
}

#[tokio::test]
async fn delete_ends_every_session_of_the_latch() {
    let (engine, server) = served();
    let (a, b) = (Node::to(&server).await, Node::to(&server).await);
    let (sa, sb) = (a.create().await, b.create().await);
    let idle = b.create().await;
    a.join(sa, 1, "a").await;
    b.join(sb, 1, "b").await;
    let (mut first, mut second) = (a.events(header(sa, 2)).await, b.events(header(idle, 1)).await);
    assert_eq!(first.say().await, "1 OPEN_STREAM -");
    assert_eq!(second.say().await, "1 OPEN_STREAM -");
    let elsewhere = header(0, 0);
    let elsewhere = RequestHeader { name: name("cron", "other"), ..elsewhere };
    let other = b.latch.create(node::patiently(), &create(elsewhere)).await.unwrap();
    let other = other.header.session_id;
    for session in [0, sa, 77] {
        let deleted = a.close(header(session, 0), true).await;
        assert_eq!((deleted.failure(), deleted.ids()), (None, (0, 0, 0)), "idempotent");
    }
    for events in [&mut first, &mut second] {
        // What changed on the way may have been said before.
        let mut last = events.say().await;
        while !last.contains("CLOSE_STREAM") {
            last = events.say().await;
        }
        assert_eq!(events.say().await, "the end");
    }
    assert_eq!(a.get(header(0, 0)).await.ok(), r#"0 "" []"#);
    assert_eq!(engine.sessions(), 1, "another latch's is not touched");
    assert!(a.keep_alive(header(other, 0)).await.refused().contains("is another latch's"));
    let again = a.create().await;
    let joined = a.join(again, 1, "a").await.ok();
    assert!(!joined.starts_with("1 "), "no term comes twice: {joined}");
}

fn name(name: &str, namespace: &str) -> protobuf::MessageField<Name> {
    Some(Name { name: name.into(), namespace: namespace.into(), ..Default::default() }).into()
}

fn create(header: RequestHeader) -> CreateRequest {
    CreateRequest { header: Some(header).into(), ..Default::default() }
}

#[tokio::test]
async fn what_is_refused_is_an_ok_reply() {
    let (_engine, server) = served();
    let node = Node::to(&server).await;
    let session = node.create().await;
    let no_header = "the request has no header; give one with the latch's name";
    let no_name = "header.name.name is missing; give the latch's name";
    let nameless = RequestHeader { session_id: session, ..Default::default() };
    let unnamed = RequestHeader { name: name("", "jobs"), ..nameless.clone() };
    for (header, why) in [(None, no_header), (Some(nameless), no_name), (Some(unnamed), no_name)] {
        // The header is the first field of every request.
        let bytes = GetRequest { header: header.clone().into(), ..Default::default() };
        let bytes = bytes.write_to_bytes().unwrap();
        for method in ["Create", "KeepAlive", "Close", "Latch", "Get"] {
            let reply = node.call(method, &bytes).await.unwrap();
            let reply = GetResponse::parse_from_bytes(&reply);
            let reply = reply.unwrap();
            assert_eq!((reply.header.status.value(), &*reply.header.message), (1, why), "{method}");
            let has_latch = matches!(method, "Latch" | "Get");
            assert_eq!(reply.latch.is_some(), has_latch, "{method}");
        }
        let delete =
            CloseRequest { header: header.clone().into(), delete: true, ..Default::default() };
        let reply = node.latch.close(node::patiently(), &delete).await.unwrap();
        assert_eq!(reply.header.message, why);
        let mut events = node.events(header.unwrap_or_default()).await;
        let event = events.next().await.unwrap();
        assert!(event.refused().contains("missing"), "{}", event.refused());
        assert_eq!(event.shown(), r#"0 RESPONSE 0 "" []"#, "the latch is present");
        assert_eq!(events.say().await, "the end");
    }
    let long = RequestHeader { name: name(&"x".repeat(513), ""), ..Default::default() };
    assert!(node.get(long).await.refused().starts_with("election name has 513 bytes"));
}

#[tokio::test]
async fn only_what_is_no_request_fails() {
    let (_engine, server) = served();
    let node = Node::to(&server).await;
    let messages = ["Create", "KeepAlive", "Close", "Latch", "Get", "Events"];
    for method in messages {
        let ttrpc::Error::RpcStatus(status) = node.call(method, &[0x0a]).await.unwrap_err() else {
            panic!("{method}")
        };
        assert_eq!(status.code(), Code::INVALID_ARGUMENT, "{method}");
        let message = if method == "Events" { "Event" } else { method };
        let names = format!("atomix.leader.{message}Request can't be decoded");
        assert!(status.message().starts_with(&names), "{}", status.message());
    }
    let ttrpc::Error::RpcStatus(status) = node.call("Open", &[]).await.unwrap_err() else {
        panic!("it is unknown")
    };
    assert_eq!(status.code(), Code::UNIMPLEMENTED);
    assert!(status.message().contains("Open"), "{}", status.message());
}
