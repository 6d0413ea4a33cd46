//! Where an outcome goes: to a thread that waits, or to a sink such as a server's reactor.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::{self, Thread};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::Backoff;

use crate::election::Term;
use crate::error::Error;

/// What a command came to: the term after it, also when nothing was to do.
pub(crate) type Outcome = Result<Arc<Term>, Error>;

/// How a sink knows what an outcome or a change is about. It means nothing to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub(crate) to: u64,
    pub(crate) about: u64,
}

/// Takes outcomes and changes, from any thread, without blocking.
pub(crate) trait Sink: Send + Sync {
    /// The outcome of a submitted command: exactly once for each.
    fn reply(&self, ticket: Ticket, outcome: Outcome);

    /// A follower has something newer to take.
    fn changed(&self, ticket: Ticket);
}

/// Where one command's outcome goes.
pub(crate) enum ReplyTo {
    Caller(Arc<Waiter>),
    Sink(Arc<dyn Sink>, Ticket),
    Nobody,
}

/// The debt of one answer. Dropped unpaid, because a writer panicked, it answers that the shard
/// stopped: nobody waits for ever.
pub(crate) struct Reply {
    to: ReplyTo,
    shard: u16,
}

impl Reply {
    pub(crate) fn new(to: ReplyTo, shard: usize) -> Self {
        Self { to, shard: shard as u16 }
    }

    pub(crate) fn send(mut self, outcome: Outcome) {
        self.pay(outcome);
    }

    /// What was asked for needs no answer but when it could not be done.
    pub(crate) fn forgive(mut self) {
        self.to = ReplyTo::Nobody;
    }

    fn pay(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.to, ReplyTo::Nobody) {
            ReplyTo::Caller(waiter) => waiter.deliver(outcome),
            ReplyTo::Sink(sink, ticket) => sink.reply(ticket, outcome),
            ReplyTo::Nobody => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let shard = usize::from(self.shard);
        if !matches!(self.to, ReplyTo::Nobody) {
            self.pay(Err(Error::ShardStopped { shard }));
        }
    }
}

/// One thread that waits for one outcome at a time.
pub(crate) struct Waiter {
    outcome: ArrayQueue<Outcome>,
    thread: Thread,
}

thread_local! {
    /// Reused from call to call, so that an uncontended change allocates nothing for its reply.
    static WAITER: RefCell<Arc<Waiter>> = RefCell::new(Arc::new(Waiter::of_this_thread()));
}

impl Waiter {
    fn of_this_thread() -> Self {
        Self { outcome: ArrayQueue::new(1), thread: thread::current() }
    }

    /// Runs `submit` with this thread's reply address and waits for the outcome. Spins a little
    /// first: a turn takes less time than going to sleep.
    pub(crate) fn wait(submit: impl FnOnce(ReplyTo)) -> Outcome {
        let waiter = WAITER.with_borrow_mut(|mine| {
            // One that is still held elsewhere could bring us somebody else's outcome.
            if Arc::get_mut(mine).is_none() {
                *mine = Arc::new(Waiter::of_this_thread());
            }
            mine.clone()
        });
        submit(ReplyTo::Caller(waiter.clone()));
        let backoff = Backoff::new();
        loop {
            if let Some(outcome) = waiter.outcome.pop() {
                return outcome;
            }
            if backoff.is_completed() {
                thread::park();
            } else {
                backoff.snooze();
            }
        }
    }

    fn deliver(&self, outcome: Outcome) {
        let _only_one_is_ever_due = self.outcome.push(outcome);
        self.thread.unpark();
    }
}
