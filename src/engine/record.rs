//! What an engine knows of one session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::directory::Digest;
use crate::clock::Moment;
use crate::error::Error;
use crate::id::{SessionId, SessionKind};
use crate::lease::Ending;
use crate::log::{KeptSession, LatchMark};
use crate::shard::{Followers, Member, Slot, When};
use crate::wheel::TimerId;

pub(super) struct Record {
    pub(super) member: Arc<Member>,
    pub(super) owner: Box<str>,
    /// Of its key; none for a session that can't be resumed.
    pub(super) digest: Option<Digest>,
    /// What it was opened for, if for a latch.
    pub(super) latch: Option<LatchMark>,
    opened: Moment,
    /// When it was last heard, if no deadline tells that.
    heard: AtomicCell<Moment>,
    /// Where it is attached to.
    place: Mutex<Option<Place>>,
    /// Who is told when it ends.
    followers: Mutex<Followers>,
    /// The timers' own: what watches over its deadline.
    pub(super) timer: AtomicCell<Option<TimerId>>,
}

struct Place {
    connection: u64,
    peer: Box<str>,
}

/// A session as a listing shows it. Its key is no part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its public id.
    pub id: SessionId,
    /// What keeps it alive.
    pub kind: SessionKind,
    /// Who it is, in the words of whoever opened it; may be empty.
    pub owner: Box<str>,
    /// How long it lives after each renewal; zero without a deadline.
    pub ttl: Duration,
    /// Left until its deadline; zero without one.
    pub remaining: Duration,
    /// Since it was opened.
    pub age: Duration,
    /// Since it was last heard; zero for one that is held inside this process.
    pub silent: Duration,
    /// The connection it is attached to, if it is.
    pub peer: Option<Box<str>>,
}

impl Record {
    pub(super) fn new(
        member: Member,
        owner: Box<str>,
        digest: Option<Digest>,
        latch: Option<LatchMark>,
        opened: Moment,
    ) -> Self {
        Self {
            member: Arc::new(member),
            owner,
            digest,
            latch,
            opened,
            heard: AtomicCell::new(opened),
            place: Mutex::new(None),
            followers: Mutex::default(),
            timer: AtomicCell::new(None),
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.member.holder.session
    }

    pub(super) fn kind(&self) -> SessionKind {
        self.member.holder.kind
    }

    /// What a log keeps of one that has a key.
    pub(super) fn kept(&self) -> KeptSession {
        KeptSession {
            holder: self.member.holder,
            ttl: self.member.ttl,
            owner: self.owner.clone(),
            digest: self.digest.map(Digest::to_bytes).unwrap_or_default(),
            latch: self.latch.clone(),
        }
    }

    pub(super) fn opened(&self) -> Moment {
        self.opened
    }

    /// It is heard at `now`: its deadline is a whole TTL from then.
    pub(super) fn renew(&self, now: Moment) -> Result<(), Error> {
        let ended = |ending| Error::SessionEnded { reason: self.member.reason(ending) };
        self.member.lease.renew(now + self.member.ttl).map_err(ended)?;
        if self.member.ttl.is_zero() {
            self.heard.store(now);
        }
        Ok(())
    }

    /// Refuses if it has ended.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.member.ended().map_or(Ok(()), |reason| Err(Error::SessionEnded { reason }))
    }

    /// Moves it to a connection, unless it has ended.
    pub(super) fn attach(&self, connection: u64, peer: &str) -> Result<(), Error> {
        let mut place = self.place();
        // Under the lock: who is detached ends the session under it, before or after, not meanwhile.
        if let Some(reason) = self.member.ended() {
            return Err(Error::SessionEnded { reason });
        }
        *place = Some(Place { connection, peer: peer.into() });
        Ok(())
    }

    pub(super) fn is_attached_to(&self, connection: u64) -> bool {
        self.place().as_ref().is_some_and(|place| place.connection == connection)
    }

    /// Its connection has closed. The shards to tell, if that has ended it.
    pub(super) fn detach(&self, connection: u64) -> Option<u64> {
        let mut place = self.place();
        place.take_if(|place| place.connection == connection)?;
        let ends = self.kind() == SessionKind::Fast;
        ends.then(|| self.member.lease.end(Ending::Disconnected))?
    }

    pub(super) fn info(&self, now: Moment) -> SessionInfo {
        let (ttl, deadline) = (self.member.ttl, self.member.lease.deadline());
        let silent = match deadline {
            // It was heard a whole TTL before its deadline.
            Some(deadline) => (now + ttl) - deadline,
            None if self.kind() == SessionKind::Owned => Duration::ZERO,
            None => now - self.heard.load(),
        };
        SessionInfo {
            id: self.id(),
            kind: self.kind(),
            owner: self.owner.clone(),
            ttl,
            remaining: deadline.map_or(Duration::ZERO, |deadline| deadline - now),
            age: now - self.opened,
            silent,
            peer: self.place().as_ref().map(|place| place.peer.clone()),
        }
    }

    /// Tells `slot` when the session ends, or now, if it has.
    pub(super) fn follow(&self, slot: Arc<Slot>) {
        self.followers().join(slot.clone());
        // Who ended it before may have told the others already.
        if self.member.lease.ended().is_some() {
            slot.wake();
        }
    }

    pub(super) fn unfollow(&self, slot: &Slot) {
        self.followers().leave(slot);
    }

    /// It has ended, and its shards know.
    pub(super) fn tell_followers(&self) {
        let followers: Vec<_> = self.followers().told(When::Released).to_vec();
        followers.iter().for_each(|slot| slot.wake());
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
