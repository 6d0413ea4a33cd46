//! Every command as a person or a script runs it: what it prints, and how it exits.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Done, PATIENCE, Running, Server, eventually, run, tenure, words};

/// A command that holds a place, and has said so.
#[track_caller]
fn enters(server: &Server, line: &str) -> Running {
    let running = Running::start(&mut server.ask(&format!("enter {line}")));
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
    let a = Running::start(&mut server.ask("enter jobs a"));
    assert_eq!(a.out.next().unwrap(), "jobs: term 1, a leads");
    let b = Running::start(&mut server.ask("enter jobs b"));
    assert_eq!(b.out.next().unwrap(), "jobs: term 1, a leads, waiting: b");
    assert_eq!(a.out.next().unwrap(), "jobs: term 1, a leads, waiting: b");
    let c = Running::start(&mut server.ask("enter jobs c"));
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
        ("promote unknown nobody", "unknown: term 0, nobody leads\n"),
        ("term jobs", "jobs: term 4, b leads, waiting: a, c\n"),
        ("evict jobs b", "jobs: term 5, a leads, waiting: c\n"),
    ];
    for (line, printed) in changes {
        assert_done(&server.run(line), 0, printed);
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
    let a = Running::start(&mut server.ask("enter jobs a --output json"));
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
    let mut command = server.ask("enter -o json");
    let a = Running::start(command.args(["--", "wähle \"dies\"", "-ä\\"]));
    let line = json_line(&a.out.next().unwrap());
    assert_eq!(line["election"], "wähle \"dies\"");
    assert_eq!(line["leader"], "-ä\\");
}

#[test]
fn enter_holds_its_place_until_it_is_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start("");
        let mut a = enters(&server, "jobs a");
        let mut b = enters(&server, "jobs b");
        assert_done(&server.run("term jobs"), 0, "jobs: term 1, a leads, waiting: b\n");
        assert!(!a.is_over());

        a.signal(signal);
        assert_eq!(a.wait().code(), Some(0), "{signal:?}");
        assert_eq!(b.out.find("term 2"), "jobs: term 2, b leads");
        assert_eq!(a.err.rest(), "");
        b.signal(signal);
        assert_eq!(b.wait().code(), Some(0), "{signal:?}");
        assert_done(&server.run("term jobs"), 3, "jobs: term 2, nobody leads\n");
    }
}

/// The place is given up at once, whatever a closed connection would keep.
#[test]
fn an_interrupted_holder_withdraws_despite_a_grace() {
    let server = Server::start("--disconnect-grace 1h");
    let client = server.client();
    // Changes come all the time, also while it withdraws.
    let busy = thread::spawn(move || {
        let mut watch = client.watch("done").unwrap();
        let watched = thread::spawn(move || watch.next().is_some());
        while !watched.is_finished() {
            client.enter("jobs", "busy").unwrap();
            client.withdraw("jobs", "busy").unwrap();
        }
        watched.join().unwrap()
    });
    for n in 0..20 {
        let mut holder = enters(&server, "jobs a");
        holder.signal(Signal::INT);
        assert_eq!(holder.wait().code(), Some(0), "{n}: {}", holder.err.rest());
        let term = server.client().term("jobs").unwrap();
        assert!(!term.has("a"), "{n}: {term:?}");
    }
    server.client().enter("done", "done").unwrap();
    assert!(busy.join().unwrap());
}

