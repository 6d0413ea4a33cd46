//! What must stay alive for its candidates to stay.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::directory::Digest;
use super::keeping::What;
use super::record::{Record, SessionInfo};
use crate::clock::Moment;
use crate::error::{EndReason, Error};
use crate::id::{Holder, SessionId, SessionKey, SessionKind, checked_note};
use crate::lease::{Ending, Lease};
use crate::limits::{LOST_AT_A_TIME, OWNER_BYTES};
use crate::log::LatchMark;
use crate::random::random;
use crate::shard::{Cell, Member, ReplyTo, Sink, Slot, Ticket, When};

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

/// What an explicit session is opened with.
///
/// ```
/// use tenure::{Failover, SessionSettings};
///
/// let settings = SessionSettings { failover: Failover::Fast, ..SessionSettings::default() };
/// # assert_eq!(settings.ttl.as_secs(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long it lives after each renewal; 3 s by default.
    pub ttl: Duration,
    /// What a closed connection means to it.
    pub failover: Failover,
    /// Who this is, for people: shown in listings. At most 256 bytes, and may be empty.
    pub owner: String,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(3), failover: Failover::default(), owner: String::new() }
    }
}

/// A session: it holds candidates in any number of elections. When it ends, all of them leave, in
/// one change for each election.
///
/// One from [`Engine::session`] or [`Engine::session_with_ttl`] ends when this handle is dropped. One
/// from [`Engine::open_session`] or [`Engine::resume_session`] does not.
pub struct Session {
    engine: Engine,
    record: Arc<Record>,
    /// What dropping this handle does.
    ends_on_drop: bool,
}

impl Session {
    pub(super) fn open(engine: &Engine, kind: SessionKind) -> Result<Self, Error> {
        let admission = Admission { kind, ..Admission::default() };
        Self::admit(engine, admission).map(|record| Self::ending(engine, record))
    }

    pub(super) fn open_with_ttl(
        engine: &Engine,
        ttl: Duration,
        failover: Failover,
    ) -> Result<Self, Error> {
        check_ttl(ttl, failover)?;
        let admission = Admission { kind: failover.kind(), ttl, ..Admission::default() };
        Self::admit(engine, admission).map(|record| Self::ending(engine, record))
    }

    pub(super) fn open_lasting(
        engine: &Engine,
        settings: SessionSettings,
        latch: Option<LatchMark>,
        to: ReplyTo,
    ) -> Result<(Self, SessionKey), Error> {
        engine.log().admit(true)?;
        let SessionSettings { ttl, failover, owner } = settings;
        check_ttl(ttl, failover)?;
        let owner = checked_note("owner", owner.as_bytes(), OWNER_BYTES)?;
        let key = SessionKey::from_bytes(random()?);
        let digest = Some(engine.inner.sessions.digest(&key));
        let admission = Admission { kind: failover.kind(), ttl, owner, digest, latch };
        let record = Self::admit(engine, admission)?;
        engine.keep_and_tell(What::Opened(record.kept()), to);
        Ok((Self::lasting(engine, record), key))
    }

    fn admit(engine: &Engine, admission: Admission<'_>) -> Result<Arc<Record>, Error> {
        let Admission { kind, ttl, owner, digest, latch } = admission;
        let now = engine.clock().now();
        let lease = if ttl.is_zero() { Lease::open_ended() } else { Lease::until(now + ttl) };
        let record = engine.inner.sessions.add(engine.limits().sessions, |session| {
            let member = Member::new(Holder { session, kind }, lease, ttl);
            Record::new(member, owner.into(), digest, latch, now)
        });
        let record = record.inspect_err(|error| engine.inner.rules.limit_hits.refused(error))?;
        engine.inner.session_ids.given(engine, record.id().number());
        if !ttl.is_zero() {
            engine.inner.timers.add(engine, record.clone());
        }
        Ok(record)
    }

    fn ending(engine: &Engine, record: Arc<Record>) -> Self {
        Self { engine: engine.clone(), record, ends_on_drop: true }
    }

    pub(super) fn lasting(engine: &Engine, record: Arc<Record>) -> Self {
        Self { engine: engine.clone(), record, ends_on_drop: false }
    }

    /// Another handle of the same session, which does not end it when dropped.
    pub(crate) fn clone_handle(&self) -> Self {
        Self::lasting(&self.engine, self.record.clone())
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its public id.
    pub fn id(&self) -> SessionId {
        self.record.id()
    }

    /// What keeps it alive.
    pub fn kind(&self) -> SessionKind {
        self.record.kind()
    }

    /// Who it is, in the words of whoever opened it; may be empty.
    pub fn owner(&self) -> &str {
        &self.record.owner
    }

    /// How long it lives after each renewal; zero for one that has no deadline.
    pub fn ttl(&self) -> Duration {
        self.record.member.ttl
    }

    /// When it ends unless it is renewed; `None` if it has ended, or has no deadline.
    pub fn deadline(&self) -> Option<Moment> {
        self.record.member.lease.deadline()
    }

    /// What a listing shows of it.
    pub fn info(&self) -> SessionInfo {
        self.record.info(self.engine.clock().now())
    }

    /// Moves the deadline to a whole TTL from now, and says which that is. One compare-exchange.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub fn renew(&self) -> Result<Duration, Error> {
        self.record.renew(self.engine.clock().now())?;
        Ok(self.ttl())
    }

