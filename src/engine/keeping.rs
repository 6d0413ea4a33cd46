//! What an engine keeps beside its elections: explicit sessions, and numbers that are not given twice.

use std::io;
use std::sync::Arc;

use crossbeam::atomic::AtomicCell;

use super::Engine;
use crate::election::Term;
use crate::error::Error;
use crate::id::SessionId;
use crate::log::{Change, KeptSession, Log, Unit};
use crate::shard::{Outcome, Reply, ReplyTo, Sink, Ticket, Waiter};

/// A change that is no election's, and who waits for it.
struct Note {
    what: What,
    reply: Option<Reply>,
    /// What the reply says: nothing of any election.
    unknown: Arc<Term>,
}

pub(super) enum What {
    /// All that was handed over before.
    Nothing,
    Opened(KeptSession),
    Ended(SessionId),
    Floor(u64),
    Index(u64),
    SessionIds(u64),
}

impl Unit for Note {
    fn shard(&self) -> Option<usize> {
        None
    }

    fn replies(&self) -> usize {
        usize::from(self.reply.is_some())
    }

    fn changes(&self, keep: &mut dyn FnMut(Change<'_>)) {
        match &self.what {
            What::Nothing => {}
            What::Opened(session) => keep(Change::Opened(session)),
            What::Ended(session) => keep(Change::Ended(*session)),
            What::Floor(floor) => keep(Change::Floor(*floor)),
            What::Index(index) => keep(Change::Index(*index)),
            What::SessionIds(ids) => keep(Change::SessionIds(*ids)),
        }
    }

    fn release(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.send(Ok(self.unknown.clone()));
        }
    }

    fn refuse(&mut self, error: &Error) {
        if let Some(reply) = self.reply.take() {
            reply.send(Err(error.clone().into()));
        }
    }

    fn detach(&mut self) -> Box<dyn Unit> {
        let what = std::mem::replace(&mut self.what, What::Nothing);
        Box::new(Note { what, reply: self.reply.take(), unknown: self.unknown.clone() })
    }
}

impl Engine {
    /// Hands a change to the log. Nobody waits for it.
    pub(super) fn keep(&self, what: What) {
        self.keep_and_tell(what, ReplyTo::Nobody);
    }

    /// Waits until a change is kept.
    pub(super) fn kept(&self, what: What) -> Result<(), Error> {
        let kept: Outcome = Waiter::wait(self.log(), |to| self.keep_and_tell(what, to));
        kept.map(drop)
    }

    /// Waits until all that this engine was asked before is kept.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.kept(What::Nothing)
    }

    /// Tells the sink when all that this engine was asked before is kept, or that it can't be.
    pub(crate) fn sync_to(&self, sink: &Arc<dyn Sink>, ticket: Ticket) {
        self.keep_and_tell(What::Nothing, ReplyTo::Sink(sink.clone(), ticket));
    }

    pub(super) fn keep_and_tell(&self, what: What, to: ReplyTo) {
        let reply = (!matches!(to, ReplyTo::Nobody)).then(|| Reply::new(to, 0));
        let mut note = Note { what, reply, unknown: self.unknown().clone() };
        self.log().commit(&mut note);
    }

    pub(super) fn log(&self) -> &dyn Log {
        &*self.inner.rules.log
    }

    /// The latch's index was at or below this before the engine began.
    pub(crate) fn first_index(&self) -> u64 {
        self.inner.indexes.first.load()
    }

    /// The latch's index has come this far.
    pub(crate) fn index_given(&self, index: u64) {
        self.inner.indexes.given(self, index);
    }

    /// Commits to the disk so far. All changes that wait at one moment share one.
    pub fn commits(&self) -> u64 {
        self.log().commits()
    }

    /// Writes a backup: all that is kept at this moment, whatever is kept meanwhile. Changes go on. No secret
    /// is in it. [`storage::restore`](crate::storage::restore) makes a data directory of it.
    ///
    /// # Errors
    /// Those of `to`; or one around an [`Error`].
    #[cfg(feature = "durable")]
    pub fn backup(&self, mut to: impl io::Write) -> io::Result<()> {
        self.back_up_to(&mut to)
    }

    /// Fails where nothing is kept.
    pub(crate) fn back_up_to(&self, to: &mut dyn io::Write) -> io::Result<()> {
        self.log().backup(to)
    }

    /// Whether all that may be asked can be kept: what a readiness probe asks.
    ///
    /// # Errors
    /// [`Error::StorageFull`] while the disk is full; [`Error::Storage`] once nothing can be kept any more.
    pub fn check_storage(&self) -> Result<(), Error> {
        self.log().admit(true)
    }

    /// Whether anything is kept beyond the process.
    pub fn is_durable(&self) -> bool {
        self.log().is_durable()
    }
}

/// Numbers that rise, also across restarts: a bound above all that were given is kept, and raised well
/// before it is reached.
pub(super) struct Reserved {
    first: AtomicCell<u64>,
    bound: AtomicCell<u64>,
    step: u64,
    raise: fn(u64) -> What,
}

impl Reserved {
    pub(super) fn new(step: u64, raise: fn(u64) -> What) -> Self {
        Self { first: AtomicCell::new(0), bound: AtomicCell::new(0), step, raise }
    }

    /// The kept bound was `first`: the first number to give comes behind it.
    #[cfg(feature = "durable")]
    pub(super) fn begin(&self, engine: &Engine, first: u64) {
        self.first.store(first);
        self.bound.store(first);
        self.given(engine, first);
    }

    /// `number` is given to somebody.
    pub(super) fn given(&self, engine: &Engine, number: u64) {
        let bound = self.bound.load();
        let next = number.saturating_add(self.step);
        if number.saturating_add(self.step / 2) >= bound
            && engine.is_durable()
            && self.bound.compare_exchange(bound, next).is_ok()
        {
            engine.keep((self.raise)(next));
        }
    }
}
