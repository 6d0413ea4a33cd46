//! Letting connections in: the limit, running out of descriptors, floods.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::listener::{Accepted, Listener};
use super::socket::Socket;
use crate::clock::Moment;

/// Connections accepted in one pass, so that a flood does not hold up those who are in.
const AT_ONCE: usize = 128;
/// Connections sent away before the door is shut for a while.
const AWAY_AT_ONCE: usize = 32;
/// How long it is left shut when no descriptor is free.
const BACK_OFF: Duration = Duration::from_millis(50);

pub(super) struct Door {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    /// The listener that is asked next; at the end, nobody waits.
    turn: usize,
    accepted: usize,
    sent_away: usize,
    shut_until: Option<Moment>,
}

impl Door {
    pub(super) fn new(listeners: Vec<Listener>, shared: Arc<Shared>) -> Self {
        Self { shared, listeners, turn: 0, accepted: 0, sent_away: 0, shut_until: None }
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
                    self.sent_away = 0;
                    if self.shared.let_in(now) {
                        return Some(socket);
                    }
                }
                Accepted::Lost => self.accepted += 1,
                Accepted::Nobody => self.turn += 1,
                Accepted::SentAway(error) => {
                    self.shared.refused(now, &format_args!("no descriptor is free: {error}"));
                    self.accepted += 1;
                    self.sent_away += 1;
                    if self.sent_away == AWAY_AT_ONCE {
                        self.shut(now);
                    }
                }
                Accepted::Exhausted => self.shut(now),
            }
        }
        self.accepted = 0;
        None
    }

    /// Those who wait go on waiting in the kernel's queue.
    fn shut(&mut self, now: Moment) {
        self.sent_away = 0;
        self.shut_until = Some(now + BACK_OFF);
    }
}
