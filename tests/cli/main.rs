//! Every command as a person or a script runs it: what it prints, and how it exits.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod config;
mod container;
mod detached;
mod held;
mod logging;
mod manual;
mod patience;
mod readers;
mod refusals;
mod serve;
mod status;
mod supervised;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Done, Running, Server, run, tenure, words};

/// A command that holds a place, for so long that a busy machine does not lose it, unless `line` says
/// otherwise.
#[track_caller]
fn enter(server: &Server, line: &str) -> Running {
    let ttl = if line.contains("--ttl") { "" } else { " --ttl 1h" };
    Running::start(&mut server.ask(&format!("enter {line}{ttl}")))
}

/// The same, once it has said so.
#[track_caller]
fn enters(server: &Server, line: &str) -> Running {
    let running = enter(server, line);
    running.out.find("term");
    running
}

#[track_caller]
fn assert_done(done: &Done, code: i32, out: &str) {
    assert_eq!((done.code, done.out.as_str()), (Some(code), out), "{done:?}");
    assert_eq!(done.err, "");
}

fn json_line(line: &str) -> Value {
    assert_eq!(line.trim_end().lines().count(), 1, "one object a line: {line}");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn commands_in_words() {
    let server = Server::start("");
    assert_done(&server.run("term jobs"), 3, "jobs: term 0, nobody leads\n");
    let a = enter(&server, "jobs a");
    assert_eq!(a.out.next().unwrap(), "jobs: term 1, a leads");
    let b = enter(&server, "jobs b");
    assert_eq!(b.out.next().unwrap(), "jobs: term 1, a leads, waiting: b");
    assert_eq!(a.out.next().unwrap(), "jobs: term 1, a leads, waiting: b");
    let c = enter(&server, "jobs c");
    c.out.find("waiting: b, c");

    let changes = [
        ("promote jobs c", "jobs: term 1, a leads, waiting: c, b\n"),
        ("promote jobs c", "jobs: term 2, c leads, waiting: a, b\n"),
        ("demote jobs c", "jobs: term 3, a leads, waiting: c, b\n"),
        ("demote jobs c", "jobs: term 3, a leads, waiting: b, c\n"),
        ("anoint jobs b", "jobs: term 4, b leads, waiting: a, c\n"),
        // Nothing to do.
        ("anoint jobs b", "jobs: term 4, b leads, waiting: a, c\n"),
        ("demote jobs c", "jobs: term 4, b leads, waiting: a, c\n"),
        ("evict jobs nobody", "jobs: term 4, b leads, waiting: a, c\n"),
        ("term jobs", "jobs: term 4, b leads, waiting: a, c\n"),
        ("evict jobs b", "jobs: term 5, a leads, waiting: c\n"),
    ];
    for (line, printed) in changes {
        assert_done(&server.run(line), 0, printed);
    }
    // Nothing to do either; but a mistyped name is told of.
    for (line, printed, told) in [
        (
            "promote unknown nobody",
            "unknown: term 0, nobody leads\n",
            "tenure: \"nobody\" does not stand in \"unknown\"; nobody does\n",
        ),
        (
            "anoint jobs aa",
            "jobs: term 5, a leads, waiting: c\n",
            "tenure: \"aa\" does not stand in \"jobs\"; these do: a, c\n",
        ),
    ] {
        let done = server.run(line);
        assert_eq!((done.code, &*done.out, &*done.err), (Some(0), printed, told), "{line}");
    }
}

#[test]
fn commands_in_json() {
    let server = Server::start("");
    let nobody = server.run("term jobs -o json");
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    assert_eq!(
        json_line(&nobody.out),
        json!({"election": "jobs", "term": 0, "leader": null, "candidates": []})
    );
    let a = enter(&server, "jobs a --output json");
    assert_eq!(
        a.out.next().unwrap(),
        r#"{"election":"jobs","term":1,"leader":"a","candidates":[]}"#
    );
    let _b = enters(&server, "jobs b");
    for (line, term, leader, waiting) in [
        ("anoint jobs b -o json", 2, "b", json!(["a"])),
        ("promote jobs a -o json", 3, "a", json!(["b"])),
        ("demote jobs a -o json", 4, "b", json!(["a"])),
        ("evict jobs b -o json", 5, "a", json!([])),
        ("term jobs -o json", 5, "a", json!([])),
    ] {
        let done = server.run(line);
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
        let expected =
            json!({"election": "jobs", "term": term, "leader": leader, "candidates": waiting});
        assert_eq!(json_line(&done.out), expected, "{line}");
    }
}

/// Names need not be fit for a terminal or for JSON as they are.
#[test]
fn names_of_any_script() {
    let server = Server::start("");
    let mut command = server.ask("enter -o json --ttl 1h");
    let a = Running::start(command.args(["--", "wähle \"dies\"", "-ä\\"]));
    let line = json_line(&a.out.next().unwrap());
    assert_eq!(line["election"], "wähle \"dies\"");
    assert_eq!(line["leader"], "-ä\\");
}

#[test]
fn watch_prints_each_change_in_order() {
    let server = Server::start("");
    let watcher = Running::start(&mut server.ask("watch jobs"));
    assert_eq!(watcher.out.next().unwrap(), "jobs: term 0, nobody leads");
    let machine = Running::start(&mut server.ask("watch jobs -o json"));
    assert_eq!(json_line(&machine.out.next().unwrap())["term"], 0);
    let client = server.client();
    for n in 1..=20 {
        client.enter("jobs", "a").unwrap();
        assert_eq!(watcher.out.next().unwrap(), format!("jobs: term {n}, a leads"));
        let line = json_line(&machine.out.next().unwrap());
        assert_eq!((&line["term"], &line["leader"]), (&json!(n), &json!("a")));
        client.withdraw("jobs", "a").unwrap();
        assert_eq!(watcher.out.next().unwrap(), format!("jobs: term {n}, nobody leads"));
        let line = json_line(&machine.out.next().unwrap());
        assert_eq!((&line["term"], &line["leader"]), (&json!(n), &Value::Null));
    }
    // Interrupted, it dies of the signal, as a shell's loop around it wants to see.
    let mut watcher = watcher;
    watcher.signal(Signal::INT);
    assert_eq!(watcher.wait().code(), None);
}

#[test]
fn the_environment_names_the_server() {
    let server = Server::start("");
    let _a = enters(&server, "jobs a");
    let done = run(tenure(words("term jobs")).env("TENURE_SERVER", server.address()));
    assert_done(&done, 0, "jobs: term 1, a leads\n");
    // What is said on the command line comes first.
    let done = run(server.ask("term jobs").env("TENURE_SERVER", "127.0.0.1:1"));
    assert_done(&done, 0, "jobs: term 1, a leads\n");
    let done = run(tenure(words("term jobs")).env("TENURE_SERVER", "nonsense"));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("neither host:port nor unix:///path"), "{done:?}");
}

#[test]
fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/socket", folder.path().display());
    let mut server = Server::start(&format!("--listen 127.0.0.1:0 --listen {address}"));
    assert_eq!(server.addresses[1], address);
    let _a = enters(&server, "jobs a");
    let done = run(&mut tenure(["term", "jobs", "--server", &address]));
    assert_done(&done, 0, "jobs: term 1, a leads\n");
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(!folder.path().join("socket").exists(), "it cleans up behind itself");
}