    /// Why it ended, or `None` while it lives.
    pub fn ended(&self) -> Option<EndReason> {
        self.record.member.ended()
    }

    /// Ends the session now. All its candidates leave. Ending it again changes nothing. Where sessions are
    /// kept on disk, this waits until the end of one from [`Engine::open_session`] is, or can't be.
    pub fn end(&self) {
        self.end_now();
        if self.record.digest.is_some() && self.engine.is_durable() {
            // After a restart it lives or does not; who could be told here can do nothing about it.
            let _kept = self.engine.sync();
        }
    }

    /// As [`end`](Self::end), without waiting.
    pub(crate) fn end_now(&self) {
        self.end_as(Ending::Closed);
    }

    /// What it was opened for, if for a latch.
    pub(crate) fn latch(&self) -> Option<&LatchMark> {
        self.record.latch.as_ref()
    }

    /// Its connection closed, and nothing is to keep it alive after that.
    pub(crate) fn end_disconnected(&self) {
        self.end_as(Ending::Disconnected);
    }

    /// As if it had not been renewed in time.
    #[cfg(feature = "testkit")]
    pub(crate) fn end_expired(&self) {
        self.end_as(Ending::Expired);
    }

    fn end_as(&self, ending: Ending) {
        self.engine.end_as(&self.record, ending);
    }

    /// Elections and terms whose lead was taken from it by force and that it has not let go, for as
    /// long as it lives: 1,024 at most, others once those are let go
    /// ([`Election::let_go`](super::Election::let_go)). Only a session with a deadline is told.
    pub fn lost(&self) -> Vec<(Box<str>, u64)> {
        self.record.member.lost_terms(LOST_AT_A_TIME)
    }

    /// It has stopped acting in this election's terms up to `term`.
    pub(super) fn forget_lost(&self, cell: &Arc<Cell>, term: u64) {
        self.record.member.let_go(cell, term);
    }

    /// Notes that `shard` of `engine` may come to hold candidates of this session.
    pub(super) fn visit(&self, engine: &Engine, shard: usize) -> Result<&Arc<Member>, Error> {
        if !self.engine.is(engine) {
            return Err(Error::ForeignSession);
        }
        self.record.member.lease.visit(shard);
        Ok(&self.record.member)
    }
}

impl Session {
    /// Attaches it to a connection: a number that is unique in the process, and what to call it, such
    /// as its peer. The former connection no longer matters.
    pub(crate) fn attach(&self, connection: u64, peer: &str) -> Result<(), Error> {
        self.record.attach(connection, peer)
    }

    /// Calls the ticket once, when the session ends; now, if it has. Its candidates' leaving has been
    /// handed over by then. For as long as the follower is kept.
    pub(crate) fn follow_end(&self, sink: &Arc<dyn Sink>, ticket: Ticket) -> EndFollower {
        let slot = Slot::new(sink.clone(), ticket, When::Released);
        self.record.follow(slot.clone());
        EndFollower { record: self.record.clone(), slot }
    }

    /// Whether it was attached to this connection, and to no other since.
    pub(crate) fn is_attached_to(&self, connection: u64) -> bool {
        self.record.is_attached_to(connection)
    }

    /// This connection has closed. If the session is attached to it, that ends one under
    /// [`Failover::Fast`]; any other lives on, attached to none.
    pub(crate) fn detach(&self, connection: u64) {
        if let Some(shards) = self.record.detach(connection) {
            self.engine.tell_ended(&self.record, shards);
        }
    }
}

/// Who waits for a session's end; until dropped.
pub(crate) struct EndFollower {
    record: Arc<Record>,
    slot: Arc<Slot>,
}

impl Drop for EndFollower {
    fn drop(&mut self) {
        self.record.unfollow(&self.slot);
    }
}

/// What a session is let in as.
struct Admission<'a> {
    kind: SessionKind,
    /// Zero without a deadline.
    ttl: Duration,
    owner: &'a str,
    digest: Option<Digest>,
    latch: Option<LatchMark>,
}

impl Default for Admission<'_> {
    fn default() -> Self {
        let (kind, ttl) = (SessionKind::Owned, Duration::ZERO);
        Self { kind, ttl, owner: "", digest: None, latch: None }
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
            self.end_now();
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
