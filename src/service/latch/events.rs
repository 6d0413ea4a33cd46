//! Events: what changes in a latch.

use std::sync::Arc;

use super::failure::Failure;
use super::reply::{self, Said};
use super::sequence::{Command, Seat, Turn};
use super::session::LatchSession;
use super::stream::Response;
use super::streams::Reader;
use super::{Call, answer, header, latch_name};
use crate::clock::Moment;
use crate::election::Term;
use crate::engine::Follower;
use crate::error::Error;
use crate::service::{Answer, Caller, ReplyTo, Step, Task};
use crate::shard::Outcome;
use crate::wire::latch::reply::Kind;
use crate::wire::latch::request::HeaderRequest;

/// One reader of a stream of events.
struct Events {
    session: Arc<LatchSession>,
    said: Said,
    call: Call,
    seat: Option<Seat>,
    reading: Option<(Reader, Follower)>,
    /// What its client knows when the last message has left: that it does not lead up to this term.
    telling: Option<u64>,
    /// The shard stopped: nothing will change any more.
    stopped: Option<Error>,
}

/// The only message of a stream that could not be opened.
struct Unopened {
    said: Said,
    failure: Failure,
    newest: Arc<Term>,
}

impl Caller {
    pub(super) fn follow_latch(
        &self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'static>, Error> {
        let request = HeaderRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.EventRequest"))?;
        let said = Said::of(request.header.as_ref());
        let task = header(request.header.as_ref()).and_then(|header| {
            let session = self.latch_session(header)?;
            let call = Call::of(to)?;
            let (seat, reading, telling, stopped) = (None, None, None, None);
            Ok(Events { session, said, call, seat, reading, telling, stopped })
        });
        Ok(answer(task, Answer::Stream, |failure| {
            let name = request.header.and_then(|header| latch_name(&header).ok());
            let term = name.and_then(|name| self.engine.term(&name).ok());
            let newest = term.unwrap_or_else(|| self.engine.unknown().clone());
            Answer::Stream(Box::new(Unopened { said, failure: failure.clone(), newest }))
        }))
    }
}

impl Task for Unopened {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        let failure = self.failure.to_string();
        reply::put_change(out, &self.said.no_event(0, &failure), &self.newest);
        Step::Last
    }
}

impl Events {
    /// The stream to read, or what its request comes to without one.
    fn open(&mut self, now: Moment, out: &mut Vec<u8>) -> Result<(Reader, Follower), Step> {
        let (session, request) = (self.session.clone(), self.said.request);
        let follow = || session.election().follow(&self.call.sink, self.call.ticket);
        match session.ask(Command::Events, request, &mut self.seat, now, &self.call) {
            Turn::Run => {
                // Followed before the state is looked at in which it opens: no change is missed.
                let follower = follow();
                let revision = session.election().term().revision();
                match session.open(request, revision, &self.call) {
                    Ok(reader) => Ok((reader, follower)),
                    Err((index, failure)) => Err(self.fail(index, &failure, out)),
                }
            }
            Turn::Reattach(reader) => Ok((reader, follow())),
            Turn::Wait(until) => Err(Step::Wait(Some(until))),
            Turn::Refuse(refusal) => Err(self.fail(0, &refusal.into(), out)),
            Turn::Again(before) => match before.outcome {
                Err(failure) => Err(self.fail(before.index, &failure, out)),
                Ok(_) => Err(Step::End),
            },
        }
    }

    fn fail(&self, index: u64, failure: &Failure, out: &mut Vec<u8>) -> Step {
        let (failure, term) = (failure.to_string(), self.session.election().term());
        reply::put_change(out, &self.said.no_event(index, &failure), &term);
        Step::Last
    }

    fn say(&mut self, response: Response, term: &Term, out: &mut Vec<u8>) -> Step {
        let bare = |id, index, kind, out: &mut Vec<u8>| {
            self.said.event(id, index, kind).put_reply(out);
        };
        match response {
            Response::Open { index } => {
                bare(1, index, Kind::OpenStream, out);
                Step::Message
            }
            Response::State { id } => {
                let header = self.said.event(id, self.session.index(), Kind::Response);
                reply::put_change(out, &header, term);
                self.telling = Some(self.session.over_in(term));
                Step::Message
            }
            Response::Close { id } => {
                bare(id, self.session.index(), Kind::CloseStream, out);
                Step::Last
            }
            Response::Replaced => Step::End,
        }
    }
}

impl Task for Events {
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step {
        if let Some(term) = self.telling.take() {
            self.session.was_told(term);
        }
        if self.reading.is_none() {
            match self.open(now, out) {
                Ok(reading) => self.reading = Some(reading),
                Err(step) => return step,
            }
        }
        let Some((reader, follower)) = &mut self.reading else { return Step::End };
        // To be told of the next change; which state is new, the stream knows.
        let _newest = follower.take();
        let term = self.session.election().term();
        match (self.session.next(reader, term.revision()), self.stopped.take()) {
            (Some(response), stopped) => {
                self.stopped = stopped;
                self.say(response, &term, out)
            }
            (None, Some(error)) => self.fail(0, &error.into(), out),
            (None, None) => Step::Wait(None),
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.stopped = outcome.err();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.session.leave(&mut self.seat);
        if let Some((reader, _)) = &self.reading {
            self.session.detach(reader);
        }
    }
}
