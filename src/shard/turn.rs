//! One pass of the writer, as data, released in causal order: durable before visible, visible before
//! answered, answered before announced.

use std::mem;
use std::sync::Arc;

use super::command::Tags;
use super::follower::{Calls, Slot};
use super::handover::Handover;
use super::member::Member;
use super::reply::{Reply, Told};
use super::snapshot::Cell;
use crate::election::Term;
use crate::error::Error;
use crate::log::{Change, Former, Unit};

/// Commands in one turn, and elections changed by it, at most: so a turn's cost has a bound, its
/// replies leave soon, and looking for an election among its changes stays short.
pub(crate) const FULL: usize = 64;

/// The newest state of an election that changed.
struct Published {
    cell: Arc<Cell>,
    term: Arc<Term>,
    /// Who may still believe to lead it.
    formers: Vec<Former>,
    /// Those who follow it are told with this turn.
    is_told: bool,
}

#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) shard: usize,
    /// The newest state of each election that changed; each election once.
    publish: Vec<Published>,
    /// Changes that were published at once, for which there is nothing to do any more.
    pub(crate) at_once: usize,
    /// Elections that were created, and with which tags, or whose creation was forgotten; each once.
    created: Vec<(Arc<Cell>, Option<Tags>)>,
    handovers: Vec<(Arc<Cell>, Arc<Handover>)>,
    /// Terms that were taken from sessions which may not know yet.
    lost: Vec<(Arc<Cell>, Arc<Member>, u64)>,
    replies: Vec<(Reply, Told)>,
    /// Who is told of what it publishes.
    wakes: Vec<Arc<Slot>>,
    /// Who is told of what was published at once.
    calls: Calls,
}

impl Turn {
    /// Publishes once for each election, however many commands change it. True if those who follow it are still
    /// to be told.
    pub(crate) fn publish(
        &mut self,
        cell: &Arc<Cell>,
        term: Arc<Term>,
        formers: Vec<Former>,
    ) -> bool {
        !mem::replace(&mut self.put(cell, term, formers).is_told, true)
    }

    /// Has its state kept again, of which there is nothing new to tell.
    pub(crate) fn keep_again(&mut self, cell: &Arc<Cell>, term: Arc<Term>, formers: Vec<Former>) {
        self.put(cell, term, formers);
    }

    fn put(&mut self, cell: &Arc<Cell>, term: Arc<Term>, formers: Vec<Former>) -> &mut Published {
        let at = self.publish.iter().rposition(|it| Arc::ptr_eq(&it.cell, cell));
        let at = at.unwrap_or(self.publish.len());
        if at == self.publish.len() {
            self.publish.push(Published { cell: cell.clone(), term, formers, is_told: false });
        } else {
            (self.publish[at].term, self.publish[at].formers) = (term, formers);
        }
        &mut self.publish[at]
    }

    /// An election was created, with these tags in force, or that is forgotten.
    pub(crate) fn create(&mut self, cell: &Arc<Cell>, tags: Option<Tags>) {
        match self.created.iter_mut().rev().find(|(it, _)| Arc::ptr_eq(it, cell)) {
            Some((_, newest)) => *newest = tags,
            None => self.created.push((cell.clone(), tags)),
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

    pub(crate) fn answer(&mut self, reply: Reply, outcome: Told) {
        self.replies.push((reply, outcome));
    }

    pub(crate) fn wake(&mut self, followers: &[Arc<Slot>]) {
        self.wakes.extend_from_slice(followers);
    }

    /// The same, of what anybody can see already.
    pub(crate) fn call(&mut self, followers: &[Arc<Slot>]) {
        followers.iter().for_each(|slot| self.calls.add(slot));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.publish.len() + self.at_once >= FULL
    }

    /// True if it has nothing that must be seen before what comes next.
    pub(crate) fn is_free(&self) -> bool {
        self.publish.is_empty() && self.handovers.is_empty() && self.lost.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.publish.is_empty()
            && self.created.is_empty()
            && self.replies.is_empty()
            && self.wakes.is_empty()
            && self.calls.is_empty()
    }
}

impl Unit for Turn {
    fn shard(&self) -> Option<usize> {
        Some(self.shard)
    }

    fn replies(&self) -> usize {
        self.replies.len()
    }

    fn changes(&self, keep: &mut dyn FnMut(Change<'_>)) {
        for Published { cell, term, formers, .. } in &self.publish {
            keep(Change::Term { election: cell.name(), term, formers });
        }
        for (cell, tags) in &self.created {
            keep(Change::Created { election: cell.name(), tags: tags.as_deref() });
        }
    }

    fn release(&mut self) {
        for (cell, handover) in self.handovers.drain(..) {
            cell.hand_over(handover);
        }
        for (cell, member, term) in self.lost.drain(..) {
            member.lose(&cell, term);
        }
        self.created.clear();
        for Published { cell, term, .. } in self.publish.drain(..) {
            cell.publish(term);
        }
        for (reply, outcome) in self.replies.drain(..) {
            reply.send(outcome);
        }
        self.wakes.drain(..).for_each(|slot| self.calls.add(&slot));
        self.calls.make();
    }

    fn refuse(&mut self, error: &Error) {
        for (reply, _) in self.replies.drain(..) {
            reply.send(Err(error.clone().into()));
        }
    }

    fn detach(&mut self) -> Box<dyn Unit> {
        Box::new(mem::take(self))
    }
}
