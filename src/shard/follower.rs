//! Who is told when an election changes.

use std::ptr;
use std::sync::Arc;

use crossbeam::atomic::AtomicCell;

use super::reply::{Sink, Ticket};
use super::watch::Mark;
use crate::error::Error;

/// So many sinks are looked through for a follower's: more than most servers have reactors.
const SINKS: usize = 8;

/// One follower as its shard sees it.
pub(crate) struct Slot {
    mark: Mark,
    sink: Arc<dyn Sink>,
    ticket: Ticket,
    when: When,
    /// Where it stands in the shard's list; the shard's writer alone reads and writes it.
    place: AtomicCell<usize>,
}

/// When a follower is told of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As soon as everybody may see it.
    Released,
    /// As soon as it is made, for who only asks for something then, which comes after it in any case.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only services look ahead"))]
    Made,
}

impl Slot {
    pub(crate) fn new(sink: Arc<dyn Sink>, ticket: Ticket, when: When) -> Arc<Self> {
        let place = AtomicCell::new(usize::MAX);
        Arc::new(Self { mark: Mark::new(), sink, ticket, when, place })
    }

    /// Tells the follower, unless it has been told and has not looked since.
    pub(crate) fn wake(&self) {
        if self.mark.raise() {
            self.sink.changed(self.ticket);
        }
    }

    /// Nothing will change here any more: its sink has that as the outcome of following.
    pub(crate) fn stop(&self, shard: usize) {
        self.sink.reply(self.ticket, Err(Error::ShardStopped { shard }));
    }

    /// The follower is about to look.
    pub(crate) fn lower(&self) {
        self.mark.lower();
    }
}

/// Who is to be told, those of one sink together: a thousand followers of a reactor's cost it one look into its
/// inbox.
#[derive(Default)]
pub(crate) struct Calls(Vec<Round>);

struct Round {
    sink: Arc<dyn Sink>,
    first: Ticket,
    others: Vec<Ticket>,
}

impl Calls {
    /// This follower is to be told, unless it has been and has not looked since. After what it is told of is there
    /// to be seen.
    pub(super) fn add(&mut self, slot: &Slot) {
        if !slot.mark.raise() {
            return;
        }
        let is_its =
            |round: &&mut Round| ptr::addr_eq(Arc::as_ptr(&round.sink), Arc::as_ptr(&slot.sink));
        match self.0.iter_mut().rev().take(SINKS).find(is_its) {
            Some(round) => round.others.push(slot.ticket),
            None => {
                let (sink, first) = (slot.sink.clone(), slot.ticket);
                self.0.push(Round { sink, first, others: Vec::new() });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells them.
    pub(super) fn make(&mut self) {
        for Round { sink, first, mut others } in self.0.drain(..) {
            if others.is_empty() {
                sink.changed(first);
            } else {
                others.insert(0, first);
                sink.all_changed(others);
            }
        }
    }
}

/// All followers of one election, or of one session's end. Joining and leaving take constant time.
#[derive(Default)]
pub(crate) struct Followers {
    released: Vec<Arc<Slot>>,
    made: Vec<Arc<Slot>>,
}

impl Followers {
    pub(crate) fn join(&mut self, slot: Arc<Slot>) {
        let list = self.list(slot.when);
        slot.place.store(list.len());
        list.push(slot);
    }

    /// True if nobody is left.
    pub(crate) fn leave(&mut self, slot: &Slot) -> bool {
        let (place, list) = (slot.place.swap(usize::MAX), self.list(slot.when));
        if place < list.len() {
            list.swap_remove(place);
            if let Some(moved) = list.get(place) {
                moved.place.store(place);
            }
        }
        self.released.is_empty() && self.made.is_empty()
    }

    fn list(&mut self, when: When) -> &mut Vec<Arc<Slot>> {
        match when {
            When::Released => &mut self.released,
            When::Made => &mut self.made,
        }
    }

    /// Those who are told then.
    pub(crate) fn told(&self, when: When) -> &[Arc<Slot>] {
        match when {
            When::Released => &self.released,
            When::Made => &self.made,
        }
    }
}

impl IntoIterator for Followers {
    type Item = Arc<Slot>;
    type IntoIter = std::iter::Chain<std::vec::IntoIter<Arc<Slot>>, std::vec::IntoIter<Arc<Slot>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.released.into_iter().chain(self.made)
    }
}
