//! What peers that misbehave cost the server in memory. A process of its own, and one test at a time,
//! because each weighs the whole process.
#![cfg(all(feature = "server", target_os = "linux"))]

mod raw;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raw::{Bystander, PATIENCE, Raw, enter, frame, get_term, memory, until, watch, withdraw};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tenure::{Engine, Server, ServerBuilder};

const MIB: usize = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);

static SCALES: Mutex<()> = Mutex::new(());

/// Nobody else is weighed meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    SCALES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that leaves peers all the time they take.
fn patient() -> ServerBuilder {
    let engine = Engine::builder().open().unwrap();
    Server::builder(engine).listen("127.0.0.1:0").stall_time(HOUR).silence(HOUR)
}

#[test]
fn w2_length_over_the_limit() {
    let _alone = alone();
    let server = patient().spawn().unwrap();
    let mut bystander = Bystander::of(&server);

    let mut peer = Raw::connect(&server);
    peer.ask(&get_term(1, "e"));
    peer.send(&[0xff; 14]);
    assert_eq!(peer.read_to_close(), b"");
    until("it is counted", || server.counters().violations == 1);

    let mut peer = Raw::connect(&server);
    peer.send(&frame(1, 1, 0, &vec![0; 5 * MIB]));
    let (code, message) = peer.receive().failure();
    assert_eq!(code, 8);
    assert!(message.contains("frame_bytes (4194304)"), "{message}");
    assert_eq!(peer.ask(&get_term(1, "e")).term().term, 0, "the connection goes on");

    let promise = frame(1, 1, 0, &vec![0; 4 * MIB])[..20].to_vec();
    let before = memory();
    let mut promisers: Vec<Raw> = (0..200).map(|_| Raw::connect(&server)).collect();
    for peer in &mut promisers {
        peer.send(&get_term(1, "e"));
        peer.send(&promise);
        assert_eq!(peer.receive().stream, 1);
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes more for 800 MiB that were only promised");
    bystander.check();
}

/// Sends `bytes` over and over until the server takes no more, or `rounds` are through.
fn flood(peer: &mut Raw, bytes: &[u8], rounds: usize) -> usize {
    let mut sent = 0;
    peer.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while sent < bytes.len() * rounds {
        match peer.0.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn w10_pipelined_without_reading() {
    let _alone = alone();
    let server = patient().spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let mut peer = Raw::connect(&server);
    // Replies of about 2 KiB, so that the kernel's buffers can't hold a hundred thousand.
    for n in 0..4 {
        peer.ask(&enter(1, "long", &format!("{n}{}", "x".repeat(500))));
    }
    let before = (memory(), server.counters().requests);

    let (request, requests) = (get_term(1, "long"), 100_000);
    let sent = flood(&mut peer, &request, requests);
    // The kernel may have room for what the server did not read.
    let taken = server.counters().requests - before.1;
    assert!(taken < requests as u64 / 2, "{taken} were answered into the void: reading goes on");
    let grown = memory().saturating_sub(before.0);
    assert!(grown < 48 * MIB, "{grown} bytes more");
    bystander.check();

    // Once it reads, it gets every reply.
    let mut rest = peer.0.try_clone().unwrap();
    rest.set_write_timeout(Some(PATIENCE)).unwrap();
    let writer = std::thread::spawn(move || {
        let mut sent = sent;
        while sent < request.len() * requests {
            sent += rest.write(&request[sent % request.len()..]).unwrap();
        }
    });
    for _ in 0..requests {
        assert_eq!(peer.receive().term().candidates.len(), 3);
    }
    writer.join().unwrap();
    bystander.check();
}

/// Files that this process may open, which is as many as it may ask for.
fn descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.map_or(usize::MAX, |most| most as usize)
}

/// Thousands that send one byte each and stop, and one more that is served meanwhile.
#[test]
fn c1_thousands_of_single_bytes() {
    let count = 3_000.min(descriptors() / 3);
    let _alone = alone();
    let server = patient().frame_time(Duration::from_secs(2)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let before = memory();
    let slow: Vec<Raw> = (0..count)
        .map(|n| {
            let mut peer = Raw::connect(&server);
            peer.send(&[0]);
            if n % 100 == 0 {
                bystander.check();
            }
            peer
        })
        .collect();
    let each = memory().saturating_sub(before) / count;
    assert!(each < 16 << 10, "{each} bytes for each connection that said one byte");
    until("all are closed", || {
        bystander.check();
        server.counters().slow_frames == count as u64
    });
    drop(slow);
    until("they are gone", || server.counters().connections == 1);
}

/// A connection with a thousand watches of `hot`, all standing.
fn a_thousand_watches(server: &Server) -> Raw {
    let mut peer = Raw::connect(server);
    peer.send(&(0..1000).flat_map(|n| watch(2 * n + 1, "hot")).collect::<Vec<_>>());
    // Behind them all: they stand when this is answered.
    assert_eq!(peer.ask(&get_term(9999, "hot")).stream, 9999);
    peer
}

/// Two changes of `hot`. The term after them.
fn turn_over(peer: &mut Raw) -> u64 {
    let name = "x".repeat(400);
    let term = peer.ask(&enter(1, "hot", &name)).term().term;
    assert!(peer.ask(&withdraw(1, "hot", &name)).term().leader.is_empty());
    term
}

#[test]
fn c6_watches_that_are_not_read_skip_to_the_newest() {
    let _alone = alone();
    let server = patient().spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let mut stalled = a_thousand_watches(&server);
    let mut busy = Raw::connect(&server);
    let before = memory();
    // As text, all of this would be over 100 MiB.
    let newest = (0..300).map(|_| turn_over(&mut busy)).last().unwrap();
    let grown = memory().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes more");
    bystander.check();

    let mut seen = vec![(0, false); 1000];
    while seen.iter().any(|&state| state != (newest, true)) {
        let event = stalled.receive();
        let term = event.term();
        let state = (term.term, term.leader.is_empty());
        let last = &mut seen[event.stream as usize / 2];
        assert!(*last < state, "a watch never goes back, and says nothing twice");
        *last = state;
    }
    // Counted after they were written.
    until("each state was said or skipped", || {
        let counters = server.counters();
        counters.merged > 0 && counters.merged + counters.events == 1000 * 600
    });
}

#[test]
fn c6_watchers_that_never_read_are_closed() {
    let _alone = alone();
    let server = patient().stall_time(Duration::from_millis(300)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let stalled: Vec<Raw> = (0..10).map(|_| a_thousand_watches(&server)).collect();
    let mut busy = Raw::connect(&server);
    let before = memory();
    until("all are closed", || {
        turn_over(&mut busy);
        bystander.check();
        let grown = memory().saturating_sub(before);
        assert!(grown < 64 * MIB, "{grown} bytes more for 10,000 watches that are not read");
        server.counters().stalled == stalled.len() as u64
    });
}
