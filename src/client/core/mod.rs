//! The client as a state machine: bytes and moments in, bytes and answers out. It has no socket, no
//! thread and no clock of its own, so every fault can be tried by hand.
//!
//! A driver dials when [`Core::dial`] says so, moves bytes between [`Core::received`] and
//! [`Core::output`], and calls [`Core::tick`] when [`Core::next_wake`] has come. Whoever is to be woken
//! is in [`Core::take_wakers`], for when no lock is held.

mod calls;
mod connection;
mod fate;
mod input;
mod sessions;
mod slot;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub(super) use self::calls::{Answer, Call};
pub(super) use self::fate::{Fate, Word};
pub(super) use self::sessions::{Opened, Wanted, micros};
pub(super) use self::slot::Slot;
pub(super) use self::watches::{Reader, States};

use self::input::{Frame, Input};
use self::sessions::Session;
use self::watches::Watch;
use super::Address;
use crate::clock::Moment;
use crate::wire::envelope::{Request, put_request};
use crate::wire::frame::{HEADER_LEN, Header, flag, kind};
use crate::wire::tenure_v1::sessions as wire;

const CONNECTION: &str = "tenure.v1.Connection";

/// What a core is told once.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) address: Address,
    /// How long to wait before dialing again after so many failures.
    pub(super) jitter: fn(u32) -> Duration,
    /// How long a server may take to greet.
    pub(super) patience: Duration,
}

pub(super) struct Core {
    settings: Settings,
    phase: Phase,
    /// Counts connections: what belongs to a former one is not listened to.
    epoch: u64,
    /// In a row.
    failures: u32,
    input: Input,
    out: Vec<u8>,
    next_stream: u32,
    streams: HashMap<u32, Use>,
    server: Option<Server>,
    /// Why there is no connection.
    trouble: Option<String>,
    sessions: BTreeMap<u64, Session>,
    calls: BTreeMap<u64, Call>,
    watches: BTreeMap<u64, Watch>,
    timers: BTreeMap<(Moment, u64), Arc<Slot<()>>>,
    last_id: u64,
    wakers: Vec<Waker>,
    /// Why nothing is done any more.
    shut: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down { dial_at: Moment },
    Dialing,
    Greeting { until: Moment },
    Up,
}

/// What an answer on a stream is for.
enum Use {
    Hello,
    Open { session: u64, is_new: bool },
    Resume { session: u64, sent: Moment },
    Beat { session: u64, sent: Moment, released: Vec<wire::Released> },
    Close(Arc<Slot<Answer>>),
    Call(u64),
    Watch(u64),
}

/// Which server this is, and which life of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) id: String,
    pub(super) incarnation: String,
    pub(super) is_durable: bool,
}

impl Server {
    /// True if `now` remembers what this one was told.
    fn is_continued_by(&self, now: &Server) -> bool {
        self.id == now.id && (self.is_durable || self.incarnation == now.incarnation)
    }
}

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            phase: Phase::Down { dial_at: Moment::default() },
            epoch: 0,
            failures: 0,
            input: Input::default(),
            out: Vec::new(),
            next_stream: 1,
            streams: HashMap::new(),
            server: None,
            trouble: None,
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            watches: BTreeMap::new(),
            timers: BTreeMap::new(),
            last_id: 0,
            wakers: Vec::new(),
            shut: None,
        }
    }

    /// What waits to be written. The driver takes from its front what it has written.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    pub(super) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Why the server is out of reach, or `None` while it is not.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// True while the server still has to hear that a session is closed, or has yet to say which.
    pub(super) fn is_closing(&self) -> bool {
        let is_left = |it: &Use| matches!(it, Use::Close(_) | Use::Open { is_new: true, .. });
        self.streams.values().any(is_left) || !self.out.is_empty()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Moment) {
        if let Phase::Greeting { until } = self.phase
            && until <= now
        {
            self.fail_openings(self.timed_out(CONNECTION, "Hello"));
            self.down(now, "the server did not greet in time");
        }
        while let Some(timer) = self.timers.first_entry().filter(|it| it.key().0 <= now) {
            self.wakers.extend(timer.remove().put(()));
        }
        self.tick_calls(now);
        self.tick_sessions(now);
        self.tick_watches(now);
    }

    /// When to call [`tick`](Self::tick) or [`dial`](Self::dial), if nothing happens before.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let own = match self.phase {
            Phase::Down { dial_at } if self.is_needed() => Some(dial_at),
            Phase::Greeting { until } => Some(until),
            _ => None,
        };
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let others = [timer, self.next_call(), self.next_session(), self.next_watch()];
        others.into_iter().flatten().chain(own).min()
    }

    /// Told at this moment; gives the number to forget it by.
    pub(super) fn timer(&mut self, at: Moment, slot: Arc<Slot<()>>) -> u64 {
        let id = self.id();
        match self.shut {
            None => drop(self.timers.insert((at, id), slot)),
            Some(_) => self.wakers.extend(slot.put(())),
        }
        id
    }

    pub(super) fn forget_timer(&mut self, at: Moment, id: u64) {
        self.timers.remove(&(at, id));
    }

    fn is_needed(&self) -> bool {
        !(self.sessions.is_empty() && self.calls.is_empty() && self.watches.is_empty())
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn send(&mut self, service: &str, method: &str, payload: &[u8], what: Use) -> u32 {
        while self.streams.contains_key(&self.next_stream) {
            self.next_stream = self.next_stream.wrapping_add(2);
        }
        let stream = self.next_stream;
        self.next_stream = stream.wrapping_add(2);
        // What is answered by many is marked, as stock clients do.
        let flags = if matches!(what, Use::Watch(_)) { flag::REMOTE_CLOSED } else { 0 };
        let request = Request { service, method, payload, ..Request::default() };
        put_request(&mut self.out, stream, flags, &request);
        self.streams.insert(stream, what);
        stream
    }

    /// Nobody listens to this stream any more.
    fn cancel(&mut self, stream: u32) {
        if self.streams.remove(&stream).is_some() {
            let flags = flag::REMOTE_CLOSED | flag::NO_DATA;
            let header = Header { length: 0, stream, kind: kind::DATA, flags };
            let header: [u8; HEADER_LEN] = header.encode();
            self.out.extend_from_slice(&header);
        }
    }

    fn on_frame(&mut self, now: Moment, frame: Frame) {
        let stream = frame.stream;
        if let Some(&Use::Watch(watch)) = self.streams.get(&stream) {
            if frame.ends {
                self.streams.remove(&stream);
            } else {
                self.failures = 0;
            }
            return self.on_watch_frame(now, watch, frame);
        }
        // What nobody waits for any more may still be answered.
        let Some(what) = self.streams.remove(&stream) else { return };
        let answer = frame.answer();
        if answer.is_ok() && !matches!(what, Use::Hello) {
            // It does more than greet.
            self.failures = 0;
        }
        match what {
            Use::Hello => self.on_hello(now, answer),
            Use::Open { session, is_new } => self.on_opened(now, session, is_new, answer),
            Use::Resume { session, sent } => self.on_resumed(now, session, sent, answer),
            Use::Beat { session, sent, released } => {
                self.on_beat(now, session, (stream, sent), released, answer);
            }
            Use::Close(slot) => self.wakers.extend(slot.put(answer)),
            Use::Call(call) => self.on_call(now, call, answer),
            Use::Watch(_) => {}
        }
    }
}
