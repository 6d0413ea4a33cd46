//! Sessions that nobody keeps alive: opened, left to their deadline, and found again by their key.

use std::fmt;
use std::time::Duration;

use super::admin::SESSIONS;
use super::core::micros;
use super::election::ELECTIONS;
use super::{Client, ClientError, ElectionState};
use crate::id::SessionKey;
use crate::wire::tenure_v1::elections as wire;
use crate::wire::tenure_v1::sessions;

impl Client {
    /// Opens an exclusive session that outlives this client. Nothing renews it but the calls that name it:
    /// it ends `ttl` after the last of them. For one that keeps itself alive, see
    /// [`Session`](super::Session).
    ///
    /// # Errors
    /// Any [`ClientError`]; so for all calls below.
    pub fn open_session(&self, ttl: Duration, owner: &str) -> Result<Held<'_>, ClientError> {
        self.hold(&sessions::OpenRequest {
            ttl_micros: micros(ttl),
            failover: sessions::failover::EXCLUSIVE,
            key: Vec::new(),
            owner: owner.to_owned(),
        })
    }

    /// Renews an open session, and acts for it from here on: whoever else holds it no longer can.
    #[allow(clippy::missing_errors_doc)]
    pub fn resume_session(&self, key: &SessionKey) -> Result<Held<'_>, ClientError> {
        let key = key.as_bytes().to_vec();
        self.hold(&sessions::OpenRequest { key, ..Default::default() })
    }

    fn hold(&self, request: &sessions::OpenRequest) -> Result<Held<'_>, ClientError> {
        let opened: sessions::OpenResponse = self.ask(SESSIONS, "Open", request)?;
        let key = SessionKey::try_from(&*opened.key);
        let key = key.map_err(|error| ClientError::Protocol(error.to_string()))?;
        let ttl = Duration::from_micros(opened.ttl_micros);
        Ok(Held { client: self, session: opened.session, key, ttl })
    }
}

/// A session that this client's connection acts for. Dropping it does nothing: the session lives on.
pub struct Held<'a> {
    client: &'a Client,
    session: u64,
    key: SessionKey,
    ttl: Duration,
}

impl Held<'_> {
    /// Its public id.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The secret that proves owning it.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// How long it lives without a renewal.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// `candidate` joins the queue for as long as the session lives.
    #[allow(clippy::missing_errors_doc)]
    pub fn enter(&self, election: &str, candidate: &str) -> Result<ElectionState, ClientError> {
        let request = wire::EnterRequest {
            session: self.session,
            election: election.to_owned(),
            candidate: candidate.to_owned(),
            ..Default::default()
        };
        let reply: wire::EnterResponse = self.client.ask(ELECTIONS, "Enter", &request)?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// `candidate` leaves.
    #[allow(clippy::missing_errors_doc)]
    pub fn withdraw(&self, election: &str, candidate: &str) -> Result<ElectionState, ClientError> {
        let request = wire::ChangeRequest {
            session: self.session,
            election: election.to_owned(),
            candidate: candidate.to_owned(),
            ..Default::default()
        };
        let reply: wire::ChangeResponse = self.client.ask(ELECTIONS, "Withdraw", &request)?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// Ends the session: all its candidates leave.
    #[allow(clippy::missing_errors_doc)]
    pub fn close(self) -> Result<(), ClientError> {
        let request = sessions::CloseRequest { session: self.session };
        self.client.ask(SESSIONS, "Close", &request).map(|_: sessions::CloseResponse| ())
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} with {:?})", self.session, self.client)
    }
}
