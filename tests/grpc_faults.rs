//! Faults of HTTP/2 and gRPC over real sockets, made frame by frame. Nobody else suffers, and memory stays
//! bounded.

#[path = "raw/mod.rs"]
mod raw;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use raw::{Bystander, until};
use tenure::{Engine, Limits, Server, ServerBuilder};

const PATIENCE: Duration = Duration::from_secs(30);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET_TERM: &str = "/atomix.runtime.election.v1.LeaderElection/GetTerm";
const WATCH: &str = "/atomix.runtime.election.v1.LeaderElection/Watch";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn server() -> ServerBuilder {
    Server::builder(Engine::builder().open().unwrap()).listen("127.0.0.1:0")
}

/// A client that sends whatever it is told to.
struct Peer(TcpStream);

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields as they are, in no table.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        for text in [name, value] {
            if text == name {
                block.push(0);
            }
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

fn call(path: &str) -> Vec<u8> {
    let kind = ("content-type", "application/grpc");
    fields(&[(":method", "POST"), (":scheme", "http"), (":path", path), ("te", "trailers"), kind])
}

/// A message that names an election.
fn named(election: &str) -> Vec<u8> {
    let mut message = vec![0; 5];
    message.extend([0x0a, election.len() as u8 + 2, 0x0a, election.len() as u8]);
    message.extend(election.as_bytes());
    let length = (message.len() - 5) as u32;
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message
}

impl Peer {
    fn of(server: &Server) -> Self {
        Self::with(server, &[])
    }

    fn with(server: &Server, settings: &[u8]) -> Self {
        let mut peer = Self::silent(server);
        peer.send(PREFACE);
        peer.send(&frame(SETTINGS, 0, 0, settings));
        peer
    }

    fn silent(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn call(&mut self, stream: u32, path: &str, message: &[u8]) {
        self.send(&frame(HEADERS, END_HEADERS, stream, &call(path)));
        self.send(&frame(DATA, END_STREAM, stream, message));
    }

    /// The next frame; `None` at the end, however it ends.
    fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == PING && frame.flags & ACK == 0 {
            let _gone = self.0.write_all(&self::frame(PING, ACK, 0, &frame.payload));
        }
        Some(frame)
    }

    /// The next frame of this kind.
    fn find(&mut self, kind: u8) -> Option<Frame> {
        while let Some(frame) = self.receive() {
            if frame.kind == kind {
                return Some(frame);
            }
        }
        None
    }

    /// True if it is closed in time, whatever comes before.
    fn is_closed(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.receive().is_none() {
                return true;
            }
        }
        false
    }

    /// A call that is answered shows that the connection is well.
    fn check(&mut self, stream: u32) {
        self.call(stream, GET_TERM, &named("nobody"));
        loop {
            let frame = self.receive().expect("an answer");
            if frame.stream == stream && frame.flags & END_STREAM != 0 {
                return;
            }
        }
    }
}

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn any_path_is_answered() {
    let server = server().spawn().unwrap();
    let mut peer = Peer::of(&server);
    for (n, path) in ["#", "?", "*", "/", "/a", "/a/b/c", "/%00/x", "//"].iter().enumerate() {
        let stream = 2 * n as u32 + 1;
        peer.call(stream, path, &named("e"));
        loop {
            let frame = peer.receive().expect("an answer, or a reset of the stream");
            if frame.stream == stream && (frame.kind == RST_STREAM || frame.flags & END_STREAM != 0)
            {
                break;
            }
        }
    }
    peer.check(101);
}

