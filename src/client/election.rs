//! One election, seen from a session across a network.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, Replies};
use super::session::{self, Session};
use super::{ClientError, ElectionState, Leadership, Lost};
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
        let patience = match options.on_conflict {
            OnConflict::Wait => Duration::MAX,
            _ => self.session.shared().patience(),
        };
        let reply: wire::EnterResponse = self.call("Enter", &request, patience)?;
        Ok((reply.state.unwrap_or_default().into(), reply.entered))
    }

    /// `candidate` leaves, from any place.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn withdraw(&self, candidate: &str) -> Result<ElectionState, ClientError> {
        self.withdraw_from(candidate, None)
    }

    /// Leaves if `term` is still the term; if it is not, there is nothing to resign from.
    pub(super) fn resign(&self, candidate: &str, term: u64) -> Result<(), ClientError> {
        match self.withdraw_from(candidate, Some(term)) {
            Err(ClientError::Refused { code, .. }) if code == Code::FailedPrecondition.number() => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    fn withdraw_from(
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
        let patience = self.session.shared().patience();
        let reply: wire::ChangeResponse = self.call("Withdraw", &request, patience)?;
        Ok(reply.state.unwrap_or_default().into())
    }

    /// `candidate` joins the queue, and this thread waits until it leads and may act. Lost connections
    /// are waited out for as long as the session may live.
    ///
    /// # Errors
    /// [`ClientError::SessionLost`]; [`ClientError::NotStanding`] if somebody removes the candidate while
    /// it waits; the server's refusals.
    pub fn lead(&self, candidate: &str) -> Result<Leadership, ClientError> {
        self.lead_with(candidate, &EnterOptions::default(), || true)
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
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Leadership, ClientError> {
        loop {
            self.enter(candidate, options)?;
            let Some(link) = self.link()? else { continue };
            match self.wait_on(&link, candidate, &mut goes_on) {
                // Let go, and still ours: it has to be won again, for a successor may count on that.
                Ok(term) if !self.session.shared().hold(&self.name, term) => {
                    self.resign(candidate, term)?;
                }
                Ok(term) => return Ok(Leadership::new(self, candidate, term, link)),
                // The caller's own time is up, which is nobody's fault.
                Err(error) if error.is_timeout() => return Err(error),
                Err(error) if error.is_connection_lost() => {
                    self.session.shared().blame(&link, &error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits on one connection until `candidate` leads and may act: its term.
    fn wait_on(
        &self,
        link: &Arc<Connection>,
        candidate: &str,
        goes_on: &mut impl FnMut() -> bool,
    ) -> Result<u64, ClientError> {
        let mut states = observe(link, &self.name, false)?;
        loop {
            if !goes_on() {
                return Err(ClientError::TimedOut { what: format!("leading {}", self.name) });
            }
            let state = match states.next_within(LOOK) {
                Some(Ok(state)) => state,
                Some(Err(error)) if error.is_timeout() => continue,
                Some(Err(error)) => return Err(error),
                None => return Err(link.lost("the server ended the watch")),
            };
            let id = self.session.id();
            let leads = state
                .leader
                .as_ref()
                .is_some_and(|leader| leader.name == candidate && leader.session == id);
            let stands =
                leads || state.candidates.iter().any(|it| it.name == candidate && it.session == id);
            if !stands {
                return Err(ClientError::NotStanding {
                    election: self.name.as_ref().to_owned(),
                    candidate: candidate.to_owned(),
                });
            }
            // Not counted down here: who has to let go may renew meanwhile. The server says when.
            if leads && state.valid_after_micros == 0 {
                return Ok(state.term);
            }
        }
    }

    /// The connection of the session, waited for if there is none.
    fn link(&self) -> Result<Option<Arc<Connection>>, ClientError> {
        let next = self.session.shared().next_link(None, LOOK);
        next.map_err(ClientError::SessionLost)
    }

    /// A call that may be made again on another connection: each of them has its effect once.
    fn call<Request: Message, Reply: Message>(
        &self,
        method: &str,
        request: &Request,
        patience: Duration,
    ) -> Result<Reply, ClientError> {
        let shared = self.session.shared();
        let mut former = None;
        loop {
            let waited = shared.next_link(former.as_ref(), shared.patience());
            let Some(link) = waited.map_err(ClientError::SessionLost)? else {
                return Err(ClientError::TimedOut { what: format!("{ELECTIONS}/{method}") });
            };
            match session::call(&link, ELECTIONS, method, request, patience) {
                Err(error) if error.is_connection_lost() => {
                    shared.blame(&link, &error);
                    former = Some(link);
                }
                done => return done,
            }
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

/// The states of an observed election, as they come: the present one first.
#[derive(Debug)]
pub struct ElectionStates {
    replies: Replies,
}

pub(super) fn observe(
    link: &Connection,
    election: &str,
    leader_only: bool,
) -> Result<ElectionStates, ClientError> {
    let request = wire::ObserveRequest { election: election.to_owned(), leader_only };
    Ok(ElectionStates { replies: link.stream(ELECTIONS, "Observe", &request.encode())? })
}

impl ElectionStates {
    /// The next state, [`ClientError::TimedOut`] if none comes within `patience`, or `None` when the server
    /// has ended the stream.
    pub fn next_within(
        &mut self,
        patience: Duration,
    ) -> Option<Result<ElectionState, ClientError>> {
        self.replies.next_within(patience).map(decoded)
    }
}

impl Iterator for ElectionStates {
    type Item = Result<ElectionState, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.replies.next().map(decoded)
    }
}

fn decoded(reply: Result<Vec<u8>, ClientError>) -> Result<ElectionState, ClientError> {
    Ok(wire::State::decode(&reply?)?.into())
}

impl From<Lost> for ClientError {
    fn from(lost: Lost) -> Self {
        ClientError::SessionLost(lost)
    }
}
