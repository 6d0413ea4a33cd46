//! Observe: the present state first, then the newest after each change.

use super::state::{put_settled, state};
use crate::clock::Moment;
use crate::election::Term;
use crate::engine::{Election, Follower};
use crate::error::Error;
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

/// What was told last, as far as it decides whether there is more to tell. Whoever leads without having led
/// before has another term.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Said {
    term: u64,
    is_led: bool,
    /// 0 for those who only follow the leader.
    revision: u64,
    has_to_wait: bool,
}

impl Observe {
    pub(super) fn new(follower: Follower, leader_only: bool) -> Self {
        Self { follower, leader_only, said: None, ended: None, is_closed: false }
    }

    fn about(&self, term: &Term, has_to_wait: bool) -> Said {
        Said {
            term: term.number(),
            is_led: !term.is_vacant(),
            revision: if self.leader_only { 0 } else { term.revision() },
            has_to_wait,
        }
    }
}

impl Task for Observe {
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step {
        // What changes from here on will be told.
        let term = self.follower.look();
        let election = self.follower.election();
        let wait = election.valid_after();
        let about = self.about(&term, !wait.is_zero());
        if self.said != Some(about) {
            if wait.is_zero() {
                put_settled(election, &term, self.leader_only, out);
            } else {
                state(election, &term, self.leader_only).put(out);
            }
            self.said = Some(about);
            return Step::Message;
        }
        if let Some(error) = self.ended.take() {
            return Step::Fail(error);
        }
        if self.is_closed {
            return Step::End;
        }
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
