//! GetTerm over loopback beside a bare mio echo of the same bytes, in one run, round by round.
//!
//! `cargo bench --bench loopback [-- --durable]` prints a table: requests a second or p50, of both, and the median
//! of the rounds' ratios. The echo does what no server can go without: it reads, and writes an answer
//! of the same length for each request. Client and server are one thread each, pinned as the table
//! says, with the client the same for both.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use prost::Message;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use tenure::{Engine, Server};
use tenure_schema::atomix::runtime::election::v1::{GetTermRequest, GetTermResponse, Term};
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc;

const ELECTION: &str = "billing/cron";
const ROUNDS: usize = 7;

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let quick = std::env::args().any(|arg| arg == "--test");
    let scale = if quick { 100 } else { 1 };
    let all = sched_getaffinity(None::<Pid>).expect("the affinity can be read");
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect();
    let (one, two) = (cores[0], cores[cores.len() - 1]);
    println!("{} cores; client pinned to core {one}; {ROUNDS} rounds, interleaved", cores.len());
    println!("{:<28}{:>14}{:>14}{:>10}", "connections x in flight", "echo", "tenure", "ratio");

    for (placement, core) in [("one core", one), ("two cores", two)] {
        for (connections, in_flight, requests) in
            [(1, 1, 20_000), (8, 128, 1_000_000), (64, 1, 100_000), (64, 16, 500_000)]
        {
            let servers = Pair::start(core);
            pin(one);
            let load = Load { connections, in_flight, requests: requests / scale };
            let what = format!("{connections} x {in_flight}, {placement}");
            side_by_side(&what, &servers, &load);
            pin_to_all(&cores);
        }
    }
}

/// Runs the same load against both in turn and prints the medians.
fn side_by_side(what: &str, servers: &Pair, load: &Load) {
    let latency = load.connections * load.in_flight == 1;
    let (mut echo, mut tenure, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    load.run(servers.echo);
    load.run(servers.tenure);
    for _ in 0..ROUNDS {
        let (mut e, mut t) = (load.run(servers.echo), load.run(servers.tenure));
        let (e, t) = if latency { (e.p50_us(), t.p50_us()) } else { (e.rate(), t.rate()) };
        echo.push(e);
        tenure.push(t);
        ratios.push(t / e);
    }
    let unit = if latency { "us p50" } else { "k/s" };
    let shown = |value: f64| {
        if latency { format!("{value:.1} {unit}") } else { format!("{:.0} {unit}", value / 1e3) }
    };
    let ratio = median(&mut ratios);
    println!(
        "{what:<28}{:>14}{:>14}{ratio:>10.2}",
        shown(median(&mut echo)),
        shown(median(&mut tenure))
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn pin(core: usize) {
    pin_to_all(&[core]);
}

fn pin_to_all(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None::<Pid>, &set).expect("a thread may be pinned");
}

/// The two servers, each with one thread on the same core.
struct Pair {
    echo: SocketAddr,
    tenure: SocketAddr,
    stop: Arc<AtomicBool>,
    _server: Server,
    _folder: Option<tempfile::TempDir>,
}

impl Pair {
    fn start(core: usize) -> Self {
        pin(core); // threads inherit it
        let stop = Arc::new(AtomicBool::new(false));
        let mut engine = Engine::builder();
        let folder = kept().then(|| tempfile::tempdir().unwrap());
        if let Some(folder) = &folder {
            engine = engine.data_dir(folder.path());
        }
        let engine = engine.open().unwrap();
        let session = engine.session().unwrap();
        engine.election(ELECTION).unwrap().enter(&session, "node-a").unwrap();
        std::mem::forget(session);
        let server = Server::builder(engine)
            .listen("127.0.0.1:0")
            .reactors(NonZeroUsize::MIN)
            .spawn()
            .unwrap();
        let tenure = server.addresses()[0].parse().unwrap();
        Self { echo: echo(stop.clone()), tenure, stop, _server: server, _folder: folder }
    }
}

/// Whether the server is to keep what it tells on disk.
fn kept() -> bool {
    std::env::args().any(|arg| arg == "--durable")
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Answers each request's length with a response's length of bytes, and nothing else.
fn echo(stop: Arc<AtomicBool>) -> SocketAddr {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(1024);
        poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE).unwrap();
        let (request, response) = (request(1).len(), response());
        let mut peers: Vec<Option<(TcpStream, usize, VecDeque<u8>)>> = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        let mut out = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            poll.poll(&mut events, Some(Duration::from_millis(200))).unwrap();
            for event in &events {
                if event.token() == Token(usize::MAX) {
                    while let Ok((mut socket, _)) = listener.accept() {
                        socket.set_nodelay(true).unwrap();
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut socket, Token(peers.len()), both).unwrap();
                        peers.push(Some((socket, 0, VecDeque::new())));
                    }
                    continue;
                }
                let Some((socket, owed, rest)) = &mut peers[event.token().0] else { continue };
                let gone = loop {
                    match socket.read(&mut buffer) {
                        Ok(0) => break true,
                        Ok(count) => {
                            *owed += count;
                            let answers = *owed / request;
                            *owed %= request;
                            out.clear();
                            (0..answers).for_each(|_| out.extend_from_slice(&response));
                            rest.extend(&out);
                            if count < buffer.len() {
                                break false;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                        Err(_) => break true,
                    }
                };
                while !rest.is_empty() {
                    match socket.write(rest.make_contiguous()) {
                        Ok(count) => drop(rest.drain(..count)),
                        Err(_) => break,
                    }
                }
                if gone {
                    peers[event.token().0] = None;
                }
            }
        }
    });
    address
}

