//! What a shard's writer counts as it goes: only it writes here.

use crate::election::{Reason, Term};
use crate::id::{SessionId, SessionKind};
use crate::meter::{Count, FEW, Histogram};

/// The counts of one shard.
pub(crate) struct Counts {
    /// Changes of who leads, by the number of their reason.
    changes: [Count; Reason::ALL.len()],
    led: Count,
    vacant: Count,
    /// Candidates that left since the connection of their session had closed: of connections' own sessions,
    /// and of others.
    pub(crate) lost_by_connections: Count,
    pub(crate) lost_by_others: Count,
    /// Commands in a turn.
    pub(crate) turns: Histogram,
}

/// What the gauges tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Forgotten,
    Vacant,
    Led,
}

impl Standing {
    fn of(term: &Term) -> Self {
        match () {
            () if !term.is_vacant() => Standing::Led,
            () if term.is_forgotten() => Standing::Forgotten,
            () => Standing::Vacant,
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            changes: Default::default(),
            led: Count::default(),
            vacant: Count::default(),
            lost_by_connections: Count::default(),
            lost_by_others: Count::default(),
            turns: Histogram::of(&FEW),
        }
    }
}

impl Counts {
    /// An election's state came to be `next`.
    #[inline]
    pub(super) fn changed(&self, now: &Term, next: &Term) {
        let (before, after) = (Standing::of(now), Standing::of(next));
        if now.number() != next.number() || (before == Standing::Led && after != before) {
            self.changes[next.reason() as usize].add(1);
        }
        if before != after {
            self.stood(before).inspect(|count| count.sub(1));
            self.stood(after).inspect(|count| count.add(1));
        }
    }

    /// An election is as a process before this one left it.
    pub(super) fn restored(&self, term: &Term) {
        self.stood(Standing::of(term)).inspect(|count| count.add(1));
    }

    /// The connection of `session` has closed, and its candidates have left.
    pub(super) fn disconnected(&self, session: SessionId, now: &Term, next: &Term) {
        let left = now.participants().len() - next.participants().len();
        let holder = now.standing().map(|(_, holder)| holder).find(|it| it.session == session);
        match holder.map(|holder| holder.kind) {
            Some(SessionKind::Connection) => self.lost_by_connections.add(left as u64),
            _ => self.lost_by_others.add(left as u64),
        }
    }

    fn stood(&self, standing: Standing) -> Option<&Count> {
        match standing {
            Standing::Forgotten => None,
            Standing::Vacant => Some(&self.vacant),
            Standing::Led => Some(&self.led),
        }
    }

    /// Elections that somebody leads, and those that somebody led and nobody does.
    pub(crate) fn led_and_vacant(&self) -> (u64, u64) {
        (self.led.read(), self.vacant.read())
    }

    /// Changes of who leads, also to nobody, by their reason.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.changes.iter().map(Count::read))
    }
}
