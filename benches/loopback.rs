//! GetTerm over loopback beside a bare mio echo of the same bytes, in one run, round by round.
//!
//! `cargo bench --bench loopback [-- --durable]` prints a table: requests a second or p50, of both, and the median
//! of the rounds' ratios. The echo does what no server can go without: it reads, and writes an answer
//! of the same length for each request. Client and server are one thread each, pinned as the table
//! says, with the client the same for both.

mod support;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use support::load::{ELECTION, LEADER, Load, cores, pin, pin_to_all, request, response};
use support::median;
use tenure::{Engine, Server};

const ROUNDS: usize = 7;

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let quick = std::env::args().any(|arg| arg == "--test");
    let scale = if quick { 100 } else { 1 };
    let cores = cores();
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
        engine.election(ELECTION).unwrap().enter(&session, LEADER).unwrap();
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
