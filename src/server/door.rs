//! Letting connections in: the limit, running out of descriptors, floods.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::listener::{Accepted, Listener};
use super::socket::Socket;
use crate::clock::Moment;

/// Connections accepted in one pass, so that a flood does not hold up those who are in.
const AT_ONCE: usize = 128;
/// How long to leave the door shut when no descriptor is free.
const BACK_OFF: Duration = Duration::from_millis(50);

pub(super) struct Door {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    /// The listener that is asked next; at the end, nobody waits.
    turn: usize,
    accepted: usize,
    shut_until: Option<Moment>,
}

impl Door {
    pub(super) fn new(listeners: Vec<Listener>, shared: Arc<Shared>) -> Self {
        Self { shared, listeners, turn: 0, accepted: 0, shut_until: None }
    }

    /// Somebody waits.
    pub(super) fn knock(&mut self) {
        self.turn = 0;
    }

    /// True if there may be somebody to let in now.
    pub(super) fn has_work(&self, now: Moment) -> bool {
        self.turn < self.listeners.len() && self.shut_until.is_none_or(|until| until <= now)
    }

    /// When to look again after running out of descriptors.
    pub(super) fn next_try(&self) -> Option<Moment> {
        self.shut_until
    }

    /// No more listening.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
        self.shut_until = None;
    }

    /// The next one to let in, or `None` if this pass is to go on.
    pub(super) fn open(&mut self, now: Moment) -> Option<Socket> {
        while self.has_work(now) && self.accepted < AT_ONCE {
            self.shut_until = None;
            match self.listeners[self.turn].accept() {
                Accepted::Peer(socket) => {
                    self.accepted += 1;
                    if self.shared.let_in(now) {
                        return Some(socket);
                    }
                }
                Accepted::Lost => self.accepted += 1,
                Accepted::Nobody => self.turn += 1,
                Accepted::Exhausted(error) => {
                    self.shared.refused(now, &format_args!("no descriptor is free: {error}"));
                    self.shut_until = Some(now + BACK_OFF);
                }
            }
        }
        self.accepted = 0;
        None
    }
}
