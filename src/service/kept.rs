//! A call that is answered once what it did is kept.

use super::{Step, Task};
use crate::clock::Moment;
use crate::engine::Session;
use crate::error::Error;
use crate::shard::Outcome;

/// What is said if it can't be kept: another reply, or nothing but the error.
type Refuse = dyn Fn(&Error) -> Option<Vec<u8>> + Send;

/// Waits for the outcome of its own ticket.
pub(super) struct Kept {
    reply: Vec<u8>,
    refuse: Box<Refuse>,
    /// Opened by the call, and of no use to anybody if that is not kept.
    session: Option<Session>,
    outcome: Option<Result<(), Error>>,
}

impl Kept {
    /// Answers with `reply`.
    pub(super) fn new(reply: Vec<u8>) -> Self {
        Self { reply, refuse: Box::new(|_| None), session: None, outcome: None }
    }

    /// Ends `session` if it can't be kept.
    pub(super) fn with(self, session: Session) -> Self {
        Self { session: Some(session), ..self }
    }

    /// Answers otherwise if it can't be kept.
    pub(super) fn or(self, refuse: impl Fn(&Error) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self { refuse: Box::new(refuse), ..self }
    }
}

impl Task for Kept {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        match self.outcome.take() {
            None => Step::Wait(None),
            Some(Ok(())) => {
                out.append(&mut self.reply);
                Step::Last
            }
            Some(Err(error)) => {
                if let Some(session) = &self.session {
                    session.end_now();
                }
                match (self.refuse)(&error) {
                    Some(mut reply) => {
                        out.append(&mut reply);
                        Step::Last
                    }
                    None => Step::Fail(error),
                }
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome.map(drop));
    }

    fn is_under_way(&self) -> bool {
        self.outcome.is_none()
    }
}
