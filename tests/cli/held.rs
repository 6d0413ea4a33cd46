//! `tenure enter`: a place that a process holds.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tenure::client::{EnterOptions, OnConflict, Options, Session};

use crate::support::proxy::Proxy;
use crate::support::{Running, Server, eventually, tenure, unmoved, words, works};
use crate::{assert_done, enters};

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

/// The place is given up at once, not left to the session's deadline.
#[test]
fn an_interrupted_holder_withdraws_at_once() {
    let server = Server::start("");
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
        thread::sleep(Duration::from_micros(150 * n));
        holder.signal(Signal::INT);
        // Before it listens for signals, the signal ends it.
        let status = holder.wait();
        assert!(matches!(status.code(), Some(0) | None), "{status:?}: {}", holder.err.rest());
        eventually("nobody stands", || server.client().term("jobs").unwrap().leader.is_none());
    }
}

/// The moment between a handler that is there and the table that the handler looks into, held open.
#[test]
fn no_interrupt_is_lost_while_handlers_are_registered() {
    if !works("strace -D -e trace=none true") {
        return;
    }
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    // The tracer is the grandchild, so that the child is who is signalled.
    let slow = "-D -f -e trace=rt_sigaction -e inject=rt_sigaction:delay_exit=200000 -o";
    let mut strace = Command::new("strace");
    unmoved(&mut strace);
    strace.args(words(slow)).arg(&calls).arg(env!("CARGO_BIN_EXE_tenure"));
    let mut holder =
        Running::start(strace.args(words("enter jobs a --server")).arg(server.address()));
    let taken = "rt_sigaction(SIGINT, {sa_handler=0x";
    eventually("a handler is there", || {
        fs::read_to_string(&calls).is_ok_and(|calls| calls.contains(taken))
    });
    holder.signal(Signal::INT);
    assert_eq!(holder.wait().code(), Some(0), "{}", holder.err.rest());
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_server() {
    let server = Server::start("");
    let mut holder = enters(&server, "jobs a --ttl 1h --failover fast");
    server.process.stop();
    holder.signal(Signal::INT);
    eventually("it asks the server, in vain", || {
        // A second one, once the first was taken; one that comes too early is merged with it.
        thread::sleep(Duration::from_millis(50));
        holder.signal(Signal::INT);
        holder.is_over()
    });
    assert_eq!(holder.wait().code(), Some(6));
    server.process.go_on();
    eventually("its place passes on", || server.client().term("jobs").unwrap().leader.is_none());
}

/// Under `exclusive` no earlier than its deadline; under `fast` at once, or this would take an hour.
#[test]
fn a_killed_holders_place_passes_on() {
    for how in ["--ttl 2s", "--ttl 1h --failover fast"] {
        let server = Server::start("");
        let mut a = enters(&server, &format!("jobs a {how}"));
        let b = enters(&server, "jobs b");
        a.signal(Signal::KILL);
        assert_eq!(b.out.find("term 2"), "jobs: term 2, b leads", "{how}");
        assert_eq!(a.wait().code(), None);
    }
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
    let mut holder = enters(&server, "jobs a --ttl 3s");
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

/// The session is carried over to another connection, and so is what is seen of the election.
#[test]
fn enter_survives_a_lost_connection() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let mut a = tenure(words("enter jobs a --ttl 15s --server"));
    let mut a = Running::start(a.arg(proxy.address()));
    a.out.find("term 1");
    let client = server.client();
    let session =
        || client.sessions().unwrap().into_iter().find(|it| it.kind == "exclusive").unwrap();
    let before = session();
    proxy.cut();
    let said = a.err.next().unwrap();
    assert!(said.ends_with("; trying again for as long as the session may live"), "{said}");
    eventually("it is resumed", || {
        let now = session();
        assert_eq!(now.session, before.session);
        !now.peer.is_empty() && now.peer != before.peer
    });
    let _b = enters(&server, "jobs b");
    assert_eq!(a.out.next().unwrap(), "jobs: term 1, a leads, waiting: b");
    a.signal(Signal::INT);
    assert_eq!(a.wait().code(), Some(0));
    assert_done(&server.run("term jobs"), 0, "jobs: term 2, b leads\n");
}

/// What the server can't be asked for is not waited for any longer than the place may last.
#[test]
fn a_server_that_stops_answering_is_waited_for_until_the_deadline() {
    let server = Server::start("");
    let mut holder = enters(&server, "jobs a --ttl 3s");
    server.process.stop();
    assert_eq!(holder.wait().code(), Some(6));
    let said = holder.err.rest();
    assert!(said.contains("deadline has passed without a word from the server"), "{said}");
    server.process.go_on();
}

/// With a deadline an hour away.
#[test]
fn a_fast_place_ends_with_its_server() {
    let mut server = Server::start("");
    let mut holder = enters(&server, "jobs a --ttl 1h --failover fast");
    server.process.signal(Signal::KILL);
    server.process.wait();
    assert_eq!(holder.wait().code(), Some(6));
    assert!(holder.err.rest().contains("tenure: can't reach 127.0.0.1:"));
}

/// Another life of a server that keeps nothing: nobody evicted the candidate, it was forgotten.
#[test]
fn a_restarted_server_has_forgotten_the_place() {
    let mut server = Server::start("");
    let mut holder = enters(&server, "jobs a");
    let address = server.address().to_owned();
    server.process.signal(Signal::KILL);
    server.process.wait();
    let _next = Server::start(&format!("--listen {address}"));
    assert_eq!(holder.wait().code(), Some(6));
    let said = holder.err.rest();
    assert!(said.ends_with("tenure: the server was replaced\n"), "{said}");
}

/// One that keeps what it tells knows the place again, and so does whoever holds it.
#[test]
fn enter_survives_a_restart_of_a_server_that_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let keeps = format!("--data-dir {}", folder.path().join("data").display());
    let mut server = Server::start(&keeps);
    let a = enters(&server, "jobs a");
    let address = server.address().to_owned();
    server.process.signal(Signal::KILL);
    server.process.wait();
    let next = Server::start(&format!("{keeps} --listen {address}"));
    let _b = enters(&next, "jobs b");
    assert_eq!(a.out.find("waiting: b"), "jobs: term 1, a leads, waiting: b");
}

