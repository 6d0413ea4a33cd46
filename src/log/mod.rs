//! What makes a turn durable before anybody sees it.
//!
//! A turn is a [`Unit`]: what changed, and what may leave once that is kept. [`MemoryLog`] lets it
//! go at once. `durable` writes many of them in one commit, then lets them go in their order.

#[cfg(feature = "durable")]
pub(crate) mod durable;
mod memory;
mod meter;
#[cfg(feature = "durable")]
mod record;

pub(crate) use memory::MemoryLog;
pub(crate) use meter::CommitMeter;

use std::cell::Cell;
use std::io;
use std::time::Duration;

use crate::election::Term;
use crate::error::Error;
use crate::id::{Holder, SessionId};

thread_local! {
    static WILL_HELP: Cell<bool> = const { Cell::new(false) };
}

/// Hands something over on behalf of a thread that sees to it afterwards: by [`help`](Log::help), or by
/// [`hurry`](Log::hurry).
pub(crate) fn handing_over<R>(hand_over: impl FnOnce() -> R) -> R {
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            WILL_HELP.set(self.0);
        }
    }

    let _before = Before(WILL_HELP.replace(true));
    hand_over()
}

/// Whether this thread sees to it: then nobody needs to be woken for what it hands over.
#[cfg_attr(not(feature = "durable"), allow(dead_code, reason = "the log in memory needs no help"))]
fn will_help() -> bool {
    WILL_HELP.get()
}

/// One thing to keep.
#[cfg_attr(not(feature = "durable"), allow(dead_code, reason = "the log in memory keeps nothing"))]
pub(crate) enum Change<'a> {
    /// The newest state of an election, and who may still believe that they lead it.
    Term { election: &'a str, term: &'a Term, formers: &'a [Former] },
    /// An election was created, with these tags in force, or its creation is forgotten.
    Created { election: &'a str, tags: Option<&'a [Box<str>]> },
    /// An explicit session was opened.
    Opened(&'a KeptSession),
    /// An explicit session has ended.
    Ended(SessionId),
    /// No forgotten name starts again at or below this term.
    Floor(u64),
    /// The latch's index stays at or below this.
    Index(u64),
    /// The ids of sessions stay at or below this.
    SessionIds(u64),
}

#[cfg(feature = "durable")]
impl Change<'_> {
    /// Bytes that it takes to keep, about.
    fn weight(&self) -> usize {
        match self {
            Self::Term { term, .. } => term.weight(),
            _ => 64,
        }
    }
}

/// Somebody the lead was taken from, who may not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) holder: Holder,
    /// The term it led.
    pub(crate) term: u64,
    /// How long it may act without a word from here.
    pub(crate) ttl: Duration,
}

/// An explicit session, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSession {
    pub(crate) holder: Holder,
    pub(crate) ttl: Duration,
    pub(crate) owner: Box<str>,
    /// Of its key.
    pub(crate) digest: [u8; 16],
    /// The latch it was created for, if it was.
    pub(crate) latch: Option<LatchMark>,
}

/// By what a client of the latch service knows its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LatchMark {
    pub(crate) id: u64,
    pub(crate) election: Box<str>,
}

/// Some changes that belong together, as the log sees them: what to keep, and what to let go once it
/// is kept. For a shard, one pass of its writer.
pub(crate) trait Unit: Send {
    /// The shard it belongs to; `None` if it belongs to none.
    fn shard(&self) -> Option<usize>;

    /// How many wait for its answers.
    fn replies(&self) -> usize;

    /// Calls `keep` with each change, in the same order each time. No two are of the same thing.
    fn changes(&self, keep: &mut dyn FnMut(Change<'_>));

    /// Makes the unit's effects visible: publishes, answers, announces. Once, after the changes are
    /// durable.
    fn release(&mut self);

    /// Answers all who wait with this, ahead of the release, which may never come.
    fn refuse(&mut self, error: &Error);

    /// Moves the unit out of the writer's hands, for a log that releases it later.
    fn detach(&mut self) -> Box<dyn Unit>;
}

/// Keeps units. An implementation releases each exactly once, and never before all earlier ones of
/// the same shard: also a turn without changes waits, because its replies may tell what an earlier
/// one changed.
pub(crate) trait Log: Send + Sync {
    /// Takes a unit. Called by a shard's writer, one at a time for each shard, or for one that belongs
    /// to none by anybody.
    fn commit(&self, unit: &mut dyn Unit);

    /// Whether each unit is released before `commit` returns.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Called by a thread that is about to wait for what it handed over: it may do the log's work
    /// meanwhile.
    fn help(&self) {}

    /// Called by a thread that has handed over what it won't wait for: somebody else is woken to keep it.
    fn hurry(&self) {}

    /// Commands of this shard whose turns wait to be kept.
    fn backlog(&self, shard: usize) -> usize {
        let _nothing_waits = shard;
        0
    }

    /// Refuses what would need more room than there is, or anything once it can keep nothing.
    /// `grows`: whether this may need more.
    fn admit(&self, grows: bool) -> Result<(), Error> {
        let _there_is_room = grows;
        Ok(())
    }

    /// Commits so far; each keeps all that waited.
    fn commits(&self) -> u64 {
        0
    }

    /// How long commits took, and how much each kept; `None` for a log without commits.
    fn meter(&self) -> Option<&CommitMeter> {
        None
    }

    /// Writes all that is kept now.
    fn backup(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let _nothing_is_kept = to;
        let why = "everything is in memory, and nothing is kept that could be backed up".to_owned();
        Err(io::Error::other(Error::InvalidSetting { setting: "data_dir", why }))
    }

    /// Whether it keeps anything beyond the process.
    fn is_durable(&self) -> bool {
        false
    }
}
