//! Coming to lead: entering, and waiting for the place and for the former leader.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

#[cfg(feature = "failpoints")]
use super::canary::{self, ClientCanary};
use super::core::Slot;
use super::leadership::Waits;
use super::{
    Candidate, ClientError, Election, ElectionState, EnterOptions, Leadership, Observation,
};

/// Where a candidate stands.
enum Place {
    /// In this term, and may act.
    Leads(u64),
    Waits,
    Nowhere,
}

impl Election {
    /// As [`lead`](Self::lead). If the future is dropped, the candidate goes on standing.
    pub(super) async fn lead_async(&self, candidate: &str) -> Result<Leadership, ClientError> {
        self.lead_async_with(candidate, &EnterOptions::default()).await
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
            if self.session().remaining().is_zero() {
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

    async fn next_state(&self, states: &mut Observation) -> Result<ElectionState, ClientError> {
        let mut lost = Waits::new(self.session().word().fate());
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
        let id = self.session().id();
        let waits = state.valid_after_micros > 0;
        #[cfg(feature = "failpoints")]
        let waits = waits && !canary::sings(ClientCanary::IgnoresValidAfter);
        let is_mine = |it: &Candidate| it.name == candidate && it.session == id;
        match &state.leader {
            // Not counted down here: who has to let go may renew meanwhile. The server says when.
            Some(leader) if is_mine(leader) && !waits => Place::Leads(state.term),
            leader if leader.iter().chain(&state.candidates).any(is_mine) => Place::Waits,
            _ => Place::Nowhere,
        }
    }

    fn not_standing(&self, candidate: &str) -> ClientError {
        ClientError::NotStanding {
            election: self.name().to_owned(),
            candidate: candidate.to_owned(),
        }
    }

    /// The error, or that the session is over if that is behind it.
    async fn sure_of(&self, error: ClientError) -> ClientError {
        let slot = Arc::new(Slot::default());
        let (its, number) = (slot.clone(), self.session().number());
        let patience = self.session().patience();
        self.session()
            .connection()
            .with(|core, now| core.doubt(now, number, Some(now + patience), its, error));
        let answer = poll_fn(|context| slot.poll(context)).await;
        match (self.session().lost(), answer) {
            (Some(lost), _) => ClientError::SessionLost(lost),
            (None, Err(error)) => error,
            (None, Ok(_)) => ClientError::Protocol("a doubt was answered".into()),
        }
    }
}
