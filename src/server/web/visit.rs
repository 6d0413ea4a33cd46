//! One connection to the web side: its caller in the method table, its calls under way, and what waits
//! for its peer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam::atomic::AtomicCell;
use slab::Slab;
use tokio::sync::Notify;

use super::inbox::Inbox;
use super::meter::Meter;
use super::reply::{Errand, Reply, Watching};
use crate::clock::Moment;
use crate::engine::{Election, Session};
use crate::error::Error;
use crate::server::Shared;
use crate::server::book::{CANCELLED, OK};
use crate::server::requests::Transport;
use crate::service::{Answer, Body, Call, Caller, Method, ReplyTo, too_many_streams};
use crate::shard::{Sink, Ticket};

/// Streams beyond those that may be under way: they are refused with a reason, instead of waiting in the
/// client without one, unless they are answered at once.
pub(super) const STREAMS_OVER: usize = 64;

pub(in crate::server) struct Visit {
    pub(super) shared: Arc<Shared>,
    transport: Transport,
    pub(super) meter: Arc<Meter>,
    caller: Mutex<Own>,
    /// Calls whose answer has not left yet, watches among them.
    live: Mutex<Slab<Arc<Inbox>>>,
    draining: AtomicCell<bool>,
    /// The last request, or the beginning.
    asked: AtomicCell<Moment>,
    /// Bytes of messages that have not arrived whole.
    arriving: AtomicCell<usize>,
    /// Bytes of answers that the peer has not taken, and when it took some last.
    waiting: AtomicCell<usize>,
    taken: AtomicCell<Moment>,
    /// More waits than may.
    pub(super) overflow: Notify,
}

/// What only one call at a time touches.
struct Own {
    caller: Caller,
    /// The connection has ended: whatever still comes of it is too late.
    is_over: bool,
}

/// What a call came to, so far.
pub(super) enum Begun {
    Done(Bytes),
    /// What comes in its own time: one message, or a stream of them.
    Owed(Reply),
}

/// A call's place among those under way; given up when it is dropped.
pub(super) struct Place {
    visit: Arc<Visit>,
    inbox: Arc<Inbox>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.visit.live).remove(self.key);
    }
}

/// Bytes of a message that is arriving; given back when it is dropped.
pub(super) struct Arriving {
    visit: Arc<Visit>,
    bytes: usize,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.visit.arriving.fetch_sub(self.bytes);
    }
}

impl Arriving {
    /// Some more came in.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        let all = self.visit.arriving.fetch_add(bytes) + bytes;
        let max = 2 * self.visit.shared.engine.limits().frame_bytes;
        if all > max {
            let advice = "send fewer large messages at once on a connection";
            return Err(Error::LimitReached { limit: "arriving_bytes", max: max as u64, advice });
        }
        Ok(())
    }
}

/// One call, until it is counted; as cancelled, if nothing else comes.
pub(super) struct Account {
    visit: Arc<Visit>,
    method: Method,
    began: Moment,
    is_open: bool,
}

impl Account {
    pub(super) fn visit(&self) -> &Visit {
        &self.visit
    }

    pub(super) fn settle(mut self, told: Result<(), &Error>) {
        if let Err(error) = told {
            self.visit.shared.requests.told(error);
        }
        self.close(told.map_or_else(|error| error.code().number(), |()| OK));
    }

    /// With a code that is not of an error of ours.
    pub(super) fn close(&mut self, code: i32) {
        if std::mem::replace(&mut self.is_open, false) {
            let Self { visit, method, began, .. } = &*self;
            let elapsed = visit.now() - *began;
            visit.shared.requests.observe(visit.transport, *method, code, elapsed);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close(CANCELLED);
    }
}

impl Visit {
    /// A new connection of `peer`, as people would call it.
    pub(super) fn new(shared: Arc<Shared>, transport: Transport, peer: &str) -> Self {
        let (engine, terms) = (shared.engine.clone(), &shared.terms);
        let now = engine.clock().now();
        let meter = Arc::new(Meter::new(engine.clock().clone()));
        let (rules, told) = (terms.cache_rules.clone(), terms.told.clone());
        let caller = Caller::new(engine, peer.into(), rules, told, terms.latches.clone());
        Self {
            caller: Mutex::new(Own { caller, is_over: false }),
            shared,
            transport,
            meter,
            live: Mutex::default(),
            draining: AtomicCell::new(false),
            asked: AtomicCell::new(now),
            arriving: AtomicCell::new(0),
            waiting: AtomicCell::new(0),
            taken: AtomicCell::new(now),
            overflow: Notify::new(),
        }
    }

    /// A request began, whatever it is for.
    pub(super) fn heard(&self) {
        self.asked.store(self.now());
        self.meter.request();
    }

    /// The last request's message is all there. In HTTP/1 nothing else has to come before its answer.
    pub(super) fn came_whole(&self) {
        if self.transport == Transport::Http {
            self.meter.owe_answer();
        }
    }

    /// Takes a place for a call; before its message is read, since that may be long in coming. There are a
    /// few beyond the limit, for calls that are answered at once, or that end others.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, Error> {
        let inbox = Arc::new(Inbox::default());
        let max = self.shared.engine.limits().streams;
        let mut live = locked(&self.live);
        if self.draining.load() {
            return Err(Error::Draining);
        }
        if live.len() >= max + STREAMS_OVER {
            return Err(too_many_streams(max));
        }
        let key = live.insert(inbox.clone());
        Ok(Place { visit: self.clone(), inbox, key })
    }

