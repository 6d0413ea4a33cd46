//! `atomix.leader.LeaderLatchService`: the third generation of Atomix clients.
//!
//! A client of it numbers its requests and the responses of its streams, and asks again with the same
//! numbers after a lost reply: `sequence` and `stream` know what that is to mean, and nothing else.
//! `latches` holds the sessions of an engine, and `session` one of them; the other modules are one
//! method each.
//!
//! A client of it takes every RPC error for a reason to try again at once. So what is refused is an OK
//! reply with the status ERROR, and only bytes that are no request fail.

mod close;
mod create;
mod events;
mod failure;
mod get;
mod join;
mod latches;
mod refusal;
mod reply;
mod sequence;
mod session;
mod stream;
mod streams;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::latches::Latches;

use self::failure::Failure;
use self::session::LatchSession;
use super::{Answer, Caller, ReplyTo, Task, unknown};
use crate::error::Error;
use crate::shard::{Sink, Ticket};
use crate::wire::latch::request::{HeaderRequest, Name, RequestHeader};

pub(super) const SERVICE: &str = "atomix.leader.LeaderLatchService";

/// Calls who waits for something of a latch.
#[derive(Clone)]
struct Call {
    sink: Arc<dyn Sink>,
    ticket: Ticket,
}

impl Call {
    fn of(to: ReplyTo<'_>) -> Result<Self, Failure> {
        let (sink, ticket) = to.claim()?;
        Ok(Self { sink: sink.clone(), ticket })
    }

    fn changed(&self) {
        self.sink.changed(self.ticket);
    }
}

impl Caller {
    pub(super) fn latch(
        &mut self,
        method: &str,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        match method {
            "Create" => self.create_latch(payload, to),
            "KeepAlive" => self.keep_latch_alive(payload),
            "Close" => self.close_latch(payload, to),
            "Latch" => self.join_latch(payload, to),
            "Get" => self.get_latch(payload, to),
            "Events" => self.follow_latch(payload, to),
            _ => Err(unknown(SERVICE, method)),
        }
    }

    fn keep_latch_alive(&self, payload: &[u8]) -> Result<Answer<'static>, Error> {
        let request = HeaderRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.KeepAliveRequest"))?;
        let said = reply::Said::of(request.header.as_ref());
        let kept = header(request.header.as_ref()).and_then(|header| {
            let session = self.latch_session(header)?;
            self.latches.next_index();
            session.keep_alive(header, self.engine.clock().now());
            Ok(())
        });
        Ok(said.plainly(kept))
    }

    /// The live session of a request that is about its latch. Whoever asks for it is heard.
    fn latch_session(&self, header: &RequestHeader<'_>) -> Result<Arc<LatchSession>, Failure> {
        let name = latch_name(header)?;
        let id = header.session_id;
        let session = self.latches.find(id).ok_or(Failure::NoSession(id))?;
        if session.name() != name {
            return Err(Failure::AnotherLatch(id));
        }
        session.renew()?;
        Ok(session)
    }
}

fn header<'r, 'a>(header: Option<&'r RequestHeader<'a>>) -> Result<&'r RequestHeader<'a>, Failure> {
    header.ok_or(Failure::NoHeader)
}

/// The election that is this latch.
fn latch_name(header: &RequestHeader<'_>) -> Result<String, Failure> {
    match header.name {
        None | Some(Name { name: "", .. }) => Err(Failure::NoName),
        Some(Name { name, namespace: "" }) => Ok(name.to_owned()),
        Some(Name { name, namespace }) => Ok(format!("{namespace}.{name}")),
    }
}

/// What a task answers, unless it could not begin.
fn answer<T: Task + 'static>(
    task: Result<T, Failure>,
    kind: fn(Box<dyn Task>) -> Answer<'static>,
    refused: impl FnOnce(&Failure) -> Answer<'static>,
) -> Answer<'static> {
    match task {
        Ok(task) => kind(Box::new(task)),
        Err(failure) => refused(&failure),
    }
}
