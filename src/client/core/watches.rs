//! Followed elections: asked for again on each new connection, without a gap, and never going back.

use std::sync::Arc;
use std::task::Waker;

use super::input::Frame;
use super::{Core, Fate, Slot, Use};
use crate::client::{ClientError, ElectionState, Lost};
use crate::clock::Moment;
use crate::error::Code;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;

const ELECTIONS: &str = "tenure.v1.Elections";

/// The newest state that was not taken yet.
pub(in crate::client) type States = Slot<Result<ElectionState, ClientError>>;

/// Who is told.
pub(in crate::client) enum Reader {
    States(Arc<States>),
    Guard(Guard),
}

/// Ends a leadership's fate when its term ends.
pub(in crate::client) struct Guard {
    pub(super) candidate: String,
    pub(super) session: u64,
    pub(super) term: u64,
    pub(super) fate: Arc<Fate>,
}

pub(super) struct Watch {
    election: String,
    leader_only: bool,
    reader: Reader,
    pub(super) stream: Option<u32>,
    /// Not asked for again before that.
    retry_at: Moment,
    failures: u32,
    shown: Shown,
}

/// What was shown last, so that nothing older is shown after it.
#[derive(Default)]
struct Shown {
    last: Option<ElectionState>,
    /// The next message is the present state, not a change.
    is_first: bool,
    /// Added to the server's revisions: those of an election that was forgotten begin anew.
    base: u64,
}

impl Shown {
    /// What to show of this state, if anything.
    fn pass(&mut self, mut state: ElectionState) -> Option<ElectionState> {
        let is_first = std::mem::take(&mut self.is_first);
        if let Some(last) = &self.last {
            // The present state is never older than what was seen: the election was forgotten.
            if is_first && state.revision + self.base < last.revision {
                self.base = last.revision;
                state.term = state.term.max(last.term);
            }
            state.revision += self.base;
            let (is, was) = ((state.term, state.revision), (last.term, last.revision));
            let waits = |it: &ElectionState| it.valid_after_micros > 0;
            let is_same = is == was && waits(&state) == waits(last) && state.leader == last.leader;
            if is < was || is_same {
                return None;
            }
        }
        self.last = Some(state.clone());
        Some(state)
    }
}

impl Guard {
    fn look_at(&self, state: &ElectionState) -> Vec<Waker> {
        let is_mine = |leader: &crate::client::Candidate| {
            leader.name == self.candidate && leader.session == self.session
        };
        match state.term == self.term && state.leader.as_ref().is_some_and(is_mine) {
            true => Vec::new(),
            false => self.fate.end(Lost::TermEnded { present: state.term }),
        }
    }
}

impl Core {
    /// Follows an election; gives the number to forget it by.
    pub(in crate::client) fn watch(
        &mut self,
        now: Moment,
        election: &str,
        leader_only: bool,
        reader: Reader,
    ) -> u64 {
        let id = self.id();
        if let (Some(why), Reader::States(slot)) = (&self.shut, &reader) {
            let error = self.lost(why)();
            self.wakers.extend(slot.put(Err(error)));
            return id;
        }
        let watch = Watch {
            election: election.to_owned(),
            leader_only,
            reader,
            stream: None,
            retry_at: now,
            failures: 0,
            shown: Shown::default(),
        };
        self.watches.insert(id, watch);
        self.send_watch(now, id);
        id
    }

    pub(in crate::client) fn forget_watch(&mut self, id: u64) {
        if let Some(stream) = self.watches.remove(&id).and_then(|watch| watch.stream) {
            self.cancel(stream);
        }
    }

    /// After a greeting. What another server says can't be compared with what was shown.
    pub(super) fn send_watches(&mut self, now: Moment, is_other_server: bool) {
        if is_other_server {
            self.watches.values_mut().for_each(|watch| watch.shown = Shown::default());
        }
        self.watches.values_mut().for_each(|watch| watch.retry_at = now);
        let ids: Vec<u64> = self.watches.keys().copied().collect();
        ids.into_iter().for_each(|id| self.send_watch(now, id));
    }

    fn send_watch(&mut self, now: Moment, id: u64) {
        let is_up = self.is_up();
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if !is_up || watch.stream.is_some() || watch.retry_at > now {
            return;
        }
        watch.shown.is_first = true;
        let (election, leader_only) = (watch.election.clone(), watch.leader_only);
        let payload = wire::ObserveRequest { election, leader_only }.encode();
        let stream = self.send(ELECTIONS, "Observe", &payload, Use::Watch(id));
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.stream = Some(stream);
        }
    }

    pub(super) fn on_watch_frame(&mut self, now: Moment, id: u64, frame: Frame) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if frame.ends {
            watch.stream = None;
        }
        match frame.message().map(|it| it.and_then(state)) {
            Some(Ok(state)) => {
                watch.failures = 0;
                self.show(id, state);
            }
            Some(Err(error)) if is_for_good(&error) && !watch.is_guard() => {
                if let Some(Watch { reader: Reader::States(slot), .. }) = self.watches.remove(&id) {
                    self.wakers.extend(slot.put(Err(error)));
                }
                return;
            }
            _ => {}
        }
        self.retry_later(now, id);
    }

    /// The server has ended the stream: asked for again, in a while.
    fn retry_later(&mut self, now: Moment, id: u64) {
        let jitter = self.settings.jitter;
        if let Some(watch) = self.watches.get_mut(&id)
            && watch.stream.is_none()
        {
            watch.failures += 1;
            watch.retry_at = now + jitter(watch.failures);
        }
    }

    fn show(&mut self, id: u64, state: ElectionState) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let woken = match &watch.reader {
            // The truth, whatever was shown before.
            Reader::Guard(guard) => guard.look_at(&state),
            Reader::States(slot) => {
                let state = watch.shown.pass(state);
                state.and_then(|state| slot.put(Ok(state))).into_iter().collect()
            }
        };
        self.wakers.extend(woken);
    }

    pub(super) fn tick_watches(&mut self, now: Moment) {
        if !self.is_up() {
            return;
        }
        let is_due = |watch: &Watch| watch.stream.is_none() && watch.retry_at <= now;
        let due: Vec<u64> =
            self.watches.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.send_watch(now, id));
    }

    pub(super) fn next_watch(&self) -> Option<Moment> {
        if !self.is_up() {
            return None;
        }
        let waiting = self.watches.values().filter(|watch| watch.stream.is_none());
        waiting.map(|watch| watch.retry_at).min()
    }
}

impl Watch {
    /// Nothing more will come.
    pub(super) fn end(self, error: ClientError) -> Option<Waker> {
        match self.reader {
            Reader::States(slot) => slot.put(Err(error)),
            Reader::Guard(_) => None,
        }
    }

    /// A guard goes on whatever it is told: without it a loss is noticed by a renewal alone.
    fn is_guard(&self) -> bool {
        matches!(self.reader, Reader::Guard(_))
    }
}

fn state(raw: Vec<u8>) -> Result<ElectionState, ClientError> {
    Ok(wire::State::decode(&raw)?.into())
}

/// A refusal that would be the same the next time.
fn is_for_good(error: &ClientError) -> bool {
    let passes = [Code::Unavailable, Code::DeadlineExceeded];
    match error {
        ClientError::Refused { code, .. } => !passes.iter().any(|it| it.number() == *code),
        ClientError::Protocol(_) => true,
        _ => false,
    }
}
