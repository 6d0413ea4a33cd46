//! The target `connection`: a connection without its socket takes any bytes in any pieces.
//!
//! The first byte of an input chooses the pieces, the rest is what the peer sends. It sends it three
//! times, to an engine of its own each time: at once, in pieces with the engine's answers carried only
//! when the connection takes no more, and in pieces with time passing and a reader that dawdles. The
//! first two must come to the same output, byte for byte, and the same end.

use std::time::Duration;

use tenure::internals::HeaderFacts;
use tenure::internals::{
    CandidateFacts, LooseConnection, NamedFacts, RequestFacts, decode_header, decode_response,
    decode_term_reply, encode_candidate, encode_header, encode_named, encode_request,
};
use tenure::{Clock, Engine, Limits, Moment};

const NAME: &str = "bystander's";

fn limits() -> Limits {
    Limits {
        name_bytes: 64,
        candidates: 16,
        elections: 64,
        sessions: 16,
        streams: 8,
        frame_bytes: 1024,
        output_pause_bytes: 2048,
        output_bytes: 8192,
        ..Limits::DEFAULT
    }
}

/// Takes any bytes.
pub fn connection(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let whole = Peer::new(seed).send_lazily(bytes, bytes.len().max(1));
    let largest = 1 + usize::from(seed) % 40;
    let pieces = Peer::new(seed).send_lazily(bytes, largest);
    assert_eq!(whole, pieces, "pieces of at most {largest} bytes");
    Peer::new(seed).send_anyhow(bytes);
}

struct Peer {
    engine: Engine,
    clock: Clock,
    conn: LooseConnection,
    output: Vec<u8>,
    bystander: LooseConnection,
    calls: u32,
    chance: u64,
}

