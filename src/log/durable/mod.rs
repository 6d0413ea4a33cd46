//! Keeps turns in a store on disk, many in one commit.
//!
//! Who hands a turn over leaves it in one queue, in the order of its shard. Whoever has the committing
//! role takes all that waits, writes it in one commit, and then lets each go, in that order. A caller
//! who would only wait takes the role if it is free; so an embedded change needs no other thread. A
//! reactor never does: the thread `tenure-commit` works for it.
//!
//! What was handed over and can't be kept is never unwound. A full disk holds it back until there is
//! room; after any other failure nothing is let go any more, and everybody is told.
//!
//! Reading order: `committer` (who writes, and when), `keeper` (one commit), `store` (a journal and tables),
//! `journal`, `disk`, `medium` and `place` (the file, and where it is), `folder` and `witness` (the data directory);
//! then `backup` and `offline` (what is done beside a server).

mod backup;
#[cfg(feature = "failpoints")]
#[allow(unreachable_pub, reason = "the tests plant them through `internals`")]
pub mod canary;
mod committer;
mod disk;
pub(crate) mod folder;
mod journal;
mod keeper;
pub(crate) mod medium;
pub(crate) mod offline;
pub(crate) mod place;
pub(crate) mod store;
mod witness;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::atomic::AtomicCell;

use self::committer::{BATCH, Inner, State, Worker};
use self::keeper::Handed;
use self::place::Place;
use self::store::{Fault, Store};
use super::{CommitMeter, Log, Unit, will_help};
use crate::error::Error;

/// Told once, when nothing can be kept any more.
pub(crate) type OnFailure = dyn Fn(&Error) + Send + Sync;

pub(crate) struct DurableLog {
    inner: Arc<Inner>,
    committer: Option<JoinHandle<()>>,
}

impl DurableLog {
    /// Over an open store. `on_failure` is called at most once, when nothing can be kept any more.
    pub(crate) fn new(folder: Box<dyn Place>, store: Store, on_failure: Box<OnFailure>) -> Self {
        let inner = Arc::new(Inner::new(folder, store, on_failure));
        let worker = Worker(inner.clone());
        let committer = thread::Builder::new()
            .name("tenure-commit".into())
            .spawn(move || worker.0.work())
            .expect("a process that can't start a thread can't keep anything");
        let _the_first = inner.committer.set(committer.thread().clone());
        Self { inner, committer: Some(committer) }
    }

    /// A fault in words that say where.
    pub(crate) fn tell(&self, fault: Fault) -> Error {
        self.inner.keeper().folder.tell(fault)
    }
}

impl Log for DurableLog {
    fn commit(&self, unit: &mut dyn Unit) {
        let inner = &*self.inner;
        if inner.state.load() == State::Failed {
            unit.refuse(&inner.failed());
            return;
        }
        #[cfg(feature = "failpoints")]
        if inner.overtakes(unit) {
            return unit.release();
        }
        if let Some(backlog) = unit.shard().and_then(|shard| inner.backlog.get(shard)) {
            backlog.fetch_add(unit.replies());
        }
        inner.queue.push(Handed::new(unit.detach()));
        if inner.state.load() == State::Failed {
            // Nobody may come again to empty the queue.
            inner.refuse_all();
        }
        if !will_help() || inner.queue.len() >= BATCH {
            inner.nudge();
        }
    }

    fn help(&self) {
        self.inner.run_once();
        self.hurry();
    }

    fn hurry(&self) {
        if !self.inner.queue.is_empty() {
            self.inner.nudge();
        }
    }

    fn backlog(&self, shard: usize) -> usize {
        self.inner.backlog.get(shard).map_or(0, AtomicCell::load)
    }

    fn admit(&self, grows: bool) -> Result<(), Error> {
        match self.inner.state.load() {
            State::Open | State::Closing => Ok(()),
            State::Full if !grows && !self.inner.is_stuck.load() => Ok(()),
            State::Full => Err(self.inner.full()),
            State::Failed => Err(self.inner.failed()),
        }
    }

    fn commits(&self) -> u64 {
        self.inner.commits.load()
    }

    fn meter(&self) -> Option<&CommitMeter> {
        Some(&self.inner.meter)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn backup(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let kept = self.inner.snapshot().map_err(io::Error::other)?;
        backup::write(&kept, to)
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        // After a failure there is nothing to wait for.
        let _failed = self
            .inner
            .state
            .fetch_update(|state| (state != State::Failed).then_some(State::Closing));
        self.inner.nudge();
        if let Some(committer) = self.committer.take()
            && committer.thread().id() != thread::current().id()
        {
            let _it_has_panicked = committer.join();
        }
    }
}

impl fmt::Debug for DurableLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, waiting) = (self.inner.state.load(), self.inner.queue.len());
        f.debug_struct("DurableLog").field("state", &state).field("waiting", &waiting).finish()
    }
}