/// Interrupted at any moment, also before it stands, it ends well.
#[test]
fn enter_is_interrupted_early() {
    let server = Server::start("");
    for n in 0..30_u64 {
        let mut holder = Running::start(&mut server.ask("enter jobs a"));
        thread::sleep(std::time::Duration::from_micros(150 * n));
        holder.signal(Signal::INT);
        // Before it listens for signals, the signal ends it.
        let status = holder.wait();
        assert!(matches!(status.code(), Some(0) | None), "{status:?}: {}", holder.err.rest());
        eventually("nobody stands", || server.client().term("jobs").unwrap().leader.is_none());
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_server() {
    let server = Server::start("");
    let mut holder = enters(&server, "jobs a");
    server.process.stop();
    holder.signal(Signal::INT);
    eventually("it asks the server, in vain", || {
        // A second one, once the first was taken; one that comes too early is merged with it.
        thread::sleep(std::time::Duration::from_millis(50));
        holder.signal(Signal::INT);
        holder.is_over()
    });
    assert_eq!(holder.wait().code(), Some(6));
    server.process.go_on();
    eventually("its place passes on", || server.client().term("jobs").unwrap().leader.is_none());
}

#[test]
fn a_killed_holders_place_passes_on() {
    let server = Server::start("");
    let mut a = enters(&server, "jobs a");
    let b = enters(&server, "jobs b");
    a.signal(Signal::KILL);
    assert_eq!(b.out.find("term 2"), "jobs: term 2, b leads");
    assert_eq!(a.wait().code(), None);
}

#[test]
fn enter_tells_of_a_lost_place() {
    let server = Server::start("");
    let mut a = enters(&server, "jobs a");
    let _b = enters(&server, "jobs b");
    assert_done(&server.run("evict jobs a"), 0, "jobs: term 2, b leads\n");
    assert_eq!(a.wait().code(), Some(7));
    assert_eq!(a.out.find("term 2"), "jobs: term 2, b leads");
    assert_eq!(a.err.rest(), "tenure: a no longer stands in jobs; somebody removed it\n");
}

#[test]
fn enter_and_watch_tell_of_a_lost_server() {
    let mut server = Server::start("");
    let mut holder = enters(&server, "jobs a");
    let mut watcher = Running::start(&mut server.ask("watch jobs"));
    watcher.out.find("a leads");
    server.process.signal(Signal::KILL);
    server.process.wait();
    for lost in [&mut holder, &mut watcher] {
        assert_eq!(lost.wait().code(), Some(6));
        let said = lost.err.rest();
        assert!(said.starts_with("tenure: the connection to 127.0.0.1:"), "{said}");
        assert!(said.contains(" was lost: "), "{said}");
    }
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

/// As under `tenure watch jobs | head -1`.
#[test]
fn a_reader_that_leaves_is_no_fault_of_anybody() {
    let server = Server::start("");
    let mut command = server.ask("watch jobs");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut byte = [0];
    out.read_exact(&mut byte).unwrap();
    drop(out);
    let client = server.client();
    eventually("it notices", || {
        client.enter("jobs", "a").unwrap();
        client.withdraw("jobs", "a").unwrap();
        child.try_wait().unwrap().is_some()
    });
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "{said}");
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

#[test]
fn a_refusal_is_a_sentence_and_exit_1() {
    let server = Server::start("");
    let mut command = server.ask("term");
    let done = run(command.arg(""));
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
    assert_eq!(done.err, "tenure: election name is empty; give it at least one byte\n");
    for verb in ["enter", "anoint", "promote", "demote", "evict"] {
        let mut command = server.ask(verb);
        let done = run(command.args(["jobs", "a\tb"]));
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{verb}");
        assert_eq!(
            done.err,
            "tenure: candidate has the control character U+0009 at byte 1; remove it\n"
        );
    }
    let mut command = server.ask("watch");
    let done = run(command.arg("n".repeat(513)));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.err, "tenure: election name has 513 bytes; at most 512 are allowed\n");
}

#[test]
fn nobody_there_is_exit_6() {
    // Bound and let go: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for line in ["term jobs", "watch jobs", "enter jobs a", "evict jobs a"] {
        let done = run(tenure(words(line)).args(["--server", &free]));
        assert_eq!((done.code, done.out.as_str()), (Some(6), ""), "{line}");
        assert!(done.err.starts_with(&format!("tenure: can't reach {free}: ")), "{done:?}");
        assert_eq!(done.err.matches("refused").count(), 1, "said once: {done:?}");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
    }
    let done = run(&mut tenure(words("term jobs --server unix:///no/such/socket")));
    assert_eq!(done.code, Some(6), "{done:?}");
}

/// A server that speaks something else must not leave a command waiting or panicking.
#[test]
fn a_server_that_speaks_something_else_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        // Until the client has had enough.
        let _gone = peer.read_to_end(&mut Vec::new());
    });
    let done = run(&mut tenure(["term", "jobs", "--server", &address]));
    assert_eq!(done.code, Some(6), "{done:?}");
    assert!(done.err.starts_with("tenure: the connection to "), "{done:?}");
    server.join().unwrap();
}

#[test]
fn what_makes_no_sense_is_exit_2() {
    for (line, said) in [
        ("", "Usage"),
        ("lead jobs a", "unrecognized subcommand"),
        ("term", "required"),
        ("enter jobs", "required"),
        ("term jobs --sever x", "unexpected argument"),
        ("term jobs -o yaml", "possible values"),
        ("serve --prot 1", "unexpected argument"),
        ("serve --reactors 0", "invalid value"),
        ("serve --listen 5678", "neither host:port nor unix:///path"),
        ("serve --listen unix://relative", "absolute path"),
        ("term jobs --connect-timeout 5", "give a number with a unit, such as 50us, 10s or 1m"),
        ("serve --drain 10", "give a number with a unit, such as 50us, 10s or 1m"),
        ("serve --silence 3x", "give a number with a unit, such as 50us, 10s or 1m"),
        ("serve --busy-poll 50", "give a number with a unit, such as 50us, 10s or 1m"),
        ("serve --connection-idle=-1s", "give a number with a unit, such as 50us, 10s or 1m"),
    ] {
        let done = run(&mut tenure(words(line)));
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{line}: {done:?}");
        assert!(done.err.contains(said), "{line}: {}", done.err);
    }
}

