//! Following an election across a network.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::{self, Replies};
use super::core::{Reader, States};
use super::election::ELECTIONS;
use super::link::Connection;
use super::wait::{block_on, block_until};
use super::{ClientError, ElectionState};
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;

/// The present state of an election, then the newest after each change, through every lost connection:
/// nothing that lasts is missed, and nothing older comes after something newer. It ends after an error,
/// which is one that trying again would not mend.
///
/// Another server, or one that has forgotten everything, is shown as it is.
///
/// A reader that keeps up sees each change. One that does not skips to the newest, and costs nobody
/// anything.
pub struct Observation {
    connection: Connection,
    election: String,
    watch: u64,
    states: Arc<States>,
    has_ended: bool,
}

impl Connection {
    /// Follows an election.
    pub fn observe(&self, election: &str) -> Observation {
        self.observe_with(election, false)
    }

    /// As [`observe`](Self::observe), but without those who wait, and only when leader or term change:
    /// for long queues.
    pub fn observe_leader(&self, election: &str) -> Observation {
        self.observe_with(election, true)
    }

    fn observe_with(&self, election: &str, leader_only: bool) -> Observation {
        let states = Arc::new(States::default());
        let reader = Reader::States(states.clone());
        let watch = self.with(|core, now| core.watch(now, election, leader_only, reader));
        let (connection, election) = (self.clone(), election.to_owned());
        Observation { connection, election, watch, states, has_ended: false }
    }
}

impl Observation {
    /// The election.
    pub fn election(&self) -> &str {
        &self.election
    }

    /// The next state if there is one already.
    pub fn try_next(&mut self) -> Option<Result<ElectionState, ClientError>> {
        let next = self.states.take();
        self.note(next)
    }

    /// The next state, or `None` if none comes within `patience`, or it has ended.
    pub fn next_within(
        &mut self,
        patience: Duration,
    ) -> Option<Result<ElectionState, ClientError>> {
        let clock = self.connection.clock().clone();
        let end = clock.now() + patience;
        block_until(self.next_async(), &clock, end).flatten()
    }

    /// The next state; `None` once it has ended.
    pub(super) async fn next_async(&mut self) -> Option<Result<ElectionState, ClientError>> {
        poll_fn(|context| self.poll(context)).await
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<ElectionState, ClientError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        match self.states.poll(context) {
            Poll::Ready(state) => Poll::Ready(self.note(Some(state))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn note(
        &mut self,
        state: Option<Result<ElectionState, ClientError>>,
    ) -> Option<Result<ElectionState, ClientError>> {
        self.has_ended |= matches!(state, Some(Err(_)));
        state
    }
}

impl Iterator for Observation {
    type Item = Result<ElectionState, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.next_async())
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observation({:?} over {:?})", self.election, self.connection)
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.connection.with(|core, _| core.forget_watch(self.watch));
    }
}

/// The states of an observed election, as they come over one connection: the present one first.
#[derive(Debug)]
pub struct ElectionStates {
    replies: Replies,
}

pub(super) fn observe(
    link: &connection::Connection,
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
