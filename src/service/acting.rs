//! For whom a call acts: one of the explicit sessions that are attached to its connection, the one whose
//! key it carries, or the connection's own.

use std::collections::HashMap;

use super::Caller;
use crate::engine::{Engine, Session};
use crate::error::Error;
use crate::id::{SessionId, SessionKey};

/// The sessions of one connection.
#[derive(Default)]
pub(super) struct Sessions {
    /// The connection's own, made by the first call that needs one.
    pub(super) own: Option<Session>,
    /// Explicit ones that were opened or resumed here, by their ids. Some may have moved on since.
    attached: HashMap<SessionId, Session>,
    /// The one whose key the present call carries.
    pub(super) by_key: Option<Session>,
}

impl Sessions {
    /// For a request that can't name one: the session of its key, or the connection's own.
    pub(super) fn unnamed(&mut self, engine: &Engine) -> Result<&Session, Error> {
        if let Some(session) = &self.by_key {
            return Ok(session);
        }
        match &mut self.own {
            Some(session) => Ok(session),
            slot => Ok(slot.insert(engine.connection_session()?)),
        }
    }

    /// The same, if there is one already.
    pub(super) fn unnamed_if_any(&self) -> Option<&Session> {
        self.by_key.as_ref().or(self.own.as_ref())
    }
}

impl Caller {
    /// The session that the call acts for, renewed. `id` is what its request says; 0 says nothing.
    pub(super) fn acting(&mut self, id: u64) -> Result<Session, Error> {
        let session = match SessionId::new(id) {
            Some(id) => self.named(id)?,
            None => self.sessions.unnamed(&self.engine)?.clone_handle(),
        };
        session.renew()?;
        Ok(session)
    }

    /// As [`acting`](Self::acting), for a call that may act for nobody: no session is made for it.
    pub(super) fn acting_if_any(&mut self, id: u64) -> Result<Option<SessionId>, Error> {
        let nobody = id == 0 && self.sessions.unnamed_if_any().is_none();
        if nobody { Ok(None) } else { self.acting(id).map(|session| Some(session.id())) }
    }

    fn named(&self, id: SessionId) -> Result<Session, Error> {
        let Sessions { own, attached, by_key } = &self.sessions;
        if let Some(session) = attached.get(&id) {
            let is_ours = session.is_attached_to(self.connection) || session.ended().is_some();
            return if is_ours { Ok(session.clone_handle()) } else { Err(Error::NotAttached) };
        }
        if let Some(session) = own.iter().chain(by_key).find(|session| session.id() == id) {
            return Ok(session.clone_handle());
        }
        // Somebody else's, or nobody's.
        match self.engine.session_info(id) {
            Some(_) => Err(Error::NotAttached),
            None => Err(Error::UnknownSession { session: Some(id) }),
        }
    }

    /// Takes note of the key that a call carries; it owns the session, wherever that is attached.
    pub(super) fn take_key(&mut self, key: Option<&str>) -> Result<(), Error> {
        if key.is_none() && self.sessions.by_key.is_none() {
            return Ok(());
        }
        let session = key.map(|key| self.engine.resume_session(&key.parse::<SessionKey>()?));
        self.sessions.by_key = session.transpose()?;
        Ok(())
    }

    /// Attaches a session to this connection.
    pub(super) fn attach(&mut self, session: Session) -> Result<(), Error> {
        session.attach(self.connection, &self.peer)?;
        self.sessions.attached.insert(session.id(), session);
        Ok(())
    }

    /// It was closed here.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.sessions.attached.remove(&id);
    }

    /// The connection has closed: what that means to each session is the session's choice.
    pub(super) fn detach_all(&mut self) {
        self.sessions.by_key = None;
        for (_, session) in self.sessions.attached.drain() {
            session.detach(self.connection);
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.detach_all();
    }
}
