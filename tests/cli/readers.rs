//! Readers that have seen enough, as in `tenure watch jobs | head -1`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::support::{self, Server, eventually, run, tenure, words};

/// Starts a command, reads one line of what it prints, and leaves.
fn read_one_line(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

#[track_caller]
fn assert_ends_quietly(child: &mut Child) {
    assert_eq!(support::wait(child).code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

/// At once: nothing ever changes here.
#[test]
fn a_watch_ends_with_its_reader() {
    let server = Server::start("");
    let (mut watch, line) = read_one_line(&mut server.ask("watch jobs"));
    assert_eq!(line, "jobs: term 0, nobody leads\n");
    assert_ends_quietly(&mut watch);
}

/// When it has something to print, and not without giving up its place.
#[test]
fn a_place_is_given_up_once_nobody_reads() {
    let server = Server::start("");
    let (mut holder, line) = read_one_line(&mut server.ask("enter jobs a --ttl 1h"));
    assert_eq!(line, "jobs: term 1, a leads\n");
    server.client().enter("jobs", "b").unwrap();
    assert_ends_quietly(&mut holder);
    assert!(!server.client().term("jobs").unwrap().has("a"));
}

/// The exit code is an answer of its own.
#[test]
fn an_answer_that_nobody_reads_has_its_exit_code() {
    let server = Server::start("");
    let _a = crate::enters(&server, "jobs a");
    for (line, code) in
        [("term jobs", 0), ("term empty", 3), ("check jobs 1", 0), ("check jobs 2", 5), ("list", 0)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = server.ask(line);
        let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(support::wait(&mut child).code(), Some(code), "{line}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{line}");
    }
}

/// A server goes on.
#[test]
fn a_server_needs_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let ports = folder.path().join("ports");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = tenure(words("serve --memory --listen 127.0.0.1:0 --ports-file"));
    let mut server = command.arg(&ports).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    eventually("it listens", || ports.exists());
    let address = std::fs::read_to_string(&ports).unwrap();
    let done = run(&mut tenure(["term", "jobs", "--server", address.trim()]));
    assert_eq!(done.code, Some(3), "{done:?}");
    support::end(&mut server);
}
