//! What must stay alive for its candidates to stay.

use std::fmt;
use std::sync::Arc;

use super::Engine;
use crate::error::{EndReason, Error};
use crate::id::{Holder, SessionId, SessionKind};
use crate::lease::Lease;
use crate::shard::{Command, Member, Reply, ReplyTo, Work};

/// A session: it holds candidates in any number of elections. When it is dropped or ends, all of
/// them leave, in one change for each election.
pub struct Session {
    engine: Engine,
    member: Arc<Member>,
}

impl Session {
    pub(super) fn open(engine: &Engine, kind: SessionKind) -> Result<Self, Error> {
        let max = engine.limits().sessions;
        if engine.inner.sessions.fetch_add(1) >= max {
            engine.inner.sessions.fetch_sub(1);
            let advice = "end sessions that are no longer used, or raise the limit";
            return Err(Error::LimitReached { limit: "sessions", max: max as u64, advice });
        }
        let number = engine.inner.last_session.fetch_add(1) + 1;
        let session = SessionId::new(number).expect("2^64 sessions take centuries");
        let holder = Holder { session, kind };
        let member = Arc::new(Member { holder, lease: Lease::open_ended() });
        Ok(Self { engine: engine.clone(), member })
    }

    /// Its public id.
    pub fn id(&self) -> SessionId {
        self.member.holder.session
    }

    /// Why it ended, or `None` while it lives.
    pub fn ended(&self) -> Option<EndReason> {
        self.member.lease.ended()
    }

    /// Ends the session now. All its candidates leave. Ending it again changes nothing.
    pub fn end(&self) {
        self.end_because(EndReason::Closed);
    }

    pub(crate) fn end_because(&self, reason: EndReason) {
        let Some(mut shards) = self.member.lease.end(reason) else { return };
        self.engine.inner.sessions.fetch_sub(1);
        while shards != 0 {
            let shard = shards.trailing_zeros() as usize;
            shards &= shards - 1;
            let reply = Reply::new(ReplyTo::Nobody, shard);
            let work = Work::SessionEnded(self.id());
            self.engine.inner.shards[shard].submit(Command { work, reply });
        }
    }

    /// Notes that `shard` of `engine` may come to hold candidates of this session.
    pub(super) fn visit(&self, engine: &Engine, shard: usize) -> Result<Arc<Member>, Error> {
        if !self.engine.is(engine) {
            return Err(Error::ForeignSession);
        }
        self.member.lease.visit(shard);
        Ok(self.member.clone())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}", self.id())?;
        match self.ended() {
            Some(reason) => write!(f, ", ended: {reason})"),
            None => write!(f, ")"),
        }
    }
}
