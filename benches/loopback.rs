//! GetTerm over loopback beside a bare mio echo of the same bytes, in one run, round by round.
//!
//! `cargo bench --bench loopback [-- --durable --check]` prints a table: requests a second or p50, of both, and the
//! median of the rounds' ratios; with `--check` it fails beyond a bound of the project. The echo does what no server can go without: it reads, and writes an answer
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
use support::{is_asked, judge, median};
use tenure::{Engine, Server};

const ROUNDS: usize = 7;
/// Of the echo's speed, at least, with much in flight and with many connections; and of its time, at most, for one
/// request at a time.
const IN_FLIGHT_BOUND: f64 = 0.5;
const MANY_BOUND: f64 = 0.9;
const ALONE_BOUND: f64 = 1.1;
/// Of the time without `--busy-poll`, where neither side sleeps.
const BUSY_BOUND: f64 = 0.2;

/// Where the two sides run, and whether they sleep.
#[derive(Clone, Copy)]
struct Placement {
    name: &'static str,
    core: usize,
    server_spins: bool,
    client_spins: bool,
}

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let scale = if is_asked("--test") { 100 } else { 1 };
    let cores = cores();
    let (one, two) = (cores[0], cores[cores.len() - 1]);
    println!("{} cores; client pinned to core {one}; {ROUNDS} rounds, interleaved", cores.len());
    println!("{:<28}{:>14}{:>14}{:>10}", "connections x in flight", "echo", "tenure", "ratio");

    let mut broken = Vec::new();
    let place =
        |name, core, spins| Placement { name, core, server_spins: spins, client_spins: spins };
    let sleeping = [place("one core", one, false), place("two cores", two, false)];
    for placement in [sleeping[0], sleeping[1], place("spinning", two, true)] {
        for (connections, in_flight, requests) in
            [(1, 1, 20_000), (8, 128, 1_000_000), (64, 1, 100_000), (64, 16, 500_000)]
        {
            let servers = Pair::start(placement);
            pin(one);
            let spins = placement.client_spins;
            let load = Load { connections, in_flight, requests: requests / scale, spins };
            let what = format!("{connections} x {in_flight}, {}", placement.name);
            let ratio = side_by_side(&what, &servers, load);
            pin_to_all(&cores);
            let is_broken = match (connections, in_flight) {
                (1, 1) => ratio > ALONE_BOUND,
                (_, 1) => ratio < MANY_BOUND,
                (8, _) => ratio < IN_FLIGHT_BOUND,
                _ => false,
            };
            if is_broken {
                broken.push(format!("{what}: {ratio:.2} of the echo"));
            }
        }
    }
    println!("{:<28}{:>14}{:>14}{:>10}", "1 x 1, two cores", "both sleep", "tenure", "ratio");
    for client_spins in [false, true] {
        let name = if client_spins { "neither sleeps" } else { "--busy-poll alone" };
        let busy = Placement { name, core: two, server_spins: true, client_spins };
        let ratio = beside_sleepers(sleeping[1], busy, one, 10_000 / scale);
        pin_to_all(&cores);
        if client_spins && ratio > BUSY_BOUND {
            broken.push(format!("{name}: {ratio:.2} of the time without --busy-poll"));
        }
    }
    judge(&broken);
}

/// Runs the same load against both in turn, prints the medians, and gives that of the rounds' ratios.
fn side_by_side(what: &str, servers: &Pair, load: Load) -> f64 {
    let latency = load.connections * load.in_flight == 1;
    let run = |server| {
        let mut run = load.run(server);
        if latency { run.p50_us() } else { run.rate() }
    };
    compare(what, latency, || run(servers.echo), || run(servers.tenure))
}

/// One request at a time, to a server that sleeps between them and to one that does not.
fn beside_sleepers(sleeping: Placement, busy: Placement, one: usize, requests: usize) -> f64 {
    let (asleep, awake) = (Pair::start(sleeping), Pair::start(busy));
    pin(one);
    let run =
        |server, spins| Load { connections: 1, in_flight: 1, requests, spins }.run(server).p50_us();
    let what = busy.name;
    compare(what, true, || run(asleep.tenure, false), || run(awake.tenure, busy.client_spins))
}

fn compare(
    what: &str,
    latency: bool,
    mut one: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) -> f64 {
    one();
    other();
    let (mut ones, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) = (one(), other());
        ones.push(one);
        others.push(other);
        ratios.push(other / one);
    }
    let shown = |value: f64| {
        if latency { format!("{value:.1} us p50") } else { format!("{:.0} k/s", value / 1e3) }
    };
    let (one, other) = (shown(median(&mut ones)), shown(median(&mut others)));
    let ratio = median(&mut ratios);
    println!("{what:<28}{one:>14}{other:>14}{ratio:>10.2}");
    ratio
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
    fn start(placement: Placement) -> Self {
        pin(placement.core); // threads inherit it
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
            .busy_poll(Duration::from_secs(u64::from(placement.server_spins)))
            .spawn()
            .unwrap();
        let tenure = server.addresses()[0].parse().unwrap();
        let echo = echo(stop.clone(), placement.server_spins);
        Self { echo, tenure, stop, _server: server, _folder: folder }
    }
}

/// Whether the server is to keep what it tells on disk.
fn kept() -> bool {
    is_asked("--durable")
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Answers each request's length with a response's length of bytes, and nothing else.
fn echo(stop: Arc<AtomicBool>, spins: bool) -> SocketAddr {
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
        let patience = Duration::from_millis(if spins { 0 } else { 200 });
        while !stop.load(Ordering::Relaxed) {
            poll.poll(&mut events, Some(patience)).unwrap();
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
