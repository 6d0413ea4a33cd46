//! What a durable change costs beside what no store can go without, in one run, round by round.
//!
//! `cargo bench --bench durable [-- FOLDER]` works in FOLDER (the system's temporary one by default: give
//! one on the disk that matters). It prints medians of the rounds: a change beside a bare commit of the
//! store crate, embedded and over a socket; then 64 clients beside one, and beside a file that is written
//! once and synced once for each batch of the same size.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use prost::Message;
use redb::{Database, TableDefinition};
use tenure::{Election, Engine, Server, Session, SessionSettings};
use tenure_schema::atomix::runtime::election::v1::EnterRequest;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc;

const ROUNDS: usize = 7;
const CLIENTS: usize = 64;

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let scale = if quick { 50 } else { 1 };
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder to work in");
    println!("in {}; {ROUNDS} rounds, interleaved; medians", folder.path().display());

    let bare = Bare::new(folder.path());
    let raw = Raw::new(folder.path());
    let embedded = Embedded::new(folder.path());
    let served = Engine::builder().data_dir(folder.path().join("served")).open().unwrap();
    let server = Server::builder(served.clone()).listen("127.0.0.1:0").spawn().unwrap();
    let address = server.addresses()[0].parse().unwrap();

    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let bare = bare.p50(200 / scale + 2);
        let embedded = embedded.p50(200 / scale + 2);
        let (one, one_rate, _) = load(address, 1, 200 / scale + 2, &served);
        let (_, many_rate, batch) = load(address, CLIENTS, 20_000 / scale, &served);
        let raw = raw.rate(batch.round() as usize, record(&served), 200 / scale + 2);
        if round > 0 {
            // The first one warms up.
            rounds.push([bare, embedded, one, one_rate, many_rate, batch, raw]);
        }
    }
    let median = |value: &dyn Fn(&[f64; 7]) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!("bare commit, two phases          {:>10.0} us p50", median(&|it| it[0]));
    println!("embedded change                  {:>10.0} us p50", median(&|it| it[1]));
    println!("   beside the bare commit        {:>10.2}", median(&|it| it[1] / it[0]));
    println!("change over a socket             {:>10.0} us p50", median(&|it| it[2]));
    println!("   beside the bare commit        {:>10.2}", median(&|it| it[2] / it[0]));
    println!("one client                       {:>10.0} changes/s", median(&|it| it[3]));
    println!("{CLIENTS} clients                       {:>10.0} changes/s", median(&|it| it[4]));
    println!("   beside one client             {:>10.1}", median(&|it| it[4] / it[3]));
    println!("   changes in one commit         {:>10.1}", median(&|it| it[5]));
    println!("raw file, as many in one sync    {:>10.0} records/s", median(&|it| it[6]));
    println!("   {CLIENTS} clients beside it         {:>10.2}", median(&|it| it[4] / it[6]));
}

