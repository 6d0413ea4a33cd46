//! Proof of a term, for as long as it holds, on this side of a network.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::connection::Connection;
use super::election::{Election, observe};
use super::session::{Session, Shared};
use super::{ClientError, ElectionState};
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
}

/// What became of a leadership; written once, by whoever notices first.
#[derive(Default)]
struct Fate {
    is_over: AtomicCell<bool>,
    lost: Mutex<Option<Lost>>,
    told: Condvar,
}

impl Fate {
    fn end(&self, lost: Lost) {
        let mut why = self.why();
        if why.is_none() {
            *why = Some(lost);
            self.is_over.store(true);
            self.told.notify_all();
        }
    }

    fn why(&self) -> MutexGuard<'_, Option<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leadership {
    pub(super) fn new(
        election: &Election,
        candidate: &str,
        term: u64,
        link: Arc<Connection>,
    ) -> Self {
        let leads = Self {
            session: election.session().clone(),
            election: election.shared_name(),
            candidate: candidate.into(),
            term,
            fate: Arc::default(),
        };
        let watch = Watch {
            session: leads.session.shared().clone(),
            election: leads.election.clone(),
            candidate: leads.candidate.clone(),
            term,
            fate: leads.fate.clone(),
        };
        let spawned = thread::Builder::new()
            .name("tenure-leadership".into())
            .spawn(move || watch.until_lost(link));
        if let Err(error) = spawned {
            // Nobody would notice its end.
            leads.fate.end(Lost::Session { why: format!("no thread can watch it: {error}") });
        }
        leads
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
        if self.fate.is_over.load() {
            return Duration::ZERO;
        }
        let left = self.session.remaining();
        if left.is_zero() {
            // Lost for good, also if the session turns out to live.
            self.fate.end(Lost::Late);
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
        self.fate.why().clone()
    }

    /// Waits until it is lost, no longer than `patience`.
    pub fn wait_lost(&self, patience: Duration) -> Option<Lost> {
        let clock = &self.session.shared().clock;
        let end = clock.now() + patience;
        loop {
            let now = clock.now();
            let wake = end.min(now + self.remaining());
            if let Some(lost) = self.lost() {
                return Some(lost);
            }
            if now >= end {
                return None;
            }
            let why = self.fate.why();
            if why.is_none() {
                drop(self.fate.told.wait_timeout(why, wake - now));
            }
        }
    }

    /// Gives up the place, if it is still this term's. A resignation can't end a later leadership.
    ///
    /// # Errors
    /// Any [`ClientError`]; if the server can't be reached, the place is lost with the session.
    pub fn resign(self) -> Result<(), ClientError> {
        self.fate.end(Lost::TermEnded { present: self.term });
        self.session.election(&self.election).resign(&self.candidate, self.term)
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
        self.fate.end(Lost::TermEnded { present: self.term });
        // Nobody acts on it any more: a successor need not wait until the deadline.
        self.session.shared().release(&self.election, self.term);
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

/// Follows the election of one leadership, to know at once when its term ends.
struct Watch {
    session: Arc<Shared>,
    election: Arc<str>,
    candidate: Arc<str>,
    term: u64,
    fate: Arc<Fate>,
}

impl Watch {
    fn until_lost(&self, link: Arc<Connection>) {
        let mut link = Some(link);
        while !self.fate.is_over.load() {
            let former = link.take();
            if let Some(former) = &former {
                self.follow(former);
            }
            if self.fate.is_over.load() {
                return;
            }
            match self.session.next_link(former.as_ref(), LOOK) {
                Ok(next) => link = next.or(former.filter(|_| false)),
                Err(lost) => self.fate.end(lost),
            }
            if self.session.remaining().is_zero() {
                self.fate.end(Lost::Late);
            }
        }
    }

    /// Follows on one connection for as long as that lasts.
    fn follow(&self, link: &Arc<Connection>) {
        let mut states = match observe(link, &self.election, true) {
            Ok(states) => states,
            Err(error) => return self.session.blame(link, &error),
        };
        while !self.fate.is_over.load() {
            match states.next_within(LOOK) {
                Some(Ok(state)) => self.look_at(&state),
                Some(Err(error)) if error.is_timeout() => {
                    // The other way to learn it, should this one be stuck.
                    if self.session.was_taken(&self.election, self.term) {
                        self.fate.end(Lost::TermEnded { present: self.term + 1 });
                    }
                }
                Some(Err(error)) => {
                    self.session.blame(link, &error);
                    break;
                }
                // The server drains. Its connection will be next.
                None => break,
            }
        }
        if self.session.is_fast() && !self.fate.is_over.load() {
            self.fate.end(Lost::Disconnected);
        }
    }

    fn look_at(&self, state: &ElectionState) {
        let leads = state.leader.as_ref().is_some_and(|leader| {
            leader.name == *self.candidate && leader.session == self.session.id()
        });
        if !leads || state.term != self.term {
            self.fate.end(Lost::TermEnded { present: state.term });
        }
    }
}

/// How often a watch looks whether anybody still wants to know.
const LOOK: Duration = Duration::from_millis(100);
