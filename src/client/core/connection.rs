//! Connections: dialed, greeted, lost, and dialed again.

use std::io;
use std::time::Duration;

use super::input::Input;
use super::{Answer, CONNECTION, Core, Phase, Server, Session, Use};
use crate::client::{ClientError, Lost};
use crate::clock::Moment;
use crate::wire::message::Message;
use crate::wire::tenure_v1::connection as hello;

impl Core {
    /// The number of the connection to make, if one is to be made now.
    pub(in crate::client) fn dial(&mut self, now: Moment) -> Option<u64> {
        match self.phase {
            Phase::Down { dial_at } if dial_at <= now && self.is_needed() => {
                self.phase = Phase::Dialing;
                self.epoch += 1;
                Some(self.epoch)
            }
            _ => None,
        }
    }

    pub(in crate::client) fn dialed(&mut self, now: Moment, epoch: u64) {
        if epoch != self.epoch || self.phase != Phase::Dialing {
            return;
        }
        self.input = Input::default();
        self.out.clear();
        self.next_stream = 1;
        self.phase = Phase::Greeting { until: now + self.greeting_patience() };
        let request = hello::HelloRequest {
            client_name: "tenure".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.send(CONNECTION, "Hello", &request.encode(), Use::Hello);
    }

    pub(in crate::client) fn dial_failed(&mut self, now: Moment, epoch: u64, why: &io::Error) {
        if epoch != self.epoch || self.phase != Phase::Dialing {
            return;
        }
        let address = self.settings.address.clone();
        let unreachable = || ClientError::Unreachable {
            address: address.clone(),
            why: io::Error::new(why.kind(), why.to_string()),
        };
        self.trouble = Some(unreachable().to_string());
        self.fail_openings(unreachable);
        self.back_off(now);
    }

    /// The connection with this number has ended, in the words of the system.
    pub(in crate::client) fn cut(&mut self, now: Moment, epoch: u64, why: &str) {
        if epoch == self.epoch && !matches!(self.phase, Phase::Down { .. }) {
            self.down(now, why);
        }
    }

    pub(in crate::client) fn received(&mut self, now: Moment, epoch: u64, bytes: &[u8]) {
        if epoch != self.epoch {
            return;
        }
        self.input.feed(bytes);
        while epoch == self.epoch {
            match self.input.next() {
                Ok(Some(frame)) => self.on_frame(now, frame),
                Ok(None) => return,
                Err(why) => self.down(now, &why),
            }
        }
    }

    /// The connection that bytes are for; any other is to be closed.
    pub(in crate::client) fn epoch(&self) -> Option<u64> {
        (!matches!(self.phase, Phase::Down { .. })).then_some(self.epoch)
    }

    /// Not so long that a short-lived session is lost over one server that takes connections and says
    /// nothing.
    pub(super) fn greeting_patience(&self) -> Duration {
        let shortest = self.sessions.values().map(Session::third).min();
        let shortest = shortest.unwrap_or(Duration::MAX).max(Duration::from_secs(1));
        self.settings.patience.min(shortest)
    }

    pub(super) fn on_hello(&mut self, now: Moment, answer: Answer) {
        let decoded = answer.and_then(|raw| Ok(hello::HelloResponse::decode(&raw)?));
        let said = match decoded {
            Ok(said) => said,
            Err(error) => {
                let why = error.to_string();
                let mut error = Some(error);
                let lost = self.lost(&why);
                self.fail_openings(|| error.take().unwrap_or_else(&lost));
                return self.down(now, &why);
            }
        };
        let hello::HelloResponse { server_id, incarnation, durable, .. } = said;
        let server = Server { id: server_id, incarnation, is_durable: durable };
        let is_other = self.server.as_ref().is_some_and(|it| !it.is_continued_by(&server));
        self.server = Some(server);
        self.phase = Phase::Up;
        self.trouble = None;
        self.attach_sessions(now);
        self.send_calls();
        self.send_watches(now, is_other);
    }

    /// The connection has failed, or is given up. Everything that waits for an answer goes on on the next
    /// one.
    pub(super) fn down(&mut self, now: Moment, why: &str) {
        if matches!(self.phase, Phase::Down { .. }) {
            return;
        }
        // The driver closes what is not of this number.
        self.epoch += 1;
        self.out.clear();
        self.trouble = Some(self.lost(why)().to_string());
        let lost = self.lost(why);
        for (_, what) in std::mem::take(&mut self.streams) {
            match what {
                Use::Close(slot) => self.wakers.extend(slot.put(Err(lost()))),
                Use::Beat { session, released, .. } => self.release_again(session, released),
                _ => {}
            }
        }
        self.recall(&lost);
        self.watches.values_mut().for_each(|watch| watch.stream = None);
        self.detach_sessions();
        self.fail_openings(lost);
        self.back_off(now);
    }

    pub(super) fn back_off(&mut self, now: Moment) {
        self.failures += 1;
        self.phase = Phase::Down { dial_at: now + (self.settings.jitter)(self.failures) };
    }

    pub(super) fn lost(&self, why: &str) -> impl Fn() -> ClientError + use<> {
        let (address, why) = (self.settings.address.clone(), why.to_owned());
        move || ClientError::Lost { address: address.clone(), why: why.clone() }
    }

    /// The driver is no more: nothing that waits would ever end.
    pub(in crate::client) fn shut(&mut self, now: Moment, why: &str) {
        self.down(now, why);
        self.shut = Some(why.to_owned());
        let lost = self.lost(why);
        self.fail_openings(&lost);
        let sessions: Vec<u64> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.lose(session, &Lost::Session { why: why.to_owned() });
        }
        for call in std::mem::take(&mut self.calls).into_values() {
            self.wakers.extend(call.slot.put(Err(lost())));
        }
        for watch in std::mem::take(&mut self.watches).into_values() {
            self.wakers.extend(watch.end(lost()));
        }
        for timer in std::mem::take(&mut self.timers).into_values() {
            self.wakers.extend(timer.put(()));
        }
    }

    pub(super) fn timed_out(
        &self,
        service: &str,
        method: &str,
    ) -> impl Fn() -> ClientError + use<> {
        let mut what = format!("{service}/{method} at {}", self.settings.address);
        if let Some(trouble) = &self.trouble {
            what += &format!(" ({trouble})");
        }
        move || ClientError::TimedOut { what: what.clone() }
    }

    #[cfg(feature = "tokio")]
    pub(in crate::client) fn is_shut(&self) -> bool {
        self.shut.is_some()
    }
}
