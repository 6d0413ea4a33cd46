//! An Enter that waits until its candidate is free.

use std::sync::Arc;

use super::change::entered;
use super::line::Place;
use crate::clock::Moment;
use crate::election::{Conflict, Metadata, Term};
use crate::engine::{Act, Election, EndFollower, Session};
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
    /// Once there was another to wait for; and who is told when the session has ended.
    waits: Option<(Place, EndFollower)>,
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
            waits: None,
            is_asking: false,
            outcome: None,
        };
        match task.behind() {
            Some(place) => task.wait(place),
            None => task.ask(),
        }
        task
    }

    /// A place in the line, if there is one. Who wants nothing but the lead is told at once that another has it:
    /// that takes nothing from those who wait.
    fn behind(&self) -> Option<Place> {
        let is_led = || self.election.term().leader().is_some_and(|it| it != &*self.candidate);
        if self.only_if_leads && is_led() {
            return None;
        }
        Place::behind(&self.election, &self.candidate, self.session.id(), &self.to)
    }

    fn wait(&mut self, place: Place) {
        let (sink, ticket) = &self.to;
        self.waits = Some((place, self.session.follow_end(sink, *ticket)));
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

    /// Asks if it is its turn.
    fn go_on(&mut self) {
        let is_free = !self.is_asking && self.outcome.is_none();
        if is_free && self.waits.as_ref().is_some_and(|(place, _)| place.may_ask()) {
            self.ask();
        }
    }
}

impl Task for EnterWhenFree {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        match self.outcome.take() {
            Some(Ok(term)) => {
                let term = term.unwrap_or_else(|| self.election.term());
                entered(&self.election, &term, (&self.candidate, self.session.id()), out);
                return Step::Last;
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
        self.go_on();
        Step::Wait(None)
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.is_asking = false;
        if !matches!(outcome, Err(Error::CandidateTaken { .. })) {
            // What is left to do here is to answer: others need not wait for that.
            self.waits = None;
            self.outcome = Some(outcome.map(|term| term.is_light().then_some(term)));
            return;
        }
        if self.waits.is_none() {
            let id = self.session.id();
            self.wait(Place::in_line(&self.election, &self.candidate, id, &self.to));
        }
        self.go_on();
    }

    fn changed(&mut self) {
        self.go_on();
    }

    fn is_under_way(&self) -> bool {
        self.is_asking
    }
}
