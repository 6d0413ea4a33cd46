//! Where an outcome goes: to a thread that waits, or to a sink such as a server's reactor.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::thread::{self, Thread};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::Backoff;

use crate::election::Term;
use crate::error::Error;
use crate::log::{self, Log};

/// What a command came to: the term after it, also when nothing was to do.
pub(crate) type Outcome = Result<Arc<Term>, Error>;

/// The same on its way, in two words: it is moved more often than it is looked at.
pub(crate) type Told = Result<Arc<Term>, Box<Error>>;

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

    /// The same for many of them, in their order.
    fn all_changed(&self, tickets: Vec<Ticket>) {
        tickets.into_iter().for_each(|ticket| self.changed(ticket));
    }
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

    pub(crate) fn send(mut self, outcome: Told) {
        self.pay(outcome);
    }

    /// What was asked for needs no answer but when it could not be done.
    pub(crate) fn forgive(mut self) {
        self.to = ReplyTo::Nobody;
    }

    fn pay(&mut self, outcome: Told) {
        match std::mem::replace(&mut self.to, ReplyTo::Nobody) {
            ReplyTo::Caller(waiter) => waiter.deliver(outcome),
            ReplyTo::Sink(sink, ticket) => sink.reply(ticket, outcome.map_err(|error| *error)),
            ReplyTo::Nobody => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let shard = usize::from(self.shard);
        if !matches!(self.to, ReplyTo::Nobody) {
            self.pay(Err(Error::ShardStopped { shard }.into()));
        }
    }
}

/// Who is told what came of a change that its submitter runs itself if it can.
pub(crate) enum Answer<'a> {
    Caller(&'a Caller<'a>),
    /// It is taken from there.
    Reply(&'a mut Reply),
}

impl Answer<'_> {
    /// What pays it from anywhere.
    pub(super) fn into_reply(self, shard: usize) -> Reply {
        match self {
            Answer::Caller(caller) => Reply::new((caller.elsewhere)(), shard),
            Answer::Reply(reply) => std::mem::replace(reply, Reply::new(ReplyTo::Nobody, shard)),
        }
    }

    /// Tells it now.
    pub(super) fn send(self, outcome: Told) {
        match self {
            Answer::Caller(caller) => caller.here.set(Some(outcome)),
            Answer::Reply(reply) => reply.pay(outcome),
        }
    }
}

/// A thread's frame that hands over a change. Most often this thread itself comes to the outcome: then
/// nothing is allocated for the answer, and nothing atomic is touched.
pub(crate) struct Caller<'a> {
    here: Cell<Option<Told>>,
    /// Says where the outcome comes if another thread may come to it.
    elsewhere: &'a dyn Fn() -> ReplyTo,
}

impl Caller<'_> {
    /// Runs `submit`, which hands this caller over, and waits for the outcome, helping the log meanwhile.
    pub(crate) fn wait(log: &dyn Log, shard: usize, submit: impl FnOnce(&Caller<'_>)) -> Outcome {
        let waiter = OnceCell::new();
        let elsewhere = || ReplyTo::Caller(waiter.get_or_init(Waiter::of_this_thread).clone());
        let here = log::handing_over(|| Caller::here(&elsewhere, submit));
        let outcome = match (here, waiter.into_inner()) {
            (Some(outcome), _) => outcome,
            (None, Some(waiter)) => waiter.outcome(log),
            // Dropped unrun.
            (None, None) => Err(Error::ShardStopped { shard }.into()),
        };
        outcome.map_err(|error| *error)
    }

    /// Runs `submit`, which hands this caller over, and waits for nothing: what it came to here, or `None`
    /// if the sink is told.
    pub(crate) fn try_here(
        (sink, ticket): (&Arc<dyn Sink>, Ticket),
        shard: usize,
        submit: impl FnOnce(&Caller<'_>),
    ) -> Option<Outcome> {
        let is_owed = Cell::new(false);
        let elsewhere = || {
            is_owed.set(true);
            ReplyTo::Sink(sink.clone(), ticket)
        };
        match Caller::here(&elsewhere, submit) {
            Some(outcome) => Some(outcome.map_err(|error| *error)),
            None if is_owed.get() => None,
            // Dropped unrun.
            None => Some(Err(Error::ShardStopped { shard })),
        }
    }

    fn here(elsewhere: &dyn Fn() -> ReplyTo, submit: impl FnOnce(&Caller<'_>)) -> Option<Told> {
        let caller = Caller { here: Cell::new(None), elsewhere };
        submit(&caller);
        caller.here.take()
    }
}

/// One thread that waits for one outcome at a time.
pub(crate) struct Waiter {
    outcome: ArrayQueue<Told>,
    thread: Thread,
}

thread_local! {
    /// Reused from call to call, so that waiting allocates nothing.
    static SPARE: Cell<Option<Arc<Waiter>>> = const { Cell::new(None) };
}

impl Waiter {
    fn of_this_thread() -> Arc<Self> {
        // One that is still held elsewhere could bring us somebody else's outcome.
        let spare = SPARE.take().filter(|spare| Arc::strong_count(spare) == 1);
        spare.unwrap_or_else(|| {
            Arc::new(Self { outcome: ArrayQueue::new(1), thread: thread::current() })
        })
    }

    /// Runs `submit` with this thread's reply address and waits for the outcome, helping the log meanwhile.
    pub(crate) fn wait(log: &dyn Log, submit: impl FnOnce(ReplyTo)) -> Outcome {
        let waiter = Self::of_this_thread();
        log::handing_over(|| submit(ReplyTo::Caller(waiter.clone())));
        waiter.outcome(log).map_err(|error| *error)
    }

    /// Spins a little first: a turn takes less time than going to sleep.
    fn outcome(self: Arc<Self>, log: &dyn Log) -> Told {
        log.help();
        let backoff = Backoff::new();
        let outcome = loop {
            if let Some(outcome) = self.outcome.pop() {
                break outcome;
            }
            if backoff.is_completed() {
                thread::park();
            } else {
                backoff.snooze();
            }
        };
        SPARE.set(Some(self));
        outcome
    }

    fn deliver(&self, outcome: Told) {
        let _only_one_is_ever_due = self.outcome.push(outcome);
        self.thread.unpark();
    }
}
