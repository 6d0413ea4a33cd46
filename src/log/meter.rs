//! What commits to a disk come to. The committing role writes here, anybody reads.

use std::time::Duration;

use crate::meter::{Histogram, SIZES, TIMES, nanos};

pub(crate) struct CommitMeter {
    /// Nanoseconds of writing and syncing.
    pub(crate) times: Histogram,
    /// Turns kept by one commit.
    pub(crate) turns: Histogram,
}

impl Default for CommitMeter {
    fn default() -> Self {
        Self { times: Histogram::of(&TIMES), turns: Histogram::of(&SIZES) }
    }
}

impl CommitMeter {
    /// A commit of so many turns took `time`.
    pub(super) fn committed(&self, turns: usize, time: Duration) {
        self.times.add(nanos(time), 1);
        self.turns.add(turns as u64, 1);
    }
}
