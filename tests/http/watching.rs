//! Watches over HTTP: what they tell, whom they tell nothing twice, and how they end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenure::Failover;

use crate::raw::{Bystander, until};
use crate::{PATIENCE, Site, ask, connect};

/// Reads events until one of them says so.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    fn of(address: &str, election: &str, last: Option<&str>) -> Self {
        let mut stream = connect(address);
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /v1/watch?election={election} HTTP/1.0\r\nHost: x\r\n{last}\r\n")
            .unwrap();
        Self { stream, text: String::new() }
    }

    /// The next event's id and data; `None` at the end.
    #[track_caller]
    fn next(&mut self) -> Option<(String, Value)> {
        let began = Instant::now();
        loop {
            // Comments go on for ever.
            assert!(began.elapsed() < PATIENCE, "no event came: {:?}", self.text);
            if let Some(at) = self.text.find("\nid: ")
                && let Some(end) = self.text[at..].find("\n\n")
            {
                let event = self.text[at + 1..at + end].to_owned();
                self.text.drain(..at + end);
                let (id, data) = event.split_once("\ndata: ").unwrap();
                let id = id.strip_prefix("id: ").unwrap().to_owned();
                return Some((id, serde_json::from_str(data).unwrap()));
            }
            let mut piece = [0; 16 << 10];
            let read = self.stream.read(&mut piece).ok().filter(|&read| read > 0)?;
            self.text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }
}

#[test]
fn a_watch_tells_each_state_and_resumes() {
    let site = Site::new(|it| it);
    let mut events = Events::of(site.address(), "jobs", None);
    let (_, state) = events.next().unwrap();
    assert_eq!((&state["term"], &state["leader"]), (&json!(0), &Value::Null));
    site.enter("jobs", "a");
    let (first, state) = events.next().unwrap();
    assert_eq!((&state["term"], &state["leader"]["name"]), (&json!(1), &json!("a")));
    // Who has that one waits for the next.
    let mut resumed = Events::of(site.address(), "jobs", Some(&first));
    site.enter("jobs", "b");
    let (second, state) = resumed.next().unwrap();
    assert_eq!(state["candidates"][0]["name"], "b");
    assert_ne!(first, second);
    // Who had an earlier one, or another server's, gets the present state.
    for last in [first.as_str(), "another-2"] {
        let mut resumed = Events::of(site.address(), "jobs", Some(last));
        assert_eq!(resumed.next().unwrap().0, second);
    }
    // It ends with the server, and says so by ending.
    assert!(site.server.drain(PATIENCE));
    while events.next().is_some() {}
}

/// Row C6: who does not read costs little, skips to the newest, or is closed in the end.
#[test]
fn c6_a_slow_watcher_is_bounded() {
    let site = Site::new(|it| it.stall_time(Duration::from_millis(500)));
    let mut bystander = Bystander::of(&site.server);
    for n in 0..100 {
        site.enter("jobs", &format!("{n}{}", "x".repeat(500)));
    }
    let mut slow = Events::of(site.address(), "jobs", None);
    slow.next().unwrap();
    let election = site.engine.election("jobs").unwrap();
    let last = format!("99{}", "x".repeat(500));
    for _ in 0..2_000 {
        election.promote(&last).unwrap();
        election.demote(&last).unwrap();
    }
    bystander.check();
    until("it is closed", || site.server.counters().stalled == 1);
    let mut told = 0;
    while slow.next().is_some() {
        told += 1;
    }
    assert!(told < 1_000, "{told} of 4,000 states waited for it");
    // And who reads has the newest.
    let mut quick = Events::of(site.address(), "jobs", None);
    assert_eq!(quick.next().unwrap().1["revision"], election.term().revision());
}

/// Its revisions begin again; its terms don't.
#[test]
fn who_comes_back_after_a_deletion_is_told_of_it() {
    let site = Site::new(|it| it);
    site.enter("jobs", "a");
    let (had, state) = Events::of(site.address(), "jobs", None).next().unwrap();
    // Whoever holds on to it keeps its revisions, too.
    until("nobody watches", || site.server.counters().connections == 0);
    let delete = || site.engine.election("jobs").unwrap().delete().unwrap();
    delete();
    site.enter("jobs", "b");
    let mut back = Events::of(site.address(), "jobs", Some(&had));
    let (id, now) = back.next().unwrap();
    assert_eq!(now["revision"], state["revision"]);
    assert_eq!((&now["leader"]["name"], &now["term"]), (&json!("b"), &json!(2)));
    assert_ne!(id, had);
    // One who stayed is told that nobody leads, and then of the next.
    delete();
    assert_eq!(back.next().unwrap().1["leader"], Value::Null);
    site.enter("jobs", "c");
    assert_eq!(back.next().unwrap().1["leader"]["name"], "c");
}

