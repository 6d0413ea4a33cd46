//! `tenure serve`: its flags, and what it says.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{self, PATIENCE, Running, Server, run, tenure, words};
use crate::{assert_done, enters, json_line};

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

/// A script that started it on free ports finds each; whoever took an admin address for another would fail.
#[test]
fn the_ports_file_names_each_address() {
    let folder = tempfile::tempdir().unwrap();
    let ports = folder.path().join("ports");
    let mut command = tenure(words("serve --memory --listen 127.0.0.1:0 --listen 127.0.0.1:0"));
    let admin = format!("unix://{}", folder.path().join("admin.sock").display());
    command.args(["--admin-listen", "127.0.0.1:0", "--admin-listen", &admin]);
    let server = Running::start(command.arg("--ports-file").arg(&ports));
    let line = server.out.find("listens on");
    let written = fs::read_to_string(&ports).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let [one, other, tcp, unix] = lines[..] else { panic!("{written:?}") };
    assert!(line.ends_with(&format!(" listens on {one}, {other}")), "{line}");
    assert_eq!(unix, format!("admin {admin}"));
    let mut probe = TcpStream::connect(tcp.strip_prefix("admin ").unwrap()).unwrap();
    probe.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut told = String::new();
    probe.read_to_string(&mut told).unwrap();
    assert!(told.ends_with("{\"live\":true}"), "{told}");
}

/// A person may think that something is kept.
#[test]
fn serve_says_that_it_keeps_nothing() {
    let server = Running::start(&mut tenure(words("serve --memory --listen 127.0.0.1:0")));
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
    let a = server.client();
    a.enter("jobs", "a").unwrap();
    drop(a);
    let b = enters(&server, "jobs b");
    assert_done(&server.run("term jobs"), 0, "jobs: term 1, a leads, waiting: b\n");
    // Its successor under the same name takes the place over, with a term of its own.
    let again = server.client();
    assert_eq!(again.enter("jobs", "a").unwrap().number, 2);
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
