//! Where one call hears from the engine.

use std::future::poll_fn;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam::atomic::AtomicCell;
use crossbeam::queue::SegQueue;

use crate::engine::Election;
use crate::shard::{Outcome, Sink, Ticket};

/// One call's inbox: the task that serves the call is woken by whatever comes in. Its tickets say
/// nothing, since it is nobody else's.
#[derive(Default)]
pub(super) struct Inbox {
    outcomes: SegQueue<Outcome>,
    /// Elections whose use the connection has ended.
    closed: SegQueue<Election>,
    changed: AtomicCell<bool>,
    drains: AtomicCell<bool>,
    waker: AtomicWaker,
}

impl Inbox {
    /// To be called before looking: what comes later wakes.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.outcomes.pop()
    }

    pub(super) async fn next_outcome(&self) -> Outcome {
        poll_fn(|cx| {
            self.register(cx);
            self.outcome().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// True once for all changes until now.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false)
    }

    pub(super) fn take_closed(&self) -> Option<Election> {
        self.closed.pop()
    }

    /// True from when the server takes nothing new.
    pub(super) fn drains(&self) -> bool {
        self.drains.load()
    }

    pub(super) fn close(&self, election: Election) {
        self.closed.push(election);
        self.waker.wake();
    }

    pub(super) fn drain(&self) {
        self.drains.store(true);
        self.waker.wake();
    }
}

impl Sink for Inbox {
    fn reply(&self, _ticket: Ticket, outcome: Outcome) {
        self.outcomes.push(outcome);
        self.waker.wake();
    }

    fn changed(&self, _ticket: Ticket) {
        self.changed.store(true);
        self.waker.wake();
    }
}