impl Peer {
    fn new(seed: u8) -> Self {
        let clock = Clock::manual();
        let builder = Engine::builder().limits(limits()).clock(clock.clone());
        let engine = builder.shards(2.try_into().unwrap()).open().unwrap();
        let conn = LooseConnection::new(&engine, clock.now());
        let bystander = LooseConnection::new(&engine, clock.now());
        let chance = u64::from(seed) + 1;
        let mut peer =
            Self { engine, clock, conn, output: Vec::new(), bystander, calls: 0, chance };
        let enter = CandidateFacts { name: NAME.into(), candidate: "b".into() };
        let reply = peer.bystander_calls("Enter", encode_candidate(&enter));
        assert_eq!(decode_term_reply(&reply).unwrap().leader, "b");
        peer
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance =
            self.chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.chance >> 33) as usize % bound.max(1)
    }

    /// Sends pieces of at most `largest` bytes. The output leaves, and answers come, only when the
    /// connection takes no more: so what it does depends on the bytes alone.
    fn send_lazily(mut self, mut bytes: &[u8], largest: usize) -> (Vec<u8>, Option<String>) {
        while !bytes.is_empty() && self.conn.ending().is_none() {
            if !self.conn.wants_read() {
                self.rest();
                continue;
            }
            let size = if largest >= bytes.len() { bytes.len() } else { 1 + self.below(largest) };
            let (piece, rest) = bytes.split_at(size.min(bytes.len()));
            bytes = rest;
            self.conn.feed(self.now(), piece);
            self.check(piece.len());
        }
        self.rest();
        let spoke_ttrpc = self.conn.ending().is_none_or(|why| !why.contains("not ttrpc"));
        if spoke_ttrpc {
            check_frames(&self.output, true);
        }
        self.check_bystander();
        (self.output, self.conn.ending())
    }

    /// Sends pieces while time passes, answers come late, and output leaves in drops.
    fn send_anyhow(mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.conn.ending().is_none() {
            match self.below(8) {
                0..3 if self.conn.wants_read() => {
                    let size = 1 + self.below(64);
                    let (piece, rest) = bytes.split_at(size.min(bytes.len()));
                    bytes = rest;
                    self.conn.feed(self.now(), piece);
                    self.check(piece.len());
                }
                3 => {
                    self.conn.fetch();
                }
                4 => {
                    let count = self.below(100);
                    self.take(count);
                }
                5 => self.clock.advance(Duration::from_millis(1)),
                6 => self.conn.tick(self.now()),
                _ => self.conn.go_on(self.now()),
            }
            self.check(64);
            if !self.conn.wants_read() && self.below(4) == 0 {
                self.rest();
            }
        }
        let last = self.below(4);
        match last {
            0 => self.conn.feed_end(),
            1 => self.conn.drain(),
            2 => {
                self.clock.advance(Duration::from_secs(11));
                self.conn.tick(self.now());
            }
            _ => {}
        }
        drop(self.conn.take_session());
        self.rest();
        // What a connection that is cut off had begun to say may end anywhere.
        let is_ttrpc = self.conn.ending().is_none_or(|why| !why.contains("not ttrpc"));
        if is_ttrpc {
            check_frames(&self.output, last != 2);
        }
        self.check_bystander();
    }

    /// Carries everything until nothing is left to carry, and only then lets the connection go on.
    fn rest(&mut self) {
        loop {
            while self.conn.has_mail() || !self.conn.pending().is_empty() {
                self.conn.fetch();
                self.take(usize::MAX);
                self.check(0);
            }
            let before = self.conn.requests();
            self.conn.go_on(self.now());
            self.check(0);
            let is_idle = !self.conn.has_mail() && self.conn.pending().is_empty();
            if is_idle && self.conn.requests() == before {
                return;
            }
        }
    }

    fn take(&mut self, count: usize) {
        let count = count.min(self.conn.pending().len());
        self.output.extend_from_slice(&self.conn.pending()[..count]);
        self.conn.sent(self.now(), count);
    }

    /// Memory stays under the limits.
    fn check(&self, piece: usize) {
        let limits = limits();
        assert!(self.conn.pending().len() <= limits.output_bytes + limits.frame_bytes);
        // What was held of a frame, and the last piece where there was no room to work on it.
        let bound = limits.frame_bytes + 10 + piece.max(4096);
        assert!(self.conn.held() <= bound, "{} bytes are held", self.conn.held());
    }

    fn check_bystander(&mut self) {
        let reply =
            self.bystander_calls("GetTerm", encode_named(&NamedFacts { name: NAME.into() }));
        let told = decode_term_reply(&reply).unwrap();
        let term = self.engine.term(NAME).unwrap();
        assert_eq!((told.number, &*told.leader), (term.number(), term.leader().unwrap_or("")));
        assert!(term.candidates().eq(told.candidates.iter().map(String::as_str)));
        assert_eq!(self.engine.waiting(), 0);
    }

    fn bystander_calls(&mut self, method: &str, payload: Vec<u8>) -> Vec<u8> {
        self.calls += 2;
        let stream = self.calls - 1;
        let now = self.now();
        self.bystander.feed(now, &call(stream, method, payload));
        while self.bystander.fetch() {}
        let bytes = self.bystander.pending().to_vec();
        self.bystander.sent(now, bytes.len());
        let (raw, payload) = bytes.split_first_chunk::<10>().expect("an answer");
        assert_eq!(decode_header(*raw).stream, stream);
        let response = decode_response(payload).unwrap();
        assert_eq!(response.status, None);
        response.payload
    }
}

/// A request frame.
pub fn call(stream: u32, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let request = RequestFacts {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: method.into(),
        payload,
        timeout_nano: 0,
        metadata: Vec::new(),
    };
    frame(stream, 1, 0, &encode_request(&request))
}

/// Any frame.
pub fn frame(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let header = encode_header(HeaderFacts { length, stream, kind, flags });
    [&header[..], payload].concat()
}

/// Whole frames of a server, and at most the beginning of one more.
fn check_frames(mut bytes: &[u8], must_be_whole: bool) {
    while let Some((raw, rest)) = bytes.split_first_chunk::<10>() {
        let header = decode_header(*raw);
        let Some((payload, rest)) = rest.split_at_checked(header.length as usize) else { break };
        assert_eq!(header.stream % 2, 1);
        match (header.kind, header.flags) {
            (2, 0) => drop(decode_response(payload).unwrap()),
            (3, 0) => assert!(decode_term_reply(payload).unwrap().number > 0),
            (3, 5) => assert!(payload.is_empty()),
            _ => panic!("no server sends {header:?}"),
        }
        bytes = rest;
    }
    assert!(bytes.is_empty() || !must_be_whole, "a frame was cut: {bytes:x?}");
}
