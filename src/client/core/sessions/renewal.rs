//! Renewals, and what they tell.

use std::sync::Arc;

use super::{Doubt, SESSIONS, Session, Standing};
use crate::client::core::{Answer, Core, Phase, Slot, Use};
use crate::client::{ClientError, Lost};
use crate::clock::Moment;
use crate::error::Code;
use crate::wire::message::Message;
use crate::wire::tenure_v1::sessions as wire;

/// Terms that one renewal releases; a request has a bound.
const RELEASED_AT_A_TIME: usize = 64;

impl Core {
    /// Renews it now, if it is attached.
    pub(super) fn beat(&mut self, now: Moment, number: u64) -> Option<u32> {
        let is_up = self.is_up();
        let session = self.sessions.get_mut(&number)?;
        let id = session.opened()?.id;
        if !is_up || !session.is_attached() {
            return None;
        }
        let mut released = Vec::new();
        while released.len() < RELEASED_AT_A_TIME
            && let Some((election, term)) = session.released.pop_first()
        {
            released.push(wire::Released { election, term });
        }
        let has_more = !session.released.is_empty();
        session.next_beat = if has_more { now } else { now + session.third() };
        session.awaits_since.get_or_insert(now);
        let request = wire::KeepAliveRequest { session: id, released };
        let payload = request.encode();
        let what = Use::Beat { session: number, sent: now, released: request.released };
        Some(self.send(SESSIONS, "KeepAlive", &payload, what))
    }

    pub(in crate::client::core) fn on_beat(
        &mut self,
        now: Moment,
        number: u64,
        (stream, sent): (u32, Moment),
        released: Vec<wire::Released>,
        answer: Answer,
    ) {
        let renewed = match answer.and_then(|raw| Ok(wire::KeepAliveResponse::decode(&raw)?)) {
            Ok(renewed) => renewed,
            Err(error) => {
                self.release_again(number, released);
                return self.refused(now, number, &error);
            }
        };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.awaits_since = None;
        let mut woken = session.extend(now, sent);
        for lost in renewed.lost {
            let mut is_held = false;
            for held in &session.held {
                if *held.election == *lost.election && held.term <= lost.term {
                    is_held = true;
                    woken.extend(held.fate.end(Lost::TermEnded { present: lost.term + 1 }));
                }
            }
            // Who never knew that they led can't be acting, and a successor would wait for ever.
            let is_told =
                |it: &wire::Released| it.election == lost.election && it.term >= lost.term;
            if !is_held && !released.iter().any(is_told) {
                session.release(&lost.election, lost.term);
            }
        }
        let (answered, doubts) =
            session.doubts.drain(..).partition(|doubt: &Doubt| doubt.stream == Some(stream));
        session.doubts = doubts;
        let has_to_tell = !session.released.is_empty();
        self.wakers.extend(woken);
        let answered: Vec<Doubt> = answered;
        for doubt in answered {
            self.wakers.extend(doubt.slot.put(Err(doubt.error)));
        }
        if has_to_tell {
            self.beat(now, number);
        }
    }

    /// A call of this session was refused in a way that its end may be behind: a renewal tells.
    pub(in crate::client) fn doubt(
        &mut self,
        now: Moment,
        number: u64,
        until: Option<Moment>,
        slot: Arc<Slot<Answer>>,
        error: ClientError,
    ) {
        let stream = self.beat(now, number);
        match self.sessions.get_mut(&number) {
            Some(session) => session.doubts.push(Doubt { stream, until, slot, error }),
            None => self.wakers.extend(slot.put(Err(error))),
        }
    }

    /// A renewal or a resumption was refused.
    pub(super) fn refused(&mut self, now: Moment, number: u64, error: &ClientError) {
        let over = [Code::FailedPrecondition, Code::NotFound, Code::PermissionDenied];
        match error {
            ClientError::Refused { code, message }
                if over.iter().any(|it| it.number() == *code) =>
            {
                self.lose(number, &Lost::Session { why: message.clone() });
            }
            error => self.down(now, &error.to_string()),
        }
    }

    pub(in crate::client::core) fn tick_sessions(&mut self, now: Moment) {
        let timed_out = self.timed_out(SESSIONS, "Open");
        let wakers = &mut self.wakers;
        self.sessions.retain(|_, session| match &session.phase {
            Standing::Opening { slot, until, .. } if *until <= now => {
                wakers.extend(slot.put(Err(timed_out())));
                false
            }
            _ => true,
        });
        for session in self.sessions.values_mut() {
            wakers.extend(session.end_late(now));
            let is_late = |doubt: &mut Doubt| doubt.until.is_some_and(|until| until <= now);
            for doubt in session.doubts.extract_if(.., is_late) {
                wakers.extend(doubt.slot.put(Err(doubt.error)));
            }
        }
        if self.silent_until().is_some_and(|until| until <= now) {
            return self.down(now, "the server does not answer");
        }
        if self.phase != Phase::Up {
            return;
        }
        let is_due = |session: &Session| session.is_attached() && session.next_beat <= now;
        let due: Vec<u64> =
            self.sessions.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| *id).collect();
        for number in due {
            self.beat(now, number);
        }
    }

    pub(in crate::client::core) fn next_session(&self) -> Option<Moment> {
        let silent = self.silent_until();
        let own = |session: &Session| match &session.phase {
            Standing::Opening { until, .. } => Some(*until),
            Standing::Open { is_attached, .. } => {
                let beat = (*is_attached && self.is_up()).then_some(session.next_beat);
                let ends = session.held.iter().any(|held| !held.fate.is_over());
                let late = ends.then(|| session.word.deadline());
                let doubt = session.doubts.iter().filter_map(|doubt| doubt.until).min();
                [beat, late, doubt].into_iter().flatten().min()
            }
        };
        self.sessions.values().filter_map(own).chain(silent).min()
    }

    /// When the connection is given up for its silence. That would end a fast session, so while one may
    /// live the others wait.
    fn silent_until(&self) -> Option<Moment> {
        let silent = self.sessions.values().filter_map(Session::silent_until).min()?;
        let is_fast = |it: &&Session| it.opened().is_some_and(|opened| opened.is_fast);
        let fast = self.sessions.values().filter(is_fast).map(|it| it.word.deadline()).max();
        Some(fast.map_or(silent, |fast| fast.max(silent)))
    }
}
