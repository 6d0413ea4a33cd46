//! Connection.Hello, and explicit sessions: opened, resumed, renewed, closed, listed, ended.

use std::time::Duration;

use protobuf::{EnumOrUnknown, Message};
use tenure_schema::ttrpc_tenure::connection::HelloRequest;
use tenure_schema::ttrpc_tenure::elections::Cause;
use tenure_schema::ttrpc_tenure::sessions::{
    CloseRequest, EndRequest, Failover, ListRequest, ListResponse, OpenRequest, SessionKind,
};
use ttrpc::Code;

use crate::peer::{Host, Opened, Peer, TTL, patiently, refused, show};

const EXCLUSIVE: Failover = Failover::FAILOVER_EXCLUSIVE;
const FAST: Failover = Failover::FAILOVER_FAST;
const MS: Duration = Duration::from_millis(1);

impl Peer {
    async fn try_open(&self, ttl_micros: u64, failover: i32, owner: &str) -> ttrpc::Result<u64> {
        let failover = EnumOrUnknown::from_i32(failover);
        let owner = owner.into();
        let request = OpenRequest { ttl_micros, failover, owner, ..Default::default() };
        self.sessions.open(patiently(), &request).await.map(|reply| reply.ttl_micros)
    }

    pub(crate) async fn close(&self, session: u64) -> ttrpc::Result<()> {
        let request = CloseRequest { session, ..Default::default() };
        self.sessions.close(patiently(), &request).await.map(|_| ())
    }

    async fn end(&self, session: u64, reason: &str) -> ttrpc::Result<()> {
        let request = EndRequest { session, reason: reason.into(), ..Default::default() };
        self.sessions.end(patiently(), &request).await.map(|_| ())
    }

    async fn list(&self, page_size: u32, page_token: &str) -> ttrpc::Result<ListResponse> {
        let page_token = page_token.into();
        let request = ListRequest { page_size, page_token, ..Default::default() };
        self.sessions.list(patiently(), &request).await
    }
}

#[tokio::test]
async fn hello_tells_what_the_server_is() {
    let host = Host::start();
    let request = HelloRequest { client_name: "a test".into(), ..Default::default() };
    let peer = host.peer().await;
    let hello = peer.connection.hello(patiently(), &request).await.unwrap();
    assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((&*hello.server_id, hello.durable), (host.engine.server_id(), false));
    assert_eq!(hello.incarnation, host.engine.incarnation());
    let limits = hello.limits.unwrap();
    assert_eq!((limits.name_bytes, limits.elections, limits.sessions), (512, 1_000_000, 100_000));
    assert_eq!((limits.candidates, limits.metadata_bytes, limits.labels), (10_000, 4_096, 16));
    assert_eq!((limits.streams, limits.frame_bytes), (1_024, 4 << 20));
    let told = |name: &str| hello.settings.iter().any(|it| it.name == name && !it.value.is_empty());
    assert!(told("shards") && told("silence"), "{:?}", hello.settings);
    let wrong = HelloRequest { client_name: "a\n".into(), ..Default::default() };
    let answer = peer.connection.hello(patiently(), &wrong).await;
    assert_eq!(refused(answer, "client_name has the control"), Code::INVALID_ARGUMENT);
    assert_eq!(host.engine.sessions(), 0, "to ask makes no session");
}

#[tokio::test]
async fn opening_says_the_ttl_in_force_and_refuses_others() {
    let host = Host::start();
    let peer = host.peer().await;
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    for (asked, failover, in_force) in [
        (0, EXCLUSIVE, 3_000_000),
        (0, FAST, 3_000_000),
        (500_000, EXCLUSIVE, 500_000),
        (100_000, FAST, 100_000),
        (1_234_567, EXCLUSIVE, 1_234_567),
        (DAY, EXCLUSIVE, DAY),
    ] {
        assert_eq!(peer.try_open(asked, failover as i32, "").await.unwrap(), in_force);
    }
    let opened = host.engine.sessions();
    for (asked, failover, owner, what) in [
        (499_999, EXCLUSIVE as i32, "", "ttl: 499.999ms is out of range; give 500ms to 86400s"),
        (99_999, FAST as i32, "", "give 100ms to"),
        (DAY + 1, EXCLUSIVE as i32, "", "ttl: "),
        (u64::MAX, FAST as i32, "", "ttl: "),
        (0, 7, "", "failover: 7 is none; give 0 (exclusive) or 1 (fast)"),
        (0, 0, "a\tb", "owner has the control character U+0009"),
        (0, 0, &"x".repeat(257), "owner has 257 bytes"),
    ] {
        let answer = peer.try_open(asked, failover, owner).await;
        assert_eq!(refused(answer, what), Code::INVALID_ARGUMENT);
    }
    assert_eq!(host.engine.sessions(), opened);
}

