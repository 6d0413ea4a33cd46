//! Connections between clients and a server: bytes in order, late, and cut at either end when it likes.

use std::collections::VecDeque;

use fastrand::Rng;
use tenure::internals::{LooseClient, LooseConnection};
use tenure::{Engine, Moment};

/// Microseconds.
pub(crate) type Time = u64;

pub(crate) struct Link {
    pub(crate) member: usize,
    /// The client's number of it.
    pub(crate) dial: u64,
    /// Made at that time, or refused then.
    pub(crate) made_at: Option<(Time, bool)>,
    server: Option<LooseConnection>,
    /// The client has closed it, or knows that it is cut.
    has_client: bool,
    to_server: Way,
    to_client: Way,
}

/// Bytes on their way, with when they arrive.
#[derive(Default)]
struct Way {
    bytes: VecDeque<(Time, Vec<u8>)>,
    last: Time,
    /// Nothing comes any more from then on.
    ends: Option<Time>,
}

impl Way {
    fn put(&mut self, at: Time, bytes: Vec<u8>) {
        // In order, and what was sent after a cut is lost.
        self.last = self.last.max(at);
        if self.ends.is_none() && !bytes.is_empty() {
            self.bytes.push_back((self.last, bytes));
        }
    }

    /// What has arrived.
    fn take(&mut self, now: Time) -> Option<Vec<u8>> {
        let has_come = self.bytes.front().is_some_and(|(at, _)| *at <= now);
        if has_come { self.bytes.pop_front().map(|(_, bytes)| bytes) } else { None }
    }

    /// The end comes after all that was sent before, or takes it away.
    fn end(&mut self, at: Time, takes_all: bool) {
        if takes_all {
            self.bytes.clear();
        }
        self.last = self.last.max(at);
        self.ends.get_or_insert(self.last);
    }

    fn has_ended(&self, now: Time) -> bool {
        self.bytes.is_empty() && self.ends.is_some_and(|at| at <= now)
    }
}

/// When what is sent now arrives.
pub(crate) fn arrival(rng: &mut Rng, now: Time, is_calm: bool) -> Time {
    match rng.u32(0..40) {
        _ if is_calm => now + 1_000,
        0 => now + rng.u64(0..2_500_000),
        _ => now + rng.u64(0..20_000),
    }
}

impl Link {
    pub(crate) fn new(member: usize, dial: u64, made_at: (Time, bool)) -> Self {
        let (to_server, to_client) = (Way::default(), Way::default());
        Self {
            member,
            dial,
            made_at: Some(made_at),
            server: None,
            has_client: true,
            to_server,
            to_client,
        }
    }

    /// The system takes it, whatever the server does.
    pub(crate) fn make(&mut self, engine: &Engine, now: Moment) {
        self.made_at = None;
        self.server = Some(LooseConnection::new(engine, now));
    }

    /// It breaks: each end learns when it does.
    pub(crate) fn cut(&mut self, rng: &mut Rng, now: Time) {
        let takes_all = rng.bool();
        self.to_server.end(now + rng.u64(0..1_500_000), takes_all);
        self.to_client.end(now + rng.u64(0..1_500_000), takes_all);
    }

    /// The client has closed it: the server hears that after all that was sent before.
    pub(crate) fn close(&mut self, rng: &mut Rng, now: Time) {
        self.made_at = None;
        self.has_client = false;
        self.to_server.end(arrival(rng, now, false), false);
        self.to_client.end(now, true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.made_at.is_none() && self.server.is_none() && !self.has_client
    }

    pub(crate) fn write(&mut self, at: Time, bytes: Vec<u8>) {
        self.to_server.put(at, bytes);
    }

    /// Gives the client what has arrived.
    pub(crate) fn read(&mut self, now: Time, client: &LooseClient) {
        while let Some(bytes) = self.to_client.take(now) {
            client.received(self.dial, &bytes);
        }
        if self.to_client.has_ended(now) {
            self.has_client = false;
            client.cut(self.dial);
        }
    }

    /// Gives the server what has arrived.
    pub(crate) fn serve(&mut self, now: Time, moment: Moment) {
        let Some(server) = &mut self.server else { return };
        while let Some(bytes) = self.to_server.take(now) {
            server.feed(moment, &bytes);
        }
        if self.to_server.has_ended(now) {
            // Its explicit sessions live on.
            drop(server.take_session());
            self.server = None;
        }
    }

    /// Lets the server go on; true if that came to something.
    pub(crate) fn pump(&mut self, rng: &mut Rng, now: Time, moment: Moment, is_calm: bool) -> bool {
        let Some(server) = &mut self.server else { return false };
        let mut has_moved = false;
        if server.deadline().is_some_and(|at| at <= moment) {
            server.tick(moment);
            has_moved = server.deadline().is_none_or(|at| at > moment);
        }
        while server.fetch() {
            has_moved = true;
        }
        server.go_on(moment);
        let bytes = server.pending().to_vec();
        if !bytes.is_empty() {
            has_moved = true;
            server.sent(moment, bytes.len());
            self.to_client.put(arrival(rng, now, is_calm), bytes);
        }
        if server.is_over() {
            drop(server.take_session());
            self.server = None;
            self.to_client.end(now, false);
        }
        has_moved
    }
}
