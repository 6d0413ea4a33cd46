//! An Enter that waits until its candidate is free.

use std::sync::Arc;

use super::change::{Say, answer};
use crate::clock::Moment;
use crate::election::{Conflict, Metadata, Term};
use crate::engine::{Act, Election, Follower, Session};
use crate::error::Error;
use crate::service::{Step, Task};
use crate::shard::{Outcome, Sink, Ticket};

pub(super) struct EnterWhenFree {
    election: Election,
    session: Session,
    candidate: Box<str>,
    metadata: Option<Arc<Metadata>>,
    only_if_leads: bool,
    to: (Arc<dyn Sink>, Ticket),
    /// Who is told when the other may have left, once there was one.
    follower: Option<Follower>,
    is_asking: bool,
    outcome: Option<Outcome>,
}

impl EnterWhenFree {
    pub(super) fn begin(
        election: Election,
        session: Session,
        candidate: &str,
        (metadata, only_if_leads): (Option<Arc<Metadata>>, bool),
        to: (&Arc<dyn Sink>, Ticket),
    ) -> Self {
        let mut task = Self {
            election,
            session,
            candidate: candidate.into(),
            metadata,
            only_if_leads,
            to: (to.0.clone(), to.1),
            follower: None,
            is_asking: false,
            outcome: None,
        };
        task.ask();
        task
    }

    fn ask(&mut self) {
        self.is_asking = true;
        let act = Act::Enter {
            candidate: &self.candidate,
            session: &self.session,
            conflict: Conflict::Refuse,
            metadata: self.metadata.clone(),
            only_if_leads: self.only_if_leads,
        };
        self.election.submit(act, &self.to.0, self.to.1);
    }

    fn say(&self, term: &Term, out: &mut Vec<u8>) -> Step {
        let say = Say::Entered(self.candidate.clone(), self.session.id());
        match answer(&self.election, term, &say, out) {
            Ok(()) => Step::Last,
            Err(error) => Step::Fail(error),
        }
    }
}

impl Task for EnterWhenFree {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        match self.outcome.take() {
            Some(Ok(term)) => return self.say(&term, out),
            Some(Err(Error::CandidateTaken { .. })) => {
                let follow = || self.election.follow(&self.to.0, self.to.1);
                self.follower.get_or_insert_with(follow);
            }
            Some(Err(error)) => return Step::Fail(error),
            None => {}
        }
        if self.is_asking {
            return Step::Wait(None);
        }
        if let Some(reason) = self.session.ended() {
            return Step::Fail(Error::SessionEnded { reason });
        }
        // Looked at after the mark was lowered, so that no later change is missed.
        let newest = self.follower.as_mut().and_then(Follower::take);
        if newest.is_some_and(|term| term.holder_of(&self.candidate).is_none()) {
            self.ask();
        }
        Step::Wait(None)
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.is_asking = false;
        self.outcome = Some(outcome);
    }

    fn is_under_way(&self) -> bool {
        self.is_asking
    }
}
