//! `tenure status`.

use std::process::Command;

use serde_json::json;

use crate::json_line;
use crate::support::{Done, Running, Server, run, tenure, words};

fn status(server: &Server, line: &str) -> Done {
    server.run(&format!("status {line}"))
}

#[test]
fn status_tells_who_serves_and_how_much_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&format!("--max-sessions 7 --data-dir {}", data.display()));
    let client = server.client();
    for election in ["a", "b", "c"] {
        client.enter(election, "x").unwrap();
    }
    client.withdraw("c", "x").unwrap();

    let text = status(&server, "").succeeded();
    for part in [
        &format!("{} serves, tenure {}\n", server.address(), env!("CARGO_PKG_VERSION")),
        "kept:        on disk\n",
        "elections:   3 of at most 1000000, 1 without a leader\n",
        "sessions:    1 of at most 7\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }

    let object = json_line(&status(&server, "-o json").succeeded());
    let hello = client.hello().unwrap();
    assert_eq!(object["server_id"], hello.server_id);
    assert_eq!(object["incarnation"], hello.incarnation);
    for (key, value) in [
        ("server", json!(server.address())),
        ("serves", json!(true)),
        ("durable", json!(true)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("elections", json!(3)),
        ("elections_without_leader", json!(1)),
        ("sessions", json!(1)),
    ] {
        assert_eq!(object[key], value, "{object}");
    }
    assert_eq!(object["limits"]["sessions"], 7);
    assert_eq!(object["settings"]["silence"], "10s");

    let brief = json_line(&status(&server, "-o json --no-counts").succeeded());
    assert_eq!(brief["serves"], true);
    assert!(brief.get("elections").is_none(), "{brief}");
}

/// More than one page of each.
#[test]
fn status_counts_to_the_end() {
    let server = Server::start("");
    let client = server.client();
    for n in 0..1001 {
        client.enter(&format!("e{n}"), "x").unwrap();
    }
    let object = json_line(&status(&server, "-o json").succeeded());
    assert_eq!((&object["elections"], &object["sessions"]), (&json!(1001), &json!(1)));
}

#[test]
fn status_says_what_memory_means() {
    let server = Server::start("");
    let text = status(&server, "").succeeded();
    assert!(text.contains("in memory: terms begin again at 1"), "{text}");
}

#[test]
fn status_of_nobody_is_6() {
    let mut command: Command = tenure(words("status --server 127.0.0.1:1"));
    let done = run(&mut command);
    assert_eq!((done.code, done.out.as_str()), (Some(6), ""), "{done:?}");
    assert!(done.err.contains("can't reach 127.0.0.1:1"), "{done:?}");

    // Nor does one that does not answer serve.
    let server = Server::start("");
    server.process.stop();
    let mut command = server.ask("status --timeout 200ms");
    let done = Running::start(&mut command).wait();
    server.process.go_on();
    assert_eq!(done.code(), Some(6));
}
