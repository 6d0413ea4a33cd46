//! Sessions: opened once, renewed three times in each TTL, resumed by key on each new connection.

mod opening;
mod renewal;
mod terms;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Core, Fate, Server, Slot, Use, Word};
#[cfg(feature = "failpoints")]
use crate::client::canary::{self, ClientCanary};
use crate::client::{ClientError, Lost};
use crate::clock::{Clock, Moment};
use crate::wire::message::Message;
use crate::wire::tenure_v1::sessions as wire;

const SESSIONS: &str = "tenure.v1.Sessions";

/// A session that somebody wants.
pub(in crate::client) struct Wanted {
    pub(in crate::client) ttl: Duration,
    pub(in crate::client) is_fast: bool,
    pub(in crate::client) owner: String,
    /// Of a session to resume; empty for a new one.
    pub(in crate::client) key: Vec<u8>,
    pub(in crate::client) patience: Duration,
    pub(in crate::client) clock: Clock,
}

/// A session as the server opened it.
#[derive(Clone)]
pub(in crate::client) struct Opened {
    /// Its number in this core.
    pub(in crate::client) number: u64,
    pub(in crate::client) id: u64,
    pub(in crate::client) key: Vec<u8>,
    pub(in crate::client) ttl: Duration,
    pub(in crate::client) is_fast: bool,
    pub(in crate::client) word: Arc<Word>,
}

pub(super) struct Session {
    wanted: Wanted,
    word: Arc<Word>,
    phase: Standing,
    next_beat: Moment,
    /// Since when an answer to a renewal is missing.
    awaits_since: Option<Moment>,
    /// Terms that are let go and not yet told, by election.
    released: BTreeMap<String, u64>,
    /// The greatest term let go, by election: no proof is given of it any more.
    let_go: HashMap<String, u64>,
    /// Terms that somebody has proof of.
    held: Vec<Held>,
    doubts: Vec<Doubt>,
}

enum Standing {
    Opening { slot: Arc<Slot<Result<Opened, ClientError>>>, until: Moment, sent: Option<Moment> },
    Open { opened: Opened, server: Server, is_attached: bool },
}

struct Held {
    number: u64,
    election: Arc<str>,
    term: u64,
    fate: Arc<Fate>,
    watch: u64,
}

/// A refusal that a session's end may be behind, until a renewal tells.
struct Doubt {
    /// The renewal's.
    stream: Option<u32>,
    /// Told as it is by then.
    until: Option<Moment>,
    slot: Arc<Slot<Answer>>,
    error: ClientError,
}

impl Session {
    /// A third of its TTL.
    pub(super) fn third(&self) -> Duration {
        match &self.phase {
            Standing::Opening { .. } => self.wanted.ttl / 3,
            Standing::Open { opened, .. } => opened.ttl / 3,
        }
    }

    #[cfg(feature = "failpoints")]
    fn ttl(&self) -> Duration {
        self.opened().map_or(Duration::ZERO, |it| it.ttl)
    }

    fn opened(&self) -> Option<&Opened> {
        match &self.phase {
            Standing::Open { opened, .. } => Some(opened),
            Standing::Opening { .. } => None,
        }
    }

    fn is_attached(&self) -> bool {
        matches!(self.phase, Standing::Open { is_attached: true, .. })
    }

    /// Until when the answer to a renewal may be missing before the connection is given up.
    fn silent_until(&self) -> Option<Moment> {
        let limit = self.third().min(self.wanted.patience);
        self.awaits_since.map(|since| since + limit)
    }

    /// Renewed by what was sent at `sent`. Proofs that had run out before stay so.
    fn extend(&mut self, now: Moment, sent: Moment) -> Vec<std::task::Waker> {
        let late = self.end_late(now);
        #[cfg(feature = "failpoints")]
        if canary::sings(ClientCanary::CountsFromReceipt) {
            self.word.extend(now + self.ttl());
        }
        if let Some(ttl) = self.opened().map(|it| it.ttl) {
            self.word.extend(sent + ttl.saturating_sub(margin(ttl)));
        }
        late
    }

    fn end_late(&mut self, now: Moment) -> Vec<std::task::Waker> {
        if now < self.word.deadline() {
            return Vec::new();
        }
        self.end_held(|| Lost::Late)
    }

