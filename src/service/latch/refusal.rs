//! Why a request of a latch's session is not run, in words for whoever sent it.

use super::sequence::Command;
use crate::limits::{LATCH_REPLIES, LATCH_STREAMS, LATCH_WAIT, LATCH_WAITING};

/// What stands in the way of a request. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("sequence number {0} has already been acknowledged")]
    Acknowledged(u64),
    #[error(
        "the reply to request {0} is no longer kept: of those that are not acknowledged, the newest \
         {LATCH_REPLIES} are; acknowledge replies by KeepAlive"
    )]
    NotKept(u64),
    #[error("request {request} was {was}, not {asked}; give a new request a new number")]
    AnotherCommand { request: u64, was: Command, asked: Command },
    #[error(
        "request {request} waited {LATCH_WAIT:?} for request {missing}, which did not come; send that \
         one first, then this one again"
    )]
    Gap { request: u64, missing: u64 },
    #[error("request {0} still runs after {LATCH_WAIT:?}; send this one again")]
    StillRunning(u64),
    #[error(
        "limit reached: requests of a session that wait for their turn ({LATCH_WAITING}); request \
         {missing} comes first"
    )]
    TooManyWaiting { missing: u64 },
    #[error(
        "limit reached: open Events streams of a session ({LATCH_STREAMS}); leave those that are no \
         longer read out of the next KeepAlive"
    )]
    TooManyStreams,
    #[error("session ended")]
    Ended,
}
