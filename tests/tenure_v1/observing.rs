//! Observe: the present state first, then the newest after each change.

use std::time::Duration;

use tenure_schema::ttrpc_client::elections_ttrpc::LeaderElectionsClient;
use tenure_schema::ttrpc_client::{elections as v1, runtime::PrimitiveID};
use tenure_schema::ttrpc_tenure::connection::HelloRequest;
use tenure_schema::ttrpc_tenure::elections::{ObserveRequest, State};
use tenure_schema::ttrpc_tenure::sessions::{KeepAliveRequest, Released};
use ttrpc::Code;
use ttrpc::asynchronous::ClientStreamReceiver;
use ttrpc::context::Context;

use crate::peer::{Host, PATIENCE, Peer, TTL, by, patiently, refused, show};

struct States(ClientStreamReceiver<State>);

impl Peer {
    async fn observe(&self, name: &str, leader_only: bool) -> States {
        let request = ObserveRequest { election: name.into(), leader_only, ..Default::default() };
        States(self.elections.observe(Context::default(), &request).await.unwrap())
    }

    /// Asks something that has nothing to do with anything.
    async fn nudge(&self) {
        self.connection.hello(patiently(), &HelloRequest::default()).await.unwrap();
    }
}

impl States {
    async fn try_next(&mut self) -> ttrpc::Result<Option<State>> {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("in time")
    }

    async fn state(&mut self) -> State {
        self.try_next().await.unwrap().expect("a state")
    }

    async fn next(&mut self) -> String {
        show(&self.state().await)
    }
}

#[tokio::test]
async fn the_present_state_comes_first_then_each_change() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let mut states = peer.observe("jobs", false).await;
    let first = states.state().await;
    assert_eq!((&*show(&first), first.revision, &*first.election), ("t0 - []", 0, "jobs"));
    for (candidate, expected) in [("a", "t1 a []"), ("b", r#"t1 a ["b"]"#)] {
        let reply = other.enter(0, "jobs", candidate).await.unwrap();
        let state = states.state().await;
        assert_eq!((&*show(&state), &state), (expected, &reply), "as it was answered");
    }
    other.change("Anoint", &by(0, "jobs", "a")).await.unwrap();
    other.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    assert_eq!(states.next().await, r#"t2 b ["a"]"#, "nothing for what changed nothing");
    let mut late = other.observe("jobs", false).await;
    assert_eq!(late.next().await, r#"t2 b ["a"]"#);
    // It follows the name, through a deletion.
    peer.delete("jobs", None).await.unwrap();
    assert_eq!(states.next().await, "t2 - []");
    peer.enter(0, "jobs", "c").await.unwrap();
    assert_eq!(states.next().await, "t3 c []");
}

#[tokio::test]
async fn leader_only_tells_of_the_leader_alone() {
    let host = Host::start();
    let peer = host.peer().await;
    for candidate in ["a", "b"] {
        peer.enter(0, "jobs", candidate).await.unwrap();
    }
    let mut states = peer.observe("jobs", true).await;
    assert_eq!(states.next().await, "t1 a []", "without those who wait");
    peer.enter(0, "jobs", "c").await.unwrap();
    peer.change("Promote", &by(0, "jobs", "c")).await.unwrap();
    peer.change("Promote", &by(0, "jobs", "c")).await.unwrap();
    let state = states.state().await;
    assert_eq!((&*show(&state), state.revision), ("t2 c []", 5), "the first since");
    for candidate in ["a", "b", "c"] {
        peer.change("Evict", &by(0, "jobs", candidate)).await.unwrap();
    }
    assert_eq!(states.next().await, "t2 - []");
}

#[tokio::test]
async fn the_end_of_valid_after_is_told() {
    for leader_only in [false, true] {
        let host = Host::start();
        let peer = host.peer().await;
        let (first, second) = (peer.session().await.id, peer.session().await.id);
        peer.enter(first, "jobs", "a").await.unwrap();
        peer.enter(second, "jobs", "b").await.unwrap();
        let mut states = peer.observe("jobs", leader_only).await;
        assert_eq!(states.state().await.valid_after_micros, 0);
        peer.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
        let forced = states.state().await;
        assert_eq!((forced.term, forced.valid_after_micros), (2, TTL.as_micros() as u64));
        // The former is let go: nothing changes but this.
        let released = vec![Released { election: "jobs".into(), term: 1, ..Default::default() }];
        let alive = KeepAliveRequest { session: first, released, ..Default::default() };
        peer.sessions.keep_alive(patiently(), &alive).await.unwrap();
        let free = states.state().await;
        assert_eq!((free.revision, free.valid_after_micros), (forced.revision, 0));
        // And again, until the former has not been heard for its TTL.
        peer.change("Anoint", &by(0, "jobs", "a")).await.unwrap();
        assert_eq!(states.state().await.valid_after_micros, TTL.as_micros() as u64);
        host.clock.advance(TTL - Duration::from_millis(5));
        peer.keep_alive(second).await.unwrap();
        host.clock.advance(Duration::from_millis(10));
        // Its deadline is a later one by now: this is not yet the end.
        peer.nudge().await;
        assert!(peer.state("jobs").await.valid_after_micros > 0);
        host.clock.advance(TTL);
        peer.nudge().await;
        let free = states.state().await;
        assert_eq!((free.term, free.valid_after_micros), (3, 0));
    }
}

#[tokio::test]
async fn an_observation_ends_with_close_and_with_a_drain() {
    let host = Host::start();
    let peer = host.peer().await;
    let mut states = peer.observe("jobs", false).await;
    let mut another = peer.observe("another", false).await;
    peer.enter(0, "jobs", "a").await.unwrap();
    let elections = LeaderElectionsClient::new(peer.raw.clone());
    let id = Some(PrimitiveID { name: "jobs".into(), ..Default::default() }).into();
    let close = v1::CloseRequest { id, ..Default::default() };
    elections.close(patiently(), &close).await.unwrap();
    let mut last = None;
    while let Some(state) = states.try_next().await.unwrap() {
        last = Some(show(&state));
    }
    assert_eq!(last.as_deref(), Some("t1 - []"), "with OK, at the newest");
    assert_eq!(another.next().await, "t0 - []");
    let Host { server, .. } = host;
    let drained = tokio::task::spawn_blocking(move || server.drain(PATIENCE));
    assert_eq!(refused(another.try_next().await, "draining"), Code::UNAVAILABLE);
    drop((states, another, elections, peer));
    assert!(drained.await.unwrap());
}

/// It skips what it had no time for, ends at the newest and never goes back.
#[tokio::test]
async fn a_slow_observer_skips_to_the_newest() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let mut states = peer.observe("jobs", false).await;
    let session = host.engine.session().unwrap();
    let election = host.engine.election("jobs").unwrap();
    for n in 0..2_000 {
        election.enter(&session, &format!("c{n}")).unwrap();
        election.evict(&format!("c{n}")).unwrap();
    }
    let newest = other.state("jobs").await.revision;
    let mut seen = None;
    while seen != Some(newest) {
        let state = states.state().await;
        assert!(Some(state.revision) > seen, "it went back");
        seen = Some(state.revision);
    }
}
