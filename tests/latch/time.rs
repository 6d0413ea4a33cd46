//! Deadlines, on a clock that the test turns.

use std::time::Duration;

use tenure::{Clock, Engine, Server};

use crate::node::{Node, header, serve};

const SECOND: Duration = Duration::from_secs(1);

fn served() -> (Engine, Clock, Server) {
    let clock = Clock::manual();
    clock.advance(SECOND * 1_000);
    let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
    let server = serve(&engine);
    (engine, clock, server)
}

#[tokio::test]
async fn whoever_is_heard_lives_and_whoever_is_not_expires() {
    let (engine, clock, server) = served();
    let node = Node::to(&server).await;
    let (silent, session) = (node.create().await, node.create().await);
    node.join(silent, 1, "silent").await;
    let mut events = node.events(header(silent, 2)).await;
    assert_eq!(events.say().await, "1 OPEN_STREAM -");
    let remaining = || engine.list_sessions(None, 10).last().unwrap().remaining;
    for method in ["KeepAlive", "Latch", "Get", "Events"] {
        clock.advance(SECOND * 7);
        assert_eq!(remaining(), SECOND * 23, "before {method}");
        let failure = match method {
            "KeepAlive" => {
                let kept = node.keep_alive(header(session, 0)).await;
                assert_eq!((kept.ids(), kept.header.index), ((session, 0, 0), 0));
                kept
            }
            "Latch" => node.join(session, 0, "a").await,
            "Get" => node.get(header(session, 0)).await,
            _ => node.events(header(session, 0)).await.next().await.unwrap(),
        };
        assert_eq!((failure.failure(), remaining()), (None, SECOND * 30), "{method} renews");
    }
    assert_eq!(events.say().await, r#"2 RESPONSE 1 "silent" [silent a]"#);
    clock.advance(SECOND * 3);
    // Nobody else says a word.
    engine.tick(clock.now());
    let mut last = events.say().await;
    if last.contains("RESPONSE") {
        last = events.say().await;
    }
    assert!(last.ends_with("CLOSE_STREAM -"), "{last}");
    assert_eq!(events.say().await, "the end");
    assert_eq!(node.get(header(session, 0)).await.ok(), r#"2 "a" [a]"#);
    assert!(node.keep_alive(header(silent, 0)).await.refused().contains("does not live"));
}

#[tokio::test]
async fn who_waits_too_long_is_told_for_what() {
    let (_engine, clock, server) = served();
    let (waiting, node) = (Node::to(&server).await, Node::to(&server).await);
    let created = node.try_create(None).await.header;
    let session = created.session_id;
    let mut ahead = header(0, 0);
    ahead.index = created.index + 1_000;
    let turn = async {
        // Each is on the way before what is asked on the same connection after it.
        for _ in 0..10 {
            waiting.get(header(0, 0)).await;
            clock.advance(SECOND);
        }
    };
    let (latch, read, index, mut events, ()) = tokio::join!(
        waiting.join(session, 2, "a"),
        waiting.get(header(session, 3)),
        waiting.get(ahead),
        waiting.events(header(session, 4)),
        turn,
    );
    assert_eq!(
        latch.refused(),
        "request 2 waited 5s for request 1, which did not come; send that one first, then this one \
         again"
    );
    assert_eq!(latch.state(), r#"0 "" []"#);
    assert!(read.refused().starts_with("request 3 waited 5s for request 1"));
    assert!(index.refused().starts_with(&format!("index {}", created.index + 1_000)));
    assert!(index.refused().contains("was not reached within 5s"), "{}", index.refused());
    waiting.get(header(0, 0)).await;
    assert!(events.next().await.unwrap().refused().starts_with("request 4 waited 5s"));
    // Nothing of that has run.
    assert_eq!(node.join(session, 1, "a").await.ok(), r#"1 "a" [a]"#);
}
