//! For whom a call acts: one of the explicit sessions that are attached to its connection, the one whose
//! key it carries, or the connection's own.

use std::collections::HashMap;

use super::Caller;
use crate::engine::{Engine, Session};
use crate::error::Error;
use crate::id::{SessionId, SessionKey};
use crate::service::SESSION;

/// Attached sessions that are kept before it is worth looking for those that ended or moved on.
const FEW: usize = 64;

/// The sessions of one connection.
#[derive(Default)]
pub(super) struct Sessions {
    /// The connection's own, made by the first call that needs one.
    pub(super) own: Option<Session>,
    /// Explicit ones that were opened or resumed here, by their ids. Some may have ended or moved on
    /// since: never more than those that have not, and some.
    attached: HashMap<SessionId, Session>,
    /// So many are kept before they are swept.
    room: usize,
    /// The one whose key the present call carries.
    pub(super) by_key: Option<Session>,
}

impl Sessions {
    /// For a request that names none: the session of its key, or the connection's own; renewed.
    pub(super) fn unnamed(
        &mut self,
        engine: &Engine,
        (connection, peer): (u64, &str),
    ) -> Result<&Session, Error> {
        if let Some(session) = &self.by_key {
            return Ok(session);
        }
        match &mut self.own {
            Some(session) => {
                session.renew()?;
                Ok(session)
            }
            slot => {
                let session = engine.connection_session()?;
                // So that a listing shows whose it is.
                session.attach(connection, peer)?;
                Ok(slot.insert(session))
            }
        }
    }

    /// The same, if there is one already. That of a connection has no deadline to move, but a
    /// listing tells when it was last heard.
    pub(super) fn renewed_if_any(&self) -> Result<Option<&Session>, Error> {
        self.own
            .iter()
            .filter(|_| self.by_key.is_none())
            .try_for_each(|own| own.renew().map(drop))?;
        Ok(self.unnamed_if_any())
    }

    /// The same, as it is.
    pub(super) fn unnamed_if_any(&self) -> Option<&Session> {
        self.by_key.as_ref().or(self.own.as_ref())
    }
}

impl Caller {
    /// The session that the call acts for, renewed. `id` is what its request says; 0 says nothing.
    pub(super) fn acting(&mut self, id: u64) -> Result<Session, Error> {
        let Some(id) = SessionId::new(id) else {
            let here = (self.connection, &*self.peer);
            return Ok(self.sessions.unnamed(&self.engine, here)?.clone_handle());
        };
        let session = self.named(id)?;
        session.renew()?;
        Ok(session)
    }

    /// As [`acting`](Self::acting), for a call that may act for nobody: no session is made for it.
    pub(super) fn acting_if_any(&mut self, id: u64) -> Result<Option<Session>, Error> {
        let nobody = id == 0 && self.sessions.unnamed_if_any().is_none();
        if nobody { Ok(None) } else { self.acting(id).map(Some) }
    }

    /// As [`acting`](Self::acting), for a call that is about a session: none is made for it.
    pub(super) fn acting_for_one(&mut self, id: u64) -> Result<Session, Error> {
        if id == 0 && self.sessions.unnamed_if_any().is_none() {
            let why = format!(
                "this connection has none yet; give the id of one that is attached to it, or a key in \
                 the metadata {SESSION}"
            );
            return Err(Error::InvalidSetting { setting: "session", why });
        }
        self.acting(id)
    }

    fn named(&self, id: SessionId) -> Result<Session, Error> {
        let Sessions { own, attached, by_key, .. } = &self.sessions;
        // A key proves owning it, wherever it is attached.
        let mut ours = own.iter().chain(by_key);
        if let Some(session) = ours.find(|session| session.id() == id) {
            return Ok(session.clone_handle());
        }
        match attached.get(&id) {
            Some(session) if session.is_attached_to(self.connection) => Ok(session.clone_handle()),
            _ => {
                self.engine.check_session(id)?;
                Err(Error::NotAttached)
            }
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
        let Sessions { attached, room, .. } = &mut self.sessions;
        attached.insert(session.id(), session);
        if attached.len() > FEW.max(*room) {
            attached.retain(|_, it| it.ended().is_none() && it.is_attached_to(self.connection));
            *room = 2 * attached.len();
        }
        Ok(())
    }

    /// The connection's own session was closed here: the next call that needs one makes another.
    pub(super) fn forget_own(&mut self, id: SessionId) {
        self.sessions.own.take_if(|own| own.id() == id);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::engine::SessionSettings;
    use crate::service::Latches;

    /// A connection may live for ever: what was opened on it and has ended is no weight to it.
    #[test]
    fn q1_ended_and_moved_sessions_are_not_kept() {
        let clock = Clock::manual();
        let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
        let caller = || {
            Caller::new(
                engine.clone(),
                "a peer".into(),
                Arc::default(),
                Arc::default(),
                Latches::of(&engine),
            )
        };
        let (mut here, mut elsewhere) = (caller(), caller());
        let open = || engine.open_session(SessionSettings::default()).unwrap().0;
        let stays = open();
        here.attach(stays.clone_handle()).unwrap();
        for _ in 0..10 * FEW {
            let [ends, moves] = [(); 2].map(|()| open());
            here.attach(ends.clone_handle()).unwrap();
            here.attach(moves.clone_handle()).unwrap();
            elsewhere.attach(moves.clone_handle()).unwrap();
            clock.advance(Duration::from_secs(2));
            stays.renew().unwrap();
            engine.tick(clock.now());
            assert!(here.sessions.attached.len() <= FEW + 1);
            assert!(ends.ended().is_some() || here.acting(ends.id().number()).is_ok());
            let moved = here.acting(moves.id().number()).unwrap_err();
            assert!(matches!(moved, Error::NotAttached | Error::SessionEnded { .. }), "{moved}");
        }
        assert!(here.acting(stays.id().number()).is_ok());
        // As many as live here are kept, however many.
        let live: Vec<Session> = (0..3 * FEW).map(|_| open()).collect();
        live.iter().for_each(|it| here.attach(it.clone_handle()).unwrap());
        assert!(live.iter().all(|it| here.acting(it.id().number()).is_ok()));
    }
}
