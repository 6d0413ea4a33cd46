//! Enter, Withdraw, Anoint, Promote, Demote, Evict and Delete: what they do, on which condition, and what
//! their answers tell.

use std::time::Duration;

use protobuf::EnumOrUnknown;
use tenure_schema::ttrpc_tenure::elections::{
    Cause, ChangeRequest, DeleteRequest, EnterRequest, Metadata, OnConflict,
};
use tenure_schema::ttrpc_tenure::sessions::{Failover, KeepAliveRequest, Lost, Released};
use ttrpc::Code;

use crate::peer::{Host, Peer, TTL, by, enter, patiently, refused, show};

const TAKE_OVER: OnConflict = OnConflict::ON_CONFLICT_TAKE_OVER;
const MOVED: Code = Code::FAILED_PRECONDITION;

impl Peer {
    pub(crate) async fn delete(&self, name: &str, term: Option<u64>) -> ttrpc::Result<()> {
        let (election, reason) = (name.into(), "a test is over".into());
        let request = DeleteRequest { election, expected_term: term, reason, ..Default::default() };
        self.elections.delete(patiently(), &request).await.map(|_| ())
    }
}

fn in_term(request: ChangeRequest, expected: u64) -> ChangeRequest {
    ChangeRequest { expected_term: Some(expected), ..request }
}

