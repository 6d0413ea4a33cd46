//! A connection without a server, for the fuzzer, the benches and the simulation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::book::Book;
use super::conn::{Conn, Next, Terms};
use super::outbox::{Item, Outbox};
use crate::clock::Moment;
use crate::engine::{Engine, Session};
use crate::service::Latches;

thread_local! {
    /// Shared by a thread's connections, as by a reactor's.
    static BOOK: Arc<Book> = Arc::default();
}

/// What a server runs for one peer, less the socket and the clock. The caller carries the bytes, turns
/// the time, and fetches what the engine brings.
pub struct LooseConnection {
    conn: Conn,
    outbox: Arc<Outbox>,
    next: Next,
    requests: u64,
    /// The last time that was told.
    now: Moment,
}

impl LooseConnection {
    /// A connection of a server with the default settings.
    pub fn new(engine: &Engine, now: Moment) -> Self {
        let outbox = Arc::new(Outbox::new(|| {}));
        let terms = Terms {
            frame_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            idle: None,
            cache_rules: Arc::from([]),
            told: Arc::from([]),
            latches: Latches::of(engine),
            hands_over: false,
        };
        let conn = Conn::new(
            engine.clone(),
            (outbox.clone(), 1),
            "loose".into(),
            (Arc::new(terms), BOOK.with(Arc::clone)),
            now,
        );
        Self { conn, outbox, next: Next::Keep, requests: 0, now }
    }

    /// The peer sent `bytes`.
    pub fn feed(&mut self, now: Moment, bytes: &[u8]) {
        self.now = now;
        self.conn.feed(now, bytes);
    }

    /// The peer closed its side.
    pub fn feed_end(&mut self) {
        self.conn.feed_end();
    }

    /// Fetches one outcome or change from the engine, at the last time that was told. False if there was none.
    pub fn fetch(&mut self) -> bool {
        match self.outbox.pop() {
            Some(Item::Reply(ticket, outcome)) => {
                self.conn.deliver(self.now, ticket.about, outcome)
            }
            Some(Item::Changed(ticket)) => self.conn.changed(self.now, ticket.about),
            Some(Item::AllChanged(tickets)) => {
                tickets.iter().for_each(|ticket| self.conn.changed(self.now, ticket.about));
            }
            Some(Item::Arrival(_) | Item::Beat(_) | Item::Drain | Item::Stop) | None => {
                return false;
            }
        }
        true
    }

    /// Goes on with what had to wait for room, if there is room now.
    pub fn go_on(&mut self, now: Moment) {
        if self.conn.has_work() {
            self.conn.feed(now, &[]);
        }
    }

    /// The bytes to write next.
    pub fn pending(&self) -> &[u8] {
        self.conn.pending()
    }

    /// `count` of the pending bytes were written.
    pub fn sent(&mut self, now: Moment, count: usize) {
        self.now = now;
        self.conn.sent(now, count);
        self.next = self.conn.next_step(now);
    }

    /// True while bytes of the peer are welcome.
    pub fn wants_read(&self) -> bool {
        self.conn.wants_read()
    }

    /// When time has something to say.
    pub fn deadline(&self) -> Option<Moment> {
        self.conn.deadline()
    }

    /// It is `now`.
    pub fn tick(&mut self, now: Moment) {
        self.now = now;
        self.conn.on_timer(now);
        self.next = self.conn.next_step(now);
    }

    /// The server drains.
    pub fn drain(&mut self) {
        self.conn.drain();
    }

    /// True if there is something to fetch from the engine.
    pub fn has_mail(&self) -> bool {
        self.outbox.len() > 0
    }

    /// Requests read until now.
    pub fn requests(&mut self) -> u64 {
        self.requests += self.conn.take_tally().requests();
        self.requests
    }

    /// Bytes of input that wait to be used.
    pub fn held(&self) -> usize {
        self.conn.held()
    }

    /// Why it ends, once it does.
    pub fn ending(&self) -> Option<String> {
        self.conn.end().map(|end| end.to_string())
    }

    /// True when the socket is to be closed.
    pub fn is_over(&self) -> bool {
        self.next == Next::Close
    }

    /// The session it made; dropping it lets its candidates leave.
    pub fn take_session(&mut self) -> Option<Session> {
        self.conn.take_session()
    }
}

impl fmt::Debug for LooseConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LooseConnection")
            .field("pending", &self.pending().len())
            .field("ending", &self.conn.end())
            .finish_non_exhaustive()
    }
}