fn p50(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// The store crate by itself: one record a commit.
struct Bare(Database);

impl Bare {
    fn new(folder: &Path) -> Self {
        Self(Database::create(folder.join("bare.redb")).unwrap())
    }

    fn p50(&self, commits: usize) -> f64 {
        const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
        let commit = |n: usize| {
            let began = Instant::now();
            let mut write = self.0.begin_write().unwrap();
            write.set_two_phase_commit(true);
            let mut table = write.open_table(TABLE).unwrap();
            table.insert("election", &*vec![n as u8; 600]).unwrap();
            drop(table);
            write.commit().unwrap();
            began.elapsed()
        };
        p50((0..commits).map(commit).collect())
    }
}

/// A file that is there already, written in place and synced once for each batch.
struct Raw(File);

impl Raw {
    fn new(folder: &Path) -> Self {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create_new(true).open(folder.join("raw")).unwrap();
        file.write_all_at(&vec![1; 4 << 20], 0).unwrap();
        file.sync_all().unwrap();
        Self(file)
    }

    fn rate(&self, batch: usize, record: usize, syncs: usize) -> f64 {
        let began = Instant::now();
        let bytes = vec![7; batch.max(1) * record];
        for n in 0..syncs {
            let at = n * bytes.len() % (3 << 20);
            self.0.write_all_at(&bytes, at as u64).unwrap();
            self.0.sync_data().unwrap();
        }
        (batch.max(1) * syncs) as f64 / began.elapsed().as_secs_f64()
    }
}

/// Bytes of one election as it is kept, with the leaders before.
fn record(engine: &Engine) -> usize {
    let mut backup = Vec::new();
    engine.backup(&mut backup).unwrap();
    backup.len() / engine.elections().max(1)
}

struct Embedded {
    election: Election,
    session: Session,
}

impl Embedded {
    fn new(folder: &Path) -> Self {
        let engine = Engine::builder().data_dir(folder.join("embedded")).open().unwrap();
        let settings =
            SessionSettings { ttl: Duration::from_secs(3600), ..SessionSettings::default() };
        let (session, _) = engine.open_session(settings).unwrap();
        Self { election: engine.election("election").unwrap(), session }
    }

    fn p50(&self, changes: usize) -> f64 {
        let change = |n: usize| {
            let began = Instant::now();
            match n % 2 {
                0 => self.election.enter(&self.session, "candidate").unwrap(),
                _ => self.election.withdraw(&self.session, "candidate").unwrap(),
            };
            began.elapsed()
        };
        p50((0..changes / 2 * 2).map(change).collect())
    }
}

/// Each of `clients` enters and leaves an election of its own, again and again, one call at a time.
/// The p50 of a call, calls a second, and how many shared a commit.
fn load(server: SocketAddr, clients: usize, calls: usize, engine: &Engine) -> (f64, f64, f64) {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut peers: Vec<Peer> = (0..clients).map(|n| Peer::new(server, n)).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        poll.registry().register(&mut peer.socket, Token(n), Interest::READABLE).unwrap();
    }
    let (commits, began) = (engine.commits(), Instant::now());
    peers.iter_mut().for_each(Peer::ask);
    let (mut done, mut times) = (0, Vec::with_capacity(calls));
    while done < calls {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            let peer = &mut peers[event.token().0];
            if peer.is_answered() {
                times.push(peer.asked.elapsed());
                done += 1;
                peer.ask();
            }
        }
    }
    let (took, commits) = (began.elapsed().as_secs_f64(), engine.commits() - commits);
    (p50(times), done as f64 / took, done as f64 / commits.max(1) as f64)
}

struct Peer {
    socket: TcpStream,
    calls: [Vec<u8>; 2],
    made: u32,
    asked: Instant,
    unread: Vec<u8>,
}

impl Peer {
    fn new(server: SocketAddr, number: usize) -> Self {
        let socket = std::net::TcpStream::connect(server).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let call = |method| call(method, &format!("election-{number}"));
        Self {
            socket: TcpStream::from_std(socket),
            calls: [call("Enter"), call("Withdraw")],
            made: 0,
            asked: Instant::now(),
            unread: Vec::new(),
        }
    }

    fn ask(&mut self) {
        let call = &mut self.calls[self.made as usize % 2];
        call[4..8].copy_from_slice(&(2 * self.made + 1).to_be_bytes());
        self.made += 1;
        self.asked = Instant::now();
        self.socket.write_all(call).expect("one call fits the socket");
    }

    /// True if the whole answer is there.
    fn is_answered(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let Some(header) = self.unread.first_chunk::<4>() else { return false };
        let whole = 10 + u32::from_be_bytes(*header) as usize;
        let is_whole = self.unread.len() >= whole;
        if is_whole {
            self.unread.drain(..whole);
        }
        is_whole
    }
}

fn call(method: &str, election: &str) -> Vec<u8> {
    let payload = EnterRequest {
        id: Some(PrimitiveId { name: election.into() }),
        candidate: "candidate".into(),
    };
    let envelope = ttrpc::Request {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: method.into(),
        payload: payload.encode_to_vec(),
        ..Default::default()
    };
    let body = envelope.encode_to_vec();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[0, 0, 0, 1, 1, 0]);
    frame.extend_from_slice(&body);
    frame
}
