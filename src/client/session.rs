//! A session with a server that keeps itself alive, on a connection that heals itself.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::connection;
use super::core::{Opened, Slot, Wanted, Word};
use super::wait::block_on;
use super::{Address, ClientError, Connection, Election, Lost};
use crate::id::SessionKey;
use crate::wire::message::Message;

/// What a closed connection means to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Nothing: it lives until its deadline. Never two acting leaders.
    #[default]
    Exclusive,
    /// Its end, at once: the shortest gap. Overlap is caught by the term alone.
    Fast,
}

/// How to open a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it lives without a renewal: 100 ms to 24 h, under `Exclusive` at least 500 ms.
    pub ttl: Duration,
    /// What a closed connection means to it.
    pub on_disconnect: OnDisconnect,
    /// Who this is, for people: shown in listings. At most 256 bytes, and may be empty.
    pub owner: String,
    /// How long to try for a connection, and to wait for the answer to a call.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            on_disconnect: OnDisconnect::Exclusive,
            owner: String::new(),
            patience: Duration::from_secs(5),
        }
    }
}

/// A session that keeps itself alive: renewed three times in each TTL, moved to another connection when
/// its own is lost. When the last clone is dropped it is closed, and its candidates leave.
///
/// It ends for good when the server says so, or is another server than before; then everything that was
/// done in its name is over. Open another one, as [`Contender`](super::Contender) does.
#[derive(Clone)]
pub struct Session {
    handle: Arc<Handle>,
}

struct Handle {
    connection: Connection,
    opened: Opened,
    patience: Duration,
}

impl Connection {
    /// Opens a session on this connection.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if the server can't be reached now, or any other [`ClientError`].
    pub fn session(&self, options: Options) -> Result<Session, ClientError> {
        block_on(self.session_async(options))
    }

    /// As [`session`](Self::session).
    pub(super) async fn session_async(&self, options: Options) -> Result<Session, ClientError> {
        self.open(Vec::new(), options).await
    }

    /// Goes on with an open session that was opened elsewhere, by its key; whoever held it has it no
    /// longer. Of `options` only the patience counts.
    ///
    /// # Errors
    /// As [`session`](Self::session); [`ClientError::Refused`] if it is over.
    pub fn resume(&self, key: &SessionKey, options: Options) -> Result<Session, ClientError> {
        block_on(self.resume_async(key, options))
    }

    /// As [`resume`](Self::resume).
    pub(super) async fn resume_async(
        &self,
        key: &SessionKey,
        options: Options,
    ) -> Result<Session, ClientError> {
        self.open(key.as_bytes().to_vec(), options).await
    }

    fn open(
        &self,
        key: Vec<u8>,
        options: Options,
    ) -> impl Future<Output = Result<Session, ClientError>> + Send + use<> {
        let Options { ttl, on_disconnect, owner, patience } = options;
        let is_fast = on_disconnect == OnDisconnect::Fast;
        let clock = self.clock().clone();
        let wanted = Wanted { ttl, is_fast, owner, key, patience, clock };
        let slot = Arc::new(Slot::default());
        let its = slot.clone();
        let number = self.with(|core, now| core.open_session(now, wanted, its));
        let mut opening = Opening { connection: self.clone(), number: Some(number) };
        async move {
            let opened = poll_fn(|context| slot.poll(context)).await;
            opening.number = None;
            let connection = opening.connection.clone();
            opened
                .map(|opened| Session { handle: Arc::new(Handle { connection, opened, patience }) })
        }
    }
}

/// A session that is not wanted any more if this is dropped.
struct Opening {
    connection: Connection,
    number: Option<u64>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.connection.with(|core, _| core.close_session(number, Some(Arc::default())));
        }
    }
}

impl Session {
    /// Opens a session with the server at `address`, on a connection of its own.
    ///
    /// # Errors
    /// As [`Connection::session`].
    pub fn open(address: &Address, options: Options) -> Result<Self, ClientError> {
        Connection::to(address, options.patience)?.session(options)
    }

    /// An election, to stand in with this session.
    pub fn election(&self, name: &str) -> Election {
        Election::new(self.clone(), name)
    }

    /// Its public id.
    pub fn id(&self) -> u64 {
        self.handle.opened.id
    }

