//! All sessions of an engine: by id, and by the digest of their key.
//!
//! A session lives or has ended by its word alone ([`lease`](crate::lease)). What stands here follows:
//! whoever ends a session takes it out. So a session that is found here may have ended already, and
//! one that is not found has.
//!
//! Nothing but a lookup, an insertion or a removal happens under the lock, and no shard is told.

use std::collections::{BTreeMap, VecDeque};
#[cfg(not(feature = "durable"))]
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;
use crate::error::{EndReason, Error};
use crate::id::{SessionId, SessionKey, SessionKind};
use crate::lease::Ending;
use crate::limits::SESSIONS_REMEMBERED;

/// Sessions looked at while others wait.
const GLANCE: usize = 128;

/// What is kept of a key: enough to know it again, and nothing to learn it from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest(u64, u64);

#[derive(Default)]
pub(super) struct Directory {
    table: Mutex<Table>,
    #[cfg(not(feature = "durable"))]
    digesting: RandomState,
}

#[derive(Default)]
struct Table {
    last: u64,
    live: BTreeMap<SessionId, Arc<Record>>,
    /// Of those that live and those that are remembered.
    keys: BTreeMap<Digest, SessionId>,
    ended: BTreeMap<SessionId, (Digest, EndReason)>,
    /// Those that are remembered, in the order in which they ended.
    order: VecDeque<SessionId>,
    counts: SessionCounts,
}

/// How many sessions of each kind there were and are, by the kind's number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionCounts {
    live: [u64; KINDS],
    opened: [u64; KINDS],
    ended: [[u64; ENDINGS.len()]; KINDS],
}

const KINDS: usize = SessionKind::ALL.len();
/// Each with a word for it.
const ENDINGS: [(Ending, &str); 4] = [
    (Ending::Closed, "closed"),
    (Ending::Disconnected, "disconnected"),
    (Ending::Expired, "expired"),
    (Ending::Ended, "ended"),
];

impl SessionCounts {
    fn opened(&mut self, kind: SessionKind) {
        self.opened[kind as usize] += 1;
        self.live[kind as usize] += 1;
    }

    #[cfg(feature = "durable")]
    fn restored(&mut self, kind: SessionKind) {
        self.live[kind as usize] += 1;
    }

    fn ended(&mut self, kind: SessionKind, ending: Option<Ending>) {
        self.live[kind as usize] -= 1;
        if let Some(at) = ENDINGS.iter().position(|&(it, _)| Some(it) == ending) {
            self.ended[kind as usize][at] += 1;
        }
    }

    /// Each kind: how many live, and how many were opened.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (SessionKind, u64, u64)> {
        let counts = self.live.into_iter().zip(self.opened);
        SessionKind::ALL.into_iter().zip(counts).map(|(kind, (live, opened))| (kind, live, opened))
    }

    /// How many of each kind ended in which way, in a word.
    pub(crate) fn endings(&self) -> impl Iterator<Item = (SessionKind, &'static str, u64)> {
        SessionKind::ALL.into_iter().zip(self.ended).flat_map(|(kind, ended)| {
            ENDINGS.into_iter().zip(ended).map(move |((_, word), count)| (kind, word, count))
        })
    }
}

/// A session as it is found.
pub(super) enum Found {
    Live(Arc<Record>),
    Ended(EndReason),
}

impl Digest {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }
}

impl Directory {
    /// Under a secret of this process: it is kept nowhere.
    #[cfg(not(feature = "durable"))]
    pub(super) fn digest(&self, key: &SessionKey) -> Digest {
        // Two halves, so that 128 bits of secret are known again by as many.
        let half = |which: u8| self.digesting.hash_one((which, key.as_bytes()));
        Digest(half(0), half(1))
    }

    /// Kept on disk, where anybody may find it: half of a SHA-256, which tells nothing of 128 random bits.
    #[cfg(feature = "durable")]
    pub(super) fn digest(&self, key: &SessionKey) -> Digest {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(key.as_bytes());
        self.digest_of(*hash.first_chunk().expect("32 bytes"))
    }

