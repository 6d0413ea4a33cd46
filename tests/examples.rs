//! The programs under `examples/`, run as a user would run them, against a real server.

mod support;

use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::Signal;
use support::proxy::Proxy;
use support::python::{self, Python};
use support::{Done, Running, Server, eventually, run, unmoved};
use tenure::client::{Address, Client, Options, Session, TermView, WatchView};

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// A Python example as its `README.md` says: the packages and stubs of `setup.sh`, and nothing else.
fn start(program: &str, election: &str, candidate: &str, address: &str) -> Running {
    let python = Python::with(include_str!("../examples/python/requirements.txt"));
    let mut command = Command::new(python.folder().join(".venv/bin/python"));
    command.arg(python.folder().join(program)).args([election, candidate, address]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    unmoved(&mut command);
    Running::start(&mut command)
}

fn led_by(client: &Client, election: &str) -> TermView {
    client.term(election).expect("it is served")
}

/// It leads, waits, leads again, loses its connection and enters again, and withdraws.
fn contends(program: &str) {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("");
    let (client, proxy) = (server.client(), Proxy::before(server.address()));
    let mut first = start(program, "jobs", "a", proxy.address());
    first.out.find("working in term 1");
    let mut second = start(program, "jobs", "b", server.address());
    second.out.find("term 1: a leads");

    proxy.cut();
    first.out.find("lost: ");
    second.out.find("working in term 2");
    // It has come back by itself, behind the other.
    eventually("it waits", || led_by(&client, "jobs").candidates == ["a"]);
    client.anoint("jobs", "a").expect("it is served");
    first.out.find("working in term 3");
    second.out.find("term 3: a leads");

    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0), "{}", first.err.rest());
    second.out.find("working in term 4");
    let change = client.describe("jobs").expect("it is served").state.change;
    assert_eq!(change.cause, "withdrawn", "it said so, instead of just leaving");
    second.signal(Signal::INT);
    assert_eq!(second.wait().code(), Some(0), "{}", second.err.rest());
    assert_eq!(led_by(&client, "jobs").leader, None);
}

#[test]
fn the_python_example_over_grpc_contends() {
    contends("grpc_leader.py");
}

#[test]
fn the_python_example_over_ttrpc_contends() {
    contends("ttrpc_leader.py");
}

/// The kernel of a stopped process still answers, but HTTP/2's pings come from the process itself.
#[test]
fn a_stopped_python_leader_is_noticed() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("--silence 1s");
    let client = server.client();
    let python = start("grpc_leader.py", "jobs", "python", server.address());
    python.out.find("working in term 1");
    client.enter("jobs", "heir").expect("it is served");
    python.stop();
    eventually("the heir leads", || led_by(&client, "jobs").leader.as_deref() == Some("heir"));
    python.go_on();
    python.out.find("lost: ");
    eventually("it has entered again", || led_by(&client, "jobs").candidates == ["python"]);
}

#[test]
fn the_example_over_ttrpc_is_short() {
    let source = std::fs::read_to_string(example("python/ttrpc_leader.py")).expect("an example");
    assert!(source.lines().count() < 60, "{} lines", source.lines().count());
}

/// Started with Python over gRPC, moved to Rust over ttrpc: each term follows the one before, in every one of
/// them somebody leads, and only one.
#[test]
fn a_user_moves_from_python_to_rust() {
    if !python::is_wanted() {
        return;
    }
    for by_hand in [false, true] {
        let server = Server::start("");
        let client = server.client();
        let mut python = start("grpc_leader.py", "billing", "python", server.address());
        python.out.find("working in term 1");
        let mut seen = client.watch("billing").expect("a watch");
        assert_eq!(next(&mut seen), "1 python []");

        let address: Address = server.address().parse().expect("an address");
        let session = Session::open(&address, Options::default()).expect("a session");
        let rust =
            thread::spawn(move || session.election("billing").lead("rust").expect("the lead"));
        assert_eq!(next(&mut seen), "1 python [rust]");
        python.out.find("term 1: python leads; waiting: rust");
        python.out.find("working in term 1");
        assert!(!rust.is_finished(), "one leads");

        if by_hand {
            client.anoint("billing", "rust").expect("it is served");
            assert_eq!(next(&mut seen), "2 rust [python]");
            // The former leader notices, and stops; then it is taken down.
            python.out.find("stopped working in term 1");
        }
        python.signal(Signal::TERM);
        assert_eq!(python.wait().code(), Some(0), "{}", python.err.rest());
        assert_eq!(next(&mut seen), "2 rust []");
        let leads = rust.join().expect("it leads");
        assert!(leads.is_valid() && leads.term() == 2, "{leads:?}");
        let reigns = client.history("billing").expect("it is served");
        let reigns: Vec<_> = reigns.iter().map(|it| (it.term, it.leader.as_str())).collect();
        assert_eq!(reigns, [(2, "rust"), (1, "python")]);
        leads.resign().expect("it resigns");
        assert_eq!(next(&mut seen), "2 - []");
    }
}

fn next(watch: &mut WatchView) -> String {
    let term = watch.next().expect("it goes on").expect("a term");
    let leader = term.leader.as_deref().unwrap_or("-");
    format!("{} {leader} [{}]", term.number, term.candidates.join(" "))
}

/// `curl.sh`, asking this server.
fn curl(server: &Server, words: &[&str]) -> Done {
    let mut command = Command::new(example("curl.sh"));
    command.args(words).env("TENURE_URL", format!("http://{}", server.address()));
    unmoved(&mut command);
    run(&mut command)
}

#[test]
fn the_example_with_curl_asks() {
    let server = Server::start("--http-write");
    let client = server.client();
    client.enter("a & b", "first one").expect("it is served");
    client.enter("a & b", "second").expect("it is served");
    let leader = curl(&server, &["leader", "a & b"]).succeeded();
    assert!(leader.contains("first one"), "{leader}");
    let nobody = curl(&server, &["leader", "empty"]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert_eq!(curl(&server, &["is-leader", "a & b", "first one"]).code, Some(0));
    assert_eq!(curl(&server, &["is-leader", "a & b", "second"]).code, Some(1));

    let watched = curl(&server, &["watch", "a & b", "1"]).succeeded();
    assert_eq!(watched, "term 1: first one leads\n");
    curl(&server, &["anoint", "a & b", "second"]).succeeded();
    assert_eq!(client.term("a & b").expect("served").leader.as_deref(), Some("second"));
    let history = curl(&server, &["history", "a & b"]).succeeded();
    let places = ["second", "first one"].map(|name| history.find(name).expect("it led"));
    assert!(places.is_sorted(), "newest first: {history}");
    assert_eq!(curl(&server, &["abdicate"]).code, Some(2));
}

#[test]
fn the_example_with_curl_changes_nothing_unasked() {
    let server = Server::start("");
    let client = server.client();
    for name in ["a", "b"] {
        client.enter("jobs", name).expect("it is served");
    }
    let refused = curl(&server, &["anoint", "jobs", "b"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(client.term("jobs").expect("served").leader.as_deref(), Some("a"));
}
