//! What a v1 watch says, and what it leaves out.

use crate::election::Term;
use crate::engine::{Election, Follower};

/// A v1 watch: the newest state each time it is asked, if it is newer than the last one said.
pub(crate) struct Telling {
    follower: Follower,
    /// Of the last term said.
    revision: u64,
}

impl Telling {
    pub(crate) fn new(follower: Follower) -> Self {
        Self { follower, revision: 0 }
    }

    pub(crate) fn election(&self) -> &Election {
        self.follower.election()
    }

    /// Says what comes next, and gives how many states were skipped for it. Nothing of an election that never
    /// had a leader; and a watch does not begin with a forgotten name's last state, as GetTerm reads it.
    pub(crate) fn next<R>(&mut self, say: impl FnOnce(&Term) -> R) -> Option<(R, u64)> {
        let said = &mut self.revision;
        self.follower.take_with(|term| {
            let begins = *said == 0;
            if term.number() == 0 || begins && term.is_forgotten() {
                return None;
            }
            let merged = if begins { 0 } else { term.revision().saturating_sub(*said + 1) };
            *said = term.revision();
            Some((say(term), merged))
        })?
    }
}
