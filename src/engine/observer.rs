//! The fast read.

use std::fmt;
use std::sync::Arc;

use arc_swap::Cache;

use super::Election;
use crate::election::Term;
use crate::shard::Source;

/// Reads who leads, without a lock, a mailbox, or a write to memory that others read: one relaxed
/// load and a compare. For one thread; clone it for another.
///
/// ```
/// # let engine = tenure::Engine::builder().open()?;
/// # let session = engine.session()?;
/// # let election = engine.election("billing/cron")?;
/// # election.enter(&session, "node-a")?;
/// let mut observer = election.observe();
/// if observer.term().is_led_by("node-a") { /* ours to do */ }
/// # Ok::<(), tenure::Error>(())
/// ```
#[derive(Clone)]
pub struct Observer {
    cache: Cache<Source, Arc<Term>>,
    election: Election,
}

impl Observer {
    pub(super) fn new(election: Election) -> Self {
        Self { cache: Cache::new(Source::of(election.cell().clone())), election }
    }

    /// The present term.
    #[inline]
    pub fn term(&mut self) -> &Arc<Term> {
        self.cache.load()
    }

    /// The election it reads.
    pub fn election(&self) -> &Election {
        &self.election
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({:?})", self.election)
    }
}
