//! What programs and tools ask of a server.

use std::fmt;
use std::time::Duration;

use super::{Connection, Observation};
use crate::client::admin::{PAGE, SESSIONS};
use crate::client::election::ELECTIONS;
use crate::client::{
    Address, ChangeByHand, Check, ClientError, Description, ElectionState, Reign, SessionView,
    Summary,
};
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;
use crate::wire::tenure_v1::sessions;

/// Asks a server, over a connection that is made again whenever it is lost. Questions that are under way
/// then are asked again; changes are not, for they may have happened: [`ClientError::Lost`].
#[derive(Clone)]
pub struct Client {
    connection: Connection,
    /// How long an answer may take.
    patience: Duration,
}

impl Client {
    /// Asks over this connection. Each answer may take 10 s: see [`with_timeout`](Self::with_timeout).
    pub fn over(connection: &Connection) -> Self {
        Self { connection: connection.clone(), patience: Duration::from_secs(10) }
    }

    /// Asks the server at `address`; each attempt to connect takes at most `patience`.
    ///
    /// # Errors
    /// As [`Connection::to`].
    pub fn to(address: &Address, patience: Duration) -> Result<Self, ClientError> {
        Ok(Self::over(&Connection::to(address, patience)?))
    }

    /// The same connection, where each answer may take `timeout`; then [`ClientError::TimedOut`].
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { patience: timeout, ..self }
    }

    async fn ask<Request: Message, Reply: Message>(
        &self,
        service: &'static str,
        method: &'static str,
        request: &Request,
    ) -> Result<Reply, ClientError> {
        self.send((service, method), request, true).await
    }

    async fn send<Request: Message, Reply: Message>(
        &self,
        what: (&'static str, &'static str),
        request: &Request,
        is_repeatable: bool,
    ) -> Result<Reply, ClientError> {
        let connection = &self.connection.0;
        let until = Some(connection.clock().now() + self.patience);
        let reply = connection.ask(None, what, request.encode(), (until, is_repeatable)).await?;
        Ok(Reply::decode(&reply)?)
    }

    /// Changes the order by hand, if `expected_term` is the term where one is given. `reason` is for people,
    /// and may be empty.
    ///
    /// # Cancellation
    /// It may have happened.
    ///
    /// # Errors
    /// Any [`ClientError`]; so for all calls below.
    pub async fn change(
        &self,
        change: ChangeByHand,
        election: &str,
        candidate: &str,
        expected_term: Option<u64>,
        reason: &str,
    ) -> Result<ElectionState, ClientError> {
        let request = ChangeByHand::request(election, candidate, expected_term, reason);
        let what = (ELECTIONS, change.method());
        let reply: wire::ChangeResponse = self.send(what, &request, false).await?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// The elections whose name begins with `prefix`, in order. Dropping it is of no consequence, as with
    /// all questions below.
    #[allow(clippy::missing_errors_doc)]
    pub async fn list(&self, prefix: &str) -> Result<Vec<Summary>, ClientError> {
        let mut all = Vec::new();
        let mut request = wire::ListElectionsRequest {
            prefix: prefix.into(),
            page_size: PAGE,
            page_token: String::new(),
        };
        loop {
            let page: wire::ListElectionsResponse = self.ask(ELECTIONS, "List", &request).await?;
            all.extend(page.elections.into_iter().map(Summary::from));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// An election, and everybody who stands in it.
    #[allow(clippy::missing_errors_doc)]
    pub async fn describe(&self, election: &str) -> Result<Description, ClientError> {
        let request = wire::DescribeRequest { election: election.into() };
        let reply: wire::DescribeResponse = self.ask(ELECTIONS, "Describe", &request).await?;
        Ok(reply.into())
    }

    /// Who led an election, newest first.
    #[allow(clippy::missing_errors_doc)]
    pub async fn history(&self, election: &str) -> Result<Vec<Reign>, ClientError> {
        let request = wire::HistoryRequest { election: election.into() };
        let reply: wire::HistoryResponse = self.ask(ELECTIONS, "History", &request).await?;
        Ok(reply.reigns.into_iter().map(Reign::from).collect())
    }

    /// What became of a term.
    #[allow(clippy::missing_errors_doc)]
    pub async fn check(&self, election: &str, term: u64) -> Result<Check, ClientError> {
        let request = wire::CheckRequest { election: election.into(), term };
        let reply: wire::CheckResponse = self.ask(ELECTIONS, "Check", &request).await?;
        Ok(reply.into())
    }

    /// The sessions that live, in the order of their ids.
    #[allow(clippy::missing_errors_doc)]
    pub async fn sessions(&self) -> Result<Vec<SessionView>, ClientError> {
        let mut all = Vec::new();
        let mut request = sessions::ListRequest { page_size: PAGE, page_token: String::new() };
        loop {
            let page: sessions::ListResponse = self.ask(SESSIONS, "List", &request).await?;
            all.extend(page.sessions.into_iter().map(SessionView::from));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Deletes an election: all leave, and no election ever starts at or below its last term again.
    ///
    /// # Cancellation
    /// It may have happened.
    #[allow(clippy::missing_errors_doc)]
    pub async fn delete(&self, election: &str, reason: &str) -> Result<(), ClientError> {
        let (election, reason) = (election.into(), reason.into());
        let request = wire::DeleteRequest { election, expected_term: None, reason };
        let _done: wire::DeleteResponse = self.send((ELECTIONS, "Delete"), &request, false).await?;
        Ok(())
    }

    /// Ends somebody's session, by its public id. `reason` is for its owner, and may be empty.
    ///
    /// # Cancellation
    /// It may have happened.
    #[allow(clippy::missing_errors_doc)]
    pub async fn end_session(&self, session: u64, reason: &str) -> Result<(), ClientError> {
        let request = sessions::EndRequest { session, reason: reason.into() };
        let _done: sessions::EndResponse = self.send((SESSIONS, "End"), &request, false).await?;
        Ok(())
    }

    /// Follows an election: see [`Connection::observe`].
    pub fn observe(&self, election: &str) -> Observation {
        self.connection.observe(election)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client over {:?}", self.connection)
    }
}
