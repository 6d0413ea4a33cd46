//! List, Describe, History and Check: what can be seen of elections.

use std::time::Duration;

use tenure_schema::ttrpc_tenure::elections::{
    Cause, CheckRequest, DescribeRequest, HistoryRequest, ListElectionsRequest,
    ListElectionsResponse, Reign, Verdict,
};
use tenure_schema::ttrpc_tenure::sessions::SessionKind;

use crate::peer::{Host, Peer, by, patiently, show};

impl Peer {
    async fn list_elections(&self, prefix: &str, size: u32, token: &str) -> ListElectionsResponse {
        let (prefix, page_token) = (prefix.into(), token.into());
        let request =
            ListElectionsRequest { prefix, page_size: size, page_token, ..Default::default() };
        self.elections.list(patiently(), &request).await.unwrap()
    }

    async fn history(&self, name: &str) -> Vec<Reign> {
        let request = HistoryRequest { election: name.into(), ..Default::default() };
        self.elections.history(patiently(), &request).await.unwrap().reigns
    }

    async fn check(&self, name: &str, term: u64) -> (Verdict, u64, String) {
        let request = CheckRequest { election: name.into(), term, ..Default::default() };
        let reply = self.elections.check(patiently(), &request).await.unwrap();
        (reply.verdict.unwrap(), reply.term, reply.leader)
    }
}

fn names(page: &ListElectionsResponse) -> Vec<&str> {
    page.elections.iter().map(|it| it.election.as_str()).collect()
}

#[tokio::test]
async fn a_listing_is_by_prefix_in_order_and_in_pages() {
    let host = Host::start();
    let peer = host.peer().await;
    let all: Vec<String> = (0..105).map(|n| format!("jobs/{n:03}")).collect();
    for name in all.iter().rev() {
        peer.enter(0, name, "a").await.unwrap();
    }
    peer.enter(0, "other", "a").await.unwrap();
    for (size, pages) in [(0, vec![100, 5]), (50, vec![50, 50, 5]), (35, vec![35, 35, 35, 0])] {
        let (mut token, mut seen) = (String::new(), Vec::new());
        for expected in pages {
            let page = peer.list_elections("jobs/", size, &token).await;
            assert_eq!(page.elections.len(), expected);
            seen.extend(names(&page).into_iter().map(str::to_owned));
            token = page.next_page_token;
        }
        assert_eq!((&seen, &*token), (&all, ""));
    }
    assert_eq!(peer.list_elections("", u32::MAX, "").await.elections.len(), 106);
    assert_eq!(names(&peer.list_elections("jobs/10", 0, "").await).len(), 5);
    // A name that has gone meanwhile still says where to go on.
    peer.delete("jobs/001", None).await.unwrap();
    assert_eq!(names(&peer.list_elections("", 1, "jobs/001").await), ["jobs/002"]);
    assert_eq!(names(&peer.list_elections("nobody", 0, "").await), [""; 0]);
}

#[tokio::test]
async fn a_line_of_a_listing_tells_who_leads() {
    let host = Host::start();
    let peer = host.peer().await;
    for candidate in ["a", "b"] {
        peer.enter(0, "led", candidate).await.unwrap();
    }
    peer.enter(0, "vacant", "a").await.unwrap();
    peer.change("Evict", &by(0, "vacant", "a")).await.unwrap();
    peer.state("only read").await;
    let page = peer.list_elections("", 0, "").await;
    let lines: Vec<_> = page
        .elections
        .iter()
        .map(|it| (&*it.election, it.term, it.revision, &*it.leader, it.standing))
        .collect();
    assert_eq!(lines, [("led", 1, 2, "a", 2), ("vacant", 1, 2, "", 0)]);
    assert_eq!(page.elections[0].since_unix_micros, host.clock.now().nanos() / 1_000);
}

#[tokio::test]
async fn describe_shows_the_queue_with_its_sessions() {
    let host = Host::start();
    let (peer, other) = (host.peer().await, host.peer().await);
    let session = other.session().await.id;
    peer.enter(0, "jobs", "a").await.unwrap();
    other.enter(session, "jobs", "b").await.unwrap();
    let request = DescribeRequest { election: "jobs".into(), ..Default::default() };
    let described = peer.elections.describe(patiently(), &request).await.unwrap();
    assert_eq!(show(&described.state), r#"t1 a ["b"]"#);
    let queue: Vec<_> = described
        .queue
        .iter()
        .map(|it| {
            (&*it.candidate, it.session.session, it.session.kind.unwrap(), &*it.session.owner)
        })
        .collect();
    let own = described.state.leader.session;
    assert_eq!(
        queue,
        [
            ("a", own, SessionKind::SESSION_KIND_CONNECTION, ""),
            ("b", session, SessionKind::SESSION_KIND_EXCLUSIVE, "tests"),
        ]
    );
    let request = DescribeRequest { election: "nothing".into(), ..Default::default() };
    let described = peer.elections.describe(patiently(), &request).await.unwrap();
    assert_eq!((&*show(&described.state), described.queue.len()), ("t0 - []", 0));
    assert_eq!(described.state.election, "nothing");
    assert!(described.state.change.is_none());
}

#[tokio::test]
async fn the_history_tells_how_each_began_and_ended() {
    let host = Host::start();
    let peer = host.peer().await;
    let session = peer.session().await.id;
    for candidate in ["a", "b"] {
        peer.enter(session, "jobs", candidate).await.unwrap();
    }
    let first = host.clock.now().nanos() / 1_000;
    host.clock.advance(Duration::from_secs(1));
    let mut anoint = by(0, "jobs", "b");
    anoint.reason = "rollout".into();
    peer.change("Anoint", &anoint).await.unwrap();
    let reigns = peer.history("jobs").await;
    let [present, past] = &reigns[..] else { panic!("{reigns:?}") };
    assert_eq!((past.term, &*past.leader, past.session), (1, "a", session));
    assert_eq!((past.began.cause, past.began.by), (Cause::CAUSE_ENTERED.into(), session));
    assert_eq!(past.began.at_unix_micros, first);
    let anointed = (Cause::CAUSE_ANOINTED.into(), "rollout");
    assert_eq!((past.ended.cause, &*past.ended.reason), anointed);
    assert_eq!(past.ended.at_unix_micros, first + 1_000_000);
    assert_eq!((present.term, &*present.leader), (2, "b"));
    assert_eq!((present.began.cause, &*present.began.reason), anointed);
    assert!(present.ended.is_none(), "it lasts");
    assert_eq!(peer.history("nothing").await, []);
}

#[tokio::test]
async fn a_term_can_be_checked() {
    let host = Host::start();
    let peer = host.peer().await;
    let (unknown, stale) = (Verdict::VERDICT_UNKNOWN, Verdict::VERDICT_STALE);
    assert_eq!(peer.check("jobs", 1).await, (unknown, 0, String::new()));
    for candidate in ["a", "b"] {
        peer.enter(0, "jobs", candidate).await.unwrap();
    }
    peer.change("Anoint", &by(0, "jobs", "b")).await.unwrap();
    for (term, verdict) in [(1, stale), (2, Verdict::VERDICT_CURRENT), (3, unknown)] {
        assert_eq!(peer.check("jobs", term).await, (verdict, 2, "b".into()), "{term}");
    }
    for candidate in ["a", "b"] {
        peer.change("Evict", &by(0, "jobs", candidate)).await.unwrap();
    }
    assert_eq!(peer.check("jobs", 2).await, (stale, 2, String::new()), "nobody leads any more");
    assert_eq!(host.engine.elections(), 1);
}
