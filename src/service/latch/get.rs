//! Get: the state of a latch, not before a command or an index that the caller knows of.

use std::sync::Arc;

use super::failure::Failure;
use super::join::put_newest;
use super::latches::{self, Latches};
use super::reply::{self, Said};
use super::sequence;
use super::session::LatchSession;
use super::{Call, answer, header, latch_name};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::error::Error;
use crate::limits::LATCH_WAIT;
use crate::service::{Answer, Caller, ReplyTo, Step, Task};
use crate::wire::latch::request::{HeaderRequest, RequestHeader};

struct Get {
    engine: Engine,
    latches: Arc<Latches>,
    name: String,
    said: Said,
    index: u64,
    session: Option<Arc<LatchSession>>,
    call: Call,
    turn: Option<sequence::Seat>,
    seat: Option<latches::Seat>,
    until: Option<Moment>,
}

impl Caller {
    pub(super) fn get_latch(
        &self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'static>, Error> {
        let request =
            HeaderRequest::decode(payload).map_err(|fault| fault.of("atomix.leader.GetRequest"))?;
        let said = Said::of(request.header.as_ref());
        let task = header(request.header.as_ref()).and_then(|header| self.get(header, said, to));
        Ok(answer(task, Answer::Task, |failure| {
            let (mut out, failure) = (Vec::new(), failure.to_string());
            let header = said.read(0, Some(&failure));
            put_newest(&mut out, &header, &self.engine, request.header.as_ref());
            Answer::Bytes(out)
        }))
    }

    fn get(&self, header: &RequestHeader<'_>, said: Said, to: ReplyTo<'_>) -> Result<Get, Failure> {
        let name = latch_name(header)?;
        self.engine.term(&name)?;
        let session = if said.session == 0 { None } else { Some(self.latch_session(header)?) };
        Ok(Get {
            engine: self.engine.clone(),
            latches: self.latches.clone(),
            name,
            said,
            index: header.index,
            session,
            call: Call::of(to)?,
            turn: None,
            seat: None,
            until: None,
        })
    }
}

impl Get {
    /// The present index, or until when to wait for it.
    fn ask(&mut self, now: Moment) -> Result<Result<u64, Moment>, Failure> {
        let until = *self.until.get_or_insert(now + LATCH_WAIT);
        if let Some(session) = &self.session {
            let request = self.said.request;
            if let Some(until) = session.ask_to_read(request, &mut self.turn, now, &self.call)? {
                return Ok(Err(until));
            }
        }
        match self.latches.index_from(self.index, &mut self.seat, &self.call) {
            Some(index) => Ok(Ok(index)),
            None if now < until => Ok(Err(until)),
            None => Err(Failure::Ahead { asked: self.index, present: self.latches.index() }),
        }
    }
}

impl Task for Get {
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step {
        let (index, failure) = match self.ask(now) {
            Ok(Err(until)) => return Step::Wait(Some(until)),
            Ok(Ok(index)) => (index, None),
            Err(failure) => (0, Some(failure.to_string())),
        };
        let known = self.engine.term(&self.name);
        let term = known.unwrap_or_else(|_| self.engine.unknown().clone());
        reply::put_state(out, &self.said.read(index, failure.as_deref()), &term);
        if let Some(session) = &self.session {
            session.was_told(session.over_in(&term));
        }
        Step::Last
    }
}

impl Drop for Get {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.leave(&mut self.turn);
        }
        self.latches.leave(self.seat.take());
    }
}
