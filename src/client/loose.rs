//! A client without a socket, a driver and a runtime, for the simulation.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::core::Settings;
use super::link::{Connection, Inner};
use super::{Address, ClientError, EnterOptions, Leadership, Lost, Options, Session};
use crate::clock::Clock;

/// What a program runs to lead, less the socket. The caller carries the bytes, turns its clock, and polls
/// what it awaits. Dials and connections go by a number.
pub struct LooseClient {
    connection: Connection,
    inner: Arc<Inner>,
}

impl LooseClient {
    /// A client with a clock of its own, that waits as long as it may before it dials again.
    pub fn new(clock: Clock) -> Self {
        let settings = Settings {
            address: Address::Tcp("loose:1".into()),
            jitter: |failures| Duration::from_millis(10 << failures.min(6)),
            patience: Duration::from_secs(5),
        };
        let (connection, inner) = Connection::driven(settings, clock, Box::new(|| {}));
        Self { connection, inner }
    }

    /// Does what is due: the number of the connection to make, if one is to be made now.
    pub fn turn(&self) -> Option<u64> {
        self.inner.turn().and_then(|turn| turn.dial)
    }

    /// What became of a connection that was to be made.
    pub fn dialed(&self, dial: u64, is_made: bool) {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        self.inner.with(|core, now| match is_made {
            true => core.dialed(now, dial),
            false => core.dial_failed(now, dial, &refused),
        });
    }

    /// The connection that it uses; others it has closed.
    pub fn uses(&self) -> Option<u64> {
        self.inner.with(|core, _| core.epoch())
    }

    /// What it writes next, to the connection that it uses.
    pub fn output(&self) -> Vec<u8> {
        self.inner.with(|core, _| std::mem::take(core.output()))
    }

    /// The server sent `bytes`.
    pub fn received(&self, connection: u64, bytes: &[u8]) {
        self.inner.with(|core, now| core.received(now, connection, bytes));
    }

    /// The connection has ended.
    pub fn cut(&self, connection: u64) {
        self.inner.with(|core, now| core.cut(now, connection, "cut"));
    }

    /// Ends after some time by its clock.
    pub fn rest(&self, time: Duration) -> impl Future<Output = ()> + use<> {
        self.connection.rest(time)
    }

    /// As `aio::Connection::session`.
    pub fn open(
        &self,
        options: Options,
    ) -> impl Future<Output = Result<Session, ClientError>> + use<> {
        let connection = self.connection.clone();
        async move { connection.session_async(options).await }
    }

    /// As `aio::Election::lead_with`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn lead(
        session: &Session,
        election: &str,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<Leadership, ClientError> {
        session.election(election).lead_async_with(candidate, options).await
    }

    /// As `aio::Leadership::lost`.
    pub async fn lost(leads: &Leadership) -> Lost {
        leads.lost_async().await
    }

    /// As `aio::Leadership::resign`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resign(leads: Leadership) -> Result<(), ClientError> {
        leads.resign_async().await
    }
}

impl fmt::Debug for LooseClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LooseClient over {:?}", self.connection)
    }
}
