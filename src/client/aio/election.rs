//! One election, to stand in.

use std::fmt;

use super::{Leadership, Observation, Session};
use crate::client::{self, ClientError, ElectionState, EnterOptions};

/// An election, to stand in with a [`Session`].
#[derive(Clone)]
pub struct Election(pub(super) client::Election);

impl Election {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The session that stands here.
    pub fn session(&self) -> Session {
        Session(self.0.session().clone())
    }

    /// `candidate` joins the end of the queue, and leads if it is the first. True if it stands now.
    /// After a lost connection it is asked for again: entering twice is entering once.
    ///
    /// # Cancellation
    /// It may stand; [`withdraw`](Self::withdraw) if it should not.
    ///
    /// # Errors
    /// [`ClientError::SessionLost`], or any other.
    pub async fn enter(
        &self,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<(ElectionState, bool), ClientError> {
        self.0.enter_async(candidate, options).await
    }

    /// `candidate` leaves, from any place.
    ///
    /// # Cancellation
    /// It may have left.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn withdraw(&self, candidate: &str) -> Result<ElectionState, ClientError> {
        self.0.withdraw_async(candidate).await
    }

    /// `candidate` joins the queue, and leads and may act when this ends. Lost connections are waited out
    /// for as long as the session may live.
    ///
    /// # Cancellation
    /// The candidate goes on standing, and may come to lead without proof; a successor by force does not
    /// wait for that. Call it again to go on, or [`withdraw`](Self::withdraw).
    ///
    /// # Errors
    /// [`ClientError::SessionLost`]; [`ClientError::NotStanding`] if somebody removes the candidate while
    /// it waits; the server's refusals.
    pub async fn lead(&self, candidate: &str) -> Result<Leadership, ClientError> {
        self.lead_with(candidate, &EnterOptions::default()).await
    }

    /// As [`lead`](Self::lead), with options. To wait no longer than some time, put a timeout around it.
    ///
    /// # Cancellation
    /// As `lead`.
    ///
    /// # Errors
    /// As `lead`.
    pub async fn lead_with(
        &self,
        candidate: &str,
        options: &EnterOptions,
    ) -> Result<Leadership, ClientError> {
        self.0.lead_async_with(candidate, options).await.map(Leadership)
    }

    /// Leads if `candidate` leads already and may act, or nobody else stands; `None` if it would have to
    /// wait. Then it stands only if it stood before.
    ///
    /// # Cancellation
    /// As [`lead`](Self::lead).
    ///
    /// # Errors
    /// As `lead`.
    pub async fn try_lead(&self, candidate: &str) -> Result<Option<Leadership>, ClientError> {
        Ok(self.0.try_lead_async(candidate).await?.map(Leadership))
    }

    /// The present state, then the newest after each change, through every lost connection.
    pub fn observe(&self) -> Observation {
        Observation(self.0.observe())
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
