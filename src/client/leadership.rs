//! Proof of a term, for as long as it holds, on this side of a network.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::ClientError;
use super::core::Fate;
use super::election::Election;
use super::session::Session;
use super::wait::{block_on, block_until};
use crate::elector::{Elector, Leads};

/// Why a leadership has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The server has ended its session.
    #[error("the session is over: {why}")]
    Session {
        /// In the server's words.
        why: String,
    },
    /// The session was not renewed in time, as far as this side can tell: the server can't be reached.
    #[error("the session's deadline has passed without a word from the server")]
    Late,
    /// The session's connection closed, which ends a session under `Fast`.
    #[error("the connection was lost")]
    Disconnected,
    /// Another server answers at the address, or the same one has forgotten everything.
    #[error("the server was replaced")]
    ServerReplaced,
    /// Another term has begun, or nobody leads.
    #[error("the term has ended; it is {present} now")]
    TermEnded {
        /// The present term.
        present: u64,
    },
}

/// Proof that a candidate leads, in one term, for as long as [`is_valid`](Self::is_valid) says so.
///
/// Ask it right before each act, and give the term to whatever the act changes. Dropping it tells the
/// server that this side no longer acts in that term, which a successor by force waits for; the
/// candidate goes on standing. [`resign`](Self::resign) gives up the place.
pub struct Leadership {
    session: Session,
    election: Arc<str>,
    candidate: Arc<str>,
    term: u64,
    fate: Arc<Fate>,
    /// What the core knows this proof by.
    held: u64,
}

/// Somebody who waits for an end.
pub(super) struct Waits<'a> {
    fate: &'a Fate,
    me: Option<u64>,
}

impl<'a> Waits<'a> {
    pub(super) fn new(fate: &'a Fate) -> Self {
        Self { fate, me: None }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Lost> {
        self.fate.poll(&mut self.me, context)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.fate.forget(self.me);
    }
}

impl Leadership {
    /// `None` if this term has been let go, or the session is over.
    pub(super) fn hold(election: &Election, candidate: &str, term: u64) -> Option<Self> {
        let session = election.session().clone();
        let name = election.shared_name();
        let number = session.number();
        let (held, fate) = session
            .connection()
            .with(|core, now| core.hold(now, number, (&name, candidate), term))?;
        Some(Self { session, election: name, candidate: candidate.into(), term, fate, held })
    }

    /// The term: the fencing token to act with.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The candidate that leads.
    pub fn candidate(&self) -> &str {
        &self.candidate
    }

    /// The TTL of its session.
    pub(super) fn ttl(&self) -> Duration {
        self.session.ttl()
    }

    /// The election it leads.
    pub fn election(&self) -> &str {
        &self.election
    }

    /// True if this leadership still holds. Local and wait-free: two loads and a look at the clock.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How long it holds unless the session is renewed; nothing if it is lost. Counted from when the last
    /// renewal was sent, less a margin.
    pub fn remaining(&self) -> Duration {
        // First the deadline: whoever extends it has ended before what ran out.
        let left = self.session.remaining();
        if self.fate.is_over() {
            return Duration::ZERO;
        }
        if left.is_zero() {
            // Lost for good, also if the session turns out to live.
            self.fate.run_out();
        }
        left
    }

    /// True if it holds for at least `time` from now.
    pub fn ensure(&self, time: Duration) -> bool {
        self.remaining() >= time && self.is_valid()
    }

    /// Why it no longer holds, or `None` while it does.
    pub fn lost(&self) -> Option<Lost> {
        let _noticed = self.remaining();
        self.fate.lost()
    }

    /// Waits until it is lost, no longer than `patience`.
    pub fn wait_lost(&self, patience: Duration) -> Option<Lost> {
        let clock = self.session.connection().clock();
        block_until(self.lost_async(), clock, clock.now() + patience).or_else(|| self.lost())
    }

    /// Ends when it is lost: why.
    pub(super) fn lost_async(&self) -> impl Future<Output = Lost> + Send {
        let mut waits = Waits::new(&self.fate);
        poll_fn(move |context| waits.poll(context))
    }

    /// Gives up the place, if it is still this term's. A resignation can't end a later leadership.
    ///
    /// # Errors
    /// Any [`ClientError`]; if the server can't be reached, the place is lost with the session.
    pub fn resign(self) -> Result<(), ClientError> {
        block_on(self.resign_async())
    }

    /// As [`resign`](Self::resign).
    pub(super) async fn resign_async(self) -> Result<(), ClientError> {
        self.give_up().await
    }

    /// As [`resign`](Self::resign), where others may hold the proof still.
    pub(super) async fn give_up(&self) -> Result<(), ClientError> {
        self.end(Lost::TermEnded { present: self.term });
        self.session.election(&self.election).resign(&self.candidate, self.term).await
    }

    #[cfg(feature = "tokio")]
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    fn end(&self, lost: Lost) {
        self.fate.end(lost).into_iter().for_each(std::task::Waker::wake);
    }
}

impl Leads for Leadership {
    type Error = ClientError;

    fn term(&self) -> u64 {
        self.term()
    }

    fn remaining(&self) -> Duration {
        self.remaining()
    }

    fn resign(self) -> Result<(), ClientError> {
        self.resign()
    }
}

impl Elector for Session {
    type Leadership = Leadership;
    type Error = ClientError;

    fn lead(&self, election: &str, candidate: &str) -> Result<Leadership, ClientError> {
        self.election(election).lead(candidate)
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.end(Lost::TermEnded { present: self.term });
        // Nobody acts on it any more: a successor need not wait until the deadline.
        let (number, held) = (self.session.number(), self.held);
        self.session.connection().with(|core, now| core.let_go(now, number, held));
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { election, candidate, term, .. } = self;
        write!(f, "Leadership({candidate} leads {election} in term {term}")?;
        match self.lost() {
            Some(lost) => write!(f, ", lost: {lost})"),
            None => write!(f, ")"),
        }
    }
}
