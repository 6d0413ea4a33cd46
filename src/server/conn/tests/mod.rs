//! Each sentence of SPEC section 6, held to a connection without a socket.

mod counted;
mod ending;
mod frames;
mod streams;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use super::super::outbox::{Item, Outbox};
use super::{Conn, End, Next, Terms};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::limits::Limits;
use crate::service::{CacheRule, Latches};
use crate::wire::election_v1::{
    CandidateRequest, CreateRequest, NamedRequest, TermMessage, create_reply,
};
use crate::wire::envelope::{Request, Response, put_request};
use crate::wire::frame::{HEADER_LEN, Header, flag, kind};

const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
const ELECTIONS: &str = "atomix.runtime.election.v1.LeaderElections";
const SECOND: Duration = Duration::from_secs(1);

/// A client of one connection, who turns the time and carries what the engine brings.
struct Peer {
    outbox: Arc<Outbox>,
    conn: Conn,
    now: Moment,
}

/// Outcomes come when a test carries them.
fn engine(limits: Limits) -> Engine {
    Engine::builder().limits(limits).by_sink().open().unwrap()
}

fn terms() -> Terms {
    Terms {
        frame_time: SECOND * 10,
        stall_time: SECOND * 10,
        linger: SECOND,
        idle: None,
        cache_rules: Arc::from([CacheRule { names: vec!["cached".into()], tags: vec![] }]),
        told: Arc::default(),
        latches: Latches::of(&engine(Limits::DEFAULT)),
        hands_over: false,
    }
}

impl Peer {
    fn of(engine: &Engine, terms: Terms) -> Self {
        let terms = Terms { latches: Latches::of(engine), ..terms };
        let outbox = Arc::new(Outbox::new(|| {}));
        let now = Moment::from_nanos(1);
        let conn = Conn::new(
            engine.clone(),
            (outbox.clone(), 7),
            "a test".into(),
            (Arc::new(terms), Arc::default()),
            now,
        );
        Self { outbox, conn, now }
    }

    fn new() -> Self {
        Self::of(&engine(Limits::DEFAULT), terms())
    }

    fn bounded(limits: Limits) -> Self {
        Self::of(&engine(limits), terms())
    }

    /// Sends bytes, and hears what comes back.
    fn say(&mut self, bytes: &[u8]) -> Vec<String> {
        self.conn.feed(self.now, bytes);
        self.carry();
        self.hear()
    }

    /// Brings what the engine has for the connection.
    fn carry(&mut self) {
        while let Some(item) = self.outbox.pop() {
            match item {
                Item::Reply(ticket, outcome) => self.conn.deliver(self.now, ticket.about, outcome),
                Item::Changed(ticket) => self.conn.changed(self.now, ticket.about),
                Item::AllChanged(tickets) => {
                    tickets.iter().for_each(|it| self.conn.changed(self.now, it.about));
                }
                Item::Arrival(_) | Item::Beat(_) | Item::Drain | Item::Stop => {
                    unreachable!("for reactors")
                }
            }
        }
    }

    /// Takes all output, and says what is in it.
    fn hear(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        while !self.conn.pending().is_empty() {
            bytes.extend_from_slice(self.conn.pending());
            self.conn.sent(self.now, self.conn.pending().len());
            self.work();
        }
        shown(&bytes)
    }

    /// Lets the connection go on with what it holds.
    fn work(&mut self) {
        while self.conn.has_work() {
            self.conn.feed(self.now, &[]);
            self.carry();
        }
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now + time;
        if self.conn.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.conn.on_timer(self.now);
        }
        self.carry();
        self.hear()
    }

    fn step(&mut self) -> Next {
        self.conn.next_step(self.now)
    }

    fn end(&self) -> Option<End> {
        self.conn.end()
    }
}

/// The frames in `bytes`, each as a line: `stream what`.
fn shown(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((raw, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let header = Header::decode(raw);
        let (payload, rest) = rest.split_at(header.length as usize);
        lines.push(format!("{} {}", header.stream, shown_frame(header, payload)));
        bytes = rest;
    }
    assert_eq!(bytes, b"", "whole frames");
    lines
}

fn shown_frame(header: Header, payload: &[u8]) -> String {
    match (header.kind, header.flags) {
        (kind::RESPONSE, 0) => {
            let response = Response::decode(payload).unwrap();
            match response.status {
                Some(status) => format!("error {}: {}", status.code, status.message),
                None if response.payload.is_empty() => "ok".into(),
                None if response.payload == create_reply(false) => "created".into(),
                None => shown_term(response.payload),
            }
        }
        (kind::DATA, 0) => format!("says {}", shown_term(payload)),
        (kind::DATA, 5) if payload.is_empty() => "ends".into(),
        _ => panic!("no such frame: {header:?}"),
    }
}

fn shown_term(reply: &[u8]) -> String {
    if let Some(text) = reply.strip_prefix(b"!") {
        return str::from_utf8(text).unwrap().into();
    }
    let term = TermMessage::decode_reply(reply).unwrap();
    format!("t{} {} {:?}", term.number, term.leader, term.candidates().collect::<Vec<_>>())
}

fn frame(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::wire::frame::put(&mut bytes, stream, kind, flags, |out| out.extend_from_slice(payload));
    bytes
}

fn call(stream: u32, service: &str, method: &str, timeout_nano: i64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = Request { service, method, payload, timeout_nano, ..Request::default() };
    put_request(&mut bytes, stream, 0, &request);
    bytes
}

fn named(name: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    NamedRequest { name }.encode(&mut payload);
    payload
}

fn get_term(stream: u32, name: &str) -> Vec<u8> {
    call(stream, ELECTION, "GetTerm", 0, &named(name))
}

fn watch(stream: u32, name: &str) -> Vec<u8> {
    call(stream, ELECTION, "Watch", 0, &named(name))
}

fn close(stream: u32, name: &str) -> Vec<u8> {
    call(stream, ELECTIONS, "Close", 0, &named(name))
}

fn create(stream: u32, name: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    CreateRequest { name, ..CreateRequest::default() }.encode(&mut payload);
    call(stream, ELECTIONS, "Create", 0, &payload)
}

fn change(stream: u32, method: &str, name: &str, candidate: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    CandidateRequest { name, candidate }.encode(&mut payload);
    call(stream, ELECTION, method, 0, &payload)
}

fn enter(stream: u32, name: &str, candidate: &str) -> Vec<u8> {
    change(stream, "Enter", name, candidate)
}

/// The client's last word on a stream.
fn last_word(stream: u32) -> Vec<u8> {
    frame(stream, kind::DATA, flag::REMOTE_CLOSED | flag::NO_DATA, &[])
}