/// One client thread that keeps `in_flight` requests under way on each of its connections.
struct Load {
    connections: usize,
    in_flight: usize,
    requests: usize,
}

struct Run {
    requests: usize,
    took: Duration,
    /// Of each request, where one at a time is under way.
    latencies: Vec<Duration>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    fn p50_us(&mut self) -> f64 {
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() / 2].as_secs_f64() * 1e6
    }
}

struct Client {
    socket: TcpStream,
    /// Requests as they go round: each id is used again after its answer has come.
    ring: Vec<u8>,
    /// Of the ring, what has been sent in all, and may be sent.
    sent: usize,
    allowed: usize,
    received: usize,
}

impl Load {
    fn run(&self, server: SocketAddr) -> Run {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(1024);
        let request_len = request(1).len();
        let response_len = response().len();
        let ring: Vec<u8> = (0..self.in_flight).flat_map(|n| request(2 * n as u32 + 1)).collect();
        let mut clients: Vec<Client> = (0..self.connections)
            .map(|n| {
                let socket = std::net::TcpStream::connect(server).unwrap();
                socket.set_nodelay(true).unwrap();
                socket.set_nonblocking(true).unwrap();
                let mut socket = TcpStream::from_std(socket);
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut socket, Token(n), both).unwrap();
                Client { socket, ring: ring.clone(), sent: 0, allowed: ring.len(), received: 0 }
            })
            .collect();
        let mut buffer = vec![0; 256 << 10];
        let single = self.connections * self.in_flight == 1;
        let mut latencies = Vec::with_capacity(if single { self.requests } else { 0 });
        let started = Instant::now();
        let mut sent_at = started;
        let mut done = 0;
        clients.iter_mut().for_each(Client::send);
        while done < self.requests {
            poll.poll(&mut events, None).unwrap();
            for event in &events {
                let client = &mut clients[event.token().0];
                let before = client.received / response_len;
                client.receive(&mut buffer);
                let answers = client.received / response_len - before;
                done += answers;
                if answers > 0 && single {
                    let now = Instant::now();
                    latencies.push(now - sent_at);
                    sent_at = now;
                }
                client.allowed += answers * request_len;
                client.send();
            }
        }
        Run { requests: done, took: started.elapsed(), latencies }
    }
}

impl Client {
    fn send(&mut self) {
        while self.sent < self.allowed {
            let at = self.sent % self.ring.len();
            let end = self.ring.len().min(at + self.allowed - self.sent);
            match self.socket.write(&self.ring[at..end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => {
                    self.received += count;
                    if count < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A GetTerm request, as a stock client frames it.
fn request(stream: u32) -> Vec<u8> {
    let payload = GetTermRequest { id: Some(PrimitiveId { name: ELECTION.into() }) };
    let envelope = ttrpc::Request {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: "GetTerm".into(),
        payload: payload.encode_to_vec(),
        ..Default::default()
    };
    frame(stream, 1, &envelope.encode_to_vec())
}

/// Its answer.
fn response() -> Vec<u8> {
    let term = Term { term: 1, leader: "node-a".into(), candidates: Vec::new() };
    let payload = GetTermResponse { term: Some(term) }.encode_to_vec();
    frame(1, 2, &ttrpc::Response { status: None, payload }.encode_to_vec())
}

fn frame(stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&[kind, 0]);
    frame.extend_from_slice(body);
    frame
}
