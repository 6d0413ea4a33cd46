//! One pass of the writer, as data, released in causal order: durable before visible, visible before
//! answered, answered before announced.

use std::sync::Arc;

use super::follower::Slot;
use super::handover::Handover;
use super::member::Member;
use super::reply::{Outcome, Reply};
use super::snapshot::Cell;
use crate::election::Term;
use crate::log::Unit;

/// Commands in one turn, and elections changed by it, at most: so a turn's cost has a bound, its
/// replies leave soon, and looking for an election among its changes stays short.
pub(crate) const FULL: usize = 64;

#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) shard: usize,
    /// The newest state of each election that changed; each election once.
    publish: Vec<(Arc<Cell>, Arc<Term>)>,
    handovers: Vec<(Arc<Cell>, Arc<Handover>)>,
    /// Terms that were taken from sessions which may not know yet.
    lost: Vec<(Arc<Cell>, Arc<Member>, u64)>,
    replies: Vec<(Reply, Outcome)>,
    wakes: Vec<Arc<Slot>>,
}

impl Turn {
    /// Publishes once for each election, however many commands change it. True if the election is
    /// new to this turn.
    pub(crate) fn publish(&mut self, cell: &Arc<Cell>, term: Arc<Term>) -> bool {
        match self.publish.iter_mut().rev().find(|(it, _)| Arc::ptr_eq(it, cell)) {
            Some((_, newest)) => {
                *newest = term;
                false
            }
            None => {
                self.publish.push((cell.clone(), term));
                true
            }
        }
    }

    /// What the leader of `cell`'s election has to wait for.
    pub(crate) fn hand_over(&mut self, cell: &Arc<Cell>, handover: Arc<Handover>) {
        self.handovers.push((cell.clone(), handover));
    }

    /// The lead of `term` is taken from `member`.
    pub(crate) fn lose(&mut self, cell: &Arc<Cell>, member: Arc<Member>, term: u64) {
        self.lost.push((cell.clone(), member, term));
    }

    pub(crate) fn answer(&mut self, reply: Reply, outcome: Outcome) {
        self.replies.push((reply, outcome));
    }

    pub(crate) fn wake(&mut self, followers: impl Iterator<Item = Arc<Slot>>) {
        self.wakes.extend(followers);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.publish.len() >= FULL
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.replies.is_empty() && self.wakes.is_empty()
    }
}

impl Unit for Turn {
    fn shard(&self) -> usize {
        self.shard
    }

    fn changes(&self, keep: &mut dyn FnMut(&str, &Term)) {
        for (cell, term) in &self.publish {
            keep(cell.name(), term);
        }
    }

    fn release(&mut self) {
        for (cell, handover) in self.handovers.drain(..) {
            cell.hand_over(handover);
        }
        for (cell, member, term) in self.lost.drain(..) {
            member.lose(&cell, term);
        }
        for (cell, term) in self.publish.drain(..) {
            cell.publish(term);
        }
        for (reply, outcome) in self.replies.drain(..) {
            reply.send(outcome);
        }
        for follower in self.wakes.drain(..) {
            follower.wake();
        }
    }

    fn detach(&mut self) -> Box<dyn Unit> {
        Box::new(std::mem::take(self))
    }
}
