//! Latch: a participant joins.

use std::sync::Arc;

use super::failure::Failure;
use super::reply::{self, Said};
use super::sequence::{Command, Seat, Turn};
use super::session::{LatchSession, Reply};
use super::{Call, answer, header};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::error::Error;
use crate::service::{Answer, Caller, ReplyTo, Step, Task};
use crate::wire::latch::reply::ResponseHeader;
use crate::wire::latch::request::{LatchRequest, RequestHeader};

/// A Latch until its reply.
struct Join {
    session: Arc<LatchSession>,
    said: Said,
    participant: Box<str>,
    call: Call,
    seat: Option<Seat>,
    run: Option<u64>,
}

impl Caller {
    pub(super) fn join_latch(
        &self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'static>, Error> {
        let request = LatchRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.LatchRequest"))?;
        let said = Said::of(request.header.as_ref());
        let task = header(request.header.as_ref()).and_then(|header| {
            let session = self.latch_session(header)?;
            let (call, participant) = (Call::of(to)?, request.participant_id.into());
            Ok(Join { session, said, participant, call, seat: None, run: None })
        });
        Ok(answer(task, Answer::Task, |failure| {
            let (mut out, failure) = (Vec::new(), failure.to_string());
            let header = said.command(0, Some(&failure));
            put_newest(&mut out, &header, &self.engine, request.header.as_ref());
            Answer::Bytes(out)
        }))
    }
}

/// Appends a reply with the newest state of the latch that the request names, if it does.
pub(super) fn put_newest(
    out: &mut Vec<u8>,
    header: &ResponseHeader<'_>,
    engine: &Engine,
    request: Option<&RequestHeader<'_>>,
) {
    let name = request.and_then(|request| super::latch_name(request).ok());
    let term = name.and_then(|name| engine.term(&name).ok());
    reply::put_state(out, header, term.as_ref().unwrap_or(engine.unknown()));
}

impl Join {
    fn say(&self, reply: Reply, out: &mut Vec<u8>) -> Step {
        let Reply { index, outcome } = reply;
        let failure = outcome.as_ref().err().map(Failure::to_string);
        let newest = || self.session.election().term();
        let term = outcome.ok().flatten().unwrap_or_else(newest);
        reply::put_state(out, &self.said.command(index, failure.as_deref()), &term);
        self.session.was_told(self.session.over_in(&term));
        Step::Last
    }

    fn refuse(&self, failure: Failure, out: &mut Vec<u8>) -> Step {
        self.say(Reply { index: 0, outcome: Err(failure) }, out)
    }
}

impl Task for Join {
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step {
        let request = self.said.request;
        let run = match self.run {
            Some(run) => run,
            None => {
                let turn =
                    self.session.ask(Command::Latch, request, &mut self.seat, now, &self.call);
                match turn {
                    Turn::Run => self.session.join(&self.participant, request, &self.call),
                    Turn::Again(reply) => return self.say(reply, out),
                    Turn::Wait(until) => return Step::Wait(Some(until)),
                    Turn::Refuse(refusal) => return self.refuse(refusal.into(), out),
                    // Only an Events request reads on.
                    Turn::Reattach(reader) => {
                        self.session.detach(&reader);
                        return Step::End;
                    }
                }
            }
        };
        self.run = Some(run);
        match self.session.take_reply(run) {
            Some(reply) => {
                self.run = None;
                self.say(reply, out)
            }
            None => Step::Wait(None),
        }
    }

    fn is_under_way(&self) -> bool {
        self.run.is_some()
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        self.session.leave(&mut self.seat);
        if let Some(run) = self.run {
            self.session.abandon(run);
        }
    }
}
