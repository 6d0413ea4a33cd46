//! Create: a session of a latch. It does not join.

use std::time::Duration;

use super::failure::Failure;
use super::{answer, header, latch_name, reply};
use crate::engine::{Failover, LatchMark, SessionSettings};
use crate::error::Error;
use crate::id::checked_note;
use crate::limits::OWNER_BYTES;
use crate::service::kept::Kept;
use crate::service::{Answer, Caller, ReplyTo};
use crate::wire::latch::reply::ResponseHeader;
use crate::wire::latch::request::{CreateRequest, Timeout};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const NANOS: i128 = 1_000_000_000;
const DAY: i128 = 24 * 60 * 60 * NANOS;

impl Caller {
    pub(super) fn create_latch(
        &self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'static>, Error> {
        let request = CreateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.CreateRequest"))?;
        let created = self.create_latch_session(&request, to);
        Ok(answer(created, Answer::Task, |failure| Answer::Bytes(failed(failure))))
    }

    fn create_latch_session(
        &self,
        request: &CreateRequest<'_>,
        to: ReplyTo<'_>,
    ) -> Result<Kept, Failure> {
        let name = latch_name(header(request.header.as_ref())?)?;
        let ttl = request.timeout.map_or(Ok(DEFAULT_TIMEOUT), checked_timeout)?;
        let election = self.engine.election(&name)?;
        let owner = format!("latch client at {}", self.peer);
        let owner = checked_note("owner", owner.as_bytes(), OWNER_BYTES).unwrap_or("latch client");
        let settings =
            SessionSettings { ttl, failover: Failover::Exclusive, owner: owner.to_owned() };
        let (sink, ticket) = to.claim()?;
        let id = random_id()?;
        let mark = Some(LatchMark { id, election: election.name().into() });
        // Nobody resumes it by its key: a client of a latch has only the id.
        let (session, _key) = self.engine.open_session_to(settings, mark, (sink, ticket))?;
        let handle = session.clone_handle();
        self.latches.add(id, session, election);
        let index = self.latches.next_index();
        let header = ResponseHeader { session_id: id, index, ..ResponseHeader::default() };
        let created = Kept::new(reply::header_alone(&header)).with(handle);
        Ok(created.or(|error| Some(failed(&Failure::from(error.clone())))))
    }
}

fn failed(failure: &Failure) -> Vec<u8> {
    let failure = failure.to_string();
    let failure = Some(failure.as_str());
    reply::header_alone(&ResponseHeader { failure, ..ResponseHeader::default() })
}

/// From 1 to 2^63 - 1. Whoever knows it may act for the session, so nobody can guess it.
fn random_id() -> Result<u64, Error> {
    loop {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::NoRandomness { why: error.to_string() })?;
        let id = u64::from_ne_bytes(bytes) >> 1;
        if id > 0 {
            return Ok(id);
        }
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
