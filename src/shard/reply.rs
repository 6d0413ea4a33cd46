//! Where an outcome goes: to a thread that waits, or to a sink such as a server's reactor.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::{self, Thread};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::Backoff;

use crate::election::Term;
use crate::error::Error;
use crate::log::{self, Log};

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
    static SPARE: Cell<Option<Arc<Waiter>>> = const { Cell::new(None) };
    /// The address of the waiter whose command this thread is submitting.
    static SUBMITTING: Cell<usize> = const { Cell::new(0) };
    /// What came for that one on this very thread, which is the usual case: nothing atomic.
    static HERE: Cell<Option<Outcome>> = const { Cell::new(None) };
}

impl Waiter {
    fn of_this_thread() -> Arc<Self> {
        // One that is still held elsewhere could bring us somebody else's outcome.
        let spare = SPARE.take().filter(|spare| Arc::strong_count(spare) == 1);
        spare.unwrap_or_else(|| {
            Arc::new(Self { outcome: ArrayQueue::new(1), thread: thread::current() })
        })
    }

    /// Runs `submit` with this thread's reply address and waits for the outcome, helping the log
    /// meanwhile. Spins a little first: a turn takes less time than going to sleep.
    pub(crate) fn wait(log: &dyn Log, submit: impl FnOnce(ReplyTo)) -> Outcome {
        let waiter = Self::of_this_thread();
        let outcome = waiter.submitting(submit).unwrap_or_else(|| {
            log.help();
            waiter.elsewhere()
        });
        SPARE.set(Some(waiter));
        outcome
    }

    /// The outcome, if this thread itself came to it.
    fn submitting(self: &Arc<Self>, submit: impl FnOnce(ReplyTo)) -> Option<Outcome> {
        // A waker that runs meanwhile may submit something of its own.
        let _before = Before(SUBMITTING.replace(self.address()), HERE.take());
        log::handing_over(|| submit(ReplyTo::Caller(self.clone())));
        HERE.take()
    }

    fn elsewhere(&self) -> Outcome {
        let backoff = Backoff::new();
        loop {
            if let Some(outcome) = self.outcome.pop() {
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
        if SUBMITTING.get() == self.address() {
            HERE.set(Some(outcome));
            return;
        }
        let _only_one_is_ever_due = self.outcome.push(outcome);
        self.thread.unpark();
    }

    /// Tells it from all others that live.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// What this thread was submitting before, put back also where it unwinds.
struct Before(usize, Option<Outcome>);

impl Drop for Before {
    fn drop(&mut self) {
        SUBMITTING.set(self.0);
        HERE.set(self.1.take());
    }
}
