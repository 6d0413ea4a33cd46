//! GetTerm over ttrpc from one thread, as fast as it goes.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use prost::Message;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use tenure_schema::atomix::runtime::election::v1::{GetTermRequest, GetTermResponse, Term};
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc;

/// The election that is asked for, and who leads it.
pub const ELECTION: &str = "billing/cron";
pub const LEADER: &str = "node-a";

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    let all = sched_getaffinity(None::<Pid>).expect("the affinity can be read");
    (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect()
}

pub fn pin(core: usize) {
    pin_to_all(&[core]);
}

pub fn pin_to_all(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None::<Pid>, &set).expect("a thread may be pinned");
}

/// One client thread that keeps `in_flight` requests under way on each of its connections.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub in_flight: usize,
    pub requests: usize,
    /// It never sleeps.
    pub spins: bool,
}

pub struct Run {
    requests: usize,
    took: Duration,
    /// Of each request, where one at a time is under way.
    latencies: Vec<Duration>,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    pub fn p50_us(&mut self) -> f64 {
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
    pub fn run(&self, server: SocketAddr) -> Run {
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
            poll.poll(&mut events, self.spins.then_some(Duration::ZERO)).unwrap();
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
pub fn request(stream: u32) -> Vec<u8> {
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
pub fn response() -> Vec<u8> {
    let term = Term { term: 1, leader: LEADER.into(), candidates: Vec::new() };
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
