//! An Enter that waits until its candidate is free.

use std::sync::Arc;

use super::change::{Say, answer};
use crate::clock::Moment;
use crate::election::{Conflict, Metadata, Term};
use crate::engine::{Act, Election, EndFollower, Follower, Session};
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
    /// Who is told when the other may have left, or the session has ended, once there was another.
    followers: Option<(Follower, EndFollower)>,
    is_asking: bool,
    /// Without its term if that is large.
    outcome: Option<Result<Option<Arc<Term>>, Error>>,
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
            followers: None,
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
            Some(Ok(term)) => {
                let term = term.unwrap_or_else(|| self.election.term());
                return self.say(&term, out);
            }
            Some(Err(Error::CandidateTaken { .. })) => {
                let (sink, ticket) = &self.to;
                let end = || self.session.follow_end(sink, *ticket);
                let follow = || (self.election.follow(sink, *ticket), end());
                self.followers.get_or_insert_with(follow);
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
        let newest = self.followers.as_mut().and_then(|(follower, _)| follower.take());
        // Another call of the same session may have taken it over.
        let mine = self.session.id();
        let is_free = |term: &Term| {
            term.holder_of(&self.candidate).is_none_or(|holder| holder.session == mine)
        };
        if newest.is_some_and(|term| is_free(&term)) {
            self.ask();
        }
        Step::Wait(None)
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.is_asking = false;
        self.outcome = Some(outcome.map(|term| term.is_light().then_some(term)));
    }

    fn is_under_way(&self) -> bool {
        self.is_asking
    }
}