    /// The limit, if more calls are under way than may be; whoever asks is one of them.
    fn full(&self) -> Option<usize> {
        let max = self.shared.engine.limits().streams;
        (locked(&self.live).len() > max).then_some(max)
    }

    pub(super) fn arriving(self: &Arc<Self>) -> Arriving {
        Arriving { visit: self.clone(), bytes: 0 }
    }

    /// Puts a call to the method table.
    pub(super) fn begin(self: &Arc<Self>, place: &Place, call: Call<'_>) -> Result<Begun, Error> {
        if self.draining.load() {
            return Err(Error::Draining);
        }
        let (inbox, visit) = (place.inbox.clone(), self.clone());
        let sink: Arc<dyn Sink> = inbox.clone();
        let full = self.full();
        let mut own = locked(&self.caller);
        if own.is_over {
            return Err(Error::Draining);
        }
        let answer = own.caller.call(call, ReplyTo::new(&sink, Ticket { to: 0, about: 0 }, full));
        let owed = match answer {
            Answer::Task(_) | Answer::Stream(_) if full.is_some() => {
                return Err(too_many_streams(self.shared.engine.limits().streams));
            }
            Answer::Now(body) => {
                let body = to_bytes(body);
                own.caller.rest();
                return Ok(Begun::Done(body));
            }
            Answer::Term(term) => return Ok(Begun::Done(to_bytes(Body::of_own(&term)))),
            Answer::Bytes(body) => return Ok(Begun::Done(body.into())),
            Answer::Fail(error) => return Err(error),
            Answer::Closed(election) => {
                drop(own);
                self.close_watches(&election);
                return Ok(Begun::Done(Bytes::new()));
            }
            Answer::Later(shape) => Reply::Outcome { visit, inbox, shape },
            Answer::Watch(follower) => Reply::Watch(Watching::new(visit, inbox, follower).into()),
            Answer::Task(task) => Reply::Task(Errand::new(visit, inbox, task, false).into()),
            Answer::Stream(task) => Reply::Task(Errand::new(visit, inbox, task, true).into()),
        };
        Ok(Begun::Owed(owed))
    }

    /// A call with one message for an answer.
    pub(super) async fn ask(self: &Arc<Self>, call: Call<'_>) -> Result<Bytes, Error> {
        let account = self.account(call.service, call.method);
        let told = self.run(call).await;
        account.settle(told.as_ref().map(drop));
        told
    }

    async fn run(self: &Arc<Self>, call: Call<'_>) -> Result<Bytes, Error> {
        let place = self.place()?;
        match self.begin(&place, call)? {
            Begun::Done(body) => Ok(body),
            Begun::Owed(mut reply) => reply.only().await,
        }
    }

    /// Counts a call from now on.
    pub(super) fn account(self: &Arc<Self>, service: &str, method: &str) -> Account {
        let method = Method::of(service, method);
        Account { visit: self.clone(), method, began: self.now(), is_open: true }
    }

    /// Lets the watches of that election end.
    pub(super) fn close_watches(&self, election: &Election) {
        locked(&self.live).iter().for_each(|(_, inbox)| inbox.close(election.clone()));
    }

    /// Watches end, what is under way is answered, nothing new is taken.
    pub(super) fn drain(&self) {
        let live = locked(&self.live);
        self.draining.store(true);
        live.iter().for_each(|(_, inbox)| inbox.drain());
    }

    /// Watches end; whatever else is asked is answered as before.
    pub(super) fn end_watches(&self) {
        locked(&self.live).iter().for_each(|(_, inbox)| inbox.drain());
    }

    /// When the last request came, or the connection.
    pub(super) fn last_asked(&self) -> Moment {
        self.asked.load()
    }

    /// True while an answer has not left.
    pub(super) fn is_busy(&self) -> bool {
        !locked(&self.live).is_empty() || self.waiting.load() > 0
    }

    /// The connection has closed: its explicit sessions live on or end as each of them chose; its own is
    /// given to whoever decides when it ends.
    pub(super) fn take_session(&self) -> Option<Session> {
        let mut own = locked(&self.caller);
        own.is_over = true;
        own.caller.take_session()
    }

    /// A watch was told a state, and skipped so many before it.
    pub(super) fn announce(&self, merged: u64) {
        self.shared.requests.announced(self.transport, 1, merged);
    }

    /// Adds what came in and went out since the last time to what the server counts.
    pub(super) fn count_bytes(&self) {
        let (read, written) = self.meter.take_counts();
        self.shared.requests.carried(self.transport, read, written);
    }

    /// So many bytes wait for the peer from now on.
    pub(super) fn owe(&self, bytes: usize) {
        if self.waiting.fetch_add(bytes) == 0 {
            self.taken.store(self.now());
        }
        if self.waiting.load() > self.shared.engine.limits().output_bytes {
            self.overflow.notify_one();
        }
    }

    /// The peer took them, or never will.
    pub(super) fn pay(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes);
        self.meter.taken(bytes);
        self.taken.store(self.now());
    }

    /// Since when the peer has taken nothing of what waits for it, if anything does.
    pub(super) fn stalled_since(&self) -> Option<Moment> {
        (self.waiting.load() > 0).then(|| self.taken.load())
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.engine.clock().now()
    }
}

pub(super) fn to_bytes(body: Body<'_>) -> Bytes {
    match body {
        Body::Bytes(bytes) => Bytes::copy_from_slice(bytes),
        Body::Once(_) => {
            let mut bytes = Vec::with_capacity(64);
            body.put(&mut bytes);
            bytes.into()
        }
    }
}

/// A panic of another call does not make what is locked wrong.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
