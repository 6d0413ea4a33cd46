//! What an engine has counted, for whoever shows it.

use std::sync::Arc;

use super::Engine;
use super::directory::SessionCounts;
use crate::election::{Reason, Term};
use crate::meter::{Distribution, FEW, LimitHits};
use crate::shard::{Cell, Counts, Shard};

/// The sums over all shards, read one after the other while they go on.
pub(crate) struct Tallied {
    /// Changes of who leads, also to nobody, by their reason.
    pub(crate) changes: [(Reason, u64); Reason::ALL.len()],
    /// Elections that somebody leads.
    pub(crate) led: u64,
    /// Elections that somebody led, and nobody does.
    pub(crate) vacant: u64,
    /// Candidates lost with their connection: of connections' own sessions, and of others.
    pub(crate) lost: [u64; 2],
    /// Commands in a turn.
    pub(crate) turns: Distribution,
    /// Commands that wait: in all shards, and in the one with the most.
    pub(crate) waiting: (usize, usize),
    pub(crate) sessions: SessionCounts,
}

impl Tallied {
    fn add(&mut self, shard: &Shard) {
        let (counts, waiting): (&Counts, usize) = (shard.counts(), shard.waiting());
        let (led, vacant) = counts.led_and_vacant();
        (self.led, self.vacant) = (self.led + led, self.vacant + vacant);
        self.changes.iter_mut().zip(counts.changes()).for_each(|(sum, (_, more))| sum.1 += more);
        self.lost[0] += counts.lost_by_connections.read();
        self.lost[1] += counts.lost_by_others.read();
        self.turns.add(&counts.turns.read());
        self.waiting = (self.waiting.0 + waiting, self.waiting.1.max(waiting));
    }
}

impl Engine {
    /// Reads all counts: a walk over the shards.
    pub(crate) fn tallied(&self) -> Tallied {
        let mut sums = Tallied {
            changes: Reason::ALL.map(|reason| (reason, 0)),
            led: 0,
            vacant: 0,
            lost: [0; 2],
            turns: Distribution::of(&FEW),
            waiting: (0, 0),
            sessions: self.inner.sessions.counts(),
        };
        self.inner.shards.iter().for_each(|shard| sums.add(shard));
        sums
    }

    /// How often a limit was hit that the engine watches over.
    pub(crate) fn limit_hits(&self) -> &LimitHits {
        &self.inner.rules.limit_hits
    }

    /// How long commits took, and how much each kept: a time in nanoseconds, and turns.
    pub(crate) fn commit_sizes(&self) -> Option<(Distribution, Distribution)> {
        let meter = self.inner.rules.log.meter()?;
        Some((meter.times.read(), meter.turns.read()))
    }

    /// The published term of a name, if anybody has named it before, without becoming its reader.
    pub(crate) fn peek(&self, name: &str) -> Option<Arc<Term>> {
        self.inner.registry.peek(name)
    }

