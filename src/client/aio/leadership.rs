//! Proof of a term.

use std::fmt;
use std::time::Duration;

use crate::client::{self, ClientError, Lost};

/// Proof that a candidate leads, in one term, for as long as [`is_valid`](Self::is_valid) says so: the
/// proof of [`client::Leadership`], where only [`lost`](Self::lost) and [`resign`](Self::resign) wait.
///
/// Ask it right before each act, and give the term to whatever the act changes. Dropping it tells the
/// server that this side no longer acts in that term, which a successor by force waits for; the
/// candidate goes on standing. [`resign`](Self::resign) gives up the place.
pub struct Leadership(pub(super) client::Leadership);

impl Leadership {
    /// The term: the fencing token to act with.
    pub fn term(&self) -> u64 {
        self.0.term()
    }

    /// The candidate that leads.
    pub fn candidate(&self) -> &str {
        self.0.candidate()
    }

    /// The election it leads.
    pub fn election(&self) -> &str {
        self.0.election()
    }

    /// True if this leadership still holds. Local and wait-free: two loads and a look at the clock.
    pub fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    /// How long it holds unless the session is renewed; nothing if it is lost. Counted from when the last
    /// renewal was *sent*, less a margin of 5% of the TTL and at least 50 ms.
    pub fn remaining(&self) -> Duration {
        self.0.remaining()
    }

    /// True if it holds for at least `time` from now.
    pub fn ensure(&self, time: Duration) -> bool {
        self.0.ensure(time)
    }

    /// Ends when it is lost: why. A server that can't be reached is no loss before the deadline.
    ///
    /// # Cancellation
    /// Of no consequence.
    pub async fn lost(&self) -> Lost {
        self.0.lost_async().await
    }

    /// Gives up the place, if it is still this term's. A resignation can't end a later leadership.
    ///
    /// # Cancellation
    /// Once polled the proof is void here, and the server is told so; the candidate may go on standing.
    ///
    /// # Errors
    /// Any [`ClientError`]; if the server can't be reached, the place is lost with the session.
    pub async fn resign(self) -> Result<(), ClientError> {
        self.0.resign_async().await
    }
}

impl AsRef<client::Leadership> for Leadership {
    /// The proof itself, for what asks it without waiting.
    fn as_ref(&self) -> &client::Leadership {
        &self.0
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
