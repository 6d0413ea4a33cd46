//! One change of an election, answered when it has happened.

use std::sync::Arc;

use super::state::state;
use crate::clock::Moment;
use crate::election::Term;
use crate::engine::Election;
use crate::error::Error;
use crate::id::SessionId;
use crate::service::{Step, Task};
use crate::shard::Outcome;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections::{ChangeResponse, EnterResponse};

/// How the outcome is said.
pub(super) enum Say {
    /// The state after it; NOT_FOUND if this candidate does not stand.
    Moved(Box<str>),
    /// The state after it.
    Left,
    /// The state after it, and whether this candidate stands for this session.
    Entered(Box<str>, SessionId),
    /// Nothing.
    Deleted,
}

/// A command that was handed over, until its outcome.
pub(super) struct Change {
    election: Election,
    say: Say,
    outcome: Option<Result<Option<Arc<Term>>, Error>>,
}

impl Change {
    pub(super) fn new(election: Election, say: Say) -> Self {
        Self { election, say, outcome: None }
    }
}

impl Task for Change {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        let term = match self.outcome.take() {
            None => return Step::Wait(None),
            Some(Err(error)) => return Step::Fail(error),
            Some(Ok(term)) => term.unwrap_or_else(|| self.election.term()),
        };
        match answer(&self.election, &term, &self.say, out) {
            Ok(()) => Step::Last,
            Err(error) => Step::Fail(error),
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome.map(|term| term.is_light().then_some(term)));
    }

    fn is_under_way(&self) -> bool {
        self.outcome.is_none()
    }
}

/// Appends the answer to a change that ended in `term`.
pub(super) fn answer(
    election: &Election,
    term: &Term,
    say: &Say,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let now = || Some(state(election, term, false));
    match say {
        Say::Moved(candidate) if term.holder_of(candidate).is_none() => {
            return Err(unknown(election.name(), candidate, term));
        }
        Say::Moved(_) | Say::Left => ChangeResponse { state: now() }.put(out),
        Say::Entered(candidate, session) => entered(election, term, (candidate, *session), out),
        Say::Deleted => {}
    }
    Ok(())
}

/// Appends the answer to an entry that ended in `term`, of this candidate and session.
pub(super) fn entered(
    election: &Election,
    term: &Term,
    (candidate, session): (&str, SessionId),
    out: &mut Vec<u8>,
) {
    let entered = term.session_of(candidate) == Some(session);
    EnterResponse { state: Some(state(election, term, false)), entered }.put(out);
}

/// NOT_FOUND, naming what is there.
pub(super) fn unknown(election: &str, candidate: &str, term: &Term) -> Error {
    const SHOWN: usize = 5;
    let mut standing: Vec<&str> = term.participants().take(SHOWN).collect();
    if term.participants().len() > SHOWN {
        standing.push("...");
    }
    let standing = match &*standing {
        [] => "nobody does".to_owned(),
        some => format!("these do: {}", some.join(", ")),
    };
    Error::UnknownCandidate { candidate: candidate.into(), election: election.into(), standing }
}