    /// The secret to resume it with, from anywhere. Keep it like a password.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if the server gave none that makes sense.
    pub fn key(&self) -> Result<SessionKey, ClientError> {
        SessionKey::try_from(&*self.handle.opened.key)
            .map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// How long the server lets it live without a renewal.
    pub fn ttl(&self) -> Duration {
        self.handle.opened.ttl
    }

    /// What a closed connection means to it.
    pub fn on_disconnect(&self) -> OnDisconnect {
        match self.handle.opened.is_fast {
            true => OnDisconnect::Fast,
            false => OnDisconnect::Exclusive,
        }
    }

    /// How long this side may count on it: the deadline is reckoned from when the last renewal was
    /// *sent*, less a margin of 5% of the TTL and at least 50 ms, so it passes here before it passes at
    /// the server.
    pub fn remaining(&self) -> Duration {
        self.word().remaining()
    }

    /// Why it is over, or `None` while it may be alive.
    pub fn lost(&self) -> Option<Lost> {
        self.word().lost()
    }

    /// Ends when the session is over: why.
    #[cfg(feature = "tokio")]
    pub(super) fn lost_async(&self) -> impl Future<Output = Lost> + Send + use<> {
        let session = self.clone();
        async move {
            let mut waits = super::leadership::Waits::new(session.word().fate());
            poll_fn(move |context| waits.poll(context)).await
        }
    }

    /// True if there is a connection right now. Without one the session lives on until its deadline, and
    /// under [`OnDisconnect::Fast`] no longer than the server takes to notice.
    pub fn is_connected(&self) -> bool {
        self.handle.connection.with(|core, _| core.is_attached(self.number()))
    }

    /// What it goes over.
    pub fn connection(&self) -> &Connection {
        &self.handle.connection
    }

    /// Closes it, and waits until the server has said that it is: its candidates have left. Other clones
    /// of it are over too.
    ///
    /// # Errors
    /// Any [`ClientError`]: then it ends at its deadline.
    pub fn close(self) -> Result<(), ClientError> {
        block_on(self.close_async())
    }

    /// As [`close`](Self::close).
    pub(super) async fn close_async(self) -> Result<(), ClientError> {
        let slot = Arc::new(Slot::default());
        let its = slot.clone();
        let number = self.number();
        self.handle.connection.with(|core, _| core.close_session(number, Some(its)));
        let patience = self.handle.connection.rest(self.patience());
        first(poll_fn(|context| slot.poll(context)), patience)
            .await
            .unwrap_or_else(|| Err(ClientError::TimedOut { what: "closing a session".into() }))
            .map(drop)
    }

    /// Renews it no more, and leaves it and its candidates to whoever resumes it by its key, or to its
    /// deadline. Under [`OnDisconnect::Fast`] it ends with the connection. Other clones are over.
    pub fn leave_open(self) {
        let number = self.number();
        self.handle.connection.with(|core, _| core.close_session(number, None));
    }

    pub(super) fn number(&self) -> u64 {
        self.handle.opened.number
    }

    pub(super) fn patience(&self) -> Duration {
        self.handle.patience
    }

    pub(super) fn word(&self) -> &Word {
        &self.handle.opened.word
    }
}

/// The value of one future, or `None` if the other ends first.
pub(super) async fn first<T>(
    one: impl Future<Output = T>,
    other: impl Future<Output = ()>,
) -> Option<T> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    poll_fn(|context| {
        if let std::task::Poll::Ready(value) = one.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(value));
        }
        other.as_mut().poll(context).map(|()| None)
    })
    .await
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} with {})", self.id(), self.handle.connection.address())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let number = self.opened.number;
        self.connection.with(|core, _| core.close_session(number, Some(Arc::default())));
    }
}

/// Full jitter: anything up to a bound that doubles with each failure, so that ten thousand clients of
/// a server that comes back don't come at once.
pub(super) fn jitter(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(20);
    const LAST: Duration = Duration::from_secs(1);
    let bound = (FIRST * 2_u32.pow(failures.min(10))).min(LAST);
    // Keyed anew each time: as random as a hash table needs it.
    let random = RandomState::new().hash_one(failures);
    Duration::from_nanos(random % bound.as_nanos() as u64)
}

/// One call on a plain connection, in messages.
pub(super) fn call<Request: Message, Reply: Message>(
    link: &connection::Connection,
    service: &str,
    method: &str,
    request: &Request,
    patience: Duration,
) -> Result<Reply, ClientError> {
    let reply = link.call_within(service, method, &request.encode(), patience)?;
    Reply::decode(&reply).map_err(ClientError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c7_jitter_is_full_and_bounded() {
        let many = |failures| (0..1_000).map(move |_| jitter(failures));
        assert!(many(1).all(|it| it <= Duration::from_millis(40)));
        assert!(many(30).all(|it| it <= Duration::from_secs(1)));
        let early = many(30).filter(|it| *it < Duration::from_millis(500)).count();
        assert!((400..600).contains(&early), "evenly spread: {early} of 1,000 in the first half");
    }
}
