//! One election, seen from a session across a network.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use super::wait::{block_on, block_while};
use super::{ClientError, ElectionState, Leadership, Lost, Observation};
use crate::error::Code;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;

pub(super) const ELECTIONS: &str = "tenure.v1.Elections";

/// What to do if another session holds the candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Fail.
    #[default]
    Fail,
    /// Wait until it is free.
    Wait,
    /// Take it over, in its place.
    TakeOver,
}

/// How to enter.
#[derive(Clone, Debug, Default)]
pub struct EnterOptions {
    /// Where the candidate is reached; may be empty.
    pub address: String,
    /// At most 16; with the address at most 4 KiB.
    pub labels: BTreeMap<String, String>,
    /// What to do if another session holds the candidate.
    pub on_conflict: OnConflict,
    /// Enters only if that makes it the leader.
    pub only_if_leads: bool,
}

/// An election, to stand in with a [`Session`].
#[derive(Clone)]
pub struct Election {
    session: Session,
    name: Arc<str>,
}

impl Election {
    pub(super) fn new(session: Session, name: &str) -> Self {
        Self { session, name: name.into() }
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session that stands here.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// `candidate` joins the end of the queue, and leads if it is the first. True if it stands now.
    /// After a lost connection it is asked for again: entering twice is entering once.
    ///
    /// # Errors
    /// [`ClientError::SessionLost`], or any other.
    pub fn enter(
        &self,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<(ElectionState, bool), ClientError> {
        block_on(self.enter_async(candidate, options))
    }

    /// As [`enter`](Self::enter).
    pub(super) async fn enter_async(
        &self,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<(ElectionState, bool), ClientError> {
        let metadata =
            wire::Metadata { address: options.address.clone(), labels: options.labels.clone() };
        let request = wire::EnterRequest {
            session: self.session.id(),
            election: self.name.as_ref().to_owned(),
            candidate: candidate.to_owned(),
            metadata: Some(metadata).filter(|it| *it != wire::Metadata::default()),
            on_conflict: match options.on_conflict {
                OnConflict::Fail => wire::on_conflict::FAIL,
                OnConflict::Wait => wire::on_conflict::WAIT,
                OnConflict::TakeOver => wire::on_conflict::TAKE_OVER,
            },
            only_if_leads: options.only_if_leads,
        };
        let patience = (options.on_conflict != OnConflict::Wait).then(|| self.session.patience());
        let reply: wire::EnterResponse = self.call("Enter", &request, patience).await?;
        Ok((reply.state.unwrap_or_default().into(), reply.entered))
    }

    /// `candidate` leaves, from any place.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn withdraw(&self, candidate: &str) -> Result<ElectionState, ClientError> {
        block_on(self.withdraw_async(candidate))
    }

    /// As [`withdraw`](Self::withdraw).
    pub(super) async fn withdraw_async(
        &self,
        candidate: &str,
    ) -> Result<ElectionState, ClientError> {
        self.withdraw_from(candidate, None).await
    }

    /// Leaves if `term` is still the term; if it is not, there is nothing to resign from.
    pub(super) async fn resign(&self, candidate: &str, term: u64) -> Result<(), ClientError> {
        match self.withdraw_from(candidate, Some(term)).await {
            Err(ClientError::Refused { code, .. }) if code == Code::FailedPrecondition.number() => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    async fn withdraw_from(
        &self,
        candidate: &str,
        expected_term: Option<u64>,
    ) -> Result<ElectionState, ClientError> {
        let request = wire::ChangeRequest {
            session: self.session.id(),
            election: self.name.as_ref().to_owned(),
            candidate: candidate.to_owned(),
            expected_term,
            reason: String::new(),
        };
        let patience = Some(self.session.patience());
        let reply: wire::ChangeResponse = self.call("Withdraw", &request, patience).await?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// `candidate` joins the queue, and this thread waits until it leads and may act. Lost connections
    /// are waited out for as long as the session may live.
    ///
    /// # Errors
    /// [`ClientError::SessionLost`]; [`ClientError::NotStanding`] if somebody removes the candidate while
    /// it waits; the server's refusals.
    pub fn lead(&self, candidate: &str) -> Result<Leadership, ClientError> {
        block_on(self.lead_async(candidate))
    }

    /// As [`lead`](Self::lead), with options, for as long as `goes_on` says so, which is asked about ten
    /// times a second; then [`ClientError::TimedOut`], and the candidate still stands.
    ///
    /// # Errors
    /// As `lead`.
    pub fn lead_with(
        &self,
        candidate: &str,
        options: &EnterOptions,
        goes_on: impl FnMut() -> bool,
    ) -> Result<Leadership, ClientError> {
        let leads = self.lead_async_with(candidate, options);
        block_while(leads, LOOK, goes_on).unwrap_or_else(|| {
            Err(ClientError::TimedOut { what: format!("leading {}", self.name) })
        })
    }

    /// Leads if `candidate` leads already and may act, or nobody else stands; `None` if it would have to
    /// wait. Then it stands only if it stood before.
    ///
    /// # Errors
    /// As [`lead`](Self::lead).
    pub fn try_lead(&self, candidate: &str) -> Result<Option<Leadership>, ClientError> {
        block_on(self.try_lead_async(candidate))
    }

    /// The present state, then the newest after each change, through every lost connection.
    pub fn observe(&self) -> Observation {
        self.session.connection().observe(&self.name)
    }

    /// A call that may be made again on another connection: each of them has its effect once.
    async fn call<Request: Message, Reply: Message>(
        &self,
        method: &'static str,
        request: &Request,
        patience: Option<Duration>,
    ) -> Result<Reply, ClientError> {
        let connection = self.session.connection();
        let until = patience.map(|patience| connection.clock().now() + patience);
        let number = Some(self.session.number());
        let asked = connection.ask(number, (ELECTIONS, method), request.encode(), (until, true));
        let answer = asked.await;
        match self.session.lost() {
            Some(lost) if answer.is_err() => Err(ClientError::SessionLost(lost)),
            _ => Ok(Reply::decode(&answer?)?),
        }
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Election({:?} for {:?})", self.name, self.session)
    }
}

/// How long to rest at most before looking whether to go on.
const LOOK: Duration = Duration::from_millis(100);

impl From<Lost> for ClientError {
    fn from(lost: Lost) -> Self {
        ClientError::SessionLost(lost)
    }
}