/// The state is the same but for that.
#[test]
fn that_a_leader_need_not_wait_any_more_is_told() {
    let site = Site::new(|it| it);
    let ttl = Duration::from_secs(3_600);
    let former = site.engine.session_with_ttl(ttl, Failover::Exclusive).unwrap();
    let election = site.engine.election("jobs").unwrap();
    election.enter(&former, "a").unwrap();
    site.enter("jobs", "b");
    election.anoint("b").unwrap();
    let mut events = Events::of(site.address(), "jobs", None);
    let (waits, first) = events.next().unwrap();
    assert!(first["valid_after_micros"].as_u64().unwrap() > 0, "{first}");
    let is_leader = || site.get("/v1/is-leader?election=jobs&candidate=b").json();
    assert!(is_leader()["valid_after_micros"].as_u64().unwrap() > 0);
    election.let_go(&former, 1);
    let (id, second) = events.next().unwrap();
    assert_eq!(second["valid_after_micros"], 0);
    assert_eq!(second["revision"], first["revision"]);
    assert_ne!(id, waits);
    let mut back = Events::of(site.address(), "jobs", Some(&waits));
    assert_eq!(back.next().unwrap().1["valid_after_micros"], 0);
    assert_eq!(is_leader()["valid_after_micros"], 0);
}

/// Everything until the end.
fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Wherever it was asked for, a watch ends by words and not in the middle.
#[test]
fn a_watch_says_why_it_ends() {
    let site = Site::new(|it| it.admin_listen("127.0.0.1:0"));
    let admin = site.server.admin_addresses()[0].clone();
    let mut streams = Vec::new();
    for address in [site.address(), &admin] {
        let mut stream = connect(address);
        write!(stream, "GET /v1/watch?election=jobs HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut piece = [0; 4 << 10];
        let mut heard = String::new();
        while !heard.contains("data: ") {
            let read = stream.read(&mut piece).unwrap();
            heard.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        streams.push(stream);
    }
    // Somebody holds the drain up.
    let mut held = connect(site.address());
    held.write_all(b"\0\0").unwrap();
    std::thread::scope(|scope| {
        let drains = scope.spawn(|| site.server.drain(PATIENCE));
        let admins = streams.pop().unwrap();
        let text = rest(streams.pop().unwrap());
        assert!(text.contains("event: end\ndata: {\"error\":{\"code\":\"UNAVAILABLE\""), "{text}");
        assert!(text.ends_with("\r\n0\r\n\r\n"), "{text:?}");
        let path = "GET /v1/watch?election=jobs HTTP/1.1\r\nHost: x\r\n";
        ask(&admin, path, "").error(503, "UNAVAILABLE");
        // That connection is kept, so only the stream ends.
        let mut heard = String::new();
        let mut piece = [0; 4 << 10];
        let mut admins = admins;
        while !heard.ends_with("\r\n0\r\n\r\n") {
            let read = admins.read(&mut piece).unwrap();
            assert!(read > 0, "{heard:?}");
            heard.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        assert!(heard.contains("event: end\n"), "{heard}");
        drop(held);
        assert!(drains.join().unwrap());
    });
}

/// One too many is told so, and costs the others nothing.
#[test]
fn many_watches_on_one_connection_are_bounded() {
    let limits = tenure::Limits { streams: 4, ..tenure::Limits::default() };
    let site = Site::of(tenure::Engine::builder().limits(limits), |it| it);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(site.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut kept = Vec::new();
        for n in 0..6 {
            let uri = format!("http://{}/v1/watch?election=e{n}", site.address());
            let request = http::Request::get(uri).body(()).unwrap();
            let response = client.send_request(request, true).unwrap().0.await.unwrap();
            assert_eq!(response.status(), if n < 4 { 200 } else { 429 }, "{n}");
            kept.push(response);
        }
        // Whoever gives one up has room again.
        drop(kept.remove(0));
        let again = async || {
            let uri = format!("http://{}/v1/watch?election=e9", site.address());
            let request = http::Request::get(uri).body(()).unwrap();
            client.clone().send_request(request, true).unwrap().0.await.unwrap().status() == 200
        };
        while !again().await {}
        driver.abort();
    });
}
