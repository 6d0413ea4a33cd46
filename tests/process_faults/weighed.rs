//! The faults that show in what a process takes of the machine, which Linux tells in `/proc`.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    Bystander, PATIENCE, Server, connect, descriptors, eventually, processor_time, raw, resident,
    unmoved,
};
use crate::{PROMPT, narrow, open};

const MIB: u64 = 1 << 20;

/// `tenure serve` under a shell's `ulimit`.
fn limited(limit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit {limit} && exec \"$0\" serve \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_tenure")]);
    unmoved(&mut command);
    command.stdin(Stdio::null());
    command
}

#[test]
fn c5_out_of_descriptors() {
    let server = Server::start_by(limited("-n 64"), "--reactors 1");
    let pid = server.process.id();
    let bystander = Bystander::of(server.address());
    let mut early = open(server.address());
    let mut bytes = Vec::new();
    raw::put_change(&mut bytes, 1, "Enter", "early", "a");
    early.write_all(&bytes).unwrap();
    assert_eq!(raw::read_frame(&mut early).unwrap().kind, raw::RESPONSE);
    let idle = descriptors(pid);

    // More than it can hold. Each is taken, refused or closed, and none leaves it spinning.
    let many: Vec<TcpStream> = (0..200).map(|_| open(server.address())).collect();
    eventually("it runs out", || descriptors(pid) >= 62);
    let before = processor_time(pid);
    let watched = Instant::now();
    let mut refused = 0;
    let mut served = 0;
    for mut peer in &many {
        let mut bytes = Vec::new();
        raw::put_change(&mut bytes, 1, "Promote", "jobs", "nobody");
        // One that was sent away already may not even take the request.
        let _sent_away = peer.write_all(&bytes);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        match raw::read_frame(&mut peer) {
            Some(frame) => served += usize::from(frame.kind == raw::RESPONSE),
            None => refused += 1,
        }
    }
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
    assert_eq!(served + refused, 200);
    // What the bystander takes is in it too: three calls a millisecond at most.
    let spent = processor_time(pid) - before;
    assert!(spent < watched.elapsed().mul_f64(0.7) + Duration::from_millis(200), "{spent:?}");

    // Who was in before is served, and the log is not flooded.
    let mut bytes = Vec::new();
    raw::put_change(&mut bytes, 3, "Enter", "jobs", "a");
    early.write_all(&bytes).unwrap();
    assert_eq!(raw::read_frame(&mut early).unwrap().kind, raw::RESPONSE);
    server.process.err.find("no descriptor is free");

    drop(many);
    eventually("the descriptors are given back", || descriptors(pid) <= idle);
    let client = server.client();
    assert_eq!(client.term("jobs").unwrap().leader.as_deref(), Some("a"));
    bystander.was_served_within(PROMPT);

    // At rest again it takes nothing.
    let before = processor_time(pid);
    thread::sleep(Duration::from_millis(500));
    let spent = processor_time(pid) - before;
    assert!(spent < Duration::from_millis(100), "{spent:?} at rest");
}

/// Out of descriptors, with nobody coming or going: the time it spends is the test of a spin.
#[test]
fn c5_no_spin_while_descriptors_are_out() {
    let server = Server::start_by(limited("-n 40"), "--reactors 1");
    let pid = server.process.id();
    let many: Vec<TcpStream> = (0..100).map(|_| open(server.address())).collect();
    eventually("it runs out", || descriptors(pid) >= 38);
    server.process.err.find("no descriptor is free");
    let before = processor_time(pid);
    thread::sleep(Duration::from_secs(1));
    let spent = processor_time(pid) - before;
    assert!(spent < Duration::from_millis(250), "{spent:?} of one second");
    drop(many);
    eventually("it recovers", || descriptors(pid) < 20);
    assert_eq!(server.client().term("jobs").unwrap().number, 0);
}

