//! A client of a Tenure server, over TCP or a Unix socket. Blocking, without a runtime; the same for those
//! who await is in `client::aio` (feature `tokio`).
//!
//! - [`Session`] is for those who lead: it keeps itself alive across lost connections, and hands out
//!   [`Leadership`], proof of a term with a deadline.
//! - [`Client`] asks: who leads, who waits, who led before. It also speaks the v1 election service, where
//!   its connection is its session: when the client is dropped, its candidates leave.

mod address;
mod admin;
#[cfg(feature = "tokio")]
pub mod aio;
mod asked;
mod by_key;
#[cfg(feature = "failpoints")]
#[allow(unreachable_pub, reason = "`internals` hands it on, where there is one")]
pub(crate) mod canary;
mod connection;
mod contend;
mod core;
mod election;
mod lead;
mod leadership;
mod link;
#[cfg(feature = "internals")]
pub(crate) mod loose;
mod observe;
mod session;
mod socket;
mod status;
mod thread;
mod view;
mod wait;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use self::address::Address;
pub use self::admin::Change as ChangeByHand;
pub use self::by_key::Held;
pub use self::contend::{Contender, LatchListener, LeaderLatch, Work, candidate_id};
pub use self::election::{Election, EnterOptions, OnConflict};
pub use self::leadership::{Leadership, Lost};
pub use self::link::Connection;
pub use self::observe::{ElectionStates, Observation};
pub use self::session::{OnDisconnect, Options, Session};
pub use self::status::{Counts, ServerView};
pub use self::view::{
    Candidate, Change, Check, Description, ElectionState, Reign, SessionView, Summary, Verdict,
};

use self::connection::Replies;
use crate::error::{Code, Error};
use crate::wire::Malformed;
use crate::wire::election_v1::{CandidateRequest, NamedRequest, TermMessage};

const SERVICE: &str = "atomix.runtime.election.v1.LeaderElection";

/// Why a call to a server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection could be made.
    #[error("can't reach {address}: {why}")]
    Unreachable {
        /// Where it was tried.
        address: Address,
        /// What the system said.
        why: io::Error,
    },
    /// The connection was lost; a change that was under way may have happened.
    #[error("the connection to {address} was lost: {why}")]
    Lost {
        /// The server.
        address: Address,
        /// How it ended.
        why: String,
    },
    /// The server's own answer.
    #[error("{message}")]
    Refused {
        /// A gRPC status code.
        code: i32,
        /// The server's sentence.
        message: String,
    },
    /// No answer came in time; a change that was under way may have happened.
    #[error("{what}: no answer in time")]
    TimedOut {
        /// What was asked.
        what: String,
    },
    /// The session that asked is over.
    #[error("{0}")]
    SessionLost(Lost),
    /// Somebody removed the candidate while it waited.
    #[error("{candidate} no longer stands in {election}; somebody removed it")]
    NotStanding {
        /// The election.
        election: String,
        /// Who stood in it.
        candidate: String,
    },
    /// What was received could not be written down.
    #[error("can't write what was received: {0}")]
    Io(#[source] io::Error),
    /// Bytes that are not what the protocol says.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(String),
}

impl ClientError {
    /// True if the connection is to blame, and another one may do better.
    pub(crate) fn is_connection_lost(&self) -> bool {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::Lost { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Protocol(_) => true,
            ClientError::Refused { code, .. } => *code == Code::Unavailable.number(),
            ClientError::SessionLost(_) | ClientError::NotStanding { .. } | ClientError::Io(_) => {
                false
            }
        }
    }

    /// True if contending again may do better: what is lost can be won again.
    pub(crate) fn may_pass(&self) -> bool {
        let is_lost = matches!(self, ClientError::SessionLost(_) | ClientError::NotStanding { .. });
        is_lost || self.is_connection_lost()
    }

    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, ClientError::TimedOut { .. })
    }
}

impl From<Malformed> for ClientError {
    fn from(malformed: Malformed) -> Self {
        let error: Error = malformed.of("atomix.runtime.election.v1.Term");
        ClientError::Protocol(error.to_string())
    }
}

/// Who led when the server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermView {
    /// The term: greater with each change of leader, 0 before anybody led.
    pub number: u64,
    /// The leader, or `None` if nobody leads.
    pub leader: Option<String>,
    /// Who waits, in order.
    pub candidates: Vec<String>,
}

