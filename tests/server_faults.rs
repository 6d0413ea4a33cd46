//! The faults that reach a server through its sockets, each by its row in the list of faults. In each
//! test a bystander on a connection of its own is served all the time.
#![cfg(all(feature = "server", target_os = "linux"))]

mod raw;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::Duration;

use raw::{Bystander, Frame, PATIENCE, Raw, enter, get_term, until, watch, withdraw};
use socket2::SockRef;
use tenure::{Clock, Engine, Limits, Server, ServerBuilder};

fn engine() -> Engine {
    Engine::builder().open().unwrap()
}

fn bounded(limits: Limits) -> Engine {
    Engine::builder().limits(limits).open().unwrap()
}

fn builder(engine: &Engine) -> ServerBuilder {
    Server::builder(engine.clone()).listen("127.0.0.1:0")
}

fn serve(engine: &Engine) -> Server {
    builder(engine).spawn().unwrap()
}

/// Waits until only the bystander is connected.
fn alone(server: &Server) {
    until("the other connections are gone", || server.counters().connections == 1);
}

#[test]
fn w1_truncated_then_fin_or_rst() {
    let engine = engine();
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    let whole = enter(1, "truncated", "c");
    for (at, reset) in (0..whole.len()).flat_map(|at| [(at, false), (at, true)]) {
        let mut peer = Raw::connect(&server);
        peer.send(&whole[..at]);
        if reset {
            SockRef::from(&peer.0).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            peer.0.shutdown(Shutdown::Write).unwrap();
            assert_eq!(peer.read_to_close(), b"");
        }
    }
    alone(&server);
    assert_eq!(engine.elections(), 1, "nothing was applied but the bystander's");
    assert_eq!(server.counters().violations, 0, "a quiet close");
    bystander.check();
}

#[test]
fn w8_split_at_every_byte_and_a_thousand_in_one_segment() {
    let engine = engine();
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    let mut peer = Raw::connect(&server);

    let whole = enter(1, "split", "c");
    for at in 0..=whole.len() {
        peer.send(&whole[..at]);
        peer.send(&whole[at..]);
        assert_eq!(peer.receive().term().leader, "c");
    }
    let thousand: Vec<u8> = (0..1000).flat_map(|n| get_term(2 * n + 1, "split")).collect();
    peer.send(&thousand);
    for n in 0..1000 {
        assert_eq!(peer.receive().stream, 2 * n + 1);
    }
    bystander.check();
}

