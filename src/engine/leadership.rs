//! Proof of a term, for as long as it holds.

use std::fmt;
use std::time::Duration;

use super::{Election, Session};
use crate::election::Term;
use crate::elector::{Elector, Leads};
use crate::error::{EndReason, Error};

/// Proof that a candidate leads, in one term, for as long as [`is_valid`](Self::is_valid) says so.
///
/// Ask it right before each act, and give the term to whatever the act changes: a check there is
/// what stops an act that was under way when the lead passed on. Dropping it changes nothing but
/// lets go of the term, also for another proof of the same term: hold one at a time.
/// [`resign`](Self::resign) gives up the place.
pub struct Leadership {
    election: Election,
    session: Session,
    candidate: Box<str>,
    term: u64,
}

/// Why a leadership has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Its session has ended.
    #[error("the session ended: {0}")]
    SessionEnded(EndReason),
    /// Its session's deadline has passed, although nobody has noticed yet.
    #[error("the session's deadline has passed")]
    Late,
    /// Another term has begun, or nobody leads.
    #[error("the term has ended; it is {present} now")]
    TermEnded {
        /// The present term.
        present: u64,
    },
}

impl Leadership {
    pub(super) fn wait(
        election: &Election,
        session: &Session,
        candidate: &str,
    ) -> Result<Self, Error> {
        let mut watch = election.watch();
        election.enter(session, candidate)?;
        loop {
            let term = election.term();
            let still_waits = election.valid_after();
            if let Some(reason) = session.ended() {
                return Err(Error::SessionEnded { reason });
            }
            if term.is_led_by(candidate) {
                if still_waits.is_zero() {
                    let (election, candidate) = (election.clone(), candidate.into());
                    let session = session.clone_handle();
                    return Ok(Self { election, session, candidate, term: term.number() });
                }
            } else if !stands(&term, candidate) {
                let candidate = candidate.into();
                return Err(Error::NotStanding { candidate, reason: "it was removed" });
            }
            if watch.has_stopped() {
                return Err(Error::ShardStopped { shard: election.shard() });
            }
            // The time that is left may be on a clock that a test turns, so it is asked for again.
            watch.rest(still_waits.clamp(Duration::from_millis(1), LOOK_AGAIN));
        }
    }

    /// The term: the fencing token to act with.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The candidate that leads.
    pub fn candidate(&self) -> &str {
        &self.candidate
    }

    /// True if this leadership still holds. Local and wait-free.
    pub fn is_valid(&self) -> bool {
        self.lost().is_none()
    }

    /// How long it holds unless the session is renewed; nothing if it is lost.
    /// [`Duration::MAX`] if the session has no deadline.
    pub fn remaining(&self) -> Duration {
        match (self.lost(), self.session.deadline()) {
            (Some(_), _) => Duration::ZERO,
            (None, None) => Duration::MAX,
            (None, Some(deadline)) => deadline - self.election.engine().clock().now(),
        }
    }

    /// True if it holds for at least `time` from now.
    pub fn ensure(&self, time: Duration) -> bool {
        self.remaining() >= time
    }

    /// Why it no longer holds, or `None` while it does.
    pub fn lost(&self) -> Option<Lost> {
        if let Some(reason) = self.session.ended() {
            return Some(Lost::SessionEnded(reason));
        }
        let now = self.election.engine().clock().now();
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            return Some(Lost::Late);
        }
        let cell = self.election.cell().term();
        let holds = cell.number() == self.term && cell.is_led_by(&self.candidate);
        (!holds).then(|| Lost::TermEnded { present: cell.number() })
    }

    /// Gives up the place, if it is still this term's. A resignation can't end a later leadership.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: then it has been given up already.
    pub fn resign(self) -> Result<(), Error> {
        match self.election.resign(&self.session, &self.candidate, self.term) {
            Ok(_) | Err(Error::TermMoved { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// How long to rest at most before looking at the session again, whose end may be told to nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn stands(term: &Term, candidate: &str) -> bool {
    term.participants().any(|it| it == candidate)
}

impl Leads for Leadership {
    type Error = Error;

    fn term(&self) -> u64 {
        self.term()
    }

    fn remaining(&self) -> Duration {
        self.remaining()
    }

    fn is_valid(&self) -> bool {
        self.is_valid()
    }

    fn resign(self) -> Result<(), Error> {
        self.resign()
    }
}

impl Elector for Session {
    type Leadership = Leadership;
    type Error = Error;

    fn lead(&self, election: &str, candidate: &str) -> Result<Leadership, Error> {
        self.engine().election(election)?.lead(self, candidate)
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        // Nobody acts on it any more: a successor need not wait until the deadline.
        self.election.let_go(&self.session, self.term);
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Leadership({} in term {} of {:?}",
            self.candidate,
            self.term,
            self.election.name()
        )?;
        match self.lost() {
            Some(lost) => write!(f, ", lost: {lost})"),
            None => write!(f, ")"),
        }
    }
}
