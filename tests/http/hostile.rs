//! Requests of who means no good, or is not careful.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::raw::{Bystander, until};
use crate::{PATIENCE, Site, ask, connect};

/// All that is said on a connection of its own, whose other side is closed before, unless it is `Both`.
fn told(site: &Site, request: &str, closed: Shutdown) -> String {
    let mut stream = connect(site.address());
    stream.write_all(request.as_bytes()).unwrap();
    if closed == Shutdown::Write {
        stream.shutdown(closed).unwrap();
    }
    let (began, mut heard, mut piece) = (Instant::now(), Vec::new(), [0; 4 << 10]);
    // It may be cut off. A watch may go on for ever.
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        heard.extend_from_slice(&piece[..read]);
        assert!(began.elapsed() < PATIENCE, "it goes on and on");
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// With what a careful client says of itself.
fn change(site: &Site, path: &str, fields: &str, body: &str) -> crate::Reply {
    let address = site.address();
    let head = format!(
        "POST {path} HTTP/1.1\r\n{fields}Host: {address}\r\nContent-Type: application/json\r\n"
    );
    ask(address, &head, body)
}

/// Row A3: shapes that two readers may understand in two ways, and heads without end, cost the connection
/// that sends them.
#[test]
fn a3_ambiguous_requests() {
    let site = Site::new(|it| it.frame_time(Duration::from_millis(300)));
    let mut bystander = Bystander::of(&site.server);
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
    for request in [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET  /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        long.as_str(),
        many.as_str(),
    ] {
        let mut stream = connect(site.address());
        // It may be closed before all of it is sent.
        let _may_be_cut = stream.write_all(request.as_bytes());
        let mut heard = Vec::new();
        let _may_be_cut = stream.read_to_end(&mut heard);
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 4"), "{request:?}: {heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), usize::from(!heard.is_empty()));
        bystander.check();
    }
    // Both lengths: the chunks count, and nothing behind them is taken for a request.
    for both in [
        "Content-Length: 40\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 40",
    ] {
        let request = format!(
            "POST /v1/leader HTTP/1.1\r\nHost: x\r\n{both}\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let heard = told(&site, &request, Shutdown::Both);
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
        assert!(heard.starts_with("HTTP/1.1 405"), "{heard}");
    }
    bystander.check();
    until("all are gone", || site.server.counters().connections == 1);
}

/// As `nc -N` does, and some that look whether a server lives.
#[test]
fn who_closes_its_side_has_its_answer() {
    let site = Site::new(|it| it.http_write(true));
    for n in 0..1_000 {
        site.enter("jobs", &format!("{n}{}", "x".repeat(500)));
    }
    let host = format!("Host: {}\r\n", site.address());
    for n in 0..100 {
        let mut stream = connect(site.address());
        // Its end comes with the rest of it, or after it.
        stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
        if n % 2 == 0 {
            sleep(Duration::from_millis(1));
        }
        write!(stream, "{host}\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert!(heard.ends_with("{\"live\":true}"), "{n}: {heard}");
    }
    let body = json!({"election": "jobs", "candidate": format!("999{}", "x".repeat(500))});
    let post = format!(
        "POST /v1/evict HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.to_string().len()
    );
    for _ in 0..5 {
        let heard = told(&site, &post, Shutdown::Write);
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    }
    // Also what takes many writes, and a peer that is slow to read.
    let mut stream = connect(site.address());
    write!(stream, "GET /v1/election?name=jobs HTTP/1.1\r\n{host}\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        sleep(Duration::from_millis(10));
        match stream.read(&mut piece).unwrap() {
            0 => break,
            read => heard.extend_from_slice(&piece[..read]),
        }
    }
    let heard = String::from_utf8(heard).unwrap();
    let (_, body) = heard.split_once("\r\n\r\n").unwrap();
    assert!(body.len() > 1 << 20, "{}", body.len());
    let all: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(all["queue"].as_array().unwrap().len(), 999);
    // And whoever begins a request and goes is not waited for.
    told(&site, &format!("GET /livez HTTP/1.1\r\n{host}"), Shutdown::Write);
    told(&site, &post[..post.len() - 1], Shutdown::Write);
    until("all are gone", || site.server.counters().connections == 0);
}

/// A watch has no end, and so nobody is told it who has gone.
#[test]
fn a_watcher_that_closed_its_side_has_gone() {
    let site = Site::new(|it| it);
    told(&site, "GET /v1/watch?election=jobs HTTP/1.1\r\nHost: x\r\n\r\n", Shutdown::Write);
    until("it is gone", || site.server.counters().connections == 0);
}

#[test]
fn what_is_no_text_names_no_election() {
    let site = Site::new(|it| it);
    site.enter("a\u{fffd}", "someone");
    let why = |path: &str| site.get(path).error(400, "INVALID_ARGUMENT");
    assert_eq!(why("/v1/leader?election=a%ff"), "election is not valid UTF-8 from byte 1 on");
    assert!(why("/v1/watch?election=%C3").contains("UTF-8"));
    assert!(why("/v1/leader?election=%zz").contains("%25"));
    assert!(why("/v1/leader?election=a%2").contains("%25"));
    assert!(why("/v1/leader?election=a&elect%ff=b").contains("unknown field"));
    assert!(why("/v1/leader?election=a&election=b").contains("duplicate"));
    assert!(why("/v1/leader?election=a%00").contains("U+0000"));
    // What is text may be written in any way.
    site.enter("a b/é", "someone");
    for path in ["/v1/leader?election=a+b/%C3%A9", "/v1/leader?%65lection=a%20b%2Fé"] {
        assert_eq!(site.get(path).json()["election"], "a b/é");
    }
    let longest = "é".repeat(256);
    site.enter(&longest, "someone");
    let path = format!("/v1/leader?election={}", "%C3%A9".repeat(256));
    assert_eq!(site.get(&path).json()["leader"]["name"], "someone");
}

/// A candidate that can't be stands nowhere by mistake of the caller's, which "does not lead" would hide.
#[test]
fn a_candidate_that_cannot_be_is_refused() {
    let site = Site::new(|it| it);
    let why = |candidate: &str| {
        let path = format!("/v1/is-leader?election=jobs&candidate={candidate}");
        site.get(&path).error(400, "INVALID_ARGUMENT")
    };
    assert!(why("").contains("empty"));
    assert!(why("a%0A").contains("control"));
    assert!(why(&"x".repeat(513)).contains("512"));
}

#[test]
fn a_change_is_told_in_one_way() {
    let site = Site::new(|it| it.http_write(true));
    site.enter("jobs", "a");
    let why = |path: &str, fields: &str, body: &str| {
        change(&site, path, fields, body).error(400, "INVALID_ARGUMENT")
    };
    let good = json!({"election": "jobs", "candidate": "a"}).to_string();
    assert!(why("/v1/evict?expected_term=7", "", &good).contains('?'));
    assert!(why("/v1/evict", "", r#"["jobs", "a", null, ""]"#).contains("object"));
    assert!(why("/v1/evict", "", "").contains("object"));
    let twice = r#"{"election": "jobs", "election": "jobs", "candidate": "a"}"#;
    assert!(why("/v1/evict", "", twice).contains("duplicate"));
    let chunked = "Transfer-Encoding: chunked\r\n";
    let address = site.address();
    let head =
        format!("POST /v1/evict HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    let cut = told(&site, &format!("{head}{chunked}\r\nzz\r\n"), Shutdown::Both);
    assert!(cut.starts_with("HTTP/1.1 400") && cut.contains("can't be read"), "{cut}");
    let id = site.session.id().number();
    for id in [format!("+{id}"), format!("0{id}"), "0".into(), "x".into()] {
        assert!(
            why("/v1/end-session", "", &json!({"session": id}).to_string()).contains("session")
        );
    }
    assert_eq!(site.engine.term("jobs").unwrap().leader(), Some("a"));
    assert_eq!(change(&site, "/v1/evict", "", &good).status, 200);
}

/// Where the request line and Host disagree, or Host is nearly an address, a page may have had a hand in it.
#[test]
fn who_is_asked_is_said_once() {
    let site = Site::new(|it| it.http_write(true));
    site.enter("jobs", "a");
    let (address, body) = (site.address(), json!({"election": "jobs", "candidate": "a"}));
    let port = address.rsplit_once(':').unwrap().1;
    for (target, host) in [
        ("http://evil.example/v1/evict".to_owned(), address.to_owned()),
        (format!("http://{address}/v1/evict"), "evil.example".to_owned()),
        ("/v1/evict".to_owned(), format!("[::1].evil.example:{port}")),
        ("/v1/evict".to_owned(), "[::1]evil.example".to_owned()),
        ("/v1/evict".to_owned(), "127.0.0.1:evil".to_owned()),
        ("/v1/evict".to_owned(), String::new()),
    ] {
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        let reply = ask(address, &head, &body.to_string());
        reply.error(403, "PERMISSION_DENIED");
        assert_eq!(site.engine.term("jobs").unwrap().leader(), Some("a"), "{target} {host}");
    }
    let head = format!(
        "POST http://{address}/v1/evict HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    );
    assert_eq!(ask(address, &head, &body.to_string()).status, 200);
}

/// It would never be met, and whoever set it would look for the reason elsewhere.
#[test]
fn an_origin_that_no_browser_says_is_refused() {
    let engine = tenure::Engine::builder().open().unwrap();
    for origin in ["ops.example", "https://ops.example/", "https://ops.example:443", "*"] {
        let builder = tenure::Server::builder(engine.clone()).listen("127.0.0.1:0");
        let error = builder.http_origin(origin).spawn().unwrap_err().to_string();
        assert!(error.starts_with("http-origin: ") && error.contains(origin), "{error}");
    }
}