#[test]
fn enter_tells_of_an_ended_session() {
    let server = Server::start("");
    let mut a = enters(&server, "jobs a");
    let session = server.client().describe("jobs").unwrap().state.leader.unwrap().session;
    let done = server.run(&format!("end-session {session} --reason maintenance"));
    assert_done(&done, 0, "");
    assert_eq!(a.wait().code(), Some(7));
    let said = a.err.rest();
    assert!(said.starts_with("tenure: ") && said.contains("somebody else: maintenance"), "{said}");
}

/// The name stands in the list still, and is not this one's any more.
#[test]
fn enter_tells_of_a_place_taken_over() {
    let server = Server::start("");
    let mut a = enters(&server, "jobs a");
    let done = server.run("enter jobs a");
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains("held by another session"), "{done:?}");
    let other = Session::open(&server.address().parse().unwrap(), Options::default()).unwrap();
    let options = EnterOptions { on_conflict: OnConflict::TakeOver, ..EnterOptions::default() };
    other.election("jobs").enter("a", &options).unwrap();
    assert_eq!(a.wait().code(), Some(7));
    assert_eq!(a.err.rest(), "tenure: a no longer stands in jobs; somebody removed it\n");
    assert!(server.client().term("jobs").unwrap().has("a"), "the other one's is left alone");
}

#[test]
fn a_place_is_held_by_an_explicit_session() {
    let server = Server::start("");
    let holder = Running::start(&mut server.ask("enter jobs a"));
    holder.out.find("term 1");
    let [session] = &*server.client().sessions().unwrap() else { panic!("one session") };
    assert_eq!((session.kind, session.ttl_micros), ("exclusive", 3_000_000));
    // Changes by hand need none.
    assert_eq!(server.run("evict jobs nobody").code, Some(0));
    let change = server.client().describe("jobs").unwrap().state.change;
    assert_eq!((change.cause, change.by), ("entered", session.session));
    assert_eq!(server.run("evict jobs a").code, Some(0));
    let change = server.client().describe("jobs").unwrap().state.change;
    assert_eq!((change.cause, change.by), ("evicted", 0));
}
