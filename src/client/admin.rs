//! What people and tools ask of a server: listings, histories, checks, and changes by hand.

use std::io::Write;

use super::election::ELECTIONS;
use super::observe::{ElectionStates, observe};
use super::view::{Check, Description, Reign, SessionView, Summary};
use super::{Client, ClientError, ElectionState, session};
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;
use crate::wire::tenure_v1::{sessions, storage};

pub(super) const SESSIONS: &str = "tenure.v1.Sessions";
/// Lines of one page.
pub(super) const PAGE: u32 = 1_000;
const STORAGE: &str = "tenure.v1.Storage";

/// A change by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a candidate the leader.
    Anoint,
    /// Swaps it with the one before it.
    Promote,
    /// Swaps it with the one behind it.
    Demote,
    /// Removes it, whoever holds it.
    Evict,
}

impl Change {
    pub(super) fn method(self) -> &'static str {
        match self {
            Change::Anoint => "Anoint",
            Change::Promote => "Promote",
            Change::Demote => "Demote",
            Change::Evict => "Evict",
        }
    }

    pub(super) fn request(
        election: &str,
        candidate: &str,
        expected_term: Option<u64>,
        reason: &str,
    ) -> wire::ChangeRequest {
        wire::ChangeRequest {
            session: 0,
            election: election.into(),
            candidate: candidate.into(),
            expected_term,
            reason: reason.into(),
        }
    }
}

impl Client {
    pub(super) fn ask<Request: Message, Reply: Message>(
        &self,
        service: &str,
        method: &str,
        request: &Request,
    ) -> Result<Reply, ClientError> {
        session::call(&self.connection, service, method, request, self.patience)
    }

    /// Changes the order by hand, if `expected_term` is the term where one is given. `reason` is for people,
    /// and may be empty.
    ///
    /// # Errors
    /// Any [`ClientError`]; so for all calls below.
    pub fn change(
        &self,
        change: Change,
        election: &str,
        candidate: &str,
        expected_term: Option<u64>,
        reason: &str,
    ) -> Result<ElectionState, ClientError> {
        let request = Change::request(election, candidate, expected_term, reason);
        let reply: wire::ChangeResponse = self.ask(ELECTIONS, change.method(), &request)?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// The elections whose name begins with `prefix`, in order.
    #[allow(clippy::missing_errors_doc)]
    pub fn list(&self, prefix: &str) -> Result<Vec<Summary>, ClientError> {
        let mut all = Vec::new();
        let mut request = wire::ListElectionsRequest {
            prefix: prefix.into(),
            page_size: PAGE,
            page_token: String::new(),
        };
        loop {
            let page: wire::ListElectionsResponse = self.ask(ELECTIONS, "List", &request)?;
            all.extend(page.elections.into_iter().map(Summary::from));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// An election, and everybody who stands in it.
    #[allow(clippy::missing_errors_doc)]
    pub fn describe(&self, election: &str) -> Result<Description, ClientError> {
        let request = wire::DescribeRequest { election: election.into() };
        let reply: wire::DescribeResponse = self.ask(ELECTIONS, "Describe", &request)?;
        Ok(reply.into())
    }

    /// Who led an election, newest first.
    #[allow(clippy::missing_errors_doc)]
    pub fn history(&self, election: &str) -> Result<Vec<Reign>, ClientError> {
        let request = wire::HistoryRequest { election: election.into() };
        let reply: wire::HistoryResponse = self.ask(ELECTIONS, "History", &request)?;
        Ok(reply.reigns.into_iter().map(Reign::from).collect())
    }

    /// What became of a term.
    #[allow(clippy::missing_errors_doc)]
    pub fn check(&self, election: &str, term: u64) -> Result<Check, ClientError> {
        let request = wire::CheckRequest { election: election.into(), term };
        let reply: wire::CheckResponse = self.ask(ELECTIONS, "Check", &request)?;
        Ok(reply.into())
    }

    /// Deletes an election: all leave, and no election ever starts at or below its last term again.
    #[allow(clippy::missing_errors_doc)]
    pub fn delete(&self, election: &str, reason: &str) -> Result<(), ClientError> {
        let request = wire::DeleteRequest {
            election: election.into(),
            expected_term: None,
            reason: reason.into(),
        };
        self.ask(ELECTIONS, "Delete", &request).map(|_: wire::DeleteResponse| ())
    }

    /// The present state of an election first, then the newest after each change, with all that Tenure
    /// knows of it.
    #[allow(clippy::missing_errors_doc)]
    pub fn observe(&self, election: &str) -> Result<ElectionStates, ClientError> {
        observe(&self.connection, election, false)
    }

    /// Writes a backup of what the server keeps at this moment; changes go on meanwhile. Says how many bytes
    /// it has. What was written is whole only if this succeeds.
    ///
    /// # Errors
    /// [`ClientError::Io`] where `to` fails; any other [`ClientError`].
    pub fn backup(&self, to: &mut impl Write) -> Result<u64, ClientError> {
        let request = storage::BackupRequest {}.encode();
        let mut replies = self.connection.stream(STORAGE, "Backup", &request)?;
        let mut bytes = 0;
        while let Some(piece) = replies.next_within(self.patience) {
            let piece = storage::BackupResponse::decode(&piece?);
            let data = piece.map_err(|bad| ClientError::Protocol(bad.to_string()))?.data;
            to.write_all(&data).map_err(ClientError::Io)?;
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }

    /// The sessions that live, in the order of their ids.
    #[allow(clippy::missing_errors_doc)]
    pub fn sessions(&self) -> Result<Vec<SessionView>, ClientError> {
        let mut all = Vec::new();
        let mut request = sessions::ListRequest { page_size: PAGE, page_token: String::new() };
        loop {
            let page: sessions::ListResponse = self.ask(SESSIONS, "List", &request)?;
            all.extend(page.sessions.into_iter().map(SessionView::from));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Ends somebody's session, by its public id. `reason` is for its owner, and may be empty.
    #[allow(clippy::missing_errors_doc)]
    pub fn end_session(&self, session: u64, reason: &str) -> Result<(), ClientError> {
        let request = sessions::EndRequest { session, reason: reason.into() };
        self.ask(SESSIONS, "End", &request).map(|_: sessions::EndResponse| ())
    }
}