#[test]
fn w9_other_protocols_are_refused_at_once() {
    let engine = engine();
    let server = builder(&engine);
    #[cfg(feature = "web")]
    let server = server.ttrpc_only();
    let server = server.spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let cases: [(&[u8], &[u8]); 6] = [
        (b"GET /healthz HTTP/1.1\r\nHost: tenure\r\n\r\n", b"HTTP/1.1 501 Not Implemented\r\n"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0\0\0\x28\x07"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x15\x03\x01\0\x02\x02\x28"),
        (b"*1\r\n$4\r\nPING\r\n", b""),
        (b"PING\r\n", b""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
    ];
    for (said, answer) in cases {
        let mut peer = Raw::connect(&server);
        peer.send(said);
        let heard = peer.read_to_close();
        assert!(heard.starts_with(answer), "{said:?}: {heard:?}");
        assert_eq!(heard.is_empty(), answer.is_empty());
        bystander.check();
    }
    alone(&server);
    assert_eq!(server.counters().not_ttrpc, cases.len() as u64);
}

#[cfg(feature = "web")]
#[test]
fn w9_each_protocol_is_served_on_the_one_port() {
    let engine = engine();
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    // However its first bytes come in.
    for at in 0..20 {
        let request = b"GET /livez HTTP/1.1\r\nHost: tenure\r\nConnection: close\r\n\r\n";
        let mut peer = Raw::connect(&server);
        peer.send(&request[..at]);
        peer.send(&request[at..]);
        let heard = peer.read_to_close();
        assert!(heard.starts_with(b"HTTP/1.1 "), "{at}: {heard:?}");
        bystander.check();
    }
    let mut peer = Raw::connect(&server);
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut settings = [0; 9];
    peer.0.read_exact(&mut settings).unwrap();
    assert_eq!(settings[3..], [4, 0, 0, 0, 0, 0], "SETTINGS of stream 0 come first");
    drop(peer);
    alone(&server);
    assert_eq!(server.counters().not_ttrpc, 0);
}

#[test]
fn w10_who_never_reads_is_closed_and_counted() {
    let engine = engine();
    let server = builder(&engine).stall_time(Duration::from_millis(200)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let mut peer = Raw::connect(&server);
    for n in 0..4 {
        peer.ask(&enter(1, "long", &format!("{n}{}", "x".repeat(500))));
    }
    // More than the kernel's buffers hold of the replies, if not always of the requests.
    peer.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let _taken_in_part = peer.0.write_all(&get_term(1, "long").repeat(100_000));
    until("it is closed", || server.counters().stalled == 1);
    alone(&server);
    bystander.check();
}

#[test]
fn c1_slowloris() {
    let engine = engine();
    let server = builder(&engine).frame_time(Duration::from_millis(200)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let bytes = enter(1, "slow", "c");
    let mut slow: Vec<(Raw, usize)> =
        (0..100).map(|n| (Raw::connect(&server), n % (bytes.len() / 2) + 1)).collect();
    for (peer, sent) in &mut slow {
        peer.send(&bytes[..*sent]);
    }
    // One more byte now and then saves nobody: the whole frame has that time.
    until("all are closed", || {
        bystander.check();
        for (peer, sent) in slow.iter_mut().filter(|(_, sent)| *sent < bytes.len() - 1) {
            drop(peer.0.write(&bytes[*sent..*sent + 1]));
            *sent += 1;
        }
        server.counters().slow_frames == 100
    });
    alone(&server);
    assert_eq!(engine.elections(), 1);
}

#[test]
fn c3_partial_writes_do_not_interleave_frames() {
    let engine = engine();
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    // A window so small that each reply of 20 KiB leaves in many pieces.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let address: std::net::SocketAddr = server.addresses()[0].parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut peer = Raw(socket.into());
    peer.0.set_read_timeout(Some(PATIENCE)).unwrap();

    for n in 0..40 {
        peer.ask(&enter(1, "long", &format!("{n}{}", "x".repeat(500))));
    }
    peer.send(&watch(1, "long"));
    let expected = peer.receive().term();
    let requests: Vec<u8> = (1..200).flat_map(|n| get_term(2 * n + 1, "long")).collect();
    peer.send(&requests);
    for n in 1..200 {
        let reply = peer.receive();
        assert_eq!((reply.stream, reply.term()), (2 * n + 1, expected.clone()));
    }
    bystander.check();
}

#[test]
fn c3_a_peer_may_vanish_at_any_byte_of_its_replies() {
    let engine = engine();
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    let requests: Vec<u8> = (0..50).flat_map(|n| get_term(2 * n + 1, "bystander")).collect();
    for at in 0..100 {
        let mut peer = Raw::connect(&server);
        peer.send(&requests);
        peer.0.read_exact(&mut vec![0; at]).unwrap();
        if at % 2 == 0 {
            SockRef::from(&peer.0).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    alone(&server);
    bystander.check();
}

#[test]
fn c4_connections_are_capped() {
    let engine = bounded(Limits { connections: 16, ..Limits::default() });
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    let mut inside: Vec<Raw> = (1..16).map(|_| Raw::connect(&server)).collect();
    for peer in &mut inside {
        assert_eq!(peer.ask(&get_term(1, "e")).stream, 1);
    }
    for refused in 1..=20 {
        assert_eq!(Raw::connect(&server).read_to_close(), b"");
        until("it is counted", || server.counters().refused == refused);
        bystander.check();
    }
    drop(inside.pop());
    until("there is room again", || server.counters().connections == 15);
    assert_eq!(Raw::connect(&server).ask(&get_term(1, "e")).stream, 1);
}

/// Not a test by itself: the server of `c5`, in a process that may open few files.
#[test]
#[ignore = "run by c5_out_of_descriptors"]
fn c5_server_with_few_descriptors() {
    let server = serve(&engine());
    println!("listening on {}", server.addresses()[0]);
    let _until_the_other_side_closes = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The processor time that a process has used.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn c5_out_of_descriptors() {
    let test = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact c5_server_with_few_descriptors --ignored --nocapture"])
        .arg(test)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    while !said.contains("listening on ") || !said.ends_with('\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        said.push(char::from(byte[0]));
    }
    let address = said.rsplit(' ').next().unwrap().trim().to_owned();

    let mut bystander = Bystander::at(&address);
    let mut crowd: Vec<Raw> = (0..200).map(|_| Raw::to(&address)).collect();
    let answered = |peer: &mut Raw| {
        let sent = peer.0.write_all(&get_term(1, "e"));
        sent.and_then(|()| peer.try_receive()).is_ok()
    };
    let inside: Vec<bool> = crowd.iter_mut().map(answered).collect();
    let count = inside.iter().filter(|is_in| **is_in).count();
    assert!((10..64).contains(&count), "{count} came in, the others were sent away");
    bystander.check();

    let before = processor_time(child.id());
    let turns = std::time::Instant::now();
    while turns.elapsed() < Duration::from_millis(500) {
        bystander.check();
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = processor_time(child.id()) - before;
    assert!(used < Duration::from_millis(250), "it spins: {used:?} in 500 ms");

    crowd.clear();
    until("it recovers", || answered(&mut Raw::to(&address)));
    bystander.check();
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn q1_each_limit_names_itself() {
    let limits =
        Limits { elections: 3, sessions: 2, candidates: 2, streams: 4, ..Limits::default() };
    let engine = bounded(limits);
    let server = serve(&engine);
    let mut bystander = Bystander::of(&server);
    let mut peer = Raw::connect(&server);
    let refused = |frame: Frame, limit: &str| {
        let (code, message) = frame.failure();
        assert_eq!(code, 8);
        assert!(message.starts_with(&format!("limit reached: {limit} (")), "{message}");
    };

    peer.ask(&enter(1, "e", "a"));
    peer.ask(&enter(1, "e", "b"));
    refused(peer.ask(&enter(1, "e", "c")), "candidates");
    refused(Raw::connect(&server).ask(&enter(1, "e", "c")), "sessions");
    // Who has no session needs none to hear that there is nothing to withdraw.
    assert_eq!(Raw::connect(&server).ask(&withdraw(1, "e", "nobody")).term().leader, "a");
    assert_eq!(Raw::connect(&server).ask(&withdraw(1, "e", "b")).failure().0, 7);
    peer.ask(&enter(1, "e2", "a"));
    refused(peer.ask(&enter(1, "e3", "a")), "elections");
    for stream in [1, 3, 5, 7] {
        assert_eq!(peer.ask(&watch(stream, "e")).term().leader, "a");
    }
    refused(peer.ask(&watch(9, "e")), "streams");
    bystander.check();
}

#[test]
fn p5_a_drained_server_says_so_and_its_port_is_free() {
    let engine = engine();
    let server = serve(&engine);
    let mut watcher = Raw::connect(&server);
    watcher.ask(&enter(1, "e", "c"));
    assert_eq!(watcher.ask(&watch(3, "e")).term().leader, "c");
    let mut idle = Raw::connect(&server);
    idle.ask(&get_term(1, "e"));

    let said = std::thread::spawn(move || {
        let (code, message) = watcher.receive().failure();
        assert_eq!((code, message.contains("draining")), (14, true));
        assert_eq!(watcher.read_to_close(), b"");
        assert_eq!(idle.read_to_close(), b"");
    });
    assert!(server.drain(PATIENCE), "all went in time");
    said.join().unwrap();
    assert_eq!(server.counters().connections, 0);
    assert_eq!(engine.sessions(), 0, "a connection's session ends with it");

    let address = server.addresses()[0].clone();
    let again = Server::builder(engine).listen(address).spawn().unwrap();
    Bystander::of(&again).check();
}

#[test]
fn p5_a_drain_has_its_time() {
    // A clock that stands still: it does not close its side, so the server would linger for ever.
    let engine = Engine::builder().clock(Clock::manual()).open().unwrap();
    let server = serve(&engine);
    let mut peer = Raw::connect(&server);
    peer.ask(&get_term(1, "e"));
    assert!(!server.drain(Duration::from_millis(50)));
    assert_eq!(peer.read_to_close(), b"");
}

#[test]
fn a_session_may_outlive_its_connection_for_a_grace() {
    let clock = Clock::manual();
    let engine = Engine::builder().clock(clock.clone()).open().unwrap();
    let grace = Duration::from_millis(300);
    let server = builder(&engine).disconnect_grace(grace).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let mut leader = Raw::connect(&server);
    leader.ask(&enter(1, "e", "c"));
    drop(leader);
    alone(&server);
    clock.advance(grace - Duration::from_millis(1));
    bystander.check();
    assert_eq!(engine.term("e").unwrap().leader(), Some("c"));

    // Whoever comes back in time keeps the place, in a term of its own.
    let mut again = Raw::connect(&server);
    assert_eq!(again.ask(&enter(1, "e", "c")).term().term, 2);
    assert_eq!(engine.sessions(), 3);
    clock.advance(Duration::from_millis(10));
    until("the former session's grace is over", || engine.sessions() == 2);
    assert_eq!(engine.term("e").unwrap().leader(), Some("c"));
    drop(again);
    alone(&server);
    clock.advance(grace + Duration::from_millis(10));
    until("the second grace is over", || engine.term("e").unwrap().is_vacant());
    bystander.check();
}
