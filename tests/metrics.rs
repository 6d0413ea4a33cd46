//! What a server counts, while real clients talk to it; and that its document and its alerts agree.

mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use raw::{ELECTION, Raw, call, enter, get_term, until, watch, withdraw};
use tenure::{Engine, Failover, Limits, Server, SessionSettings};

const DOCUMENT: &str = include_str!("../docs/metrics.md");
const ALERTS: &str = include_str!("../contrib/alerts.yml");

/// Each sample's value by its name and labels, as the text has them.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    fn of(server: &Server) -> Self {
        let text = server.metrics();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        Self(samples.collect())
    }

    /// Zero for what is not there.
    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    /// Those of one name that are not zero, by their labels.
    fn all(&self, name: &str) -> Vec<(&str, f64)> {
        let of_name = self.0.iter().filter_map(|(series, &value)| {
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, value))
        });
        of_name.filter(|&(_, value)| value != 0.0).collect()
    }
}

fn request(method: &str, code: &str) -> String {
    format!(
        "tenure_requests_total{{transport=\"ttrpc\",service=\"{ELECTION}\",method=\"{method}\",code=\"{code}\"}}"
    )
}

/// How many requests of a method have a time.
fn timed(method: &str) -> String {
    format!(
        "tenure_request_duration_seconds_count{{transport=\"ttrpc\",service=\"{ELECTION}\",method=\"{method}\"}}"
    )
}

fn serve(engine: Engine) -> Server {
    Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap()
}

/// Waits until a reactor has entered in its book what it has said already.
#[track_caller]
fn eventually(server: &Server, series: &str, value: f64) -> Samples {
    until(&format!("{series} is {value}"), || Samples::of(server).get(series) == value);
    Samples::of(server)
}

#[test]
fn a_conversation_is_counted_to_the_last_request() {
    let server = serve(Engine::builder().open().unwrap());
    let (mut one, mut two) = (Raw::connect(&server), Raw::connect(&server));
    let mut sent = 0;
    let mut received = 0;
    let mut ask = |raw: &mut Raw, bytes: &[u8]| {
        sent += bytes.len();
        let frame = raw.ask(bytes);
        received += 10 + frame.payload.len();
        frame
    };

    assert_eq!(ask(&mut one, &enter(1, "e", "c1")).term().term, 1);
    assert_eq!(ask(&mut two, &enter(1, "e", "c2")).term().term, 1);
    assert_eq!(ask(&mut two, &enter(1, "e", "c3")).term().term, 1);
    for _ in 0..5 {
        ask(&mut two, &get_term(1, "e"));
    }
    ask(&mut two, &get_term(1, "unknown"));
    assert_eq!(ask(&mut two, &withdraw(1, "e", "c1")).failure().0, 7);
    assert_eq!(ask(&mut two, &call(1, ELECTION, "Abdicate", vec![])).failure().0, 12);
    assert_eq!(ask(&mut two, &enter(1, "e", "")).failure().0, 3);
    assert_eq!(ask(&mut two, &watch(1, "e")).term().term, 1);
    drop(one);
    let news = two.receive();
    assert_eq!((news.term().term, news.term().leader.as_str()), (2, "c2"));
    received += 10 + news.payload.len();
    until("one connection is gone", || server.counters().connections == 1);

    let ttrpc = "{transport=\"ttrpc\"}";
    eventually(&server, &timed("GetTerm"), 6.0);
    let samples = eventually(&server, &format!("tenure_watch_events_total{ttrpc}"), 2.0);
    assert_eq!(
        [
            samples.get(&request("GetTerm", "OK")),
            samples.get(&request("Enter", "OK")),
            samples.get(&request("Enter", "INVALID_ARGUMENT")),
            samples.get(&request("Withdraw", "PERMISSION_DENIED")),
            samples.get(&request("Watch", "OK")),
            samples.get(
                "tenure_requests_total{transport=\"ttrpc\",service=\"unknown\",\
                 method=\"unknown\",code=\"UNIMPLEMENTED\"}"
            ),
        ],
        [6.0, 3.0, 1.0, 1.0, 0.0, 1.0]
    );
    assert_eq!(samples.all("tenure_requests_total").len(), 5, "and no others");
    assert_eq!([samples.get(&timed("Enter")), samples.get(&timed("Watch"))], [4.0, 0.0]);
    assert_eq!(samples.all("tenure_received_bytes_total"), [(ttrpc, sent as f64)]);
    assert_eq!(samples.all("tenure_sent_bytes_total"), [(ttrpc, received as f64)]);
    assert_eq!(samples.all("tenure_connections"), [("", 1.0)]);
    assert_eq!(samples.all("tenure_connections_opened_total"), [("{protocol=\"ttrpc\"}", 2.0)]);
    let closed = samples.get("tenure_connections_closed_total{reason=\"peer_closed\"}")
        + samples.get("tenure_connections_closed_total{reason=\"broken\"}");
    assert_eq!(closed, 1.0);

    assert_eq!(
        samples.all("tenure_leader_changes_total"),
        [("{reason=\"disconnected\"}", 1.0), ("{reason=\"entered\"}", 1.0)]
    );
    assert_eq!(samples.all("tenure_candidates_lost_total"), [("{session=\"connection\"}", 1.0)]);
    assert_eq!(samples.all("tenure_elections_led"), [("", 1.0)]);
    assert_eq!(samples.all("tenure_elections_without_leader"), []);
    assert_eq!(samples.all("tenure_sessions"), [("{kind=\"connection\"}", 1.0)]);
    assert_eq!(samples.all("tenure_sessions_opened_total"), [("{kind=\"connection\"}", 2.0)]);
    assert_eq!(
        samples.all("tenure_sessions_ended_total"),
        [("{kind=\"connection\",reason=\"disconnected\"}", 1.0)]
    );

    // What the other one leaves behind: its stream, its candidates, and an election that nobody leads.
    drop(two);
    until("both are gone", || server.counters().connections == 0);
    let samples = Samples::of(&server);
    assert_eq!(samples.get(&request("Watch", "CANCELLED")), 1.0);
    assert_eq!(samples.all("tenure_candidates_lost_total"), [("{session=\"connection\"}", 3.0)]);
    assert_eq!(samples.all("tenure_elections_led"), []);
    assert_eq!(samples.all("tenure_elections_without_leader"), [("", 1.0)]);
}

