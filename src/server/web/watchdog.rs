//! What ends a connection that does not end by itself.

use std::time::Duration;

use tokio::time::sleep;

use super::visit::Visit;
use crate::clock::Moment;
use crate::server::conn::End;
use crate::server::sniff::Protocol;

/// For a peer to read what it was told last.
const LINGER: Duration = Duration::from_secs(1);
/// Between two looks at a connection, at most: the time limits are kept that exactly.
const BEAT: Duration = Duration::from_secs(1);
/// At one that is ending; and how much later than it should a look may come before it says that the server
/// itself was paused.
const SHORT_BEAT: Duration = Duration::from_millis(250);
/// The long beats of all connections fall on multiples of this, so that idle ones wake a thread a few times a
/// second and not each by itself.
const GRID: Duration = Duration::from_nanos(GRID_NANOS);
const GRID_NANOS: u64 = 125_000_000;
/// What HTTP/2 begins with: the client's preface, and the head of its settings.
const BEGINNING: u64 = 24 + 9;

/// Looks at one connection now and then.
pub(super) struct Watchdog<'v> {
    visit: &'v Visit,
    protocol: Protocol,
    began: Moment,
    looked: Moment,
    /// Nothing before counts as silence: the server did not listen.
    listening_since: Moment,
    /// Since when there was nothing left to say, once the connection is to end.
    quiet_since: Option<Moment>,
    /// Since noise was looked for.
    rested: Duration,
}

impl<'v> Watchdog<'v> {
    pub(super) fn new(visit: &'v Visit, protocol: Protocol) -> Self {
        let now = visit.now();
        Self {
            visit,
            protocol,
            began: now,
            looked: now,
            listening_since: now,
            quiet_since: None,
            rested: Duration::ZERO,
        }
    }

    pub(super) fn visit(&self) -> &'v Visit {
        self.visit
    }

    /// Comes back when the connection is to end. `finishing`: why it is ending already.
    pub(super) async fn bite(&mut self, finishing: Option<End>) -> End {
        loop {
            let rest = self.rest(finishing);
            tokio::select! {
                () = self.visit.overflow.notified() => return End::TooMuchOutput,
                () = sleep(rest) => {}
            }
            self.rested += rest;
            let now = self.visit.now();
            if let Some(end) = self.look(now, finishing) {
                return end;
            }
        }
    }

    /// Until the next look.
    fn rest(&self, finishing: Option<End>) -> Duration {
        let beat = self.beat();
        if finishing.is_some() {
            return beat.min(SHORT_BEAT);
        }
        let past = self.visit.now().nanos() % GRID_NANOS;
        if beat == BEAT { beat - Duration::from_nanos(past) } else { beat }
    }

    /// Short time limits, as tests have them, are looked at as often.
    fn beat(&self) -> Duration {
        let (terms, silence) = (&self.visit.shared.terms, self.visit.shared.settings.silence);
        let limits = [terms.frame_time, terms.stall_time, terms.idle.unwrap_or(BEAT), silence];
        let shortest = limits.into_iter().filter(|limit| !limit.is_zero()).min();
        shortest.map_or(BEAT, |limit| (limit / 4).min(BEAT))
    }

    fn look(&mut self, now: Moment, finishing: Option<End>) -> Option<End> {
        let beat = self.beat();
        if now - self.looked > beat + 3 * beat.min(SHORT_BEAT) {
            // It was not the peers that were silent.
            self.listening_since = now;
        }
        self.looked = now;
        self.visit.count_bytes();
        let is_noise = self.rested >= BEAT - GRID && {
            self.rested = Duration::ZERO;
            self.visit.meter.is_noise()
        };
        if is_noise {
            return Some(End::BrokenHttp);
        }
        if let Some(end) = finishing {
            return self.is_quiet(now, end).then_some(end);
        }
        self.is_slow(now)
            .or_else(|| self.is_stalled(now))
            .or_else(|| self.is_silent(now))
            .or_else(|| self.is_idle(now))
    }

    /// Part of a request, or of the beginning, and no more of it.
    fn is_slow(&self, now: Moment) -> Option<End> {
        let since = match self.protocol {
            Protocol::Http2 => (self.visit.meter.total() < BEGINNING).then_some(self.began),
            _ if self.visit.is_busy() => None,
            _ => self.visit.meter.owed_since(),
        };
        let frame_time = self.visit.shared.terms.frame_time;
        since.filter(|&since| now - since > frame_time).map(|_| End::SlowFrame)
    }

    /// It takes nothing of what waits for it.
    fn is_stalled(&self, now: Moment) -> Option<End> {
        let stall_time = self.visit.shared.terms.stall_time;
        let since = self.visit.stalled_since()?;
        (now - since > stall_time).then_some(End::Stalled)
    }

    /// Nothing came in, though it was asked.
    fn is_silent(&self, now: Moment) -> Option<End> {
        let silence = self.visit.shared.settings.silence;
        let asks = self.protocol == Protocol::Http2 && !silence.is_zero();
        let heard = self.visit.meter.last_heard().max(self.listening_since);
        (asks && now - heard > silence).then_some(End::Silent)
    }

    /// No request came for too long.
    fn is_idle(&self, now: Moment) -> Option<End> {
        let idle = self.visit.shared.terms.idle?;
        (now - self.visit.last_asked() > idle).then_some(End::Idle)
    }

    /// Nothing is left to say since a while: streams of the stock services may never end.
    fn is_quiet(&mut self, now: Moment, end: End) -> bool {
        if self.is_stalled(now).is_some() {
            return true;
        }
        // Watches of a peer that asks for nothing go on without end.
        if self.visit.is_busy() && end != End::Idle {
            self.quiet_since = None;
            return false;
        }
        now - *self.quiet_since.get_or_insert(now) > LINGER
    }
}
