//! HTTP over real sockets: what it answers, whom it refuses, and what it costs the others.

#[path = "../raw/mod.rs"]
mod raw;

mod hostile;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use raw::{Bystander, until};
use serde_json::{Value, json};
use tenure::{Engine, EngineBuilder, EnterOptions, Metadata, Server, ServerBuilder, Session};

const PATIENCE: Duration = Duration::from_secs(30);

struct Site {
    engine: Engine,
    server: Server,
    /// Holds whoever stands.
    session: Session,
}

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    /// The sentence of an error.
    #[track_caller]
    fn error(&self, status: u16, code: &str) -> String {
        let error = &self.json()["error"];
        assert_eq!((self.status, error["code"].as_str()), (status, Some(code)), "{}", self.body);
        error["message"].as_str().unwrap().to_owned()
    }
}

impl Site {
    fn new(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::of(Engine::builder(), set)
    }

    fn of(builder: EngineBuilder, set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let engine = builder.open().unwrap();
        let server = set(Server::builder(engine.clone()).listen("127.0.0.1:0")).spawn().unwrap();
        let session = engine.session().unwrap();
        Self { engine, server, session }
    }

    fn enter(&self, election: &str, candidate: &str) {
        self.engine.election(election).unwrap().enter(&self.session, candidate).unwrap();
    }

    fn address(&self) -> &str {
        &self.server.addresses()[0]
    }

    fn get(&self, path: &str) -> Reply {
        ask(self.address(), &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address()), "")
    }

    /// With what a careful client says of itself.
    fn post(&self, path: &str, body: &Value) -> Reply {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
            self.address()
        );
        ask(self.address(), &head, &body.to_string())
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One request on a connection of its own; `head` lacks its end.
fn ask(address: &str, head: &str, body: &str) -> Reply {
    let mut stream = connect(address);
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    write!(stream, "{head}{length}Connection: close\r\n\r\n{body}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    let headers = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: body.to_owned() }
}

#[test]
fn elections_are_listed_page_by_page() {
    let site = Site::new(|it| it);
    for n in 0..250 {
        site.enter(&format!("team/{n:03}"), "node");
    }
    site.enter("other", "node");
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = site.get(&format!("/v1/elections?prefix=team%2F&page_token={token}")).json();
        let elections = page["elections"].as_array().unwrap().clone();
        assert!(elections.len() <= 100);
        names.extend(elections.iter().map(|it| it["election"].as_str().unwrap().to_owned()));
        token = page["next_page_token"].as_str().unwrap().replace('/', "%2F");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..250).map(|n| format!("team/{n:03}")).collect::<Vec<_>>());
    let one = &site.get("/v1/elections?prefix=other&page_size=5").json()["elections"][0];
    assert_eq!(
        (&one["term"], &one["leader"], &one["standing"]),
        (&json!(1), &json!("node"), &json!(1))
    );
}

#[test]
fn who_leads_where_since_when_and_why() {
    let site = Site::new(|it| it);
    let election = site.engine.election("jobs").unwrap();
    let says = Metadata::new("10.0.0.7:80", [("zone", "b")]).unwrap();
    election
        .enter_with(&site.session, "a", EnterOptions { metadata: says, ..EnterOptions::default() })
        .unwrap();
    site.enter("jobs", "b");
    let id = site.session.id().number().to_string();

    let leader = site.get("/v1/leader?election=jobs");
    assert_eq!(leader.status, 200);
    assert_eq!(leader.headers["cache-control"], "no-store");
    assert_eq!(leader.headers["content-type"], "application/json");
    let leader = leader.json();
    let expected =
        json!({"name": "a", "session": id, "address": "10.0.0.7:80", "labels": {"zone": "b"}});
    assert_eq!((&leader["leader"], &leader["term"]), (&expected, &json!(1)));

    let all = site.get("/v1/election?name=jobs").json();
    assert_eq!(all["candidates"][0]["name"], "b");
    assert_eq!((&all["change"]["cause"], &all["revision"]), (&json!("entered"), &json!(2)));
    assert_eq!(all["queue"][1]["session"]["kind"], "embedded");

    for (candidate, status) in [("a", 200), ("b", 503), ("nobody", 503)] {
        let reply = site.get(&format!("/v1/is-leader?election=jobs&candidate={candidate}"));
        assert_eq!((reply.status, &reply.json()["leads"]), (status, &json!(status == 200)));
    }
    election.anoint("b").unwrap();
    let history = site.get("/v1/history?election=jobs").json();
    assert_eq!(
        (&history["reigns"][0]["leader"], &history["reigns"][1]["leader"]),
        (&json!("b"), &json!("a"))
    );
    assert_eq!(history["reigns"][1]["ended"]["cause"], "anointed");
    let sessions = site.get("/v1/sessions").json();
    assert_eq!(sessions["sessions"][0]["session"], id);

    election.evict("a").unwrap();
    election.evict("b").unwrap();
    let nobody = site.get("/v1/leader?election=jobs");
    assert_eq!(
        (nobody.status, &nobody.json()["leader"], &nobody.json()["term"]),
        (404, &Value::Null, &json!(2))
    );
    let known = site.engine.elections();
    assert_eq!(site.get("/v1/leader?election=unknown").status, 404);
    assert_eq!(site.get("/v1/election?name=unknown").json()["term"], 0);
    assert_eq!(site.engine.elections(), known, "asking makes nothing");
}

