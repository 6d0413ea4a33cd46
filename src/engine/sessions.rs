//! Explicit sessions: opened, resumed, listed, ended by somebody else; and how any session ends.

use std::sync::Arc;

use super::directory::Found;
use super::keeping::What;
use super::record::Record;
use super::{Engine, Session, SessionInfo, SessionSettings};
use crate::error::Error;
use crate::id::{SessionId, SessionKey, checked_note};
use crate::lease::Ending;
use crate::limits;
use crate::log::{self, LatchMark};
use crate::shard::{Command, Reply, ReplyTo, Sink, Ticket, Work};

impl Engine {
    /// An explicit session: it ends when it is not renewed for its TTL, or is ended, and not when its
    /// handle is dropped. The key resumes it from anywhere.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a TTL out of [`Failover::ttl_range`](super::Failover::ttl_range);
    /// [`Error::InvalidName`] for the owner; [`Error::LimitReached`] at
    /// [`Limits::sessions`](limits::Limits::sessions); [`Error::NoRandomness`].
    pub fn open_session(&self, settings: SessionSettings) -> Result<(Session, SessionKey), Error> {
        let open = || Session::open_lasting(self, settings, None, ReplyTo::Nobody);
        let (session, key) = log::handing_over(open)?;
        match self.sync() {
            Ok(()) => Ok((session, key)),
            Err(error) => {
                session.end_now();
                Err(error)
            }
        }
    }

    /// As [`open_session`](Self::open_session), without waiting: the ticket is called when the session is
    /// kept, or can't be. It may be one of a latch.
    pub(crate) fn open_session_to(
        &self,
        settings: SessionSettings,
        latch: Option<LatchMark>,
        (sink, ticket): (&Arc<dyn Sink>, Ticket),
    ) -> Result<(Session, SessionKey), Error> {
        Session::open_lasting(self, settings, latch, ReplyTo::Sink(sink.clone(), ticket))
    }

    /// Those that were opened for a latch, and live.
    pub(crate) fn latch_sessions(&self) -> Vec<Session> {
        let records = self.inner.sessions.of_latches();
        records.into_iter().map(|record| Session::lasting(self, record)).collect()
    }

    /// The explicit session with this key, renewed.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if it has ended, for as long as that is remembered: the last 16,384
    /// are; else [`Error::UnknownSession`].
    pub fn resume_session(&self, key: &SessionKey) -> Result<Session, Error> {
        match self.inner.sessions.by_key(key) {
            Some(Found::Live(record)) => {
                record.renew(self.clock().now())?;
                Ok(Session::lasting(self, record))
            }
            Some(Found::Ended(reason)) => Err(Error::SessionEnded { reason }),
            None => Err(Error::UnknownSession { session: None }),
        }
    }

    /// Ends somebody's session, of whatever kind. All its candidates leave.
    ///
    /// # Errors
    /// As [`end_session_because`](Self::end_session_because).
    pub fn end_session(&self, id: SessionId) -> Result<(), Error> {
        self.end_session_because(id, "")
    }

    /// As [`end_session`](Self::end_session), with a note for its owner: at most 256 bytes.
    ///
    /// # Errors
    /// [`Error::UnknownSession`]; [`Error::SessionEnded`] if it has ended, and had a key;
    /// [`Error::InvalidName`] for the note.
    pub fn end_session_because(&self, id: SessionId, note: &str) -> Result<(), Error> {
        self.end_session_by(id, None, note)?;
        self.sync()
    }

    /// As `end_session_because`, by another session, without waiting until that is kept.
    pub(crate) fn end_session_by(
        &self,
        id: SessionId,
        by: Option<SessionId>,
        note: &str,
    ) -> Result<(), Error> {
        let note = checked_note("reason", note.as_bytes(), limits::NOTE_BYTES)?;
        match self.inner.sessions.by_id(id) {
            Some(Found::Live(record)) => {
                record.member.give_notice(by, note);
                self.end_as(&record, Ending::Ended);
                Ok(())
            }
            Some(Found::Ended(reason)) => Err(Error::SessionEnded { reason }),
            None => Err(Error::UnknownSession { session: Some(id) }),
        }
    }

    /// The sessions that live, of every kind, in the order of their ids, from the one after `after`:
    /// at most `most`. Fewer than that are the last ones.
    pub fn list_sessions(&self, after: Option<SessionId>, most: usize) -> Vec<SessionInfo> {
        let page = self.inner.sessions.page(after, most);
        let now = self.clock().now();
        page.iter().map(|record| record.info(now)).collect()
    }

    /// What a listing shows of the session with this id, if it lives.
    pub fn session_info(&self, id: SessionId) -> Option<SessionInfo> {
        match self.inner.sessions.by_id(id)? {
            Found::Live(record) => Some(record.info(self.clock().now())),
            Found::Ended(_) => None,
        }
    }

    /// Whether the session with this id lives.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub(crate) fn check_session(&self, id: SessionId) -> Result<(), Error> {
        match self.inner.sessions.by_id(id) {
            Some(Found::Live(record)) => record.check(),
            Some(Found::Ended(reason)) => Err(Error::SessionEnded { reason }),
            None => Err(Error::UnknownSession { session: Some(id) }),
        }
    }

    /// Stays the same for as long as the engine's data does: 32 hexadecimal digits.
    pub fn server_id(&self) -> &str {
        &self.inner.server_id
    }

    /// New with each engine: 32 hexadecimal digits. In memory, another one means that everything was
    /// forgotten, and terms begin again.
    pub fn incarnation(&self) -> &str {
        &self.inner.incarnation
    }

    /// Ends a session, unless it has ended.
    pub(super) fn end_as(&self, record: &Arc<Record>, ending: Ending) {
        if let Some(shards) = record.member.lease.end(ending) {
            self.tell_ended(record, shards);
        }
    }

    /// Tells the shards that a session has ended: called once for each, by whoever ended it.
    pub(super) fn tell_ended(&self, record: &Arc<Record>, mut shards: u64) {
        self.inner.sessions.remove(record);
        // Ahead of its candidates' leaving: whoever finds it gone after a restart lets them leave. Not so
        // where somebody else ends it: then they leave first, and with them it is kept that its holder may
        // not know yet.
        let is_kept = record.digest.is_some();
        let may_act = record.member.lease.ended() == Some(Ending::Ended);
        if is_kept && !may_act {
            self.keep(What::Ended(record.id()));
        }
        self.inner.timers.forget(self, record);
        record.member.forget_lost();
        while shards != 0 {
            let shard = shards.trailing_zeros() as usize;
            shards &= shards - 1;
            let reply = Reply::new(ReplyTo::Nobody, shard);
            let work = Work::SessionEnded(record.id());
            self.inner.shards[shard].submit(Command { work, reply });
        }
        if is_kept && may_act {
            self.keep(What::Ended(record.id()));
        }
        record.tell_followers();
    }
}

#[cfg(test)]
mod tests;
