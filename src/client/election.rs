//! One election, seen from a session across a network.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

#[cfg(feature = "failpoints")]
use super::canary::{self, ClientCanary};
use super::core::Slot;
use super::leadership::Waits;
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

    /// As [`lead`](Self::lead). If the future is dropped, the candidate goes on standing.
    pub(super) async fn lead_async(&self, candidate: &str) -> Result<Leadership, ClientError> {
        self.lead_async_with(candidate, &EnterOptions::default()).await
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

    /// As [`lead_with`](Self::lead_with), for as long as it takes.
    pub(super) async fn lead_async_with(
        &self,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<Leadership, ClientError> {
        loop {
            let (_, entered) = self.enter_async(candidate, options).await?;
            if !entered {
                return Err(self.not_standing(candidate));
            }
            let mut states = self.observe();
            let term = loop {
                match self.place(candidate, &self.next_state(&mut states).await?) {
                    Place::Leads(term) => break term,
                    Place::Waits => {}
                    // Or it fell with its session, which is another thing.
                    Place::Nowhere => return Err(self.sure_of(self.not_standing(candidate)).await),
                }
            };
            if self.session.remaining().is_zero() {
                // It stood still here: whether it still leads is known once the session is attached again.
                continue;
            }
            if let Some(leads) = Leadership::hold(self, candidate, term) {
                return Ok(leads);
            }
            // Let go, and still ours: it has to be won again, for a successor may count on that.
            self.resign(candidate, term).await?;
        }
    }

    /// Leads if `candidate` leads already and may act, or nobody else stands; `None` if it would have to
    /// wait. Then it stands only if it stood before.
    ///
    /// # Errors
    /// As [`lead`](Self::lead).
    pub fn try_lead(&self, candidate: &str) -> Result<Option<Leadership>, ClientError> {
        block_on(self.try_lead_async(candidate))
    }

    /// As [`try_lead`](Self::try_lead).
    pub(super) async fn try_lead_async(
        &self,
        candidate: &str,
    ) -> Result<Option<Leadership>, ClientError> {
        let options = EnterOptions { only_if_leads: true, ..EnterOptions::default() };
        loop {
            let (state, _) = self.enter_async(candidate, &options).await?;
            let Place::Leads(term) = self.place(candidate, &state) else { return Ok(None) };
            if let Some(leads) = Leadership::hold(self, candidate, term) {
                return Ok(Some(leads));
            }
            self.resign(candidate, term).await?;
        }
    }

    /// The present state, then the newest after each change, through every lost connection.
    pub fn observe(&self) -> Observation {
        self.session.connection().observe(&self.name)
    }

    async fn next_state(&self, states: &mut Observation) -> Result<ElectionState, ClientError> {
        let mut lost = Waits::new(self.session.word().fate());
        let next = poll_fn(|context| {
            if let Poll::Ready(lost) = lost.poll(context) {
                return Poll::Ready(Err(ClientError::SessionLost(lost)));
            }
            let ended = || Err(ClientError::Protocol("the observation ended".into()));
            states.poll(context).map(|state| state.unwrap_or_else(ended))
        });
        next.await
    }

    fn place(&self, candidate: &str, state: &ElectionState) -> Place {
        let id = self.session.id();
        let waits = state.valid_after_micros > 0;
        #[cfg(feature = "failpoints")]
        let waits = waits && !canary::sings(ClientCanary::IgnoresValidAfter);
        let is_mine = |it: &super::Candidate| it.name == candidate && it.session == id;
        match &state.leader {
            // Not counted down here: who has to let go may renew meanwhile. The server says when.
            Some(leader) if is_mine(leader) && !waits => Place::Leads(state.term),
            leader if leader.iter().chain(&state.candidates).any(is_mine) => Place::Waits,
            _ => Place::Nowhere,
        }
    }

    fn not_standing(&self, candidate: &str) -> ClientError {
        ClientError::NotStanding {
            election: self.name.as_ref().to_owned(),
            candidate: candidate.to_owned(),
        }
    }

    /// The error, or that the session is over if that is behind it.
    async fn sure_of(&self, error: ClientError) -> ClientError {
        let slot = Arc::new(Slot::default());
        let (its, number) = (slot.clone(), self.session.number());
        let patience = self.session.patience();
        self.session
            .connection()
            .with(|core, now| core.doubt(now, number, Some(now + patience), its, error));
        let answer = pin!(poll_fn(|context| slot.poll(context))).await;
        match (self.session.lost(), answer) {
            (Some(lost), _) => ClientError::SessionLost(lost),
            (None, Err(error)) => error,
            (None, Ok(_)) => ClientError::Protocol("a doubt was answered".into()),
        }
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

/// Where a candidate stands.
enum Place {
    /// In this term, and may act.
    Leads(u64),
    Waits,
    Nowhere,
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
