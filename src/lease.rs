//! The session's word: whether it lives, and which shards it may stand in.
//!
//! Two atomics, and why they are right:
//!
//! - `word` holds `OPEN_ENDED`, or an [`EndReason`] once the session has ended. It changes once, by
//!   compare-exchange, so everybody agrees on who ended it and why.
//! - `shards` has a bit for each shard that was ever asked to let this session in. A user sets its
//!   bit (`visit`) *before* it hands over its command; the shard reads `word` when it *applies* it.
//!   Whoever ends the session writes `word` first and reads `shards` after (`end`). Both touch
//!   `shards` by a read-modify-write, so one of the two comes first in its modification order. If the
//!   user's came first, the ender sees the bit and tells that shard. If the ender's came first, the
//!   user's acquires what the ender released, so the shard, applying later, sees the session ended
//!   and refuses. Either way no candidate outlives its session.
//! - `visit` skips its write when the bit is already there. Then the ender either sees that bit and
//!   tells the shard, or read `shards` before the bit was first set, which is the case above. And a
//!   shard that has already been told is ordered after `end` by the shard's own role.

use crate::error::EndReason;
use crate::sync::{AtomicU64, Ordering};

const OPEN_ENDED: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Lease {
    word: AtomicU64,
    shards: AtomicU64,
}

impl Lease {
    pub(crate) fn open_ended() -> Self {
        Self { word: AtomicU64::new(OPEN_ENDED), shards: AtomicU64::new(0) }
    }

    /// Why the session ended, or `None` while it lives.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        match self.word.load(Ordering::Acquire) {
            OPEN_ENDED => None,
            word => Some(EndReason::from_word(word)),
        }
    }

    /// Notes that `shard` may come to hold candidates of this session. Call it before the command is
    /// handed over.
    pub(crate) fn visit(&self, shard: usize) {
        let bit = 1 << shard;
        if self.shards.load(Ordering::Acquire) & bit == 0 {
            self.shards.fetch_or(bit, Ordering::AcqRel);
        }
    }

    /// Ends the session. The winner gets the shards that must be told, one bit each; everybody else
    /// gets `None`.
    pub(crate) fn end(&self, reason: EndReason) -> Option<u64> {
        self.word
            .compare_exchange(OPEN_ENDED, reason as u64, Ordering::AcqRel, Ordering::Acquire)
            .ok()
            .map(|_| self.shards.fetch_or(0, Ordering::AcqRel))
    }
}
