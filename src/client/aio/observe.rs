//! Following an election.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::client::{self, ClientError, ElectionState};

/// The present state of an election, then the newest after each change, through every lost connection:
/// nothing that lasts is missed, and nothing older comes after something newer. It ends after an error,
/// which is one that trying again would not mend.
///
/// Another server, or one that has forgotten everything, is shown as it is.
///
/// A reader that keeps up sees each change. One that does not skips to the newest, and costs nobody
/// anything.
pub struct Observation(pub(super) client::Observation);

impl Observation {
    /// The election.
    pub fn election(&self) -> &str {
        self.0.election()
    }

    /// The next state; `None` once it has ended.
    ///
    /// # Cancellation
    /// No state is lost.
    pub async fn next(&mut self) -> Option<Result<ElectionState, ClientError>> {
        self.0.next_async().await
    }

    /// The next state if there is one already.
    pub fn try_next(&mut self) -> Option<Result<ElectionState, ClientError>> {
        self.0.try_next()
    }
}

impl Stream for Observation {
    type Item = Result<ElectionState, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(context)
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
