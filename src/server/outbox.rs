//! A reactor's inbox, which is everybody else's outbox: outcomes, changes, and what the server wants.
//!
//! The bell is up while the reactor is awake, so what the reactor's own thread brings about costs a
//! push and no system call. Before it sleeps, the reactor lowers the bell and looks at the queue once
//! more. Both sides swap the same bit: either a push comes before that look, which finds it, or its
//! swap comes after the reactor's, finds the bell down, and rings.

use crossbeam::channel::Sender;
use crossbeam::queue::SegQueue;

use super::socket::Socket;
use crate::shard::{Mark, Outcome, Sink, Ticket};

pub(crate) struct Outbox {
    items: SegQueue<Item>,
    bell: Mark,
    ring: Box<dyn Fn() + Send + Sync>,
}

/// What a reactor is told.
pub(crate) enum Item {
    /// The outcome of a submitted command.
    Reply(Ticket, Outcome),
    /// A follower has something newer to take.
    Changed(Ticket),
    /// So have all of these.
    AllChanged(Vec<Ticket>),
    /// A connection to serve.
    Arrival(Socket),
    /// To be answered, as a sign of life.
    Beat(Sender<()>),
    /// Take nothing new, finish what is under way, and end.
    Drain,
    /// End.
    Stop,
}

impl Outbox {
    /// An outbox whose reactor is awake; `ring` wakes it when it sleeps.
    pub(crate) fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        let bell = Mark::new();
        bell.raise();
        Self { items: SegQueue::new(), bell, ring: Box::new(ring) }
    }

    pub(crate) fn push(&self, item: Item) {
        self.items.push(item);
        if self.bell.raise() {
            (self.ring)();
        }
    }

    /// For the reactor alone: what came first.
    pub(crate) fn pop(&self) -> Option<Item> {
        // Looking is cheaper than trying, and most often there is nothing.
        if self.items.is_empty() { None } else { self.items.pop() }
    }

    /// How many items wait, at least.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Asked by the reactor before it sleeps. From a true answer on, the next push rings.
    pub(crate) fn may_sleep(&self) -> bool {
        self.bell.lower();
        let is_empty = self.items.is_empty();
        if !is_empty {
            self.bell.raise();
        }
        is_empty
    }

    /// The reactor is up again.
    pub(crate) fn is_awake(&self) {
        self.bell.raise();
    }
}

impl Sink for Outbox {
    fn reply(&self, ticket: Ticket, outcome: Outcome) {
        self.push(Item::Reply(ticket, outcome));
    }

    fn changed(&self, ticket: Ticket) {
        self.push(Item::Changed(ticket));
    }

    fn all_changed(&self, tickets: Vec<Ticket>) {
        self.push(Item::AllChanged(tickets));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossbeam::atomic::AtomicCell;

    use super::*;

    #[test]
    fn the_bell_rings_once_for_a_sleeper_and_never_for_one_awake() {
        let rings = Arc::new(AtomicCell::new(0u32));
        let count = rings.clone();
        let outbox = Outbox::new(move || {
            count.fetch_add(1);
        });

        outbox.push(Item::Stop);
        assert_eq!(rings.load(), 0);
        assert!(!outbox.may_sleep(), "there is work");
        outbox.pop();
        assert!(outbox.may_sleep());
        outbox.push(Item::Stop);
        outbox.push(Item::Stop);
        assert_eq!(rings.load(), 1);
    }
}
