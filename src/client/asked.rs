//! What is waited for over a connection: answers, and time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Answer, Call, Slot};
use super::link::Connection;
use crate::clock::Moment;

impl Connection {
    /// Asks. Dropping it asks no more.
    pub(super) fn ask(
        &self,
        session: Option<u64>,
        (service, method): (&'static str, &'static str),
        payload: Vec<u8>,
        (until, is_repeatable): (Option<Moment>, bool),
    ) -> Asked {
        let slot = Arc::new(Slot::default());
        let its = slot.clone();
        let call = Call {
            session,
            service,
            method,
            payload,
            is_repeatable,
            until,
            slot: its,
            stream: None,
        };
        let id = self.with(|core, _| core.call(call));
        Asked { connection: self.clone(), id, slot }
    }

    /// Ends after this time, on any runtime.
    pub(super) fn rest(&self, time: Duration) -> Rest {
        let slot = Arc::new(Slot::default());
        let its = slot.clone();
        let (at, id) = self.with(|core, now| (now + time, core.timer(now + time, its)));
        Rest { connection: self.clone(), at, id, slot }
    }
}

/// An answer that comes later.
pub(super) struct Asked {
    connection: Connection,
    id: u64,
    slot: Arc<Slot<Answer>>,
}

impl Future for Asked {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        self.slot.poll(context)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.connection.with(|core, _| core.forget_call(self.id));
    }
}

/// Some time to pass.
pub(super) struct Rest {
    connection: Connection,
    at: Moment,
    id: u64,
    slot: Arc<Slot<()>>,
}

impl Future for Rest {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.slot.poll(context)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.connection.with(|core, _| core.forget_timer(self.at, self.id));
    }
}
