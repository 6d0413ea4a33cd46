//! What is refused, and what makes no sense.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::assert_done;
use crate::support::{Server, run, tenure, words};

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
        ("term jobs --timeout 5", "give a number with a unit, such as 50us, 10s or 1m"),
        ("enter jobs a --ttl 5", "give a number with a unit, such as 50us, 10s or 1m"),
        ("enter jobs a --detach", "--session-file"),
        ("withdraw jobs a", "--session-file"),
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
    const CODES: [&str; 8] =
        ["  0  ", "  1  ", "  2  ", "  3  ", "  6  ", "  7  ", "  8  ", " 70  "];
    for line in ["--help", "help", "-h"] {
        let done = run(&mut tenure(words(line)));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{line}");
        let (_, codes) = done.out.split_once("Exit codes:").expect("they are told");
        for code in CODES {
            assert!(codes.contains(code), "{line}: {code:?} in {codes}");
        }
        for verb in
            ["serve", "enter", "withdraw", "anoint", "promote", "demote", "evict", "term", "watch"]
        {
            assert!(done.out.contains(&format!("\n  {verb} ")), "{line}: {verb}");
        }
    }
    for verb in
        ["enter", "withdraw", "anoint", "promote", "demote", "evict", "term", "watch", "serve"]
    {
        let done = run(&mut tenure([verb, "--help"]));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{verb}");
        assert!(done.out.contains("Exit codes:"), "{verb} --help: {}", done.out);
    }
    let done = run(&mut tenure(["--version"]));
    assert_done(&done, 0, concat!("tenure ", env!("CARGO_PKG_VERSION"), "\n"));
}