#[tokio::test]
async fn a_key_moves_its_session_to_this_connection() {
    let host = Host::start();
    let (former, next) = (host.peer().await, host.peer().await);
    let opened = former.open(FAST).await;
    former.enter(opened.id, "jobs", "a").await.unwrap();
    host.pass(TTL - MS);
    assert_eq!(next.resume(&opened.key).await.unwrap(), opened.id);
    assert_eq!(host.remaining(opened.id), Some(TTL), "that renews it");
    next.enter(opened.id, "jobs", "b").await.unwrap();
    let moved = former.enter(opened.id, "jobs", "c").await;
    assert_eq!(refused(moved, "resume it here with its key"), Code::PERMISSION_DENIED);
    assert_eq!(refused(former.close(opened.id).await, "key"), Code::PERMISSION_DENIED);
    // Its close no longer matters, also to a fast session.
    let own = former.enter_v1(patiently(), "other", "x").await;
    own.unwrap();
    drop(former);
    let engine = host.engine.clone();
    host.until("it is closed", || engine.term("other").unwrap().is_vacant()).await;
    assert_eq!(next.shown("jobs").await, r#"t1 a ["b"]"#);
    drop(next);
    let engine = host.engine.clone();
    host.until("that ends it", || engine.term("jobs").unwrap().is_vacant()).await;
}

#[tokio::test]
async fn what_a_closed_connection_means_is_the_sessions_choice() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let (exclusive, fast) = (peer.session().await, peer.open(FAST).await);
    peer.enter(fast.id, "jobs", "fast").await.unwrap();
    peer.enter(exclusive.id, "jobs", "exclusive").await.unwrap();
    peer.enter_v1(patiently(), "jobs", "connection").await.unwrap();
    drop(peer);
    let engine = host.engine.clone();
    host.until("two are gone", || engine.sessions() == 1).await;
    assert_eq!(other.shown("jobs").await, "t2 exclusive []");
    let state = other.state("jobs").await;
    assert_eq!(state.change.cause, Cause::CAUSE_DISCONNECTED.into());
    assert_eq!(refused(other.resume(&fast.key).await, "its connection closed"), ENDED);
    host.pass(TTL - MS);
    assert_eq!(other.resume(&exclusive.key).await.unwrap(), exclusive.id, "until its deadline");
    host.pass(TTL + 2 * MS);
    let expired = other.keep_alive(exclusive.id).await;
    assert_eq!(refused(expired, "session ended: its deadline passed; open"), ENDED);
    let state = other.state("jobs").await;
    assert_eq!((&*show(&state), state.change.cause), ("t2 - []", EXPIRED.into()));
}

const ENDED: Code = Code::FAILED_PRECONDITION;
const EXPIRED: Cause = Cause::CAUSE_SESSION_EXPIRED;

#[tokio::test]
async fn a_closed_session_lets_its_candidates_go_and_stays_closed() {
    let host = Host::start();
    let peer = host.peer().await;
    let Opened { id, key } = peer.session().await;
    peer.enter(id, "one", "a").await.unwrap();
    peer.enter(id, "two", "a").await.unwrap();
    peer.close(id).await.unwrap();
    for name in ["one", "two"] {
        let state = peer.state(name).await;
        assert_eq!(state.change.cause, Cause::CAUSE_CLOSED.into());
        assert_eq!(show(&state), "t1 - []");
    }
    for again in [
        peer.close(id).await,
        peer.keep_alive(id).await.map(|_| ()),
        peer.resume(&key).await.map(|_| ()),
    ] {
        assert_eq!(refused(again, "session ended: closed by its owner"), ENDED);
    }
}

