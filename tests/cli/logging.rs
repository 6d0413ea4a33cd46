//! What is logged, and SIGHUP, which changes it.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::config::File;
use crate::support::Server;

/// A connection whose end is told at debug.
fn come_and_go(server: &Server) {
    drop(TcpStream::connect(server.address()).unwrap());
}

#[test]
fn sighup_changes_what_is_logged() {
    let file = File::of("log-level = 'error'");
    let server = Server::start_by(file.serve(""), "");
    file.says("log-level = 'tenure=debug'");
    server.process.signal(Signal::HUP);
    server.process.err.find("the configuration was read again");
    come_and_go(&server);
    server.process.err.find("a connection ended");

    // A file that can't be used changes nothing, and says so.
    file.says("log-level = 'error'\nlisen = 'a:1'");
    server.process.signal(Signal::HUP);
    let line = server.process.err.find("the configuration stays as it was");
    assert!(line.contains("tenure.toml:2: unknown key \"lisen\""), "{line}");
    come_and_go(&server);
    server.process.err.find("a connection ended");

    file.says("log-level = 'tenure=loud'");
    server.process.signal(Signal::HUP);
    let line = server.process.err.find("the configuration stays as it was");
    assert!(line.contains("is not a filter"), "{line}");
    come_and_go(&server);
    server.process.err.find("a connection ended");
    assert!(server.client().term("jobs").is_ok());
}

#[test]
fn sighup_tells_what_it_can_not_change() {
    let file = File::of("drain = '1s'");
    let mut command = file.serve("--log-level info");
    command.env("RUST_LOG", "error");
    let mut server = Server::start_by(command, "");
    file.says("drain = '2s'\nlog-level = 'error'\n[[cache]]\nnames = 'a'");
    server.process.signal(Signal::HUP);
    let line = server.process.err.find("wait for a restart");
    assert!(line.contains("drain, cache"), "{line}");
    let line = server.process.err.find("the file has no say in it");
    assert!(line.contains("--log-level"), "{line}");
    // A drain is not ended by one.
    let _held = server.client();
    server.process.signal(Signal::TERM);
    server.process.err.find("draining for at most 1s");
    server.process.signal(Signal::HUP);
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn rust_log_counts_where_nothing_nearer_says_it() {
    let file = File::of("log-level = 'error'");
    let mut command = file.serve("");
    command.env("RUST_LOG", "tenure=debug");
    let server = Server::start_by(command, "");
    come_and_go(&server);
    server.process.err.find("a connection ended");
}
