//! The session's word: whether it lives, and which shards it may stand in.
//!
//! Two atomics, and why they are right:
//!
//! - `word` holds a deadline, or `OPEN_ENDED`, or an [`Ending`] once the session has ended. A
//!   renewal moves the deadline by compare-exchange and fails once the session has ended; an expiry
//!   is the same word going the other way, and fails if the deadline has moved. So one of the two
//!   wins, and everybody agrees which, on every shard.
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

use crate::clock::Moment;
use crate::sync::{AtomicU64, Ordering};

const OPEN_ENDED: u64 = u64::MAX;
/// Words below this are endings. As a moment it is the first microsecond after the clock's zero.
const ENDINGS: u64 = 1_000;

/// How a session ended, as far as its word can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    Closed = 1,
    Disconnected = 2,
    Expired = 3,
    /// Somebody else's doing.
    Ended = 4,
}

impl Ending {
    /// The inverse of `ending as u64`.
    fn from_word(word: u64) -> Self {
        match word {
            2 => Ending::Disconnected,
            3 => Ending::Expired,
            4 => Ending::Ended,
            _ => Ending::Closed,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Lease {
    word: AtomicU64,
    shards: AtomicU64,
}

/// What came of an attempt to expire a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It has ended, by this attempt; these shards must be told, one bit each.
    Ended(u64),
    /// It lives at least until then.
    NotBefore(Moment),
    /// It had ended before, or never expires.
    Nothing,
}

impl Lease {
    pub(crate) fn open_ended() -> Self {
        Self { word: AtomicU64::new(OPEN_ENDED), shards: AtomicU64::new(0) }
    }

    pub(crate) fn until(deadline: Moment) -> Self {
        Self { word: AtomicU64::new(word_of(deadline)), shards: AtomicU64::new(0) }
    }

    /// How the session ended, or `None` while it lives.
    pub(crate) fn ended(&self) -> Option<Ending> {
        ending_in(self.word.load(Ordering::Acquire))
    }

    /// When it ends unless it is renewed; `None` if it has ended, or has no deadline.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.word.load(Ordering::Acquire) {
            OPEN_ENDED => None,
            word => ending_in(word).is_none().then(|| Moment::from_nanos(word)),
        }
    }

    /// Moves the deadline to `deadline`, unless it is later already. Lenient on purpose: who is heard
    /// before the expiry has happened is alive, also if the deadline has passed.
    pub(crate) fn renew(&self, deadline: Moment) -> Result<(), Ending> {
        let later = word_of(deadline);
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if let Some(ending) = ending_in(word) {
                return Err(ending);
            }
            if word >= later {
                return Ok(());
            }
            match self.word.compare_exchange(word, later, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(present) => word = present,
            }
        }
    }

    /// Ends the session if its deadline has passed at `now`. Nobody expires before `mercy`.
    pub(crate) fn expire(&self, now: Moment, mercy: Moment) -> Expiry {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word == OPEN_ENDED || ending_in(word).is_some() {
                return Expiry::Nothing;
            }
            let deadline = Moment::from_nanos(word).max(mercy);
            if deadline > now {
                return Expiry::NotBefore(deadline);
            }
            match self.end_from(word, Ending::Expired) {
                Ok(shards) => return Expiry::Ended(shards),
                Err(present) => word = present,
            }
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
    pub(crate) fn end(&self, ending: Ending) -> Option<u64> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if ending_in(word).is_some() {
                return None;
            }
            match self.end_from(word, ending) {
                Ok(shards) => return Some(shards),
                Err(present) => word = present,
            }
        }
    }

    fn end_from(&self, word: u64, ending: Ending) -> Result<u64, u64> {
        self.word
            .compare_exchange(word, ending as u64, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| self.shards.fetch_or(0, Ordering::AcqRel))
    }
}

fn word_of(deadline: Moment) -> u64 {
    deadline.nanos().clamp(ENDINGS, OPEN_ENDED - 1)
}

fn ending_in(word: u64) -> Option<Ending> {
    (word < ENDINGS).then(|| Ending::from_word(word))
}