#[tokio::test]
async fn the_queue_moves_as_the_table_says() {
    let host = Host::start();
    let peer = host.peer().await;
    let session = peer.session().await.id;
    for (candidate, expected) in
        [("a", "t1 a []"), ("b", r#"t1 a ["b"]"#), ("c", r#"t1 a ["b", "c"]"#)]
    {
        assert_eq!(show(&peer.enter(session, "jobs", candidate).await.unwrap()), expected);
    }
    for (method, candidate, expected, cause) in [
        ("Promote", "c", r#"t1 a ["c", "b"]"#, Cause::CAUSE_PROMOTED),
        ("Promote", "c", r#"t2 c ["a", "b"]"#, Cause::CAUSE_PROMOTED),
        ("Anoint", "b", r#"t3 b ["c", "a"]"#, Cause::CAUSE_ANOINTED),
        ("Demote", "b", r#"t4 c ["b", "a"]"#, Cause::CAUSE_DEMOTED),
        ("Withdraw", "c", r#"t5 b ["a"]"#, Cause::CAUSE_WITHDRAWN),
        ("Evict", "b", r#"t6 a []"#, Cause::CAUSE_EVICTED),
    ] {
        host.clock.advance(Duration::from_millis(1));
        let reason = format!("because of {candidate}");
        let request = ChangeRequest { reason: reason.clone(), ..by(session, "jobs", candidate) };
        let state = peer.change(method, &request).await.unwrap();
        assert_eq!((&*show(&state), state.change.cause), (expected, cause.into()));
        assert_eq!((&state.change.reason, state.change.by), (&reason, session));
        let now = host.clock.now().nanos() / 1_000;
        assert_eq!(state.change.at_unix_micros, now);
    }
    let state = peer.state("jobs").await;
    assert_eq!((state.revision, state.leader.session), (9, session));
    // Nothing to do: no change.
    for (method, candidate) in [("Anoint", "a"), ("Promote", "a"), ("Demote", "a")] {
        assert_eq!(peer.change(method, &by(0, "jobs", candidate)).await.unwrap(), state);
    }
    assert_eq!(peer.enter(session, "jobs", "a").await.unwrap(), state);
    for method in ["Withdraw", "Evict"] {
        let left = peer.change(method, &by(session, "jobs", "nobody")).await.unwrap();
        assert_eq!(left, state, "who is not there has left");
    }
}

#[tokio::test]
async fn since_is_when_the_lead_last_passed() {
    let host = Host::start();
    let peer = host.peer().await;
    let micros = || host.clock.now().nanos() / 1_000;
    assert_eq!(peer.state("jobs").await.since_unix_micros, 0, "before the first change");
    let began = micros();
    peer.enter(0, "jobs", "a").await.unwrap();
    host.clock.advance(Duration::from_secs(1));
    let waits = peer.enter(0, "jobs", "b").await.unwrap();
    assert_eq!((waits.since_unix_micros, waits.change.at_unix_micros), (began, micros()));
    let passed = peer.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    assert_eq!(passed.since_unix_micros, micros());
    host.clock.advance(Duration::from_secs(1));
    for candidate in ["a", "b"] {
        peer.change("Evict", &by(0, "jobs", candidate)).await.unwrap();
    }
    assert_eq!(peer.state("jobs").await.since_unix_micros, micros(), "vacant since");
}

#[tokio::test]
async fn a_change_by_nobody_makes_no_session() {
    let host = Host::start();
    let (peer, admin) = (host.peer().await, host.peer().await);
    peer.enter(0, "jobs", "a").await.unwrap();
    peer.enter(0, "jobs", "b").await.unwrap();
    let state = admin.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    assert_eq!((&*show(&state), state.change.by), (r#"t2 b ["a"]"#, 0));
    admin.delete("jobs", None).await.unwrap();
    assert_eq!(host.engine.sessions(), 1);
}

#[tokio::test]
async fn who_is_asked_for_and_absent_is_told_with_those_who_are_there() {
    let host = Host::start();
    let peer = host.peer().await;
    for method in ["Anoint", "Promote", "Demote"] {
        let answer = peer.change(method, &by(0, "nothing", "x")).await;
        assert_eq!(refused(answer, r#""x" does not stand in "nothing"; nobody"#), Code::NOT_FOUND);
    }
    for n in 0..7 {
        peer.enter(0, "jobs", &format!("c{n}")).await.unwrap();
    }
    let before = peer.state("jobs").await;
    for method in ["Anoint", "Promote", "Demote"] {
        let answer = peer.change(method, &by(0, "jobs", "x")).await;
        assert_eq!(refused(answer, "these do: c0, c1, c2, c3, c4, ..."), Code::NOT_FOUND);
    }
    assert_eq!(peer.state("jobs").await, before);
    for method in ["Withdraw", "Evict"] {
        let left = peer.change(method, &by(0, "nothing", "x")).await.unwrap();
        assert_eq!((&*left.election, &*show(&left)), ("nothing", "t0 - []"));
    }
    assert!(host.engine.term("nothing").unwrap().number() == 0);
}

#[tokio::test]
async fn nothing_happens_in_another_term_than_expected() {
    let host = Host::start();
    let peer = host.peer().await;
    for candidate in ["a", "b"] {
        peer.enter(0, "jobs", candidate).await.unwrap();
    }
    peer.change("Anoint", &in_term(by(0, "jobs", "b"), 1)).await.unwrap();
    let before = peer.state("jobs").await;
    for method in ["Withdraw", "Anoint", "Promote", "Demote", "Evict"] {
        for expected in [0, 1, 3] {
            let answer = peer.change(method, &in_term(by(0, "jobs", "a"), expected)).await;
            let what = format!("the term is 2, not {expected} as expected; nothing was changed");
            assert_eq!(refused(answer, &what), MOVED);
        }
    }
    assert_eq!(refused(peer.delete("jobs", Some(1)).await, "the term is 2"), MOVED);
    assert_eq!(peer.state("jobs").await, before);
    peer.delete("jobs", Some(2)).await.unwrap();
    // Deleted, it reads as any unknown name does; also to this connection, which still knows it.
    for name in ["jobs", "unheard of"] {
        assert_eq!(refused(peer.delete(name, Some(2)).await, "the term is 0, not 2"), MOVED);
        peer.delete(name, Some(0)).await.unwrap();
        for method in ["Withdraw", "Anoint", "Evict"] {
            let answer = peer.change(method, &in_term(by(0, name, "a"), 2)).await;
            assert_eq!(refused(answer, "the term is 0, not 2"), MOVED);
        }
        let left = peer.change("Evict", &in_term(by(0, name, "a"), 0)).await.unwrap();
        assert_eq!(show(&left), "t0 - []");
    }
}

#[tokio::test]
async fn a_candidate_of_another_session_is_refused_or_taken_over() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let (holder, taker) = (peer.session().await.id, other.session().await.id);
    peer.enter(holder, "jobs", "a").await.unwrap();
    // Neither passes from a connection, as it would on v1.
    peer.enter(0, "other", "a").await.unwrap();
    for name in ["jobs", "other"] {
        let answer = other.enter(taker, name, "a").await;
        assert_eq!(refused(answer, r#"candidate "a" is held by"#), Code::ALREADY_EXISTS);
        let answer = other.change("Withdraw", &by(taker, name, "a")).await;
        assert_eq!(refused(answer, "use Evict"), Code::PERMISSION_DENIED);
    }
    let request = EnterRequest { on_conflict: TAKE_OVER.into(), ..enter(taker, "jobs", "a") };
    let reply = other.elections.enter(patiently(), &request).await.unwrap();
    let state = reply.state.unwrap();
    assert!(reply.entered);
    assert_eq!((&*show(&state), state.leader.session), ("t2 a []", taker));
    let taken = Cause::CAUSE_TAKEN_OVER;
    assert_eq!((state.change.cause, state.change.by), (taken.into(), taker));
    assert_eq!(state.valid_after_micros, TTL.as_micros() as u64, "the former may still act");
    let on_conflict = EnumOrUnknown::from_i32(9);
    let answer = other.enter_as(&EnterRequest { on_conflict, ..enter(taker, "jobs", "b") }).await;
    let what = "on_conflict: 9 is none; give 0 (fail), 1 (wait) or 2 (take over)";
    assert_eq!(refused(answer, what), Code::INVALID_ARGUMENT);
}

#[tokio::test]
async fn only_if_leads_says_what_came_of_it() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let only = |name| EnterRequest { only_if_leads: true, ..enter(0, name, "b") };
    let reply = other.elections.enter(patiently(), &only("free")).await.unwrap();
    assert_eq!((reply.entered, &*show(&reply.state)), (true, "t1 b []"));
    peer.enter(0, "jobs", "a").await.unwrap();
    let reply = other.elections.enter(patiently(), &only("jobs")).await.unwrap();
    assert_eq!((reply.entered, &*show(&reply.state)), (false, "t1 a []"));
    assert_eq!(peer.shown("jobs").await, "t1 a []");
}

#[tokio::test]
async fn a_candidate_says_where_it_is_and_keeps_within_its_limits() {
    let host = Host::start();
    let peer = host.peer().await;
    let request = |candidate: &str, address: &str, labels: usize| {
        let labels = (0..labels).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        let metadata = Metadata { address: address.into(), labels, ..Default::default() };
        EnterRequest { metadata: Some(metadata).into(), ..enter(0, "jobs", candidate) }
    };
    let state = peer.enter_as(&request("a", "host-1:80", 16)).await.unwrap();
    let told = &state.leader.metadata;
    assert_eq!((&*told.address, told.labels.len(), &*told.labels["k3"]), ("host-1:80", 16, "v"));
    peer.enter_as(&request("b", "host-2:80", 0)).await.unwrap();
    let state = peer.state("jobs").await;
    assert!(state.candidates[0].metadata.is_none(), "only the leader's is told");
    let state = peer.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    assert_eq!(state.leader.metadata.address, "host-2:80");
    let full = Code::RESOURCE_EXHAUSTED;
    let answer = peer.enter_as(&request("c", "", 17)).await;
    assert_eq!(refused(answer, "limit reached: labels (16)"), full);
    let answer = peer.enter_as(&request("c", &"x".repeat(4_097), 0)).await;
    assert_eq!(refused(answer, "limit reached: metadata_bytes (4096)"), full);
    assert_eq!(peer.shown("jobs").await, r#"t2 b ["a"]"#);
}

/// Two may not act at once: whoever leads by force waits for the former to let go, or for its end.
#[tokio::test]
async fn who_leads_by_force_waits_until_the_former_has_let_go() {
    let host = Host::start();
    let peer = host.peer().await;
    let (first, second) = (peer.session().await.id, peer.session().await.id);
    peer.enter(first, "jobs", "a").await.unwrap();
    peer.enter(second, "jobs", "b").await.unwrap();
    host.clock.advance(Duration::from_secs(1));
    let state = peer.change("Anoint", &by(second, "jobs", "b")).await.unwrap();
    assert_eq!(state.valid_after_micros, 2_000_000, "until the deadline of the former");
    let request = |released: Option<u64>| {
        let term = released.into_iter();
        let released = term.map(|term| Released { election: "jobs".into(), term, ..def() });
        KeepAliveRequest { session: first, released: released.collect(), ..def() }
    };
    let lost = Lost { election: "jobs".into(), term: 1, ..def() };
    for released in [None, Some(0)] {
        let alive = peer.sessions.keep_alive(patiently(), &request(released)).await.unwrap();
        assert_eq!(alive.lost, std::slice::from_ref(&lost));
        let state = peer.state("jobs").await;
        assert_eq!(
            state.valid_after_micros, 3_000_000,
            "a renewal that lets nothing go prolongs it"
        );
    }
    let alive = peer.sessions.keep_alive(patiently(), &request(Some(1))).await.unwrap();
    assert_eq!(alive.lost, []);
    assert_eq!(peer.state("jobs").await.valid_after_micros, 0);
}

fn def<T: Default>() -> T {
    T::default()
}

#[tokio::test]
async fn nobody_waits_for_a_fast_session_or_one_that_left() {
    let host = Host::start();
    let peer = host.peer().await;
    let fast = peer.open(Failover::FAILOVER_FAST).await.id;
    let (one, two) = (peer.session().await.id, peer.session().await.id);
    peer.enter(fast, "jobs", "a").await.unwrap();
    peer.enter(one, "jobs", "b").await.unwrap();
    peer.enter(two, "jobs", "c").await.unwrap();
    let state = peer.change("Evict", &by(0, "jobs", "a")).await.unwrap();
    assert_eq!((&*show(&state), state.valid_after_micros), (r#"t2 b ["c"]"#, 0));
    let alive = KeepAliveRequest { session: fast, ..def() };
    let alive = peer.sessions.keep_alive(patiently(), &alive).await.unwrap();
    assert_eq!((alive.lost.len(), alive.lost[0].term), (1, 1), "it is told all the same");
    let state = peer.change("Withdraw", &by(one, "jobs", "b")).await.unwrap();
    assert_eq!((&*show(&state), state.valid_after_micros), ("t3 c []", 0));
}

#[tokio::test]
async fn deletion_ends_all_and_terms_go_on_above_the_floor() {
    let host = Host::start();
    let peer = host.peer().await;
    for candidate in ["a", "b"] {
        peer.enter(0, "jobs", candidate).await.unwrap();
    }
    for candidate in ["b", "a"] {
        peer.change("Anoint", &by(0, "jobs", candidate)).await.unwrap();
    }
    peer.delete("jobs", None).await.unwrap();
    assert_eq!(peer.shown("jobs").await, "t0 - []");
    peer.delete("jobs", None).await.unwrap();
    peer.delete("unheard of", None).await.unwrap();
    assert_eq!(show(&peer.enter(0, "another", "a").await.unwrap()), "t4 a []");
    assert_eq!(show(&peer.enter(0, "jobs", "a").await.unwrap()), "t4 a []");
}
