//! Why a latch's request failed, in words for whoever sent it.

use super::refusal::Refusal;
use crate::error::Error;
use crate::limits::LATCH_WAIT;

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Engine(#[from] Error),
    #[error("the request has no header; give one with the latch's name")]
    NoHeader,
    #[error("header.name.name is missing; give the latch's name")]
    NoName,
    #[error(
        "session {0} does not live here: it ended, or was never created; Create another and join again"
    )]
    NoSession(u64),
    #[error("session {0} is another latch's; Create one for this latch")]
    AnotherLatch(u64),
    #[error("timeout is {0}; give more than zero and at most 24 h, or leave it out for 30 s")]
    Timeout(&'static str),
    #[error(
        "index {asked} was not reached within {LATCH_WAIT:?}; this server is at {present}; ask again, \
         or for an earlier one"
    )]
    Ahead { asked: u64, present: u64 },
    #[error(
        "candidate {0:?} stands in the election and is not the latch's; the latch can be deleted when \
         it has left"
    )]
    NotAlone(Box<str>),
}
