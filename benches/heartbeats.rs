//! What many sessions cost a server that only keeps them alive: each says so once a second.
//!
//! `cargo bench --bench heartbeats [-- --check]` opens 100,000 explicit sessions on 8 connections of a
//! `tenure serve --memory`, renews each every second, spread over the second, and prints how much of one
//! core the server's process takes, and how long a renewal's answer takes. With `--check` it fails above a
//! quarter of a core.

#[path = "../tests/support/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
mod raw;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use support::{Server, judge};
use tenure_schema::tenure::v1::{KeepAliveRequest, OpenRequest, OpenResponse};
use tenure_schema::ttrpc;

const CONNECTIONS: usize = 8;
const BOUND: f64 = 0.25;
/// How often a connection speaks; each time for its share of the sessions.
const BEAT: Duration = Duration::from_millis(10);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--test");
    let (sessions, seconds) = if quick { (800, 1) } else { (100_000, 15) };
    let server = Server::start();
    let each = sessions / CONNECTIONS;
    let peers: Vec<Peer> = (0..CONNECTIONS).map(|_| Peer::open(&server.address, each)).collect();
    println!(
        "{} sessions on {CONNECTIONS} connections, each renewed once a second",
        each * CONNECTIONS
    );
    let idle = server.cpu();
    thread::sleep(Duration::from_secs(1));
    println!("   idle: {:.1}% of a core", (server.cpu() - idle) * 100.0);

    let began = (Instant::now(), server.cpu());
    let rounds: Vec<_> = peers
        .into_iter()
        .map(|mut peer| thread::spawn(move || peer.keep_alive(Duration::from_secs(seconds))))
        .collect();
    let mut times: Vec<Duration> =
        rounds.into_iter().flat_map(|round| round.join().expect("a connection")).collect();
    let share = (server.cpu() - began.1) / began.0.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    println!("   server: {:.1}% of a core", share * 100.0);
    println!("   a batch's last answer: p50 {:.0} us, p99 {:.0} us", at(50), at(99));
    let broken = (share > BOUND).then(|| format!("more than {:.0}%", BOUND * 100.0));
    judge(broken.as_slice());
}

/// One connection and its sessions.
struct Peer {
    socket: TcpStream,
    /// All renewals, one after the other, as they are sent.
    requests: Vec<u8>,
    /// Where each begins; and the end.
    starts: Vec<usize>,
    answer: usize,
}

impl Peer {
    fn open(address: &str, sessions: usize) -> Self {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let open = OpenRequest { ttl_micros: 60_000_000, ..Default::default() };
        let (mut requests, mut starts) = (Vec::new(), vec![0]);
        let mut answer = 0;
        for n in 0..sessions {
            socket.write_all(&frame(1, "Open", &open)).expect("a request is sent");
            let opened = OpenResponse::decode(&*read(&mut socket)).expect("a session");
            let renewal = KeepAliveRequest { session: opened.session, ..Default::default() };
            let renewal = frame(2 * n as u32 + 1, "KeepAlive", &renewal);
            if n == 0 {
                socket.write_all(&renewal).expect("a request is sent");
                // All answers are as long: they say the TTL.
                answer = 10 + read_frame(&mut socket).len();
            }
            requests.extend_from_slice(&renewal);
            starts.push(requests.len());
        }
        Self { socket, requests, starts, answer }
    }

    /// For so long. How long each batch's answers took.
    fn keep_alive(&mut self, time: Duration) -> Vec<Duration> {
        let sessions = self.starts.len() - 1;
        let beats = (Duration::from_secs(1).as_micros() / BEAT.as_micros()) as usize;
        let mut times = Vec::new();
        let mut buffer = Vec::new();
        let began = Instant::now();
        for beat in 0usize.. {
            let due = BEAT * beat as u32;
            if due >= time {
                break;
            }
            if let Some(wait) = due.checked_sub(began.elapsed()) {
                thread::sleep(wait);
            }
            let (from, to) =
                (beat % beats * sessions / beats, (beat % beats + 1) * sessions / beats);
            let asked = Instant::now();
            let batch = &self.requests[self.starts[from]..self.starts[to]];
            self.socket.write_all(batch).expect("requests are sent");
            buffer.resize((to - from) * self.answer, 0);
            self.socket.read_exact(&mut buffer).expect("answers");
            times.push(asked.elapsed());
        }
        times
    }
}

fn frame(stream: u32, method: &str, request: &impl Message) -> Vec<u8> {
    let mut frame = Vec::new();
    raw::put_call(&mut frame, stream, 0, raw::SESSIONS, method, request);
    frame
}

fn read_frame(socket: &mut TcpStream) -> Vec<u8> {
    raw::read_frame(socket).expect("an answer").body
}

fn read(socket: &mut TcpStream) -> Vec<u8> {
    let response = ttrpc::Response::decode(&*read_frame(socket)).expect("a response");
    assert!(response.status.is_none(), "{:?}", response.status);
    response.payload
}
