//! Create: a session of a latch. It does not join.

use std::time::Duration;

use super::failure::Failure;
use super::{header, latch_name, reply};
use crate::engine::{Failover, SessionSettings};
use crate::error::Error;
use crate::id::checked_note;
use crate::limits::OWNER_BYTES;
use crate::service::{Answer, Caller};
use crate::wire::latch::reply::ResponseHeader;
use crate::wire::latch::request::{CreateRequest, Timeout};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const NANOS: i128 = 1_000_000_000;
const DAY: i128 = 24 * 60 * 60 * NANOS;

impl Caller {
    pub(super) fn create_latch(&self, payload: &[u8]) -> Result<Answer<'static>, Error> {
        let request = CreateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.CreateRequest"))?;
        let created = self.create_latch_session(&request);
        let failure = created.as_ref().err().map(Failure::to_string);
        let (session_id, index) = created.unwrap_or_default();
        let failure = failure.as_deref();
        let header = ResponseHeader { session_id, index, failure, ..ResponseHeader::default() };
        Ok(Answer::Bytes(reply::header_alone(&header)))
    }

    fn create_latch_session(&self, request: &CreateRequest<'_>) -> Result<(u64, u64), Failure> {
        let name = latch_name(header(request.header.as_ref())?)?;
        let ttl = request.timeout.map_or(Ok(DEFAULT_TIMEOUT), checked_timeout)?;
        let election = self.engine.election(&name)?;
        let owner = format!("latch client at {}", self.peer);
        let owner = checked_note("owner", owner.as_bytes(), OWNER_BYTES).unwrap_or("latch client");
        let settings =
            SessionSettings { ttl, failover: Failover::Exclusive, owner: owner.to_owned() };
        // Nobody resumes it by its key: a client of a latch has only the id.
        let (session, _key) = self.engine.open_session(settings)?;
        let session = self.latches.add(session, election)?;
        Ok((session.id(), self.latches.next_index()))
    }
}

/// What the engine takes for no time to live, or would not say well.
fn checked_timeout(timeout: Timeout) -> Result<Duration, Failure> {
    let nanos = i128::from(timeout.seconds) * NANOS + i128::from(timeout.nanos);
    match nanos {
        ..0 => Err(Failure::Timeout("negative")),
        0 => Err(Failure::Timeout("zero")),
        _ if nanos > DAY => Err(Failure::Timeout("over 24 h")),
        _ => Ok(Duration::new((nanos / NANOS) as u64, (nanos % NANOS) as u32)),
    }
}
