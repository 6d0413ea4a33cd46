//! Rows C4 and C7 of the faults: many connections at once, and what they do to those who only renew.

#[path = "support/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
mod raw;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tenure::{Engine, Limits, Server};
use tenure_schema::tenure::v1::{KeepAliveRequest, OpenRequest, OpenResponse};
use tenure_schema::ttrpc;

/// A renewal that takes longer is one that a leader may lose its term by.
const BOUND: Duration = Duration::from_secs(1);

struct Peer(TcpStream);

impl Peer {
    fn connect(server: &Server) -> io::Result<Self> {
        let socket = TcpStream::connect(&server.addresses()[0])?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(socket))
    }

    fn ask(&mut self, method: &str, request: &impl Message) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        raw::put_call(&mut frame, 1, 0, raw::SESSIONS, method, request);
        self.0.write_all(&frame)?;
        let frame = raw::read_frame(&mut self.0).ok_or(io::ErrorKind::UnexpectedEof)?;
        let response = ttrpc::Response::decode(&*frame.body).unwrap();
        assert!(response.status.is_none(), "{method}: {:?}", response.status);
        Ok(response.payload)
    }

    /// Opens a session, or resumes the one with this key.
    fn open(&mut self, key: &[u8]) -> io::Result<OpenResponse> {
        let open = OpenRequest { ttl_micros: 60_000_000, key: key.to_vec(), ..Default::default() };
        Ok(OpenResponse::decode(&*self.ask("Open", &open)?).unwrap())
    }
}

/// Renews one session again and again, for as long as `other` runs: how long each took, in order.
fn renewing<R>(server: &Server, other: impl FnOnce() -> R) -> (Vec<Duration>, R) {
    let mut peer = Peer::connect(server).unwrap();
    let session = peer.open(&[]).unwrap().session;
    let (begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let renew = scope.spawn(|| {
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) || times.len() < 100 {
                let asked = Instant::now();
                let renewal = KeepAliveRequest { session, ..Default::default() };
                peer.ask("KeepAlive", &renewal).unwrap();
                times.push(asked.elapsed());
                begun.store(true, Ordering::Relaxed);
            }
            times.sort_unstable();
            times
        });
        while !begun.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let done = other();
        is_over.store(true, Ordering::Relaxed);
        (renew.join().unwrap(), done)
    })
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// As many descriptors as this process may have.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(65_536);
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    most as usize
}

/// Connections come without end, and are capped: whoever renews is served all the same.
#[test]
fn c4_renewals_go_on_through_a_flood_of_connections() {
    let limits = Limits { connections: 200, ..Limits::DEFAULT };
    let engine = Engine::builder().limits(limits).open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    let (calm, ()) = renewing(&server, || thread::sleep(Duration::from_millis(300)));
    let (flooded, refused) = renewing(&server, || {
        let mut held = Vec::new();
        let mut refused = 0;
        for _ in 0..5_000 {
            let Ok(mut peer) = Peer::connect(&server) else { continue };
            if held.len() < 250 {
                held.push(peer);
            } else {
                // One over the cap hears an end, not silence.
                refused += usize::from(peer.0.read(&mut [0; 1]).map_or(true, |count| count == 0));
            }
        }
        refused
    });
    assert!(refused > 4_000, "{refused} were refused");
    // How much slower it got is the machine's too; what a session needs is the server's.
    println!("p99 of a renewal: {:?} in calm, {:?} in the flood", p99(&calm), p99(&flooded));
    assert!(p99(&flooded) < BOUND.min(p99(&calm) * 20 + Duration::from_millis(20)));
}

/// All clients lose their connections at once, and come back with no jitter at all: each finds its session,
/// and whoever renews meanwhile is served in time.
#[test]
fn c7_thousands_of_clients_reconnect_at_once() {
    let clients = ((descriptors() - 200) / 2).min(5_000);
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine.clone()).listen("127.0.0.1:0").spawn().unwrap();
    let mut peers: Vec<(Peer, OpenResponse)> = (0..clients)
        .map(|_| {
            let mut peer = Peer::connect(&server).unwrap();
            let session = peer.open(&[]).unwrap();
            (peer, session)
        })
        .collect();
    let (renewals, returned) = renewing(&server, || {
        let sessions: Vec<OpenResponse> = peers.drain(..).map(|(_, session)| session).collect();
        thread::scope(|scope| {
            let parts = sessions.chunks(sessions.len().div_ceil(8));
            let back = parts.map(|part| {
                let server = &server;
                scope.spawn(move || {
                    let resume = |it: &OpenResponse| {
                        let mut peer = Peer::connect(server).unwrap();
                        let resumed = peer.open(&it.key).unwrap();
                        assert_eq!(resumed.session, it.session);
                        peer
                    };
                    part.iter().map(resume).collect::<Vec<_>>()
                })
            });
            let back: Vec<_> = back.collect();
            back.into_iter().flat_map(|part| part.join().unwrap()).collect::<Vec<_>>()
        })
    });
    assert_eq!(returned.len(), clients);
    assert_eq!(engine.sessions(), clients + 1, "none was lost");
    println!("{clients} clients; p99 of a renewal: {:?}", p99(&renewals));
    assert!(*renewals.last().unwrap() < BOUND, "{:?}", renewals.last());
}
