//! Who is told when an election changes.

use std::sync::Arc;

use crossbeam::atomic::AtomicCell;

use super::reply::{Sink, Ticket};
use super::watch::Mark;
use crate::error::Error;

/// One follower as its shard sees it.
pub(crate) struct Slot {
    mark: Mark,
    sink: Arc<dyn Sink>,
    ticket: Ticket,
    /// Where it stands in the shard's list; the shard's writer alone reads and writes it.
    place: AtomicCell<usize>,
}

impl Slot {
    pub(crate) fn new(sink: Arc<dyn Sink>, ticket: Ticket) -> Arc<Self> {
        Arc::new(Self { mark: Mark::new(), sink, ticket, place: AtomicCell::new(usize::MAX) })
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

/// All followers of one election, or of one session's end. Joining and leaving take constant time.
#[derive(Default)]
pub(crate) struct Followers(Vec<Arc<Slot>>);

impl Followers {
    pub(crate) fn join(&mut self, slot: Arc<Slot>) {
        slot.place.store(self.0.len());
        self.0.push(slot);
    }

    /// True if nobody is left.
    pub(crate) fn leave(&mut self, slot: &Slot) -> bool {
        let place = slot.place.swap(usize::MAX);
        if place < self.0.len() {
            self.0.swap_remove(place);
            if let Some(moved) = self.0.get(place) {
                moved.place.store(place);
            }
        }
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<Slot>> + '_ {
        self.0.iter().cloned()
    }
}

impl IntoIterator for Followers {
    type Item = Arc<Slot>;
    type IntoIter = std::vec::IntoIter<Arc<Slot>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
