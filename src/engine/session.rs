//! What must stay alive for its candidates to stay.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::clock::Moment;
use crate::error::{EndReason, Error};
use crate::id::{Holder, SessionId, SessionKind};
use crate::lease::Lease;
use crate::shard::{Command, Member, Reply, ReplyTo, Work};

/// What a closed connection means to a session with a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failover {
    /// Nothing: the session lives until its deadline. Never two acting leaders.
    #[default]
    Exclusive,
    /// Its end, at once: the shortest gap. Overlap is caught by the term alone.
    Fast,
}

impl Failover {
    /// The TTLs that a session under it may have.
    pub fn ttl_range(self) -> RangeInclusive<Duration> {
        let shortest = match self {
            Failover::Exclusive => Duration::from_millis(500),
            Failover::Fast => Duration::from_millis(100),
        };
        shortest..=Duration::from_secs(24 * 60 * 60)
    }

    fn kind(self) -> SessionKind {
        match self {
            Failover::Exclusive => SessionKind::Exclusive,
            Failover::Fast => SessionKind::Fast,
        }
    }
}

/// A session: it holds candidates in any number of elections. When it is dropped or ends, all of
/// them leave, in one change for each election.
pub struct Session {
    engine: Engine,
    member: Arc<Member>,
    /// What dropping this handle does.
    ends_on_drop: bool,
}

impl Session {
    pub(super) fn open(engine: &Engine, kind: SessionKind) -> Result<Self, Error> {
        Self::admit(engine, kind, Lease::open_ended(), Duration::ZERO)
    }

    pub(super) fn open_with_ttl(
        engine: &Engine,
        ttl: Duration,
        failover: Failover,
    ) -> Result<Self, Error> {
        check_ttl(ttl, failover)?;
        let deadline = engine.clock().now() + ttl;
        let session = Self::admit(engine, failover.kind(), Lease::until(deadline), ttl)?;
        engine.inner.timers.add(engine, session.member.clone());
        Ok(session)
    }

    fn admit(
        engine: &Engine,
        kind: SessionKind,
        lease: Lease,
        ttl: Duration,
    ) -> Result<Self, Error> {
        let max = engine.limits().sessions;
        if engine.inner.sessions.fetch_add(1) >= max {
            engine.inner.sessions.fetch_sub(1);
            let advice = "end sessions that are no longer used, or raise the limit";
            return Err(Error::LimitReached { limit: "sessions", max: max as u64, advice });
        }
        let number = engine.inner.last_session.fetch_add(1) + 1;
        let session = SessionId::new(number).expect("2^64 sessions take centuries");
        let member = Arc::new(Member { holder: Holder { session, kind }, lease, ttl });
        Ok(Self { engine: engine.clone(), member, ends_on_drop: true })
    }

    /// Another handle of the same session, which does not end it when dropped.
    pub(crate) fn clone_handle(&self) -> Self {
        let (engine, member) = (self.engine.clone(), self.member.clone());
        Self { engine, member, ends_on_drop: false }
    }

    /// What keeps it alive.
    pub fn kind(&self) -> SessionKind {
        self.member.holder.kind
    }

    /// How long it lives after each renewal; zero for one that has no deadline.
    pub fn ttl(&self) -> Duration {
        self.member.ttl
    }

    /// When it ends unless it is renewed; `None` if it has ended, or has no deadline.
    pub fn deadline(&self) -> Option<Moment> {
        self.member.lease.deadline()
    }

    /// Moves the deadline to a whole TTL from now, and says which that is. One compare-exchange.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub fn renew(&self) -> Result<Duration, Error> {
        let deadline = self.engine.clock().now() + self.member.ttl;
        match self.member.lease.renew(deadline) {
            Ok(()) => Ok(self.member.ttl),
            Err(reason) => Err(Error::SessionEnded { reason }),
        }
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
        if let Some(shards) = self.member.lease.end(reason) {
            self.engine.tell_ended(&self.member, shards);
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

impl Engine {
    /// Tells the shards that a session has ended: called once for each, by whoever ended it.
    pub(super) fn tell_ended(&self, member: &Member, mut shards: u64) {
        self.inner.sessions.fetch_sub(1);
        while shards != 0 {
            let shard = shards.trailing_zeros() as usize;
            shards &= shards - 1;
            let reply = Reply::new(ReplyTo::Nobody, shard);
            let work = Work::SessionEnded(member.holder.session);
            self.inner.shards[shard].submit(Command { work, reply });
        }
    }
}

fn check_ttl(ttl: Duration, failover: Failover) -> Result<(), Error> {
    let range = failover.ttl_range();
    if range.contains(&ttl) {
        return Ok(());
    }
    let why = format!("{ttl:?} is out of range; give {:?} to {:?}", range.start(), range.end());
    Err(Error::InvalidSetting { setting: "ttl", why })
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.ends_on_drop {
            self.end();
        }
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
