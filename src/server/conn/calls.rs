//! Requests in, and their answers out: at once, or when the engine brings the outcome.

use std::time::Duration;

use super::output::Output;
use super::streams::{About, Asked, Kind, Watch};
use super::{Conn, quick};
use crate::clock::Moment;
use crate::engine::Election;
use crate::error::Error;
use crate::server::book::OK;
use crate::service::{Answer, Body, Call, EMPTY, Method, ReplyTo, SESSION, Shape};
use crate::shard::{Outcome, Ticket};
use crate::wire::Malformed;
use crate::wire::envelope::{self, Metadata, Request};

impl Conn {
    #[inline]
    pub(super) fn on_request(&mut self, now: Moment, stream: u32, payload: &[u8]) {
        if !self.is_new(stream) {
            return;
        }
        if !self.draining
            && let Some(name) = quick::get_term(payload)
            && let Some(body) = self.caller.known_term(name)
        {
            self.tally.reads += 1;
            return put_reply(&mut self.output, stream, body);
        }
        self.on_other_request(now, stream, payload);
    }

    /// Apart, so that the way above stays short.
    #[inline(never)]
    fn on_other_request(&mut self, now: Moment, stream: u32, payload: &[u8]) {
        self.tally.others += 1;
        let walk = || {
            let request = Request::decode(payload)?;
            Ok((Method::of(request.service, request.method), request))
        };
        let (method, request) = match quick::change(payload).map_or_else(walk, Ok::<_, Malformed>) {
            Ok(read) => read,
            Err(fault) => {
                let unread = Asked { method: Method::UNKNOWN, since: now };
                return self.fail(unread, stream, &fault.of("ttrpc.Request"));
            }
        };
        let asked = Asked { method, since: now };
        if self.draining {
            return self.fail(asked, stream, &Error::Draining);
        }
        if request.timeout_nano < 0 {
            return self.fail(asked, stream, &Error::DeadlineExceeded { may_have_happened: false });
        }
        self.call(now, asked, stream, &request);
    }

    fn call(&mut self, now: Moment, asked: Asked, stream: u32, request: &Request<'_>) {
        if self.full().is_some() {
            self.expire(now);
        }
        let about = self.streams.about(stream);
        let ticket = Ticket { to: self.key, about: about.0 };
        let to = ReplyTo::new(&self.sink, ticket, self.full());
        let answer = self.caller.call(call_of(request), to);
        if let Answer::Now(body) = answer {
            self.book.answered(asked, OK);
            return put_reply(&mut self.output, stream, body);
        }
        if let Answer::Term(term) = answer {
            self.stirred |= self.streams.len() > 0;
            self.tally.outcomes += 1;
            self.book.answered(asked, OK);
            return put_reply(&mut self.output, stream, Body::of_own(&term));
        }
        let timeout = Duration::from_nanos(request.timeout_nano.unsigned_abs());
        let deadline = (!timeout.is_zero()).then(|| now + timeout);
        let live = match answer {
            Answer::Now(_) | Answer::Term(_) => return,
            Answer::Bytes(body) => {
                self.book.answered(asked, OK);
                return self.reply(stream, &body);
            }
            Answer::Fail(error) => return self.fail(asked, stream, &error),
            Answer::Closed(election) => {
                self.book.answered(asked, OK);
                return self.close(stream, &election);
            }
            Answer::Task(task) => return self.begin(now, (about, asked), deadline, (task, false)),
            Answer::Stream(task) => return self.begin(now, (about, asked), deadline, (task, true)),
            Answer::Later(shape) => Kind::Call { shape, waits: None },
            Answer::Watch(follower) => Kind::Watch(Watch::new(follower)),
        };
        self.streams.add((about, asked), deadline, live);
    }

    /// The limit, if there are as many live streams as there may be.
    pub(super) fn full(&self) -> Option<usize> {
        let max = self.bounds.streams;
        (self.streams.len() >= max).then_some(max)
    }

    /// An outcome that the engine owed. A watch has one only if it could not begin.
    pub(crate) fn deliver(&mut self, now: Moment, about: u64, outcome: Outcome) {
        self.tally.outcomes += 1;
        let about = About(about);
        let paused = self.is_speech_paused();
        match self.streams.find(about) {
            Some(Kind::Call { waits, .. }) if paused => {
                // Not every version of a long list: for a while there may be a thousand of them.
                *waits = Some(outcome.map(|term| term.is_light().then_some(term)));
                self.streams.answered.push_back(about);
            }
            Some(Kind::Call { .. }) => self.answer(about.stream(), outcome),
            Some(Kind::Watch(_)) => {
                if let Err(error) = outcome {
                    self.fail_live(about.stream(), &error);
                }
            }
            Some(Kind::Task(errand)) => {
                errand.task.outcome(outcome);
                self.streams.let_speak(about);
            }
            None => {}
        }
        self.speak(now);
        self.check_output();
    }

    pub(super) fn answer(&mut self, stream: u32, outcome: Outcome) {
        let Some((asked, Kind::Call { shape, .. })) = self.streams.remove(stream) else { return };
        let term = match outcome {
            Err(error) => return self.fail(asked, stream, &error),
            Ok(term) => term,
        };
        self.book.answered(asked, OK);
        match shape {
            Shape::Closed(election) => self.close(stream, &election),
            shape => put_reply(&mut self.output, stream, shape.body(&term)),
        }
    }

    /// Takes out a live stream that has its last word.
    pub(super) fn take_out(&mut self, stream: u32, code: i32) {
        if let Some((asked, _)) = self.streams.remove(stream) {
            self.book.answered(asked, code);
        }
    }

    pub(super) fn reply(&mut self, stream: u32, body: &[u8]) {
        envelope::put_response(self.output.buffer(), stream, body);
    }

    pub(super) fn fail_live(&mut self, stream: u32, error: &Error) {
        if let Some((asked, _)) = self.streams.remove(stream) {
            self.fail(asked, stream, error);
        }
    }

    pub(super) fn fail(&mut self, asked: Asked, stream: u32, error: &Error) {
        self.book.failed(asked, error);
        let message = error.to_string();
        envelope::put_status(self.output.buffer(), stream, error.code().number(), &message);
    }

    /// Answers Close, and lets the watches of that election end.
    fn close(&mut self, stream: u32, election: &Election) {
        put_reply(&mut self.output, stream, EMPTY);
        self.streams.close_watches(election);
    }
}

fn call_of<'a>(request: &Request<'a>) -> Call<'a> {
    let session = match request.metadata {
        Metadata::Pairs(&[]) => None,
        _ => request.metadata().find(|(key, _)| *key == SESSION).map(|(_, key)| key),
    };
    Call { service: request.service, method: request.method, payload: request.payload, session }
}

#[inline]
pub(super) fn put_reply(output: &mut Output, stream: u32, body: Body<'_>) {
    match body {
        Body::Bytes(bytes) => envelope::put_response(output.buffer(), stream, bytes),
        Body::Once(_) => envelope::put_response_of(output.buffer(), stream, |out| body.put(out)),
    }
}