    fn end_held(&mut self, lost: impl Fn() -> Lost) -> Vec<std::task::Waker> {
        self.held.iter().flat_map(|held| held.fate.end(lost())).collect()
    }

    fn release(&mut self, election: &str, term: u64) {
        let known = self.let_go.entry(election.to_owned()).or_default();
        *known = term.max(*known);
        let known = self.released.entry(election.to_owned()).or_default();
        *known = term.max(*known);
    }
}

/// What this side takes off the TTL, so that clocks that drift apart by 2% and a slow thread don't make
/// two leaders.
pub(super) fn margin(ttl: Duration) -> Duration {
    (ttl / 20).max(Duration::from_millis(50))
}

impl Core {
    pub(super) fn session_lives(&self, number: u64) -> Result<(), Lost> {
        match self.sessions.get(&number) {
            Some(session) => session.word.lost().map_or(Ok(()), Err),
            None => Err(Lost::Session { why: "it is over".into() }),
        }
    }

    pub(in crate::client) fn is_attached(&self, number: u64) -> bool {
        self.sessions.get(&number).is_some_and(Session::is_attached)
    }

    pub(super) fn attach_sessions(&mut self, now: Moment) {
        let numbers: Vec<u64> = self.sessions.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.attach(now, number));
    }

    fn attach(&mut self, now: Moment, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let mut request = wire::OpenRequest::default();
        let what = match &mut session.phase {
            Standing::Opening { sent, .. } => {
                *sent = Some(now);
                request = wire::OpenRequest {
                    ttl_micros: micros(session.wanted.ttl),
                    failover: match session.wanted.is_fast {
                        true => wire::failover::FAST,
                        false => wire::failover::EXCLUSIVE,
                    },
                    key: session.wanted.key.clone(),
                    owner: session.wanted.owner.clone(),
                };
                Use::Open { session: number, is_new: session.wanted.key.is_empty() }
            }
            Standing::Open { opened, server, .. } => {
                if self.server.as_ref().is_none_or(|now| !server.is_continued_by(now)) {
                    return self.lose(number, &Lost::ServerReplaced);
                }
                request.key = opened.key.clone();
                session.awaits_since = Some(now);
                Use::Resume { session: number, sent: now }
            }
        };
        self.send(SESSIONS, "Open", &request.encode(), what);
    }

    pub(super) fn on_resumed(&mut self, now: Moment, number: u64, sent: Moment, answer: Answer) {
        let decoded = answer.and_then(|raw| Ok(wire::OpenResponse::decode(&raw)?));
        if let Err(error) = decoded {
            return self.refused(now, number, &error);
        }
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if let Standing::Open { is_attached, .. } = &mut session.phase {
            *is_attached = true;
        }
        session.awaits_since = None;
        session.next_beat = sent + session.third();
        let late = session.extend(now, sent);
        let doubts = std::mem::take(&mut session.doubts);
        let has_to_tell = !session.released.is_empty();
        self.wakers.extend(late);
        for doubt in doubts {
            self.wakers.extend(doubt.slot.put(Err(doubt.error)));
        }
        if has_to_tell {
            self.beat(now, number);
        }
        self.send_calls();
    }

    pub(super) fn lose(&mut self, number: u64, lost: &Lost) {
        let Some(mut session) = self.sessions.remove(&number) else { return };
        let woken = session.end_held(|| lost.clone());
        self.wakers.extend(woken);
        self.wakers.extend(session.word.lose(lost.clone()));
        for doubt in session.doubts.drain(..) {
            self.wakers.extend(doubt.slot.put(Err(ClientError::SessionLost(lost.clone()))));
        }
        session.held.iter().for_each(|held| self.forget_watch(held.watch));
        self.fail_calls_of(number, || ClientError::SessionLost(lost.clone()));
    }

    /// The connection is gone: that ends what a fast session leads, and nothing else.
    pub(super) fn detach_sessions(&mut self) {
        for session in self.sessions.values_mut() {
            session.awaits_since = None;
            session.doubts.iter_mut().for_each(|doubt| doubt.stream = None);
            let Standing::Open { opened, is_attached, .. } = &mut session.phase else { continue };
            *is_attached = false;
            if opened.is_fast {
                let woken = session.end_held(|| Lost::Disconnected);
                self.wakers.extend(woken);
            }
        }
    }
}

pub(in crate::client) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