    /// As it was kept.
    #[cfg(feature = "durable")]
    pub(super) fn digest_of(&self, kept: [u8; 16]) -> Digest {
        let (first, second) = kept.split_at(8);
        let half = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of sixteen"));
        Digest(half(first), half(second))
    }

    /// The ids up to this one were given to somebody.
    #[cfg(feature = "durable")]
    pub(super) fn go_on_after(&self, last: u64) {
        self.table().last = last;
    }

    /// One that lived in a process before this one.
    #[cfg(feature = "durable")]
    pub(super) fn restore(&self, record: &Arc<Record>) {
        let mut table = self.table();
        table.last = table.last.max(record.id().number());
        table.live.insert(record.id(), record.clone());
        table.keys.extend(record.digest.map(|digest| (digest, record.id())));
        table.counts.restored(record.kind());
    }

    /// Explicit sessions that were opened for a latch.
    pub(super) fn of_latches(&self) -> Vec<Arc<Record>> {
        let table = self.table();
        table.live.values().filter(|record| record.latch.is_some()).cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.table().live.len()
    }

    pub(super) fn counts(&self) -> SessionCounts {
        self.table().counts
    }

    /// Lets in the session that `make` makes for a new id, unless `max` live already.
    pub(super) fn add(
        &self,
        max: usize,
        make: impl FnOnce(SessionId) -> Record,
    ) -> Result<Arc<Record>, Error> {
        let mut table = self.table();
        if table.live.len() >= max {
            let advice = "end sessions that are no longer used, or raise the limit";
            return Err(Error::LimitReached { limit: "sessions", max: max as u64, advice });
        }
        table.last += 1;
        let id = SessionId::new(table.last).expect("2^64 sessions take centuries");
        let record = Arc::new(make(id));
        table.live.insert(id, record.clone());
        table.counts.opened(record.kind());
        if let Some(digest) = record.digest {
            table.keys.insert(digest, id);
        }
        Ok(record)
    }

    /// Takes out one that has ended. One that has a key is remembered for a while.
    pub(super) fn remove(&self, record: &Record) {
        let id = record.id();
        let mut table = self.table();
        let removed = table.live.remove(&id);
        if removed.is_some() {
            table.counts.ended(record.kind(), record.member.lease.ended());
        }
        if let (Some(digest), Some(reason)) = (record.digest, record.member.ended()) {
            table.remember(id, digest, reason);
        }
        drop(table);
        drop(removed);
    }

    pub(super) fn by_key(&self, key: &SessionKey) -> Option<Found> {
        let digest = self.digest(key);
        let table = self.table();
        table.find(*table.keys.get(&digest)?)
    }

    pub(super) fn by_id(&self, id: SessionId) -> Option<Found> {
        self.table().find(id)
    }

    /// Those that live, in the order of their ids, from the one after `after`: `most` at most. Others
    /// come in between.
    pub(super) fn page(&self, mut after: Option<SessionId>, most: usize) -> Vec<Arc<Record>> {
        let mut page = Vec::new();
        while page.len() < most {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let glance = GLANCE.min(most - page.len());
            let before = page.len();
            let table = self.table();
            let next = table.live.range((from, Bound::Unbounded)).take(glance);
            page.extend(next.map(|(_, record)| record.clone()));
            drop(table);
            if page.len() - before < glance {
                break;
            }
            after = page.last().map(|record| record.id());
        }
        page
    }

    /// Nothing here is left half done by a panic.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are remembered, and by how many keys sessions are known.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        let table = self.table();
        assert_eq!(table.order.len(), table.ended.len());
        (table.order.len(), table.keys.len())
    }
}

impl Table {
    fn find(&self, id: SessionId) -> Option<Found> {
        if let Some(record) = self.live.get(&id) {
            return Some(Found::Live(record.clone()));
        }
        self.ended.get(&id).map(|(_, reason)| Found::Ended(reason.clone()))
    }

    fn remember(&mut self, id: SessionId, digest: Digest, reason: EndReason) {
        self.ended.insert(id, (digest, reason));
        self.order.push_back(id);
        if self.order.len() > SESSIONS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
            && let Some((digest, _)) = self.ended.remove(&oldest)
        {
            self.keys.remove(&digest);
        }
    }
}