impl TermView {
    fn decode(reply: &[u8]) -> Result<Self, ClientError> {
        let term = TermMessage::decode_reply(reply)?;
        Ok(Self {
            number: term.number,
            leader: (!term.leader.is_empty()).then(|| term.leader.to_owned()),
            candidates: term.candidates().map(str::to_owned).collect(),
        })
    }

    /// True if `candidate` leads or waits.
    pub fn has(&self, candidate: &str) -> bool {
        self.leader.as_deref() == Some(candidate)
            || self.candidates.iter().any(|waiting| waiting == candidate)
    }
}

/// A connection to a server. Clones share it, and calls from several threads run at the same time.
#[derive(Clone)]
pub struct Client {
    connection: Arc<connection::Connection>,
    /// How long an answer may take.
    patience: Duration,
}

impl Client {
    /// Connects, waiting at most `patience`. Each answer may take 10 s: see
    /// [`with_timeout`](Self::with_timeout).
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub fn connect(address: &Address, patience: Duration) -> Result<Self, ClientError> {
        let connection = connection::Connection::open(address, patience)
            .map_err(|why| ClientError::Unreachable { address: address.clone(), why })?;
        Ok(Self { connection: Arc::new(connection), patience: Duration::from_secs(10) })
    }

    /// The same connection, where each answer may take `timeout`; then [`ClientError::TimedOut`]. Watches are
    /// waited for as long as they last.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { patience: timeout, ..self }
    }

    /// Who leads now.
    ///
    /// # Errors
    /// Any [`ClientError`]; so for all calls below.
    pub fn term(&self, election: &str) -> Result<TermView, ClientError> {
        self.named("GetTerm", election)
    }

    /// `candidate` joins the queue for as long as this client lives.
    #[allow(missing_docs, clippy::missing_errors_doc)]
    pub fn enter(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Enter", election, candidate)
    }

    /// `candidate`, one of this client's own, leaves.
    #[allow(clippy::missing_errors_doc)]
    pub fn withdraw(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Withdraw", election, candidate)
    }

    /// `candidate` becomes the leader.
    #[allow(clippy::missing_errors_doc)]
    pub fn anoint(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Anoint", election, candidate)
    }

    /// `candidate` swaps with the one before it.
    #[allow(clippy::missing_errors_doc)]
    pub fn promote(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Promote", election, candidate)
    }

    /// `candidate` swaps with the one behind it.
    #[allow(clippy::missing_errors_doc)]
    pub fn demote(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Demote", election, candidate)
    }

    /// `candidate` leaves, whoever holds it.
    #[allow(clippy::missing_errors_doc)]
    pub fn evict(&self, election: &str, candidate: &str) -> Result<TermView, ClientError> {
        self.on_candidate("Evict", election, candidate)
    }

    /// The present term if there ever was one, then the newest after each change. The iterator ends
    /// when the server ends the watch, and with an error when the connection is lost.
    #[allow(clippy::missing_errors_doc)]
    pub fn watch(&self, election: &str) -> Result<WatchView, ClientError> {
        let mut payload = Vec::new();
        NamedRequest { name: election }.encode(&mut payload);
        Ok(WatchView { replies: self.connection.stream(SERVICE, "Watch", &payload)? })
    }

    /// Cuts the connection; calls and watches under way end with [`ClientError::Lost`].
    pub fn close(&self) {
        self.connection.close();
    }

    fn named(&self, method: &str, election: &str) -> Result<TermView, ClientError> {
        let mut payload = Vec::new();
        NamedRequest { name: election }.encode(&mut payload);
        self.connection
            .call_within(SERVICE, method, &payload, self.patience)
            .and_then(|it| TermView::decode(&it))
    }

    fn on_candidate(
        &self,
        method: &str,
        election: &str,
        candidate: &str,
    ) -> Result<TermView, ClientError> {
        let mut payload = Vec::new();
        CandidateRequest { name: election, candidate }.encode(&mut payload);
        self.connection
            .call_within(SERVICE, method, &payload, self.patience)
            .and_then(|it| TermView::decode(&it))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.connection.address())
    }
}

/// The states of a watched election, as they come.
#[derive(Debug)]
pub struct WatchView {
    replies: Replies,
}

impl Iterator for WatchView {
    type Item = Result<TermView, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.replies.next().map(|reply| reply.and_then(|it| TermView::decode(&it)))
    }
}
