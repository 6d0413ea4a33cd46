//! Servers that take a connection and say nothing.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::{run, tenure, words};

/// Its backlog takes connections; nobody ever reads from them.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn no_answer_is_exit_6() {
    let (_listener, address) = silent();
    for line in [
        "term jobs",
        "watch jobs",
        "list",
        "describe jobs",
        "history jobs",
        "check jobs 1",
        "sessions",
        "end-session 1",
        "delete jobs",
        "anoint jobs a",
        "promote jobs a",
        "demote jobs a",
        "evict jobs a",
        "enter jobs a",
    ] {
        let done = run(tenure(words(line)).args(["--timeout", "100ms", "--server", &address]));
        assert_eq!((done.code, done.out.as_str()), (Some(6), ""), "{line}: {done:?}");
        assert!(done.err.ends_with(": no answer in time\n"), "{line}: {done:?}");
        assert!(done.err.contains(&address), "{line}: {done:?}");
        assert_eq!(done.err.lines().count(), 1, "{line}: {done:?}");
        let is_change = ["anoint", "promote", "demote", "evict", "delete", "end-session"]
            .iter()
            .any(|it| line.starts_with(it));
        assert_eq!(
            done.err.contains("can't tell whether it was done"),
            is_change,
            "{line}: {done:?}"
        );
    }
}

#[test]
fn no_answer_to_a_detached_place_is_exit_6() {
    let (_listener, address) = silent();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let ask = |line: &str| {
        let mut command = tenure(words(line));
        command.args(["--timeout", "100ms", "--server", &address, "--session-file"]).arg(&file);
        let done = run(&mut command);
        assert_eq!((done.code, done.out.as_str()), (Some(6), ""), "{line}: {done:?}");
        assert!(done.err.contains("no answer in time"), "{line}: {done:?}");
    };
    ask("enter jobs a --detach");
    assert!(!file.exists(), "there is no session to keep the key of");
    fs::write(&file, "00112233445566778899aabbccddeeff\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for line in ["enter jobs a", "withdraw jobs a"] {
        ask(line);
        assert!(file.exists(), "{line}: the place may stand still");
    }
}

/// A peer whose host is gone is asked from time to time whether it is. `network_faults` has what comes
/// of it.
#[cfg(target_os = "linux")]
#[test]
fn clients_ask_a_silent_server_whether_it_lives() {
    use crate::enters;
    use crate::support::{Running, Server, eventually, tcp_timers};

    let server = Server::start("--silence 0s");
    let watcher = Running::start(&mut server.ask("watch jobs"));
    watcher.out.find("term 0");
    let _holder = enters(&server, "jobs a");
    let port = server.address().rsplit(':').next().unwrap().parse().unwrap();
    // One connection of the watch, two of the holder; each with a keep-alive timer when nothing is on its way.
    eventually("they are asked", || {
        let timers = tcp_timers(port);
        timers.of_clients.len() == 3 && timers.of_clients.iter().all(|it| it == "02")
    });
    // Off is off: the server itself asks nobody.
    eventually("the server asks nobody", || {
        let timers = tcp_timers(port);
        timers.of_server.len() == 3 && timers.of_server.iter().all(|it| it == "00")
    });
}
