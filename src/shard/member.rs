//! A session as its shards know it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::snapshot::Cell;
use crate::clock::Moment;
use crate::error::{EndReason, Error};
use crate::id::{Holder, SessionId};
use crate::lease::{Ending, Lease};

/// A session as a shard knows it.
pub(crate) struct Member {
    pub(crate) holder: Holder,
    pub(crate) lease: Lease,
    /// What a renewal adds; zero without a deadline.
    pub(crate) ttl: Duration,
    /// Said before the session is ended by somebody else, so that who sees that end sees this.
    notice: OnceLock<Notice>,
    /// By the place of the election: the newest term that was taken from it and not let go.
    lost: Mutex<BTreeMap<usize, (Arc<Cell>, u64)>>,
}

struct Notice {
    by: Option<SessionId>,
    note: Box<str>,
    /// Until when its holder may think that it lives.
    deadline: Option<Moment>,
}

impl Member {
    pub(crate) fn new(holder: Holder, lease: Lease, ttl: Duration) -> Self {
        Self { holder, lease, ttl, notice: OnceLock::new(), lost: Mutex::default() }
    }

    /// Why it ended, or `None` while it lives.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        self.lease.ended().map(|ending| self.reason(ending))
    }

    /// Which session ended it, if another one did.
    pub(crate) fn ended_by(&self) -> Option<SessionId> {
        let by_another = self.lease.ended() == Some(Ending::Ended);
        self.notice.get().filter(|_| by_another)?.by
    }

    /// Until when its holder may act, as far as this server can tell: its deadline, also if somebody
    /// else has ended it without its knowing.
    pub(super) fn may_act_until(&self) -> Option<Moment> {
        match self.lease.ended() {
            None => self.lease.deadline(),
            Some(Ending::Ended) => self.notice.get()?.deadline,
            Some(_) => None,
        }
    }

    /// An ending in words.
    pub(crate) fn reason(&self, ending: Ending) -> EndReason {
        match ending {
            Ending::Closed => EndReason::Closed,
            Ending::Disconnected => EndReason::Disconnected,
            Ending::Expired => EndReason::Expired,
            Ending::Ended => {
                let note = self.notice.get().map_or_else(Box::default, |it| it.note.clone());
                EndReason::Ended { note }
            }
        }
    }

    /// Somebody is about to end it. Of several, the first one's words stay.
    pub(crate) fn give_notice(&self, by: Option<SessionId>, note: &str) {
        let deadline = self.lease.deadline();
        let _said_before = self.notice.set(Notice { by, note: note.into(), deadline });
    }

    /// Refuses what is asked by a session that has ended.
    pub(super) fn check(&self) -> Result<(), Error> {
        #[cfg(feature = "failpoints")]
        if super::canary::sings(super::canary::Canary::SessionUnchecked) {
            return Ok(());
        }
        self.ended().map_or(Ok(()), |reason| Err(Error::SessionEnded { reason }))
    }

    /// The lead of `term` was taken from it.
    pub(super) fn lose(&self, cell: &Arc<Cell>, term: u64) {
        let mut lost = self.lost();
        // Who has ended has nothing to be told. An end forgets what was noted before it.
        if self.lease.ended().is_none() {
            lost.insert(place(cell), (cell.clone(), term));
        }
    }

    /// It knows that it no longer leads, up to this term.
    pub(crate) fn let_go(&self, cell: &Arc<Cell>, term: u64) {
        let mut lost = self.lost();
        if lost.get(&place(cell)).is_some_and(|&(_, newest)| newest <= term) {
            lost.remove(&place(cell));
        }
    }

    /// Elections and terms that were taken from it and that it has not let go: `most` at most.
    pub(crate) fn lost_terms(&self, most: usize) -> Vec<(Box<str>, u64)> {
        let lost = self.lost();
        lost.values().take(most).map(|(cell, term)| (cell.name().into(), *term)).collect()
    }

    /// It has ended: nothing is left to be told.
    pub(crate) fn forget_lost(&self) {
        drop(std::mem::take(&mut *self.lost()));
    }

    fn lost(&self) -> MutexGuard<'_, BTreeMap<usize, (Arc<Cell>, u64)>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cell that is held keeps its place.
fn place(cell: &Arc<Cell>) -> usize {
    Arc::as_ptr(cell).addr()
}
