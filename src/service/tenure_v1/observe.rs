//! Observe: the present state first, then the newest after each change.

use super::state::state;
use crate::clock::Moment;
use crate::election::Term;
use crate::engine::{Election, Follower};
use crate::error::Error;
use crate::id::SessionId;
use crate::service::{Step, Task};
use crate::shard::Outcome;
use crate::wire::message::Message;

pub(super) struct Observe {
    follower: Follower,
    leader_only: bool,
    said: Option<Said>,
    ended: Option<Error>,
    is_closed: bool,
}

/// What was told last, as far as it decides whether there is more to tell.
#[derive(PartialEq, Eq)]
struct Said {
    term: u64,
    leader: Option<(Box<str>, SessionId)>,
    /// 0 for those who only follow the leader.
    revision: u64,
    has_to_wait: bool,
}

impl Observe {
    pub(super) fn new(follower: Follower, leader_only: bool) -> Self {
        Self { follower, leader_only, said: None, ended: None, is_closed: false }
    }

    fn about(&self, term: &Term) -> Said {
        let leader = term.standing().next();
        Said {
            term: term.number(),
            leader: leader.map(|(name, holder)| (name.into(), holder.session)),
            revision: if self.leader_only { 0 } else { term.revision() },
            has_to_wait: !self.follower.election().valid_after().is_zero(),
        }
    }
}

impl Task for Observe {
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step {
        // Lowers the mark: what changes from here on will be told.
        self.follower.take();
        let election = self.follower.election();
        let term = election.term();
        let about = self.about(&term);
        if self.said.as_ref() != Some(&about) {
            state(election, &term, self.leader_only).put(out);
            self.said = Some(about);
            return Step::Message;
        }
        if let Some(error) = self.ended.take() {
            return Step::Fail(error);
        }
        if self.is_closed {
            return Step::End;
        }
        let wait = election.valid_after();
        Step::Wait((!wait.is_zero()).then(|| now + wait))
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.ended = outcome.err();
    }

    fn closed(&mut self, election: &Election) -> bool {
        self.is_closed |= election.name() == self.follower.election().name();
        self.is_closed
    }
}
