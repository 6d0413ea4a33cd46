//! `tenure.v1.Sessions`: explicit sessions.

use std::time::Duration;

use super::{decode, micros, page_size};
use crate::engine::{Failover, SessionInfo, SessionSettings};
use crate::error::Error;
use crate::id::{SessionId, SessionKey, SessionKind};
use crate::service::kept::Kept;
use crate::service::{Answer, Caller, ReplyTo};
use crate::wire::message::Message;
use crate::wire::tenure_v1::sessions::{
    CloseRequest, EndRequest, KeepAliveRequest, KeepAliveResponse, ListRequest, ListResponse, Lost,
    OpenRequest, OpenResponse, Session, failover, session_kind,
};

pub(in crate::service) const SERVICE: &str = "tenure.v1.Sessions";

impl Caller {
    pub(in crate::service) fn open(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: OpenRequest = decode(payload, "tenure.v1.OpenRequest")?;
        let (sink, ticket) = to.claim()?;
        let is_new = request.key.is_empty();
        let (session, key) = if is_new {
            let mut settings = SessionSettings { owner: request.owner, ..Default::default() };
            if request.ttl_micros != 0 {
                settings.ttl = Duration::from_micros(request.ttl_micros);
            }
            settings.failover = match request.failover {
                failover::EXCLUSIVE => Failover::Exclusive,
                failover::FAST => Failover::Fast,
                other => {
                    let why = format!("{other} is none; give 0 (exclusive) or 1 (fast)");
                    return Err(Error::InvalidSetting { setting: "failover", why });
                }
            };
            self.engine.open_session_to(settings, None, (sink, ticket))?
        } else {
            let key = SessionKey::try_from(&*request.key)?;
            (self.engine.resume_session(&key)?, key)
        };
        let reply = OpenResponse {
            session: session.id().number(),
            key: key.as_bytes().to_vec(),
            ttl_micros: micros(session.ttl()),
            failover: match session.kind() {
                SessionKind::Fast => failover::FAST,
                _ => failover::EXCLUSIVE,
            },
        };
        if !is_new {
            self.attach(session)?;
            return Ok(Answer::Bytes(reply.encode()));
        }
        let opened = Kept::new(reply.encode()).with(session.clone_handle());
        self.attach(session)?;
        Ok(Answer::Task(Box::new(opened)))
    }

    pub(in crate::service) fn keep_alive(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request: KeepAliveRequest = decode(payload, "tenure.v1.KeepAliveRequest")?;
        let session = self.acting_for_one(request.session)?;
        for released in &request.released {
            if let Some(election) = self.engine.find(&released.election)? {
                election.let_go(&session, released.term);
            }
        }
        let lost = session.lost().into_iter();
        let reply = KeepAliveResponse {
            ttl_micros: micros(session.ttl()),
            lost: lost.map(|(election, term)| Lost { election: election.into(), term }).collect(),
        };
        Ok(Answer::Bytes(reply.encode()))
    }

    pub(in crate::service) fn close_session(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: CloseRequest = decode(payload, "tenure.v1.CloseRequest")?;
        let (sink, ticket) = to.claim()?;
        let session = self.acting_for_one(request.session)?;
        session.end_now();
        self.forget_own(session.id());
        self.engine.sync_to(sink, ticket);
        Ok(Answer::Task(Box::new(Kept::new(Vec::new()))))
    }

    pub(in crate::service) fn end_session(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: EndRequest = decode(payload, "tenure.v1.EndRequest")?;
        let Some(id) = SessionId::new(request.session) else {
            let why = "0 names no session; give an id from a listing".to_owned();
            return Err(Error::InvalidSetting { setting: "session", why });
        };
        let by = self.acting_if_any(0)?.map(|session| session.id());
        let (sink, ticket) = to.claim()?;
        self.engine.end_session_by(id, by, &request.reason)?;
        self.engine.sync_to(sink, ticket);
        Ok(Answer::Task(Box::new(Kept::new(Vec::new()))))
    }

    pub(in crate::service) fn list_sessions(
        &mut self,
        payload: &[u8],
    ) -> Result<Answer<'_>, Error> {
        let request: ListRequest = decode(payload, "tenure.v1.ListRequest")?;
        let after = match &*request.page_token {
            "" => None,
            token => Some(token.parse().ok().and_then(SessionId::new).ok_or_else(|| {
                let why = format!("{token:?} is not from a listing of sessions");
                Error::InvalidSetting { setting: "page_token", why }
            })?),
        };
        let most = page_size(request.page_size);
        let page = self.engine.list_sessions(after, most);
        let is_last = page.len() < most;
        let last = page.last().filter(|_| !is_last).map(|last| last.id.to_string());
        let reply = ListResponse {
            sessions: page.into_iter().map(session).collect(),
            next_page_token: last.unwrap_or_default(),
        };
        Ok(Answer::Bytes(reply.encode()))
    }
}

/// A session as the services show it.
pub(super) fn session(info: SessionInfo) -> Session {
    Session {
        session: info.id.number(),
        kind: match info.kind {
            SessionKind::Connection => session_kind::CONNECTION,
            SessionKind::Exclusive => session_kind::EXCLUSIVE,
            SessionKind::Fast => session_kind::FAST,
            SessionKind::Owned => session_kind::EMBEDDED,
        },
        owner: info.owner.into(),
        ttl_micros: micros(info.ttl),
        remaining_micros: micros(info.remaining),
        age_micros: micros(info.age),
        silent_micros: micros(info.silent),
        peer: info.peer.map(String::from).unwrap_or_default(),
    }
}
