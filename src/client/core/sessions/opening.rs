//! Sessions are opened, and closed by who wanted them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Opened, SESSIONS, Session, Standing, Wanted};
use crate::client::core::{Answer, Core, Slot, Use, Word};
use crate::client::{ClientError, Lost};
use crate::clock::Moment;
use crate::wire::message::Message;
use crate::wire::tenure_v1::sessions as wire;

impl Core {
    /// Opens a session, or resumes one by its key. It fails if the server can't be reached now.
    pub(in crate::client) fn open_session(
        &mut self,
        now: Moment,
        wanted: Wanted,
        slot: Arc<Slot<Result<Opened, ClientError>>>,
    ) -> u64 {
        let number = self.id();
        if let Some(why) = &self.shut {
            let error = self.lost(why)();
            self.wakers.extend(slot.put(Err(error)));
            return number;
        }
        let session = Session {
            word: Arc::new(Word::new(wanted.clock.clone())),
            phase: Standing::Opening { slot, until: now + wanted.patience, sent: None },
            wanted,
            next_beat: now,
            awaits_since: None,
            released: BTreeMap::new(),
            let_go: HashMap::new(),
            held: Vec::new(),
            doubts: Vec::new(),
        };
        self.sessions.insert(number, session);
        if self.is_up() {
            self.attach(now, number);
        }
        number
    }

    /// Nobody wants it any more. `None` leaves it open at the server, for who has its key.
    pub(in crate::client) fn close_session(
        &mut self,
        number: u64,
        slot: Option<Arc<Slot<Answer>>>,
    ) {
        let Some(mut session) = self.sessions.remove(&number) else { return };
        let lost = || Lost::Session { why: "closed by its owner".into() };
        let woken = session.end_held(lost);
        self.wakers.extend(woken);
        self.wakers.extend(session.word.lose(lost()));
        for held in &session.held {
            self.forget_watch(held.watch);
        }
        for doubt in session.doubts.drain(..) {
            self.wakers.extend(doubt.slot.put(Err(ClientError::SessionLost(lost()))));
        }
        self.fail_calls_of(number, || ClientError::SessionLost(lost()));
        let Some(slot) = slot else { return };
        match session.opened().filter(|_| session.is_attached() && self.is_up()) {
            Some(opened) => {
                let request = wire::CloseRequest { session: opened.id };
                self.send(SESSIONS, "Close", &request.encode(), Use::Close(slot));
            }
            // It ends at its deadline.
            None => self.wakers.extend(slot.put(Err(ClientError::SessionLost(lost())))),
        }
    }

    pub(in crate::client::core) fn on_opened(
        &mut self,
        now: Moment,
        number: u64,
        is_new: bool,
        answer: Answer,
    ) {
        let decoded = answer.and_then(|raw| Ok(wire::OpenResponse::decode(&raw)?));
        let Some(session) = self.sessions.get_mut(&number) else {
            // Nobody wants it any more; one that was there before is left as it was.
            if let Some(opened) = decoded.ok().filter(|_| is_new) {
                let request = wire::CloseRequest { session: opened.session }.encode();
                self.send(SESSIONS, "Close", &request, Use::Close(Arc::default()));
            }
            return;
        };
        let Standing::Opening { slot, sent, .. } = &session.phase else { return };
        let (slot, sent) = (slot.clone(), sent.unwrap_or(now));
        let (Ok(reply), Some(server)) = (&decoded, &self.server) else {
            self.sessions.remove(&number);
            self.wakers.extend(decoded.err().and_then(|error| slot.put(Err(error))));
            return;
        };
        let opened = Opened {
            number,
            id: reply.session,
            key: reply.key.clone(),
            ttl: Duration::from_micros(reply.ttl_micros),
            is_fast: reply.failover == wire::failover::FAST,
            word: session.word.clone(),
        };
        let server = server.clone();
        session.phase = Standing::Open { opened: opened.clone(), server, is_attached: true };
        session.next_beat = sent + opened.ttl / 3;
        session.extend(now, sent);
        self.wakers.extend(slot.put(Ok(opened)));
    }

    /// Who opens a session is told at once that it can't be.
    pub(in crate::client::core) fn fail_openings(
        &mut self,
        mut error: impl FnMut() -> ClientError,
    ) {
        let wakers = &mut self.wakers;
        self.sessions.retain(|_, session| match &session.phase {
            Standing::Opening { slot, .. } => {
                wakers.extend(slot.put(Err(error())));
                false
            }
            Standing::Open { .. } => true,
        });
    }
}