#[test]
fn c1_a_beginning_that_is_never_finished_is_closed() {
    let server = server().frame_time(Duration::from_millis(200)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    for said in [&b"PRI *"[..], b"PRI * HTTP/2.0\r\n\r\n", PREFACE, b"GET / HTTP/1.1\r\nHost:"] {
        let mut peer = Peer::silent(&server);
        peer.send(said);
        assert!(peer.is_closed(), "{said:?}");
    }
    until("they are counted", || server.counters().slow_frames == 4);
    bystander.check();
}

#[test]
fn c1_a_message_that_is_never_finished_ends_its_call() {
    let server = server().frame_time(Duration::from_millis(200)).spawn().unwrap();
    let mut peer = Peer::of(&server);
    peer.send(&frame(HEADERS, END_HEADERS, 1, &call(GET_TERM)));
    peer.send(&frame(DATA, 0, 1, &[0, 0, 0]));
    let answer = loop {
        let frame = peer.receive().expect("an answer");
        if frame.stream == 1 && frame.flags & END_STREAM != 0 {
            break frame;
        }
    };
    assert_eq!(answer.kind, HEADERS, "a status, and no message");
    peer.check(3);
}

/// Row W2: what is announced costs nothing, and what has arrived is bounded for a connection.
#[test]
fn w2_messages_under_way_are_bounded() {
    let server = server().frame_time(PATIENCE).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let before = resident();
    let mut peer = Peer::of(&server);
    let reading = peer.0.try_clone().unwrap();
    // Its windows and refusals have to be read, or it could not go on.
    let mut reader = Peer(reading);
    std::thread::spawn(move || while reader.receive().is_some() {});
    for n in 0..150 {
        let stream = 2 * n + 1;
        peer.send(&frame(HEADERS, END_HEADERS, stream, &call(GET_TERM)));
        peer.send(&frame(DATA, 0, stream, &[0, 0, 0x3f, 0xff, 0xff]));
        // As much as the windows take before anything is given back.
        peer.send(&frame(DATA, 0, stream, &[0; 300]));
    }
    bystander.check();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for messages of which 300 have arrived");
}

/// Who reads TCP but takes no answers, and who takes nothing of a watch, is closed.
#[test]
fn c6_a_window_that_stays_shut() {
    let engine = Engine::builder().open().unwrap();
    let session = engine.session().unwrap();
    let election = engine.election("large").unwrap();
    for n in 0..500 {
        election.enter(&session, &format!("{n}{}", "x".repeat(500))).unwrap();
    }
    let builder = || Server::builder(engine.clone()).listen("127.0.0.1:0");
    let server = builder().stall_time(Duration::from_millis(300)).spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    // No bytes of a message may be sent.
    let shut = [0, 4, 0, 0, 0, 0];
    let mut peer = Peer::with(&server, &shut);
    peer.call(1, GET_TERM, &named("large"));
    assert!(peer.is_closed(), "it takes nothing for too long");
    let mut peer = Peer::with(&server, &shut);
    peer.call(1, WATCH, &named("large"));
    assert!(peer.is_closed(), "neither of a watch");
    until("they are counted", || server.counters().stalled == 2);

    // Before that, as much as may wait for a connection.
    let server = builder().stall_time(PATIENCE).spawn().unwrap();
    let mut peer = Peer::with(&server, &shut);
    for n in 0..60 {
        let request = frame(HEADERS, END_HEADERS, 2 * n + 1, &call(GET_TERM));
        let message = frame(DATA, END_STREAM, 2 * n + 1, &named("large"));
        if peer.0.write_all(&[request, message].concat()).is_err() {
            break;
        }
    }
    assert!(peer.is_closed(), "more than 8 MiB wait for it");
    until("it is counted", || server.counters().stalled == 1);
    bystander.check();
}

/// Row A3: floods end the connection that makes them.
#[test]
fn a3_floods() {
    let server = server().spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let before = resident();
    let ping = frame(PING, 0, 0, &[7; 8]);
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let mut reset = frame(HEADERS, END_HEADERS, 1, &call(WATCH));
    reset.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    let mut endless = frame(HEADERS, 0, 1, &call(GET_TERM));
    endless.extend(frame(CONTINUATION, 0, 1, &fields(&[("x", "y")])));
    for (what, flood) in
        [("pings", ping), ("settings", settings), ("windows", window), ("resets", reset)]
    {
        let mut peer = Peer::of(&server);
        let reading = peer.0.try_clone().unwrap();
        let mut reader = Peer(reading);
        let over = std::thread::spawn(move || reader.is_closed());
        let piece = flood.repeat(1000);
        let mut stream = 1u32;
        let until = Instant::now() + PATIENCE;
        loop {
            let bytes = if what == "resets" {
                let mut bytes = Vec::new();
                for _ in 0..100 {
                    bytes.extend(frame(HEADERS, END_HEADERS, stream, &call(WATCH)));
                    bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                    stream += 2;
                }
                bytes
            } else {
                piece.clone()
            };
            if peer.0.write_all(&bytes).is_err() {
                break;
            }
            assert!(Instant::now() < until, "{what} go on");
        }
        let _gone = peer.0.shutdown(Shutdown::Both);
        assert!(over.join().unwrap(), "{what}");
        bystander.check();
    }
    let mut peer = Peer::of(&server);
    peer.send(&endless);
    let more = frame(CONTINUATION, 0, 1, &fields(&[("x", "y")]).repeat(1000));
    while peer.0.write_all(&more).is_ok() {}
    bystander.check();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}

/// Row A3: headers over the limit are refused, and cost their own connection at most.
#[test]
fn a3_oversized_headers() {
    let server = server().spawn().unwrap();
    let mut bystander = Bystander::of(&server);
    let mut peer = Peer::of(&server);
    let long = "y".repeat(120);
    let mut block = call(GET_TERM);
    for _ in 0..300 {
        block.extend(fields(&[("x", &long)]));
    }
    let (first, rest) = block.split_at(16_000);
    let _may_be_closed = peer.0.write_all(&frame(HEADERS, 0, 1, first));
    for piece in rest.chunks(16_000) {
        let _may_be_closed = peer.0.write_all(&frame(CONTINUATION, 0, 1, piece));
    }
    let _may_be_closed = peer.0.write_all(&frame(CONTINUATION, END_HEADERS, 1, &[]));
    let refused = loop {
        match peer.receive() {
            None => break true,
            Some(frame) if frame.kind == GOAWAY || frame.kind == RST_STREAM => break true,
            // 431, and no call.
            Some(frame) if frame.kind == HEADERS => break frame.flags & END_STREAM != 0,
            Some(_) => {}
        }
    };
    assert!(refused);
    bystander.check();
}

/// As many streams as there may be, and the next is told which limit it met.
#[test]
fn q1_streams_are_limited() {
    let limits = Limits { streams: 8, ..Limits::DEFAULT };
    let engine = Engine::builder().limits(limits).open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    let mut peer = Peer::of(&server);
    for n in 0..8 {
        peer.call(2 * n + 1, WATCH, &named("e"));
    }
    for n in 0..8 {
        let answer = peer.find(HEADERS).unwrap();
        assert_eq!(answer.flags & END_STREAM, 0, "{n}: a watch goes on");
    }
    peer.call(17, WATCH, &named("e"));
    let refused = peer.find(HEADERS).unwrap();
    assert_eq!((refused.stream, refused.flags & END_STREAM), (17, END_STREAM));
    // One that is cancelled makes room.
    peer.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    let mut stream = 19;
    until("there is room again", || {
        peer.call(stream, WATCH, &named("e"));
        stream += 2;
        peer.find(HEADERS).unwrap().flags & END_STREAM == 0
    });
}