#[test]
fn what_was_wrong_is_named() {
    let site = Site::new(|it| it);
    let bad = |path: &str| site.get(path).error(400, "INVALID_ARGUMENT");
    assert!(bad("/v1/leader").contains("election"));
    assert!(bad("/v1/leader?election=a&elect=b").contains("elect"));
    assert!(bad("/v1/leader?election=").contains("empty"));
    assert!(bad("/v1/leader?election=a%01b").contains("control"));
    assert!(bad("/v1/elections?page_size=many").contains("page_size"));
    assert!(bad(&format!("/v1/leader?election={}", "x".repeat(513))).contains("512"));
    assert!(site.get("/v2").error(404, "NOT_FOUND").contains("/v2"));
    let reply = site.post("/v1/leader?election=a", &json!({}));
    assert!(reply.error(405, "UNIMPLEMENTED").contains("POST"));
    assert!(reply.headers["allow"].contains("GET"));
    let head = ask(site.address(), "HEAD /livez HTTP/1.1\r\nHost: x\r\n", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let head = ask(site.address(), "HEAD /v1/leader?election=a HTTP/1.1\r\nHost: x\r\n", "");
    let get = site.get("/v1/leader?election=a");
    assert_eq!((head.status, head.body.as_str()), (get.status, ""));
    assert_eq!(head.headers["content-length"], get.headers["content-length"]);
    let head = ask(site.address(), "HEAD /v1/watch?election=a HTTP/1.1\r\nHost: x\r\n", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn changes_are_made_where_they_were_switched_on() {
    let site = Site::new(|it| it.http_write(true));
    for candidate in ["a", "b", "c"] {
        site.enter("jobs", candidate);
    }
    let ask = |method: &str, candidate: &str| {
        site.post(&format!("/v1/{method}"), &json!({"election": "jobs", "candidate": candidate}))
            .json()
    };
    assert_eq!(ask("promote", "c")["candidates"][0]["name"], "c");
    assert_eq!(ask("demote", "a")["leader"]["name"], "c");
    let told =
        json!({"election": "jobs", "candidate": "b", "expected_term": 2, "reason": "rollout"});
    let anointed = site.post("/v1/anoint", &told).json();
    assert_eq!(
        (&anointed["leader"]["name"], &anointed["change"]["reason"]),
        (&json!("b"), &json!("rollout"))
    );
    let stale = site.post("/v1/anoint", &told).error(400, "FAILED_PRECONDITION");
    assert!(stale.contains('3'), "{stale}");
    assert_eq!(ask("evict", "b")["term"], 4);
    let unknown = site.post("/v1/promote", &json!({"election": "jobs", "candidate": "x"}));
    assert!(unknown.error(404, "NOT_FOUND").contains('x'));

    let id = site.session.id().number().to_string();
    let ended = site.post("/v1/end-session", &json!({"session": id, "reason": "gone"}));
    assert_eq!((ended.status, &ended.json()["ended"]), (200, &json!(true)));
    assert_eq!(site.get("/v1/leader?election=jobs").status, 404);
    let deleted = site.post("/v1/delete", &json!({"election": "jobs"}));
    assert_eq!((deleted.status, site.engine.term("jobs").unwrap().number()), (200, 0));

    let wrong = |body: Value| site.post("/v1/anoint", &body).error(400, "INVALID_ARGUMENT");
    assert!(wrong(json!({"election": "jobs"})).contains("candidate"));
    assert!(wrong(json!({"election": "jobs", "candidate": "a", "force": true})).contains("force"));
    assert!(wrong(json!({"election": 1, "candidate": "a"})).contains("string"));
    let long = json!({"election": "x".repeat(20_000), "candidate": "a"});
    assert!(site.post("/v1/anoint", &long).error(413, "RESOURCE_EXHAUSTED").contains("16384"));
}

/// No page of another origin, no form, no name that was made to lead here.
#[test]
fn who_may_change_is_checked() {
    let off = Site::new(|it| it);
    off.enter("jobs", "a");
    let body = json!({"election": "jobs", "candidate": "a"});
    assert!(off.post("/v1/evict", &body).error(403, "PERMISSION_DENIED").contains("--http-write"));

    let site = Site::new(|it| it.http_write(true).http_origin("https://ops.example"));
    site.enter("jobs", "a");
    let port = site.address().rsplit_once(':').unwrap().1.to_owned();
    let json = "Content-Type: application/json\r\n";
    let here = format!("Host: {}\r\n", site.address());
    for (status, headers) in [
        (415, here.clone()),
        (415, format!("{here}Content-Type: text/plain\r\n")),
        (415, format!("{here}Content-Type: application/x-www-form-urlencoded\r\n")),
        (403, format!("{here}{json}Origin: http://evil.example\r\n")),
        (403, format!("{here}{json}Origin: null\r\n")),
        (403, format!("{here}{json}Origin: http://127.0.0.1:1\r\n")),
        (403, format!("Host: evil.example:{port}\r\n{json}")),
        (403, format!("Host: evil.example:{port}\r\n{json}Origin: http://evil.example:{port}\r\n")),
    ] {
        let head = format!("POST /v1/evict HTTP/1.1\r\n{headers}");
        let reply = ask(site.address(), &head, &body.to_string());
        assert_eq!(reply.status, status, "{headers}: {}", reply.body);
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
        assert_eq!(site.engine.term("jobs").unwrap().leader(), Some("a"), "{headers}");
    }
    let preflight = ask(
        site.address(),
        &format!(
            "OPTIONS /v1/evict HTTP/1.1\r\n{here}Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
        ),
        "",
    );
    assert!(!preflight.headers.contains_key("access-control-allow-origin"));
    let allowed = format!("POST /v1/evict HTTP/1.1\r\n{here}{json}Origin: https://ops.example\r\n");
    assert_eq!(ask(site.address(), &allowed, &body.to_string()).status, 200);
    assert!(site.engine.term("jobs").unwrap().is_vacant());
}

#[test]
fn probes_and_metrics() {
    let site = Site::new(|it| it);
    assert_eq!(site.get("/livez").json(), json!({"live": true}));
    assert_eq!(site.get("/readyz").json(), json!({"ready": true}));
    let version = site.get("/version").json();
    assert_eq!(version["server_id"], site.engine.server_id());
    site.get("/v1/leader?election=jobs");
    let metrics = site.get("/metrics");
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let counted = metrics.body.lines().find(|line| {
        line.starts_with("tenure_requests_total{")
            && line.contains("\"http\"")
            && line.contains("Describe")
    });
    assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{counted:?}");
}

/// Each once, by what it said first, and none that said nothing; those of the admin address are not among them.
#[test]
fn connections_are_counted_by_what_they_speak() {
    let site = Site::new(|it| it.admin_listen("127.0.0.1:0"));
    let admin = site.server.admin_addresses()[0].clone();
    assert_eq!(ask(&admin, "GET /livez HTTP/1.1\r\nHost: x\r\n", "").status, 200);
    let said = |bytes: &[u8]| {
        let mut stream = connect(site.address());
        stream.write_all(bytes).unwrap();
        stream
    };
    let _nothing = said(b"");
    let mut bystander = Bystander::of(&site.server);
    bystander.check();
    let _http2 = said(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut pieces = said(b"GE");
    for piece in
        ["T /livez HTTP/1.1\r\nHost: x\r\n", "\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        pieces.write_all(piece.as_bytes()).unwrap();
    }
    site.get("/livez");
    let _tls = said(b"\x16\x03\x01");
    let (_ssh, _lines) = (said(b"SSH-2.0-x\r\n"), said(b"hello\n"));
    let counts = [("ttrpc", 1), ("grpc", 1), ("http", 2), ("tls", 1), ("unknown", 2)];
    let lines = counts.map(|(protocol, count)| {
        format!("tenure_connections_opened_total{{protocol=\"{protocol}\"}} {count}\n")
    });
    until("each is counted", || {
        let metrics = site.server.metrics();
        lines.iter().all(|line| metrics.contains(line))
    });
    // Who said nothing, the bystander, and two of HTTP.
    until("the others have ended", || site.server.metrics().contains("\ntenure_connections 4\n"));
    drop(pieces);
    until("it is counted out", || site.server.metrics().contains("\ntenure_connections 3\n"));
}

/// It walks through all elections that a glob may match, and others wait for their answers meanwhile.
#[test]
fn whoever_makes_a_page_of_metrics_holds_up_nobody() {
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (tell, began) = mpsc::channel();
    let site = Site::new(|it| {
        it.reactors(NonZeroUsize::MIN).log_lines_dropped(move || {
            let _ = tell.send(());
            let _ends = gate.lock().unwrap().recv();
            7
        })
    });
    thread::scope(|scope| {
        let pages = [(); 3].map(|()| scope.spawn(|| site.get("/metrics")));
        began.recv().unwrap();
        // There is one thread for all of HTTP.
        assert_eq!(site.get("/livez").status, 200);
        assert_eq!(site.get("/v1/leader?election=jobs").status, 404);
        assert!(began.try_recv().is_err(), "one page at a time");
        drop(let_go);
        for page in pages {
            assert!(page.join().unwrap().body.contains("\ntenure_log_lines_dropped_total 7\n"));
        }
    });
}

#[test]
fn those_who_run_the_server_may_have_an_address_of_their_own() {
    let site = Site::new(|it| it.admin_listen("127.0.0.1:0").http_write(true));
    site.enter("jobs", "a");
    let admin = site.server.admin_addresses()[0].clone();
    let get = |path: &str| ask(&admin, &format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n"), "");
    for path in ["/livez", "/readyz", "/version", "/metrics"] {
        assert!(site.get(path).error(404, "NOT_FOUND").contains("admin address"), "{path}");
        assert_eq!(get(path).status, 200, "{path}");
    }
    let body = json!({"election": "jobs", "candidate": "a"});
    site.post("/v1/evict", &body).error(404, "NOT_FOUND");
    assert_eq!(
        (site.get("/v1/leader?election=jobs").status, get("/v1/leader?election=jobs").status),
        (200, 200)
    );
    let head =
        format!("POST /v1/evict HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n");
    assert_eq!(ask(&admin, &head, &body.to_string()).status, 200);

    // While it drains it is not ready, and says so there.
    let mut held = connect(site.address());
    held.write_all(b"\0\0").unwrap();
    thread::scope(|scope| {
        let drains = scope.spawn(|| site.server.drain(Duration::from_secs(2)));
        until("it is not ready", || get("/readyz").status == 503);
        assert_eq!(get("/livez").status, 200);
        drop(held);
        drains.join().unwrap();
    });
}

#[test]
fn the_document_is_what_is_served() {
    let site = Site::new(|it| it.http_write(true));
    let document = site.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in paths {
        for (method, about) in methods.as_object().unwrap() {
            documented.insert(path.clone());
            let empty = json!({});
            let reply = match method.as_str() {
                "get" if path == "/v1/watch" => continue,
                "get" => site.get(path),
                _ => site.post(path, &empty),
            };
            let answers = about["responses"].as_object().unwrap();
            assert!(
                answers.contains_key(&reply.status.to_string()),
                "{method} {path}: {}",
                reply.status
            );
            // What is required is asked for, by its name.
            let required = about["parameters"].as_array().into_iter().flatten();
            for parameter in required.filter(|it| it["required"] == true).take(1) {
                let name = parameter["name"].as_str().unwrap();
                assert!(reply.body.contains(name), "{path}: {}", reply.body);
            }
        }
    }
    let listed = site.get("/").body;
    let listed: BTreeSet<String> = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| word.split('?').next().unwrap().to_owned())
        .chain(["/".to_owned()])
        .collect();
    assert_eq!(listed, documented);
}