#[tokio::test]
async fn a4_a_listing_shows_every_kind_and_no_key() {
    let host = Host::start();
    let peer = host.peer().await;
    let embedded = host.engine.session().unwrap();
    let (exclusive, fast) = (peer.session().await, peer.open(FAST).await);
    let own = peer.enter(0, "jobs", "a").await.unwrap().leader.session;
    host.pass(MS);
    let page = peer.list(0, "").await.unwrap();
    assert_eq!(page.next_page_token, "");
    let kinds: Vec<_> = page.sessions.iter().map(|it| (it.session, it.kind)).collect();
    assert_eq!(
        kinds,
        [
            (embedded.id().number(), SessionKind::SESSION_KIND_EMBEDDED.into()),
            (exclusive.id, SessionKind::SESSION_KIND_EXCLUSIVE.into()),
            (fast.id, SessionKind::SESSION_KIND_FAST.into()),
            (own, SessionKind::SESSION_KIND_CONNECTION.into()),
        ]
    );
    let shown = &page.sessions[1];
    let times = [shown.ttl_micros, shown.remaining_micros, shown.age_micros, shown.silent_micros];
    assert_eq!((times, &*shown.owner), ([3_000_000, 2_999_000, 1_000, 1_000], "tests"));
    assert_eq!(page.sessions[0].peer, "");
    for attached in &page.sessions[1..] {
        assert!(attached.peer.contains("127.0.0.1:"), "{attached}");
    }
    let bytes = page.write_to_bytes().unwrap();
    assert!(!bytes.windows(16).any(|some| some == exclusive.key || some == fast.key));
}

#[tokio::test]
async fn a_listing_comes_in_pages() {
    let host = Host::start();
    let peer = host.peer().await;
    let mut opened = Vec::new();
    for _ in 0..105 {
        opened.push(peer.session().await.id);
    }
    for (size, pages) in [(0, vec![100, 5]), (50, vec![50, 50, 5]), (35, vec![35, 35, 35, 0])] {
        let (mut token, mut seen) = (String::new(), Vec::new());
        for expected in pages {
            let page = peer.list(size, &token).await.unwrap();
            assert_eq!(page.sessions.len(), expected);
            seen.extend(page.sessions.iter().map(|it| it.session));
            token = page.next_page_token;
        }
        assert_eq!((seen, &*token), (opened.clone(), ""));
    }
    assert_eq!(peer.list(u32::MAX, "").await.unwrap().sessions.len(), 105, "at most 1000");
    for token in ["0", "-1", "x", "99999999999999999999"] {
        let answer = peer.list(0, token).await;
        assert_eq!(refused(answer, "is not from a listing of sessions"), Code::INVALID_ARGUMENT);
    }
}

#[tokio::test]
async fn anybody_may_end_a_session_by_its_id_and_say_why() {
    let host = Host::start();
    let (peer, admin) = (host.peer().await, host.peer().await);
    let session = peer.session().await;
    peer.enter(session.id, "jobs", "a").await.unwrap();
    let own = admin.enter(0, "jobs", "b").await.unwrap().candidates[0].session;
    let invalid = Code::INVALID_ARGUMENT;
    assert_eq!(refused(admin.end(0, "").await, "session: 0 names no session"), invalid);
    assert_eq!(refused(admin.end(999, "").await, "session 999"), Code::NOT_FOUND);
    let long = "x".repeat(257);
    assert_eq!(refused(admin.end(session.id, &long).await, "reason has 257 bytes"), invalid);
    admin.end(session.id, "zone b goes down").await.unwrap();
    let state = admin.state("jobs").await;
    assert_eq!(show(&state), "t2 b []");
    assert_eq!(state.change.cause, Cause::CAUSE_SESSION_ENDED.into());
    assert_eq!(state.change.by, own);
    for attempt in [
        peer.keep_alive(session.id).await.map(|_| ()),
        peer.resume(&session.key).await.map(|_| ()),
        admin.end(session.id, "").await,
    ] {
        let what = "session ended: ended by somebody else: zone b goes down; open a new one";
        assert_eq!(refused(attempt, what), ENDED);
    }
    admin.end(own, "").await.unwrap();
    assert_eq!(peer.shown("jobs").await, "t2 - []", "of every kind");
}