#[test]
fn c6_watcher_that_never_reads() {
    // Over a Unix socket, for which the kernel buffers far less than for TCP: stalled soon.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("--listen 127.0.0.1:0 --listen unix://{}", path.display());
    let server = Server::start(&format!("--stall-time 1h {listen}"));
    let pid = server.process.id();
    let bystander = Bystander::of(server.address());
    let mut stalled = UnixStream::connect(&path).unwrap();
    stalled.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    raw::put_watch(&mut bytes, 1, "jobs");
    stalled.write_all(&bytes).unwrap();

    // Some first, so that what is measured is not the server's warming up.
    let mut quick = open(server.address());
    let name = "n".repeat(500);
    raw::churn(&mut quick, "jobs", &name, 2_000);
    let before = resident(pid);
    // Few at once, so that little is merged but for want of a reader: a megabyte is to be said.
    raw::churn_by(&mut quick, "jobs", &name, 100_000, 50);
    let grown = resident(pid).saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes for 100,000 changes that nobody read");

    let client = server.client();
    let term = client.enter("jobs", "last").unwrap();
    let mut stalled = BufReader::new(stalled);
    let mut read = 0_u64;
    let mut number = 0;
    loop {
        let seen = raw::term(&raw::read_frame(&mut stalled).expect("it ends at the newest"));
        read += 1;
        assert!(seen.term >= number, "never back");
        number = seen.term;
        if seen.leader == "last" {
            assert_eq!(seen.term, term.number);
            break;
        }
    }
    println!("{read} states of 102,000, {grown} bytes");
    assert!(read < 1_500, "{read} states: it was not stalled");
    bystander.was_served_within(PROMPT);
}

#[test]
fn c6_ten_thousand_stalled_watches() {
    const CONNECTIONS: u32 = 10;
    const EACH: u32 = 1_000;
    const CHANGES: u32 = 40;
    // A change is 250 kB for each connection: a few of them fill what the kernel buffers.
    let name = "n".repeat(200);
    let server = Server::start("--stall-time 1h --silence 1h");
    let pid = server.process.id();
    let mut quick = open(server.address());
    raw::churn(&mut quick, "jobs", &name, 10_000);
    let bystander = Bystander::of(server.address());
    let before = resident(pid);

    let stalled: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut socket = narrow(server.address());
            let mut bytes = Vec::new();
            (0..EACH).for_each(|n| raw::put_watch(&mut bytes, 2 * n + 1, "jobs"));
            socket.write_all(&bytes).unwrap();
            socket
        })
        .collect();
    raw::churn_by(&mut quick, "jobs", &name, CHANGES, 1);
    let opened = resident(pid).saturating_sub(before);
    raw::churn_by(&mut quick, "jobs", &name, CHANGES, 1);
    let after = resident(pid).saturating_sub(before);
    let per_watch = after / u64::from(CONNECTIONS * EACH);
    println!("10,000 watches: {opened} bytes, after more changes {after}, {per_watch} for each");
    assert!(per_watch < 2_048, "{per_watch} bytes for a watch");
    assert!(after < opened + 4 * MIB, "{opened} grew to {after}");

    let last = connect(server.address());
    let term = last.enter("jobs", "last").unwrap();
    let mut most = 0;
    for socket in stalled {
        let mut socket = BufReader::new(socket);
        let (mut waiting, mut frames) = (EACH, 0);
        while waiting > 0 {
            let frame = raw::read_frame(&mut socket).expect("each ends at the newest");
            frames += 1;
            let seen = raw::term(&frame);
            if seen.leader == "last" {
                assert_eq!(seen.term, term.number);
                waiting -= 1;
            }
        }
        most = most.max(frames);
        assert!(frames < EACH * CHANGES, "{frames} frames: it was not stalled");
    }
    println!("{most} frames of {} on one connection", EACH * 2 * CHANGES);
    bystander.was_served_within(PROMPT);
}

#[test]
fn q2_one_hot_election_beside_many_quiet_ones() {
    let server = Server::start("");
    let pid = server.process.id();
    let quiet: Vec<_> = (0..50).map(|n| (server.client(), format!("quiet{n}"))).collect();
    for (client, name) in &quiet {
        assert_eq!(client.enter(name, "q").unwrap().number, 1);
    }
    raw::churn(open(server.address()), "hot", "warm", 10_000);
    let before = resident(pid);
    let bystander = Bystander::of(server.address());

    let hot: Vec<_> = (0..4)
        .map(|n| {
            let socket = open(server.address());
            thread::spawn(move || raw::churn(socket, "hot", &format!("h{n}"), 50_000))
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    while hot.iter().any(|it| !it.is_finished()) {
        for (client, name) in &quiet {
            let since = Instant::now();
            assert_eq!(client.term(name).unwrap().number, 1);
            assert_eq!(client.promote(name, "q").unwrap().number, 1);
            slowest = slowest.max(since.elapsed());
        }
        rounds += 1;
    }
    hot.into_iter().for_each(|it| it.join().unwrap());
    assert!(rounds > 0);
    assert!(slowest < PROMPT, "{slowest:?} for a quiet election");
    bystander.was_served_within(PROMPT);
    let grown = resident(pid).saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes for 200,000 changes of one election");
    let hot = connect(server.address()).term("hot").unwrap();
    assert_eq!((hot.leader, hot.candidates.len()), (None, 0), "each came and went");
}
