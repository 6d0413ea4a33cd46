//! One change to many watchers, until the last of them has it, beside a bare server that only writes the same
//! number of bytes to the same number of sockets. In one run, round by round.
//!
//! `cargo bench --bench fanout [-- --check]` prints a table of medians, and of the rounds' ratios; with `--check`
//! it fails over a bound of the project. One client thread and one server thread, pinned as the table says, with
//! the client the same for both. In the last rows 1,000 candidates stand, and each observes the election on its
//! own connection: the leader alone, or the whole list.

#[path = "../tests/raw/mod.rs"]
mod raw;
mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::crowd::{Crowd, Speech, bare, connect, read_frame};
use support::load::{cores, pin, pin_to_all};
use support::{is_asked, judge, median, percentile};
use tenure::{Engine, Server};
use tenure_schema::atomix::runtime::election::v1::AnointRequest;
use tenure_schema::atomix::runtime::v1::PrimitiveId;

const ROUNDS: usize = 7;
const NAME: &str = "billing/cron";
/// Of a bare server's time, where each watcher has a connection of its own.
const ALONE_BOUND: f64 = 1.1;
/// With ten connections: a tenth of etcd's, in milliseconds.
const SHARED_BOUND: f64 = 0.85;

/// What all want to know.
#[derive(Clone, Copy, PartialEq)]
enum Ask {
    /// The first services' Watch.
    Watch,
    /// Each stands in the election, and observes who leads, or the whole list.
    Observe { leader_only: bool },
}

struct Case {
    what: &'static str,
    ask: Ask,
    watchers: usize,
    connections: usize,
    changes: usize,
}

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let quick = is_asked("--test");
    let scale = if quick { 10 } else { 1 };
    let cores = cores();
    let (one, two) = (cores[0], cores[cores.len() - 1]);
    let observe = |leader_only| Ask::Observe { leader_only };
    let case = |what, ask, connections, changes| Case {
        what,
        ask,
        watchers: 1_000 / scale,
        connections: connections / scale,
        changes: changes / scale,
    };
    let cases = [
        case("1,000 watches, a connection each", Ask::Watch, 1_000, 50),
        case("1,000 watches on 10 connections", Ask::Watch, 10, 400),
        case("1,000 observe whom they stand behind", observe(true), 1_000, 50),
        case("1,000 observe the list of 1,000", observe(false), 1_000, 10),
    ];
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit");
    let mut broken = Vec::new();
    println!("{} cores; client pinned to core {one}; {ROUNDS} rounds, interleaved", cores.len());
    println!("{:<52}{:>12}{:>12}{:>8}", "time to the last", "bare", "tenure", "ratio");
    for case in &cases {
        for (placement, core) in [("one core", one), ("two cores", two)] {
            if !only(case, placement) {
                continue;
            }
            let (tenure, ratio) = side_by_side(case, placement, (one, core));
            pin_to_all(&cores);
            let what = format!("{}, {placement}", case.what);
            if case.connections == case.watchers && ratio > ALONE_BOUND {
                broken.push(format!("{what}: {ratio:.2} of a bare server's time"));
            }
            if case.connections < case.watchers && tenure > SHARED_BOUND {
                broken.push(format!("{what}: {tenure:.2} ms"));
            }
        }
    }
    judge(&broken);
}

/// For a look at one row: `ONLY="10 connections, two"`.
fn only(case: &Case, placement: &str) -> bool {
    let wanted = std::env::var("ONLY").unwrap_or_default();
    format!("{}, {placement}", case.what).contains(&wanted)
}

