//! The method table: (service, method) to a handler over bytes and the engine.
//!
//! It knows what a method means and nothing of framing, sockets or threads. A transport makes one
//! [`Caller`] for each connection and hands it calls; an [`Answer`] says what to send, or what will
//! come through the sink.

mod acting;
mod cache;
mod election_v1;
mod elections_v1;
pub(crate) mod glob;
mod kept;
mod latch;
mod methods;
mod names;
#[cfg(test)]
pub(crate) mod probe;
mod task;
mod telling;
mod tenure_v1;

use std::sync::Arc;

use crossbeam::atomic::AtomicCell;

pub use self::cache::CacheRule;
pub(crate) use self::latch::Latches;
pub(crate) use self::methods::{METHODS, Method};
pub(crate) use self::task::{Step, Task};
pub(crate) use self::telling::Telling;

use self::acting::Sessions;
use self::elections_v1::Creation;
use self::names::Names;
use crate::election::Term;
use crate::engine::{Election, Engine, Follower, Session};
use crate::error::Error;
use crate::shard::{Sink, Ticket};
use crate::wire::election_v1 as wire;

/// Counts the connections of this process, whichever server they belong to.
static CONNECTIONS: AtomicCell<u64> = AtomicCell::new(0);

/// One connection, as the methods see it.
pub(crate) struct Caller {
    engine: Engine,
    /// Which connection it is: never used again in this process.
    connection: u64,
    /// Whose it is, for people.
    peer: Box<str>,
    sessions: Sessions,
    names: Names,
    rules: Arc<[CacheRule]>,
    /// What a server tells of its settings, by the name of their flag.
    settings: Arc<[(&'static str, String)]>,
    latches: Arc<Latches>,
}

/// One call, as a transport received it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Call<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) payload: &'a [u8],
    /// The request metadata [`SESSION`]: the key of the session to act for.
    pub(crate) session: Option<&'a str>,
}

/// The services of the method table.
#[cfg(feature = "web")]
pub(crate) const SERVICES: [&str; 7] = [
    election_v1::SERVICE,
    elections_v1::SERVICE,
    latch::SERVICE,
    tenure_v1::connection::SERVICE,
    tenure_v1::elections::SERVICE,
    tenure_v1::sessions::SERVICE,
    tenure_v1::storage::SERVICE,
];

/// The request metadata that names an explicit session by its key.
pub(crate) const SESSION: &str = "tenure-session";

/// Where a call is heard of that is not answered at once.
#[derive(Clone, Copy)]
pub(crate) struct ReplyTo<'a> {
    sink: &'a Arc<dyn Sink>,
    ticket: Ticket,
    /// The limit, if the connection has as many live streams as it may.
    full: Option<usize>,
}

impl<'a> ReplyTo<'a> {
    pub(crate) fn new(sink: &'a Arc<dyn Sink>, ticket: Ticket, full: Option<usize>) -> Self {
        Self { sink, ticket, full }
    }

    /// What to submit a command or to follow with: the call becomes a live stream of its connection. To
    /// be asked for before anything is changed.
    ///
    /// # Errors
    /// [`Error::LimitReached`] if the connection has as many as it may.
    pub(crate) fn claim(self) -> Result<(&'a Arc<dyn Sink>, Ticket), Error> {
        match self.full {
            None => Ok((self.sink, self.ticket)),
            Some(max) => Err(too_many_streams(max)),
        }
    }

    /// The same for a call that ends others, and so is taken at the limit too.
    pub(crate) fn claim_to_end(self) -> (&'a Arc<dyn Sink>, Ticket) {
        (self.sink, self.ticket)
    }
}

/// The refusal of one live stream more on a connection.
pub(crate) fn too_many_streams(max: usize) -> Error {
    let advice = "wait for the answers to earlier calls, end watches that are no longer read, or use \
                  another connection";
    Error::LimitReached { limit: "streams", max: max as u64, advice }
}

/// What a call came to.
pub(crate) enum Answer<'c> {
    /// Done.
    Now(Body<'c>),
    /// Done, with this body.
    Bytes(Vec<u8>),
    /// Done: the election is in this term.
    Term(Arc<Term>),
    /// Submitted: the sink will have the outcome, and the shape makes a body of it.
    Later(Shape),
    /// The caller's use of this election has ended, with nothing to wait for. Its watches of it end
    /// with OK; the reply is [`EMPTY`].
    Closed(Election),
    /// A v1 watch. It has nothing to say before the first term.
    Watch(Follower),
    /// A unary call that is answered in its own time.
    Task(Box<dyn Task>),
    /// A stream of messages.
    Stream(Box<dyn Task>),
    /// Refused. Nothing was changed.
    Fail(Error),
}

/// How the outcome of a submitted call is said.
pub(crate) enum Shape {
    /// The term after it, or a later one.
    Term(Election),
    /// An election was created.
    Created(Box<Creation>),
    /// As [`Answer::Closed`].
    Closed(Election),
}

/// A reply's message.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    Bytes(&'a [u8]),
    /// This term is its only field, and is encoded where it goes.
    Once(&'a Term),
}

/// A message without fields.
pub(crate) const EMPTY: Body<'static> = Body::Bytes(&[]);

/// The term of an election that nobody knows: present, and empty.
const NO_TERM: Body<'static> = Body::Bytes(&[0x0a, 0x00]);

impl<'a> Body<'a> {
    /// The v1 message that holds `term`.
    #[inline]
    pub(crate) fn of(term: &'a Term) -> Self {
        if term.is_forgotten() { NO_TERM } else { Body::Bytes(event(term)) }
    }

