//! Calls that are asked again on another connection until they are answered: each has its effect once.

use std::sync::Arc;

use super::{Core, Slot, Use};
use crate::client::ClientError;
use crate::clock::Moment;
use crate::error::Code;

/// A reply's payload, or why there is none.
pub(in crate::client) type Answer = Result<Vec<u8>, ClientError>;

/// A call until it is answered.
pub(in crate::client) struct Call {
    /// The number here of the session that it acts for, if it acts for one.
    pub(in crate::client) session: Option<u64>,
    pub(in crate::client) service: &'static str,
    pub(in crate::client) method: &'static str,
    pub(in crate::client) payload: Vec<u8>,
    /// Asked again on another connection if this one is lost before the answer.
    pub(in crate::client) is_repeatable: bool,
    /// Answered by then, or [`ClientError::TimedOut`]; `None` for as long as it takes.
    pub(in crate::client) until: Option<Moment>,
    pub(in crate::client) slot: Arc<Slot<Answer>>,
    /// Where it is under way.
    pub(in crate::client) stream: Option<u32>,
}

impl Core {
    /// Sends it, now or when there is a connection; gives its number.
    pub(in crate::client) fn call(&mut self, call: Call) -> u64 {
        let id = self.id();
        if let Some(why) = &self.shut {
            let error = self.lost(why)();
            self.wakers.extend(call.slot.put(Err(error)));
            return id;
        }
        if let Some(session) = call.session
            && let Err(lost) = self.session_lives(session)
        {
            self.wakers.extend(call.slot.put(Err(ClientError::SessionLost(lost))));
            return id;
        }
        self.calls.insert(id, call);
        self.send_call(id);
        id
    }

    /// Nobody waits for its answer any more.
    pub(in crate::client) fn forget_call(&mut self, id: u64) {
        if let Some(stream) = self.calls.remove(&id).and_then(|call| call.stream) {
            self.cancel(stream);
        }
    }

    pub(super) fn send_calls(&mut self) {
        let ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.into_iter().for_each(|id| self.send_call(id));
    }

    /// Sends it unless it is under way, or its session is not attached yet.
    fn send_call(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let may = call.session.is_none_or(|session| self.is_attached(session));
        if !self.is_up() || !may || call.stream.is_some() {
            return;
        }
        let (service, method, payload) = (call.service, call.method, call.payload.clone());
        let stream = self.send(service, method, &payload, Use::Call(id));
        if let Some(call) = self.calls.get_mut(&id) {
            call.stream = Some(stream);
        }
    }

    pub(super) fn on_call(&mut self, now: Moment, id: u64, answer: Answer) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.stream = None;
        match answer {
            // It drains, or is full for a while: the next connection may do better.
            Err(ClientError::Refused { code, message })
                if code == Code::Unavailable.number() && call.is_repeatable =>
            {
                self.down(now, &message);
            }
            Err(error) if call.session.is_some() && may_mean_an_end(&error) => {
                if let Some(Call { session: Some(session), until, slot, .. }) =
                    self.calls.remove(&id)
                {
                    self.doubt(now, session, until, slot, error);
                }
            }
            answer => {
                if let Some(call) = self.calls.remove(&id) {
                    self.wakers.extend(call.slot.put(answer));
                }
            }
        }
    }

    /// The connection is gone: those that were under way are asked again, or nobody knows what became of
    /// them.
    pub(super) fn recall(&mut self, lost: impl Fn() -> ClientError) {
        let wakers = &mut self.wakers;
        self.calls.retain(|_, call| {
            let goes_on = call.stream.take().is_none() || call.is_repeatable;
            if !goes_on {
                wakers.extend(call.slot.put(Err(lost())));
            }
            goes_on
        });
    }

    /// The calls of a session that is over.
    pub(super) fn fail_calls_of(&mut self, session: u64, error: impl Fn() -> ClientError) {
        let of_it = |call: &Call| call.session == Some(session);
        let ids: Vec<u64> =
            self.calls.iter().filter(|(_, call)| of_it(call)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(call) = self.calls.remove(&id) {
                self.wakers.extend(call.slot.put(Err(error())));
                call.stream.into_iter().for_each(|stream| self.cancel(stream));
            }
        }
    }

    pub(super) fn tick_calls(&mut self, now: Moment) {
        let is_late = |call: &Call| call.until.is_some_and(|until| until <= now);
        let late: Vec<u64> =
            self.calls.iter().filter(|(_, call)| is_late(call)).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(call) = self.calls.remove(&id) {
                let error = self.timed_out(call.service, call.method)();
                self.wakers.extend(call.slot.put(Err(error)));
                call.stream.into_iter().for_each(|stream| self.cancel(stream));
            }
        }
    }

    pub(super) fn next_call(&self) -> Option<Moment> {
        self.calls.values().filter_map(|call| call.until).min()
    }
}

/// Refusals that a session's end may be behind; a renewal tells.
fn may_mean_an_end(error: &ClientError) -> bool {
    let codes = [Code::FailedPrecondition, Code::NotFound, Code::PermissionDenied];
    matches!(error, ClientError::Refused { code, .. } if codes.iter().any(|it| it.number() == *code))
}