#[test]
fn many_at_once_are_all_counted_and_timed() {
    let server = serve(Engine::builder().open().unwrap());
    let mut raw = Raw::connect(&server);
    raw.ask(&enter(1, "e", "c"));
    let many: Vec<u8> = (0..1000).flat_map(|n| get_term(2 * n + 1, "e")).collect();
    raw.send(&many);
    for _ in 0..1000 {
        raw.receive();
    }
    let samples = eventually(&server, &timed("GetTerm"), 1000.0);
    assert_eq!(samples.get(&request("GetTerm", "OK")), 1000.0);
    let sum = samples.all("tenure_request_duration_seconds_sum");
    assert!(sum.iter().all(|&(_, seconds)| seconds > 0.0), "{sum:?}");
    let up_to_ten_seconds =
        timed("GetTerm").replace("_count{", "_bucket{").replace("\"}", "\",le=\"10\"}");
    assert_eq!(samples.get(&up_to_ten_seconds), 1000.0);
}

#[test]
fn limits_are_counted_by_name() {
    let limits =
        Limits { connections: 2, elections: 1, streams: 1, name_bytes: 8, ..Limits::default() };
    let server = serve(Engine::builder().limits(limits).open().unwrap());
    let mut one = Raw::connect(&server);
    one.ask(&enter(1, "e", "c"));
    one.ask(&watch(1, "e"));
    assert_eq!(one.ask(&enter(3, "e", "d")).failure().0, 8, "streams");
    let mut two = Raw::connect(&server);
    assert_eq!(two.ask(&enter(1, "other", "c")).failure().0, 8, "elections");
    assert_eq!(two.ask(&enter(1, "e", "too long a name")).failure().0, 3);
    assert_eq!(Raw::connect(&server).read_to_close(), b"");
    until("it is counted", || server.counters().refused == 1);
    let samples = Samples::of(&server);
    let limit = |name: &str| format!("{{limit=\"{name}\"}}");
    let hit = ["connections", "elections", "name_bytes", "streams"].map(limit);
    let hit: Vec<_> = hit.iter().map(|limit| (limit.as_str(), 1.0)).collect();
    assert_eq!(samples.all("tenure_limits_reached_total"), hit);
    assert_eq!(samples.all("tenure_connections_refused_total"), [("", 1.0)]);
}