    /// Calls `look` with each election whose name begins with `prefix`, in the order of names. The first
    /// time puts all names in order, as [`list_elections`](Self::list_elections) does.
    pub(crate) fn look_through(&self, prefix: &str, look: impl FnMut(&Cell)) {
        self.inner.registry.look_through(prefix, look);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::error::Error;
    use crate::limits::Limits;
    use crate::{Failover, SessionSettings};

    fn engine(limits: Limits) -> Engine {
        let shards = NonZeroUsize::new(3).unwrap();
        Engine::builder().shards(shards).limits(limits).open().unwrap()
    }

    fn changes(engine: &Engine) -> BTreeMap<String, u64> {
        let changes = engine.tallied().changes;
        let some = changes.into_iter().filter(|&(_, count)| count > 0);
        some.map(|(reason, count)| (reason.to_string(), count)).collect()
    }

    fn counted<const N: usize>(pairs: [(Reason, u64); N]) -> BTreeMap<String, u64> {
        pairs.into_iter().map(|(reason, count)| (reason.to_string(), count)).collect()
    }

    #[test]
    fn a_change_counts_where_somebody_else_leads_or_nobody_does() {
        let engine = engine(Limits::DEFAULT);
        let (one, other) = (engine.session().unwrap(), engine.session().unwrap());
        let election = engine.election("e").unwrap();
        for (session, candidate) in [(&one, "a"), (&other, "b"), (&other, "c"), (&one, "a")] {
            election.enter(session, candidate).unwrap();
        }
        election.promote("c").unwrap();
        election.promote("c").unwrap();
        election.anoint("a").unwrap();
        election.evict("b").unwrap();
        election.take_over(&other, "a").unwrap();
        let led = [
            (Reason::Entered, 1),
            (Reason::Promoted, 1),
            (Reason::Anointed, 1),
            (Reason::TakenOver, 1),
        ];
        assert_eq!(changes(&engine), counted(led));
        drop(other);
        let [a, b, c, d] = led;
        assert_eq!(changes(&engine), counted([a, b, c, d, (Reason::SessionEnded, 1)]));
        let tallied = engine.tallied();
        assert_eq!((tallied.led, tallied.vacant), (0, 1));
        assert_eq!((tallied.turns.count(), tallied.turns.sum), (10, 10));
    }

    #[test]
    fn elections_are_led_or_vacant_or_neither() {
        let engine = engine(Limits::DEFAULT);
        let session = engine.session().unwrap();
        let stand = || (engine.tallied().led, engine.tallied().vacant);
        let elections = ["a", "b", "c", "d", "e"].map(|name| engine.election(name).unwrap());
        assert_eq!(stand(), (0, 0), "nobody ever led");
        elections.iter().for_each(|it| drop(it.enter(&session, "x").unwrap()));
        assert_eq!(stand(), (5, 0));
        elections[0].withdraw(&session, "x").unwrap();
        elections[1].evict("x").unwrap();
        assert_eq!(stand(), (3, 2));
        elections[1].delete().unwrap();
        elections[2].delete().unwrap();
        assert_eq!(stand(), (2, 1));
        elections[2].enter(&session, "x").unwrap();
        assert_eq!(stand(), (3, 1));
        session.end();
        assert_eq!(stand(), (0, 4));
    }

    #[test]
    fn who_leaves_with_a_connection_is_lost() {
        let engine = engine(Limits::DEFAULT);
        let connection = engine.connection_session().unwrap();
        let settings = SessionSettings { failover: Failover::Fast, ..SessionSettings::default() };
        let (fast, _) = engine.open_session(settings).unwrap();
        for name in ["a", "b"] {
            let election = engine.election(name).unwrap();
            election.enter(&connection, "one").unwrap();
            election.enter(&connection, "two").unwrap();
            election.enter(&fast, "three").unwrap();
        }
        connection.end_disconnected();
        assert_eq!(engine.tallied().lost, [4, 0]);
        fast.attach(7, "somewhere").unwrap();
        fast.detach(7);
        assert_eq!(engine.tallied().lost, [4, 2]);
        assert_eq!(changes(&engine)[&Reason::Disconnected.to_string()], 4);
    }

    #[test]
    fn sessions_are_counted_by_kind_and_end() {
        let engine = engine(Limits::DEFAULT);
        let owned = [engine.session().unwrap(), engine.session().unwrap()];
        let (lasting, _) = engine.open_session(SessionSettings::default()).unwrap();
        engine.end_session(lasting.id()).unwrap();
        lasting.end();
        drop(owned);
        engine.connection_session().unwrap().end_disconnected();
        let _stays = engine.session().unwrap();
        let sessions = engine.tallied().sessions;
        let kinds: Vec<_> = sessions.kinds().map(|(_, live, opened)| (live, opened)).collect();
        assert_eq!(kinds, [(0, 1), (1, 3), (0, 1), (0, 0)]);
        let ended: Vec<_> = sessions.endings().filter(|&(.., count)| count > 0).collect();
        use crate::SessionKind::{Connection, Exclusive, Owned};
        assert_eq!(
            ended,
            [(Connection, "disconnected", 1), (Owned, "closed", 2), (Exclusive, "ended", 1)]
        );
    }

    #[test]
    fn the_engine_counts_the_limits_that_it_watches_over() {
        let limits = Limits { elections: 1, sessions: 1, candidates: 1, ..Limits::DEFAULT };
        let engine = engine(limits);
        let session = engine.session().unwrap();
        let election = engine.election("e").unwrap();
        election.enter(&session, "c").unwrap();
        for _ in 0..2 {
            let errors = [
                engine.session().err(),
                engine.election("f").err(),
                election.enter(&session, "d").err(),
            ];
            for error in errors {
                assert!(matches!(error, Some(Error::LimitReached { .. })), "{error:?}");
            }
        }
        let hits: Vec<_> = engine.limit_hits().read().filter(|&(_, hits)| hits > 0).collect();
        assert_eq!(hits, [("elections", 2), ("sessions", 2), ("candidates", 2)]);
    }
}