    /// The same for who made a change: others seldom ask for just that state, so what is encoded is kept only
    /// where encoding it again would cost much.
    #[inline]
    pub(crate) fn of_own(term: &'a Term) -> Self {
        if term.is_light() && !term.is_forgotten() { Body::Once(term) } else { Self::of(term) }
    }

    #[inline]
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        match self {
            Body::Bytes(bytes) => out.extend_from_slice(bytes),
            Body::Once(term) => {
                let (leader, rest) = term.leader_and_rest();
                wire::put_term_reply(out, term.number(), leader, rest);
            }
        }
    }
}

/// The v1 message of a watch. It follows the name, so it shows a deleted election's last state.
#[inline]
pub(crate) fn event(term: &Term) -> &[u8] {
    term.encoded_with(|term| {
        let (leader, rest) = term.leader_and_rest();
        wire::term_reply(term.number(), leader, rest)
    })
}

impl Shape {
    /// The election that the call was about.
    pub(crate) fn election(&self) -> &Election {
        match self {
            Shape::Term(election) | Shape::Closed(election) => election,
            Shape::Created(creation) => &creation.election,
        }
    }

    pub(crate) fn body<'a>(&self, term: &'a Term) -> Body<'a> {
        match self {
            Shape::Term(_) => Body::of_own(term),
            Shape::Created(creation) => Body::Bytes(wire::create_reply(creation.is_cached())),
            Shape::Closed(_) => EMPTY,
        }
    }
}

impl Caller {
    /// A new connection of `peer`, as people would call it.
    pub(crate) fn new(
        engine: Engine,
        peer: Box<str>,
        rules: Arc<[CacheRule]>,
        settings: Arc<[(&'static str, String)]>,
        latches: Arc<Latches>,
    ) -> Self {
        let connection = CONNECTIONS.fetch_add(1) + 1;
        let (sessions, names) = (Sessions::default(), Names::default());
        Self { engine, connection, peer, sessions, names, rules, settings, latches }
    }

    /// The method table.
    #[inline]
    pub(crate) fn call(&mut self, call: Call<'_>, to: ReplyTo<'_>) -> Answer<'_> {
        let Call { service, method, payload, session } = call;
        if let Err(error) = self.take_key(session) {
            return Answer::Fail(error);
        }
        let answer = match service {
            election_v1::SERVICE => match method {
                "GetTerm" => self.get_term(payload),
                "Watch" => self.watch(payload, to),
                "Enter" => self.enter(payload, to),
                "Withdraw" => self.withdraw(payload, to),
                "Anoint" => self.change(election_v1::ANOINT, payload, to),
                "Promote" => self.change(election_v1::PROMOTE, payload, to),
                "Demote" => self.change(election_v1::DEMOTE, payload, to),
                "Evict" => self.change(election_v1::EVICT, payload, to),
                "Create" => self.create(payload, to),
                "Close" => self.close(payload, to),
                _ => Err(unknown(service, method)),
            },
            elections_v1::SERVICE => match method {
                "Create" => self.create(payload, to),
                "Close" => self.close(payload, to),
                _ => Err(unknown(service, method)),
            },
            tenure_v1::elections::SERVICE => match method {
                "Enter" => self.enter_own(payload, to),
                "Withdraw" => self.withdraw_own(payload, to),
                "Anoint" => self.change_own(tenure_v1::elections::ANOINT, payload, to),
                "Promote" => self.change_own(tenure_v1::elections::PROMOTE, payload, to),
                "Demote" => self.change_own(tenure_v1::elections::DEMOTE, payload, to),
                "Evict" => self.change_own(tenure_v1::elections::EVICT, payload, to),
                "Observe" => self.observe(payload, to),
                "List" => self.list_elections(payload),
                "Describe" => self.describe(payload),
                "History" => self.history(payload),
                "Check" => self.check(payload),
                "Delete" => self.delete(payload, to),
                _ => Err(unknown(service, method)),
            },
            tenure_v1::sessions::SERVICE => match method {
                "Open" => self.open(payload, to),
                "KeepAlive" => self.keep_alive(payload),
                "Close" => self.close_session(payload, to),
                "List" => self.list_sessions(payload),
                "End" => self.end_session(payload, to),
                _ => Err(unknown(service, method)),
            },
            tenure_v1::storage::SERVICE => match method {
                "Backup" => self.backup(payload, to),
                _ => Err(unknown(service, method)),
            },
            tenure_v1::connection::SERVICE => match method {
                "Hello" => self.hello(payload),
                _ => Err(unknown(service, method)),
            },
            latch::SERVICE => self.latch(method, payload, to),
            #[cfg(test)]
            probe::SERVICE => probe::answer(call, to),
            _ => Err(unknown(service, method)),
        };
        answer.unwrap_or_else(Answer::Fail)
    }

    /// The connection has nothing more to do at once.
    pub(crate) fn rest(&mut self) {
        self.names.drop_heavy();
    }

    /// The connection has closed. Its explicit sessions live on or end as each of them chose; its own is
    /// taken out, for whoever decides when it ends.
    pub(crate) fn take_session(&mut self) -> Option<Session> {
        self.detach_all();
        self.sessions.own.take()
    }
}

fn unknown(service: &str, method: &str) -> Error {
    Error::UnknownMethod { service: short(service), method: short(method) }
}

/// As much of a peer's text as an answer repeats.
fn short(text: &str) -> Box<str> {
    text.chars().take(128).collect()
}
