//! One connection to the web side: its caller in the method table, and its calls under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam::atomic::AtomicCell;
use slab::Slab;

use super::inbox::Inbox;
use super::reply::{Errand, Reply, Watching};
use crate::clock::Moment;
use crate::engine::{Election, Engine, Session};
use crate::error::Error;
use crate::server::Shared;
use crate::server::counters::Tally;
use crate::service::{Answer, Body, Call, Caller, ReplyTo, too_many_streams};
use crate::shard::{Sink, Ticket};

pub(in crate::server) struct Visit {
    shared: Arc<Shared>,
    caller: Mutex<Caller>,
    /// Calls that are not answered yet, watches among them.
    live: Mutex<Slab<Arc<Inbox>>>,
    draining: AtomicCell<bool>,
    /// The last request, or the beginning.
    asked: AtomicCell<Moment>,
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
    pub(super) inbox: Arc<Inbox>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.visit.live).remove(self.key);
    }
}

impl Place {
    pub(super) fn engine(&self) -> &Engine {
        &self.visit.shared.engine
    }

    pub(super) fn visit(&self) -> &Visit {
        &self.visit
    }
}

impl Visit {
    /// A new connection of `peer`, as people would call it.
    pub(super) fn new(shared: Arc<Shared>, peer: &str) -> Self {
        let (engine, terms) = (shared.engine.clone(), &shared.terms);
        let asked = AtomicCell::new(engine.clock().now());
        let (rules, told) = (terms.cache_rules.clone(), terms.told.clone());
        let caller = Caller::new(engine, peer.into(), rules, told, terms.latches.clone());
        Self {
            caller: Mutex::new(caller),
            shared,
            live: Mutex::default(),
            draining: AtomicCell::new(false),
            asked,
        }
    }

    /// Puts a call to the method table.
    pub(super) fn begin(self: &Arc<Self>, call: Call<'_>) -> Result<Begun, Error> {
        self.asked.store(self.shared.engine.clock().now());
        if self.draining.load() {
            return Err(Error::Draining);
        }
        let inbox = Arc::new(Inbox::default());
        let sink: Arc<dyn Sink> = inbox.clone();
        let full = self.full();
        let mut caller = locked(&self.caller);
        let answer = caller.call(call, ReplyTo::new(&sink, Ticket { to: 0, about: 0 }, full));
        let owed = match answer {
            Answer::Now(body) => {
                let body = to_bytes(body);
                caller.rest();
                return Ok(Begun::Done(body));
            }
            Answer::Bytes(body) => return Ok(Begun::Done(body.into())),
            Answer::Fail(error) => return Err(error),
            Answer::Closed(election) => {
                drop(caller);
                self.close_watches(&election);
                return Ok(Begun::Done(Bytes::new()));
            }
            Answer::Task(_) | Answer::Stream(_) if full.is_some() => {
                return Err(too_many_streams(self.shared.engine.limits().streams));
            }
            Answer::Later(shape) => Reply::Outcome(self.place(inbox), shape),
            Answer::Watch(follower) => {
                Reply::Watch(Watching::new(self.place(inbox), follower).into())
            }
            Answer::Task(task) => Reply::Task(Errand::new(self.place(inbox), task, false).into()),
            Answer::Stream(task) => Reply::Task(Errand::new(self.place(inbox), task, true).into()),
        };
        Ok(Begun::Owed(owed))
    }

    /// A call with one message for an answer.
    pub(super) async fn ask(self: &Arc<Self>, call: Call<'_>) -> Result<Bytes, Error> {
        match self.begin(call)? {
            Begun::Done(body) => Ok(body),
            Begun::Owed(mut reply) => reply.only().await,
        }
    }

    /// The limit, if as many calls are under way as there may be.
    fn full(&self) -> Option<usize> {
        let max = self.shared.engine.limits().streams;
        (locked(&self.live).len() >= max).then_some(max)
    }

    fn place(self: &Arc<Self>, inbox: Arc<Inbox>) -> Place {
        let key = locked(&self.live).insert(inbox.clone());
        if self.draining.load() {
            // It began while the others were told.
            inbox.drain();
        }
        Place { visit: self.clone(), inbox, key }
    }

    /// Lets the watches of that election end.
    pub(super) fn close_watches(&self, election: &Election) {
        locked(&self.live).iter().for_each(|(_, inbox)| inbox.close(election.clone()));
    }

    /// Watches end, what is under way is answered, nothing new is taken.
    pub(super) fn drain(&self) {
        self.draining.store(true);
        locked(&self.live).iter().for_each(|(_, inbox)| inbox.drain());
    }

    /// When the last request came, or the connection.
    pub(super) fn last_asked(&self) -> Moment {
        self.asked.load()
    }

    pub(super) fn is_busy(&self) -> bool {
        !locked(&self.live).is_empty()
    }

    /// The connection has closed: its explicit sessions live on or end as each of them chose; its own is
    /// given to whoever decides when it ends.
    pub(super) fn take_session(&self) -> Option<Session> {
        locked(&self.caller).take_session()
    }

    pub(super) fn count_event(&self, merged: u64) {
        self.shared.tallies.add(Tally { events: 1, merged, ..Tally::default() });
    }
}

pub(super) fn to_bytes(body: Body<'_>) -> Bytes {
    let mut bytes = Vec::with_capacity(body.len());
    body.put(&mut bytes);
    bytes.into()
}

/// A panic of another call does not make what is locked wrong.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