/// Runs both in turn; the median of Tenure's milliseconds, and of the rounds' ratios.
fn side_by_side(case: &Case, placement: &str, (one, core): (usize, usize)) -> (f64, f64) {
    pin(core); // threads inherit it
    let server = served();
    pin(one);
    let address: SocketAddr = server.addresses()[0].parse().expect("an address");
    let (mut tenure, event, reply) = gather(case, address);
    let changes = changes();
    let each = case.watchers / case.connections;
    let stop = Arc::new(AtomicBool::new(false));
    let event = frame_of(event).repeat(each);
    let speech = Speech { change: changes[0].len(), reply: frame_of(reply), event };
    pin(core);
    let bare = bare(speech, stop.clone());
    pin(one);
    let watching = (0..case.connections).map(|_| connect(bare)).collect();
    let mut anchor = Crowd::new(watching, each, connect(bare));

    let p50 = |crowd: &mut Crowd| {
        let mut times: Vec<Duration> = (0..case.changes).map(|_| crowd.change(&changes)).collect();
        times.sort_unstable();
        percentile(&times, 50.0).as_secs_f64() * 1e3
    };
    p50(&mut anchor);
    p50(&mut tenure);
    let (mut bares, mut tenures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (bare, tenure) = (p50(&mut anchor), p50(&mut tenure));
        bares.push(bare);
        tenures.push(tenure);
        ratios.push(tenure / bare);
    }
    stop.store(true, Ordering::Relaxed);
    let (bare, tenure, ratio) = (median(&mut bares), median(&mut tenures), median(&mut ratios));
    let what = format!("{}, {placement}", case.what);
    println!("{what:<52}{bare:>9.3} ms{tenure:>9.3} ms{ratio:>8.2}");
    (tenure, ratio)
}

fn served() -> Server {
    let engine = Engine::builder().open().expect("an engine");
    let server = Server::builder(engine).listen("127.0.0.1:0").reactors(NonZeroUsize::MIN);
    server.spawn().expect("a server")
}

/// Those who watch a server of Tenure's, all told of the present state; and how long a frame is that tells them
/// of a change, and the one that answers it.
fn gather(case: &Case, address: SocketAddr) -> (Crowd, usize, usize) {
    let mut changer = connect(address);
    let changes = changes();
    for candidate in ["a", "b"] {
        changer.write_all(&raw::enter(1, NAME, candidate)).expect("sent");
        read_frame(&mut changer);
    }
    let mut watching: Vec<TcpStream> = (0..case.connections).map(|_| connect(address)).collect();
    if let Ask::Observe { .. } = case.ask {
        for (number, socket) in watching.iter_mut().enumerate() {
            let candidate = format!("candidate-{number}");
            socket.write_all(&raw::enter(1, NAME, &candidate)).expect("sent");
            read_frame(socket);
        }
    }
    for number in 0..case.watchers {
        let socket = &mut watching[number % case.connections];
        let stream = 2 * number as u32 + 3;
        socket.write_all(&ask(case.ask, stream)).expect("sent");
        read_frame(socket);
    }
    let (mut event, mut reply) = (0, 0);
    for change in &changes {
        changer.write_all(change).expect("sent");
        reply = read_frame(&mut changer);
        for socket in &mut watching {
            for _ in 0..case.watchers / case.connections {
                event = read_frame(socket);
            }
        }
    }
    (Crowd::new(watching, case.watchers / case.connections, changer), event, reply)
}

fn ask(ask: Ask, stream: u32) -> Vec<u8> {
    let Ask::Observe { leader_only } = ask else { return raw::watch(stream, NAME) };
    let mut request = vec![0x0a, NAME.len() as u8];
    request.extend_from_slice(NAME.as_bytes());
    request.extend_from_slice(&[0x10, u8::from(leader_only)]);
    raw::call(stream, "tenure.v1.Elections", "Observe", request)
}

/// The two that undo one another.
fn changes() -> [Vec<u8>; 2] {
    ["b", "a"].map(|candidate| {
        let id = Some(PrimitiveId { name: NAME.into() });
        let anoint = AnointRequest { id, candidate: candidate.into() };
        raw::call(3, raw::ELECTION, "Anoint", anoint.encode_to_vec())
    })
}

/// A frame of so many bytes, its header with them.
fn frame_of(bytes: usize) -> Vec<u8> {
    raw::frame(1, 3, 0, &vec![0; bytes - 10])
}
