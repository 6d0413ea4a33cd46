//! A core, and the server that a test plays.

use std::collections::VecDeque;

use super::super::*;
use crate::client::{ClientError, ElectionState};
use crate::clock::Clock;
use crate::error::Code;
use crate::wire::envelope::{put_data, put_response, put_status};
use crate::wire::message::Message;
use crate::wire::tenure_v1::connection::HelloResponse;
use crate::wire::tenure_v1::elections;

pub(super) type Opening = Arc<Slot<Result<Opened, ClientError>>>;

/// A request: its stream, its method, its payload.
type Request = (u32, String, Vec<u8>);

pub(super) struct Peer {
    pub(super) core: Core,
    pub(super) clock: Clock,
    /// Of the present connection.
    pub(super) epoch: u64,
    pub(super) server: HelloResponse,
    requests: VecDeque<Request>,
    /// Streams that the client has cancelled.
    pub(super) cancelled: Vec<u32>,
}

impl Peer {
    pub(super) fn new() -> Self {
        let settings = Settings {
            address: Address::Tcp("server:1".into()),
            jitter: |failures| Duration::from_millis(100 * u64::from(failures)),
            patience: Duration::from_secs(5),
        };
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(1));
        let server = HelloResponse {
            server_id: "s".into(),
            incarnation: "1".into(),
            ..HelloResponse::default()
        };
        let core = Core::new(settings);
        Self { core, clock, epoch: 0, server, requests: VecDeque::new(), cancelled: Vec::new() }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Some milliseconds later.
    pub(super) fn pass(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.core.tick(self.now());
    }

    pub(super) fn pass_until(&mut self, then: Moment) {
        self.clock.advance(then - self.now());
        self.core.tick(self.now());
    }

    /// How long until it wants to dial again.
    pub(super) fn until_dial(&self) -> Duration {
        assert_eq!(self.core.epoch(), None, "it is down");
        match self.core.phase {
            Phase::Down { dial_at } => dial_at - self.now(),
            phase => panic!("{phase:?}"),
        }
    }

    pub(super) fn dial(&mut self) {
        let now = self.now();
        self.epoch = self.core.dial(now).expect("it wants a connection");
        self.requests.clear();
        self.core.dialed(now, self.epoch);
    }

    /// Dials, and greets.
    pub(super) fn greet(&mut self) {
        self.dial();
        let (hello, _) = self.asked("Hello");
        self.reply(hello, &self.server.clone());
    }

    /// After a cut: dials, greets, and lets one session go on.
    pub(super) fn reconnect(&mut self) {
        let wait = u64::try_from(self.until_dial().as_millis()).unwrap();
        self.pass(wait);
        self.greet();
        let (resume, _) = self.asked("Open");
        self.reply(resume, &self.open_response(super::TTL, false));
    }

    pub(super) fn cut(&mut self) {
        let now = self.now();
        self.core.cut(now, self.epoch, "cut");
    }

    /// Takes what was written.
    fn hear(&mut self) {
        let out = std::mem::take(self.core.output());
        let mut rest = &out[..];
        while let Some((header, body)) = rest.split_first_chunk::<HEADER_LEN>() {
            let header = Header::decode(header);
            let (body, next) = body.split_at(header.length as usize);
            rest = next;
            if header.kind == kind::DATA {
                self.cancelled.push(header.stream);
                continue;
            }
            let request = crate::wire::envelope::Request::decode(body).expect("a request");
            let (method, payload) = (request.method.to_owned(), request.payload.to_vec());
            self.requests.push_back((header.stream, method, payload));
        }
    }

    /// The next request, which has to be this one.
    #[track_caller]
    pub(super) fn asked(&mut self, method: &str) -> (u32, Vec<u8>) {
        self.hear();
        let (stream, asked, payload) = self.requests.pop_front().expect("it asks for something");
        assert_eq!(asked, method);
        (stream, payload)
    }

    #[track_caller]
    pub(super) fn asked_nothing(&mut self) {
        self.hear();
        let methods: Vec<_> = self.requests.iter().map(|it| &it.1).collect();
        assert!(methods.is_empty(), "{methods:?}");
    }

    fn receive(&mut self, bytes: &[u8]) {
        let now = self.now();
        self.core.received(now, self.epoch, bytes);
    }

