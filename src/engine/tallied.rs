//! What an engine has counted, for whoever shows it.

use std::sync::Arc;

use super::Engine;
use super::directory::SessionCounts;
use crate::election::{Reason, Term};
use crate::meter::{Distribution, FEW, LimitHits};
use crate::shard::{Cell, Counts, Shard};

/// The sums over all shards, read one after the other while they go on.
pub(crate) struct Tallied {
    /// Changes of who leads, also to nobody, by their reason.
    pub(crate) changes: [(Reason, u64); Reason::ALL.len()],
    /// Elections that somebody leads.
    pub(crate) led: u64,
    /// Elections that somebody led, and nobody does.
    pub(crate) vacant: u64,
    /// Candidates lost with their connection: of connections' own sessions, and of others.
    pub(crate) lost: [u64; 2],
    /// Commands in a turn.
    pub(crate) turns: Distribution,
    /// Commands that wait: in all shards, and in the one with the most.
    pub(crate) waiting: (usize, usize),
    pub(crate) sessions: SessionCounts,
}

impl Tallied {
    fn add(&mut self, shard: &Shard) {
        let (counts, waiting): (&Counts, usize) = (shard.counts(), shard.waiting());
        let (led, vacant) = counts.led_and_vacant();
        (self.led, self.vacant) = (self.led + led, self.vacant + vacant);
        self.changes.iter_mut().zip(counts.changes()).for_each(|(sum, (_, more))| sum.1 += more);
        self.lost[0] += counts.lost_by_connections.read();
        self.lost[1] += counts.lost_by_others.read();
        self.turns.add(&counts.turns.read());
        self.waiting = (self.waiting.0 + waiting, self.waiting.1.max(waiting));
    }
}

impl Engine {
    /// Reads all counts: a walk over the shards.
    pub(crate) fn tallied(&self) -> Tallied {
        let mut sums = Tallied {
            changes: Reason::ALL.map(|reason| (reason, 0)),
            led: 0,
            vacant: 0,
            lost: [0; 2],
            turns: Distribution::of(&FEW),
            waiting: (0, 0),
            sessions: self.inner.sessions.counts(),
        };
        self.inner.shards.iter().for_each(|shard| sums.add(shard));
        sums
    }

    /// How often a limit was hit that the engine watches over.
    pub(crate) fn limit_hits(&self) -> &LimitHits {
        &self.inner.rules.limit_hits
    }

    /// How long commits took, and how much each kept: a time in nanoseconds, and turns.
    pub(crate) fn commit_sizes(&self) -> Option<(Distribution, Distribution)> {
        let meter = self.inner.rules.log.meter()?;
        Some((meter.times.read(), meter.turns.read()))
    }

    /// The published term of a name, if anybody has named it before, without becoming its reader.
    pub(crate) fn peek(&self, name: &str) -> Option<Arc<Term>> {
        self.inner.registry.peek(name)
    }

    /// Calls `look` with each election whose name begins with `prefix`, in the order of names. The first
    /// time puts all names in order, as [`list_elections`](Self::list_elections) does.
    pub(crate) fn look_through(&self, prefix: &str, look: impl FnMut(&Cell)) {
        self.inner.registry.look_through(prefix, look);
    }
}
