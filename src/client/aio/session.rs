//! Connections and sessions.

use std::fmt;
use std::time::Duration;

use super::{Election, Observation, driver};
use crate::client::{self, Address, ClientError, Lost, OnDisconnect, Options};
use crate::id::SessionKey;

/// A connection to a server that is made again whenever it is lost, by a task. It carries any number of
/// sessions and observed elections; clones share it.
///
/// It is made with the first thing that needs one. When the last clone is dropped, and the last session
/// and observation with it, it is closed.
#[derive(Clone)]
pub struct Connection(pub(super) client::Connection);

impl Connection {
    /// A connection to the server at `address`, driven by a task on the present runtime; each attempt to
    /// connect takes at most `patience`. Nothing is sent before there is something to say.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] outside of a runtime.
    pub fn to(address: &Address, patience: Duration) -> Result<Self, ClientError> {
        driver::start(address, patience).map(Self)
    }

    /// Opens a session on this connection.
    ///
    /// # Cancellation
    /// A session that was opened meanwhile is closed.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if the server can't be reached now, or any other [`ClientError`].
    pub async fn session(&self, options: Options) -> Result<Session, ClientError> {
        self.0.session_async(options).await.map(Session)
    }

    /// Goes on with an open session that was opened elsewhere, by its key; whoever held it has it no
    /// longer. Of `options` only the patience counts.
    ///
    /// # Cancellation
    /// It may have been taken from whoever held it; it lives on, and can be resumed again.
    ///
    /// # Errors
    /// As [`session`](Self::session); [`ClientError::Refused`] if it is over.
    pub async fn resume(&self, key: &SessionKey, options: Options) -> Result<Session, ClientError> {
        self.0.resume_async(key, options).await.map(Session)
    }

    /// Follows an election.
    pub fn observe(&self, election: &str) -> Observation {
        Observation(self.0.observe(election))
    }

    /// As [`observe`](Self::observe), but without those who wait, and only when leader or term change:
    /// for long queues.
    pub fn observe_leader(&self, election: &str) -> Observation {
        Observation(self.0.observe_leader(election))
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        self.0.address()
    }

    /// True while there is a connection, and the server has greeted.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// Why the server can't be reached, or `None` while it can, or was not tried yet. What is led is not
    /// lost by that: not before its deadline.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    /// True if its runtime has ended.
    pub(super) fn is_shut(&self) -> bool {
        self.0.with(|core, _| core.is_shut())
    }

    /// The server's id and incarnation, as it last said.
    pub fn server(&self) -> Option<(String, String)> {
        self.0.server()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session that keeps itself alive: renewed three times in each TTL, moved to another connection when
/// its own is lost. When the last clone is dropped it is closed, and its candidates leave.
///
/// It ends for good when the server says so, or is another server than before; then everything that was
/// done in its name is over. Open another one, as [`Contender`](super::Contender) does.
#[derive(Clone)]
pub struct Session(pub(super) client::Session);

impl Session {
    /// Opens a session with the server at `address`, on a connection of its own.
    ///
    /// # Cancellation
    /// As [`Connection::session`].
    ///
    /// # Errors
    /// As [`Connection::session`].
    pub async fn open(address: &Address, options: Options) -> Result<Self, ClientError> {
        Connection::to(address, options.patience)?.session(options).await
    }

    /// An election, to stand in with this session.
    pub fn election(&self, name: &str) -> Election {
        Election(self.0.election(name))
    }

    /// Its public id.
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// The secret to resume it with, from anywhere. Keep it like a password.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if the server gave none that makes sense.
    pub fn key(&self) -> Result<SessionKey, ClientError> {
        self.0.key()
    }

    /// How long the server lets it live without a renewal.
    pub fn ttl(&self) -> Duration {
        self.0.ttl()
    }

    /// What a closed connection means to it.
    pub fn on_disconnect(&self) -> OnDisconnect {
        self.0.on_disconnect()
    }

    /// How long this side may count on it: see [`client::Session::remaining`].
    pub fn remaining(&self) -> Duration {
        self.0.remaining()
    }

    /// True once it is over, as far as this side has heard.
    pub fn is_lost(&self) -> bool {
        self.0.lost().is_some()
    }

    /// Ends when the session is over: why.
    ///
    /// # Cancellation
    /// Of no consequence.
    pub async fn lost(&self) -> Lost {
        self.0.lost_async().await
    }

    /// True if there is a connection right now. Without one the session lives on until its deadline, and
    /// under [`OnDisconnect::Fast`] no longer than the server takes to notice.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// What it goes over.
    pub fn connection(&self) -> Connection {
        Connection(self.0.connection().clone())
    }

    /// Closes it, and waits until the server has said that it is: its candidates have left. Other clones
    /// of it are over too.
    ///
    /// # Cancellation
    /// Once polled it is over on this side, and the server has been asked.
    ///
    /// # Errors
    /// Any [`ClientError`]: then it ends at its deadline.
    pub async fn close(self) -> Result<(), ClientError> {
        self.0.close_async().await
    }

    /// Renews it no more, and leaves it and its candidates to whoever resumes it by its key, or to its
    /// deadline. Under [`OnDisconnect::Fast`] it ends with the connection. Other clones are over.
    pub fn leave_open(self) {
        self.0.leave_open();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
