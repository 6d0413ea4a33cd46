//! What is owed to a call: an outcome, a watch, or a task's messages.
//!
//! The next message is made when the connection asks for it, once the one before has found room, and it is
//! then the newest. A slow reader skips states, and its memory is a constant.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::inbox::Inbox;
use super::visit::{Visit, to_bytes};
use crate::engine::Follower;
use crate::error::Error;
use crate::service::{EMPTY, Shape, Step, Task, Telling, event};

pub(super) enum Reply {
    Outcome { visit: Arc<Visit>, inbox: Arc<Inbox>, shape: Shape },
    Watch(Box<Watching>),
    Task(Box<Errand>),
}

/// The next message, or the end. After an error there is nothing more.
type Next = Option<Result<Bytes, Error>>;

impl Reply {
    /// True if it may have more than one message.
    pub(super) fn streams(&self) -> bool {
        match self {
            Reply::Outcome { .. } => false,
            Reply::Watch(_) => true,
            Reply::Task(errand) => errand.streams,
        }
    }

    /// True if a change may come of it though its caller hears nothing of that.
    pub(super) fn may_have_happened(&self) -> bool {
        match self {
            Reply::Outcome { .. } => true,
            Reply::Watch(_) => false,
            Reply::Task(errand) => errand.task.is_under_way(),
        }
    }

    /// The one message of a call that has no more.
    pub(super) async fn only(&mut self) -> Result<Bytes, Error> {
        match self {
            Reply::Outcome { visit, inbox, shape } => {
                let term = inbox.next_outcome().await?;
                if let Shape::Closed(election) = shape {
                    visit.close_watches(election);
                }
                Ok(to_bytes(shape.body(&term)))
            }
            Reply::Watch(_) | Reply::Task(_) => {
                let message = poll_fn(|cx| self.poll(cx)).await;
                message.unwrap_or_else(|| Ok(to_bytes(EMPTY)))
            }
        }
    }

    /// The next message of one that streams.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self {
            Reply::Outcome { .. } => Poll::Ready(None),
            Reply::Watch(watching) => watching.poll(cx),
            Reply::Task(errand) => errand.poll(cx),
        }
    }
}

/// A v1 watch.
pub(super) struct Watching {
    visit: Arc<Visit>,
    inbox: Arc<Inbox>,
    telling: Telling,
    is_over: bool,
}

impl Watching {
    pub(super) fn new(visit: Arc<Visit>, inbox: Arc<Inbox>, follower: Follower) -> Self {
        Self { visit, inbox, telling: Telling::new(follower), is_over: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let inbox = &self.inbox;
        inbox.register(cx);
        if let Some(Err(error)) = inbox.outcome() {
            self.is_over = true;
            return Poll::Ready(Some(Err(error)));
        }
        while let Some(election) = inbox.take_closed() {
            self.is_over |= election.name() == self.telling.election().name();
        }
        // Lowered before it looks: what comes later wakes again.
        inbox.take_changed();
        let said = self.telling.next(|term| Bytes::copy_from_slice(event(term)));
        if let Some((message, merged)) = said {
            self.visit.announce(merged);
            return Poll::Ready(Some(Ok(message)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        if inbox.drains() {
            self.is_over = true;
            return Poll::Ready(Some(Err(Error::Draining)));
        }
        Poll::Pending
    }
}

/// A task and where it stands.
pub(super) struct Errand {
    visit: Arc<Visit>,
    inbox: Arc<Inbox>,
    task: Box<dyn Task>,
    /// It is a stream; otherwise it answers a unary call.
    streams: bool,
    /// To be polled without anything new: it has just begun, or its message has left.
    is_due: bool,
    is_over: bool,
    wake: Option<Pin<Box<Sleep>>>,
    scratch: Vec<u8>,
}

impl Errand {
    pub(super) fn new(
        visit: Arc<Visit>,
        inbox: Arc<Inbox>,
        task: Box<dyn Task>,
        streams: bool,
    ) -> Self {
        let (wake, scratch) = (None, Vec::new());
        Self { visit, inbox, task, streams, is_due: true, is_over: false, wake, scratch }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.inbox.register(cx);
        self.take_in();
        let drains = self.inbox.drains();
        self.is_due |= drains;
        while self.is_due || self.is_time(cx) {
            self.is_due = false;
            self.scratch.clear();
            let now = self.visit.now();
            let step = self.task.poll(now, &mut self.scratch);
            match step {
                // Asked now: the poll may have begun something.
                Step::Wait(_) if drains && !self.task.is_under_way() => {
                    return self.last(Some(Err(Error::Draining)));
                }
                Step::Wait(wake) => self.wake = wake.map(|at| Box::pin(sleep(at - now))),
                Step::Message if self.streams => {
                    self.is_due = true;
                    self.visit.announce(0);
                    return Poll::Ready(Some(Ok(self.message())));
                }
                Step::Message | Step::Last => {
                    let message = self.message();
                    return self.last(Some(Ok(message)));
                }
                Step::End => return self.last(None),
                Step::Fail(error) => return self.last(Some(Err(error))),
            }
        }
        Poll::Pending
    }

    /// What the engine brought since the last time.
    fn take_in(&mut self) {
        let inbox = &self.inbox;
        self.is_due |= inbox.take_changed();
        while let Some(outcome) = inbox.outcome() {
            self.task.outcome(outcome);
            self.is_due = true;
        }
        while let Some(election) = inbox.take_closed() {
            self.is_due |= self.task.closed(&election);
        }
    }

    /// True if the moment has come that the task waits for; otherwise that wakes.
    fn is_time(&mut self, cx: &mut Context<'_>) -> bool {
        let is_up = self.wake.as_mut().is_some_and(|wake| wake.as_mut().poll(cx).is_ready());
        if is_up {
            self.wake = None;
        }
        is_up
    }

    fn last(&mut self, next: Next) -> Poll<Next> {
        self.is_over = true;
        Poll::Ready(next)
    }

    fn message(&mut self) -> Bytes {
        mem::take(&mut self.scratch).into()
    }
}

/// A reply with the time that its caller gave it.
pub(super) struct Timed {
    reply: Reply,
    deadline: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl Timed {
    pub(super) fn new(reply: Reply, deadline: Option<Pin<Box<Sleep>>>) -> Self {
        Self { reply, deadline, is_over: false }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // First: a reader that is slow enough would never be late.
        let deadline = self.deadline.as_mut();
        if deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            self.is_over = true;
            return Poll::Ready(Some(Err(late(&self.reply))));
        }
        self.reply.poll(cx)
    }
}

/// The error of a reply whose time is up.
pub(super) fn late(reply: &Reply) -> Error {
    Error::DeadlineExceeded { may_have_happened: reply.may_have_happened() }
}