#[test]
fn chosen_elections_are_shown_one_by_one() {
    let engine = Engine::builder().open().unwrap();
    let session = engine.session().unwrap();
    for (name, candidates) in [("team/a", 2), ("team/\"b\"", 1), ("other", 1)] {
        let election = engine.election(name).unwrap();
        for n in 0..candidates {
            election.enter(&session, &format!("c{n}")).unwrap();
        }
    }
    engine.election("team/a").unwrap().evict("c0").unwrap();
    engine.election("team/\"b\"").unwrap().withdraw(&session, "c0").unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").metrics_election("team/*");
    let server = server.metrics_election("expected").spawn().unwrap();

    let samples = Samples::of(&server);
    let (a, b) = ("{election=\"team/a\"}", "{election=\"team/\\\"b\\\"\"}");
    assert_eq!(samples.all("tenure_election_term"), [(b, 1.0), (a, 2.0)]);
    assert_eq!(samples.all("tenure_election_has_leader"), [(a, 1.0)]);
    assert_eq!(samples.all("tenure_election_candidates"), [(a, 1.0)]);
    assert_eq!(samples.0["tenure_election_has_leader{election=\"expected\"}"], 0.0);
    let since = samples.get(&format!("tenure_election_since_timestamp_seconds{a}"));
    assert!(since > 1.7e9, "{since}");
    assert_eq!(samples.0["tenure_elections_left_out"], 0.0);
    assert!(!samples.0.keys().any(|series| series.contains("election=\"other\"")));
}

#[test]
fn a_draining_server_is_not_ready() {
    let server = serve(Engine::builder().open().unwrap());
    assert_eq!(Samples::of(&server).get("tenure_ready"), 1.0);
    assert!(server.drain(raw::PATIENCE));
    assert_eq!(Samples::of(&server).0["tenure_ready"], 0.0);
}

#[test]
fn a_restart_counts_the_candidates_that_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Engine::builder().data_dir(folder.path()).open().unwrap();
    let engine = open();
    let (kept, _key) = engine.open_session(SessionSettings::default()).unwrap();
    engine.election("kept").unwrap().enter(&kept, "c").unwrap();
    let server = serve(engine);
    let mut raw = Raw::connect(&server);
    assert_eq!(raw.ask(&enter(1, "lost", "c1")).term().term, 1);
    assert_eq!(raw.ask(&enter(1, "lost", "c2")).term().term, 1);
    let commits = Samples::of(&server).get("tenure_commit_duration_seconds_count");
    assert!(commits >= 2.0, "{commits}");
    // As a crash would: what is on the disk now is what the next one finds.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let after = serve(Engine::builder().data_dir(copy.path()).open().unwrap());
    let samples = Samples::of(&after);
    assert_eq!(samples.all("tenure_candidates_lost_total"), [("{session=\"connection\"}", 2.0)]);
    assert_eq!(samples.all("tenure_elections_led"), [("", 1.0)]);
    assert_eq!(samples.all("tenure_elections_without_leader"), [("", 1.0)]);
    assert_eq!(samples.all("tenure_sessions"), [("{kind=\"exclusive\"}", 1.0)]);
    assert_eq!(samples.all("tenure_sessions_opened_total"), []);
}

/// A server that has something to say under each name.
fn talkative(folder: &std::path::Path) -> Server {
    let engine = Engine::builder().data_dir(folder).open().unwrap();
    let session = engine.session_with_ttl(Duration::from_secs(60), Failover::Fast).unwrap();
    engine.election("e").unwrap().enter(&session, "c").unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").metrics_election("e*");
    let server = server.log_lines_dropped(|| 3).spawn().unwrap();
    let mut raw = Raw::connect(&server);
    raw.ask(&get_term(1, "e"));
    raw.ask(&call(1, ELECTION, "Abdicate", vec![]));
    until("it is counted", || Samples::of(&server).get(&timed("GetTerm")) == 1.0);
    server
}

/// Type and labels of each name.
type Shapes = BTreeMap<String, (String, BTreeSet<String>)>;

fn shapes_in_text(text: &str) -> Shapes {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut shapes: Shapes =
        types.map(|(name, kind)| (name.into(), (kind.into(), BTreeSet::new()))).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, labels) =
            line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let endings = ["_bucket", "_sum", "_count", ""].iter();
        let name =
            endings.filter_map(|it| series.strip_suffix(it)).find(|it| shapes.contains_key(*it));
        let labels =
            labels.split("\",").filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()));
        let shape = shapes.get_mut(name.expect("a name with a type")).expect("known");
        shape.1.extend(labels.filter(|label| label != "le"));
    }
    shapes
}

fn shapes_in_document() -> Shapes {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `tenure_"));
    let shapes = rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let mut cell = || cells.next().expect("four cells");
        let name = cell().trim_matches('`').to_owned();
        let kind = cell().to_owned();
        let labels = cell().split(", ").map(|label| label.trim_matches('`').to_owned());
        (name, (kind, labels.filter(|label| !label.is_empty()).collect()))
    });
    shapes.collect()
}

#[test]
fn the_document_has_what_the_server_says_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = talkative(folder.path());
    assert_eq!(shapes_in_text(&server.metrics()), shapes_in_document());
}

#[test]
fn each_alert_is_documented_and_asks_for_what_there_is() {
    let known = shapes_in_document();
    let alerts: Vec<&str> =
        ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 5);
    for alert in alerts {
        assert!(DOCUMENT.contains(&format!("`{alert}`")), "{alert} is not in docs/metrics.md");
    }
    for expression in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        for name in expression.split(word).filter(|word| word.starts_with("tenure_")) {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(known.contains_key(name), "no metric is called {name}");
        }
    }
}

/// Runs promtool; without it, says so and does nothing, unless `CI_PROMTOOL` is 1.
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_a_must = std::env::var("CI_PROMTOOL").is_ok_and(|it| it == "1");
            assert!(!is_a_must, "promtool is not here: install Debian's package `prometheus`");
            println!("skipped: promtool is not here; it comes with Debian's package `prometheus`");
            return;
        }
        child => child.expect("promtool can be started"),
    };
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "promtool {args:?}: {said}");
}

#[test]
fn promtool_accepts_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    promtool(&["check", "metrics"], &talkative(folder.path()).metrics());
}

#[test]
fn promtool_accepts_the_alerts_and_they_fire_when_they_should() {
    promtool(&["check", "rules", "contrib/alerts.yml"], "");
    promtool(&["test", "rules", "contrib/alerts_test.yml"], "");
}