    pub(super) fn reply(&mut self, stream: u32, message: &impl Message) {
        let raw = message.encode();
        let mut bytes = Vec::new();
        put_response(&mut bytes, stream, &raw);
        self.receive(&bytes);
    }

    /// Byte by byte.
    pub(super) fn drip(&mut self, stream: u32, raw: &[u8]) {
        let mut bytes = Vec::new();
        put_response(&mut bytes, stream, raw);
        bytes.iter().for_each(|byte| self.receive(&[*byte]));
    }

    pub(super) fn refuse(&mut self, stream: u32, code: Code, message: &str) {
        let mut bytes = Vec::new();
        put_status(&mut bytes, stream, code.number(), message);
        self.receive(&bytes);
    }

    /// A message of a stream.
    pub(super) fn show(&mut self, stream: u32, state: &elections::State) {
        let raw = state.encode();
        let mut bytes = Vec::new();
        put_data(&mut bytes, stream, &raw);
        self.receive(&bytes);
    }

    pub(super) fn opening(&mut self, ttl: Duration, is_fast: bool) -> Opening {
        self.opening_by_key(ttl, is_fast, Vec::new()).1
    }

    pub(super) fn opening_by_key(
        &mut self,
        ttl: Duration,
        is_fast: bool,
        key: Vec<u8>,
    ) -> (u64, Opening) {
        let (slot, now) = (Opening::default(), self.now());
        let patience = Duration::from_secs(5);
        let (owner, clock) = (String::new(), self.clock.clone());
        let wanted = Wanted { ttl, is_fast, owner, key, patience, clock };
        (self.core.open_session(now, wanted, slot.clone()), slot)
    }

    pub(super) fn open_response(&self, ttl: Duration, is_fast: bool) -> wire::OpenResponse {
        let ttl_micros = micros(ttl);
        let failover = if is_fast { wire::failover::FAST } else { wire::failover::EXCLUSIVE };
        wire::OpenResponse { session: 7, key: vec![1; 16], ttl_micros, failover }
    }

    /// Opens the session that was asked for.
    pub(super) fn opened(&mut self, opening: &Opening) -> Opened {
        let (stream, raw) = self.asked("Open");
        let asked = wire::OpenRequest::decode(&raw).unwrap();
        let ttl = Duration::from_micros(asked.ttl_micros);
        self.reply(stream, &self.open_response(ttl, asked.failover == wire::failover::FAST));
        opening.take().expect("it is answered").expect("it is open")
    }

    /// A connection, and a session on it.
    pub(super) fn open(&mut self, ttl: Duration, is_fast: bool) -> Opened {
        let opening = self.opening(ttl, is_fast);
        if !self.core.is_up() {
            self.greet();
        }
        self.opened(&opening)
    }

    pub(super) fn call(
        &mut self,
        session: Option<u64>,
        until: Option<Moment>,
        is_repeatable: bool,
    ) -> Arc<Slot<Answer>> {
        let slot = Arc::new(Slot::default());
        self.core.call(Call {
            session,
            service: "tenure.v1.Elections",
            method: "Enter",
            payload: b"payload".to_vec(),
            is_repeatable,
            until,
            slot: slot.clone(),
            stream: None,
        });
        slot
    }

    pub(super) fn watch(&mut self) -> Arc<States> {
        let (states, now) = (Arc::new(States::default()), self.now());
        self.core.watch(now, "jobs", false, Reader::States(states.clone()));
        states
    }

    /// Proof of a term, with the watch that guards it.
    pub(super) fn hold(&mut self, opened: &Opened, term: u64) -> Option<(u64, Arc<Fate>, u32)> {
        let now = self.now();
        let held = self.core.hold(now, opened.number, (&"jobs".into(), "a"), term);
        held.map(|(held, fate)| (held, fate, self.asked("Observe").0))
    }
}

/// The election `jobs`, led by candidate `a` of this session.
pub(super) fn led_by(session: u64, term: u64, revision: u64) -> elections::State {
    let leader = elections::Candidate { name: "a".into(), session, metadata: None };
    let leader = (session > 0).then_some(leader);
    elections::State { election: "jobs".into(), term, revision, leader, ..Default::default() }
}

/// What is taken from a watch: term and revision.
#[track_caller]
pub(super) fn seen(states: &States) -> Option<(u64, u64)> {
    let state: Option<Result<ElectionState, _>> = states.take();
    state.map(|it| it.expect("a state")).map(|it| (it.term, it.revision))
}