#[test]
fn help_holds_the_exit_codes() {
    const CODES: [&str; 7] = ["  0  ", "  1  ", "  2  ", "  3  ", "  6  ", "  7  ", " 70  "];
    for line in ["--help", "help", "-h"] {
        let done = run(&mut tenure(words(line)));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{line}");
        let (_, codes) = done.out.split_once("Exit codes:").expect("they are told");
        for code in CODES {
            assert!(codes.contains(code), "{line}: {code:?} in {codes}");
        }
        for verb in ["serve", "enter", "anoint", "promote", "demote", "evict", "term", "watch"] {
            assert!(done.out.contains(&format!("\n  {verb} ")), "{line}: {verb}");
        }
    }
    for verb in ["enter", "anoint", "promote", "demote", "evict", "term", "watch", "serve"] {
        let done = run(&mut tenure([verb, "--help"]));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{verb}");
        assert!(done.out.contains("Exit codes:"), "{verb} --help: {}", done.out);
    }
    let done = run(&mut tenure(["--version"]));
    assert_done(&done, 0, concat!("tenure ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn serve_does_not_expose_itself_unasked() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let done = run(&mut tenure(["serve", "--memory", "--listen", address]));
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
        assert!(done.err.starts_with(&format!("tenure: {address} can be reached")), "{done:?}");
        assert!(done.err.contains("--allow-plaintext"), "{done:?}");
    }
    let server = Server::start("--listen 0.0.0.0:0 --allow-plaintext");
    let port = server.address().strip_prefix("0.0.0.0:").expect("bound as asked").to_owned();
    let done = run(&mut tenure(["term", "jobs", "--server", &format!("127.0.0.1:{port}")]));
    assert_done(&done, 3, "jobs: term 0, nobody leads\n");
}

#[test]
fn serve_says_where_it_listens() {
    let server = Server::start("--listen 127.0.0.1:0 --listen localhost:0");
    assert_eq!(server.addresses.len(), 2);
    for address in &server.addresses {
        assert!(!address.ends_with(":0"), "{address}");
        TcpStream::connect(address).unwrap();
    }
}

#[test]
fn serve_says_what_keeps_it_from_starting() {
    let server = Server::start("");
    let done = run(&mut tenure(["serve", "--memory", "--listen", server.address()]));
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains(server.address()) && done.err.contains("in use"), "{done:?}");

    let mut command = tenure(words("serve --memory --listen 127.0.0.1:0"));
    let done = run(command.args(["--ports-file", "/no/such/folder/ports"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("can't write /no/such/folder/ports"), "{done:?}");

    let mut command = tenure(words("serve --memory --listen 127.0.0.1:0"));
    let done = run(command.args(["--log-level", "tenure=loud"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("--log-level \"tenure=loud\" is not a filter"), "{done:?}");
}

/// Without `--memory` a person may think that something is kept.
#[test]
fn serve_says_that_it_keeps_nothing() {
    let server = Running::start(&mut tenure(words("serve --listen 127.0.0.1:0")));
    server.out.find("listens on");
    server.err.find("everything is kept in memory");
}

#[test]
fn the_log_is_json_where_asked() {
    let server = Server::start("--log-format json --log-level debug");
    let mut peer = TcpStream::connect(server.address()).unwrap();
    peer.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    let line = server.process.err.find("a connection was closed");
    assert_eq!(json_line(&line)["level"], "WARN");
}

#[test]
fn limits_are_taken_from_the_command_line() {
    let server = Server::start("--max-candidates 1 --max-name-bytes 8");
    let _a = enters(&server, "jobs a");
    let done = server.run("enter jobs b");
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains("limit reached: candidates (1)"), "{done:?}");
    let done = server.run("term 123456789");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("has 9 bytes; at most 8 are allowed"), "{done:?}");
}

/// A closed connection's place is kept for a while, for whoever comes back under its name.
#[test]
fn a_grace_keeps_the_place() {
    let server = Server::start("--disconnect-grace 60s");
    let mut a = enters(&server, "jobs a");
    a.signal(Signal::KILL);
    a.wait();
    let b = enters(&server, "jobs b");
    assert_done(&server.run("term jobs"), 0, "jobs: term 1, a leads, waiting: b\n");
    // Its successor under the same name takes the place over, with a term of its own.
    let again = Running::start(&mut server.ask("enter jobs a"));
    assert_eq!(again.out.find("term 2"), "jobs: term 2, a leads, waiting: b");
    assert_eq!(b.out.find("term 2"), "jobs: term 2, a leads, waiting: b");
}

#[test]
fn an_idle_connection_is_closed_where_asked() {
    let server = Server::start("--connection-idle 1s");
    let mut peer = TcpStream::connect(server.address()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    support::raw::put_change(&mut bytes, 1, "Enter", "jobs", "a");
    peer.write_all(&bytes).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(!all.is_empty(), "the reply came before the end");
}
