//! What a server has counted since it started.

use crossbeam::atomic::AtomicCell;

use super::book::Book;
use super::conn::End;
use crate::meter::{Count, LimitHits};

/// A server's counters at one moment. They only rise, but for `connections`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that are open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused at the limit, or for want of descriptors.
    pub refused: u64,
    /// Connections closed because the peer spoke another protocol.
    pub not_ttrpc: u64,
    /// Connections closed because the peer broke a rule of the protocol.
    pub violations: u64,
    /// Connections closed because a frame took too long to arrive.
    pub slow_frames: u64,
    /// Connections closed because the peer did not read its output.
    pub stalled: u64,
    /// Requests read.
    pub requests: u64,
    /// States sent to watches.
    pub events: u64,
    /// States that slow watches skipped.
    pub merged: u64,
}

/// What one connection, or one pass of a reactor, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Plain GetTerms that were answered at once: what comes most.
    pub(crate) reads: u64,
    /// Other requests that were read.
    pub(crate) others: u64,
    /// Outcomes of changes, or of what waited for one.
    pub(crate) outcomes: u64,
    pub(crate) events: u64,
    pub(crate) merged: u64,
}

impl Tally {
    pub(crate) fn requests(&self) -> u64 {
        self.reads + self.others
    }

    /// Whether somebody was told of a change.
    pub(super) fn tells(&self) -> bool {
        self.outcomes > 0 || self.events > 0
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.reads += other.reads;
        self.others += other.others;
        self.outcomes += other.outcomes;
        self.events += other.events;
        self.merged += other.merged;
    }
}

/// What all reactors count together, since it is seldom.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) connections: AtomicCell<u64>,
    pub(super) accepted: AtomicCell<u64>,
    pub(super) refused: AtomicCell<u64>,
    /// By the number of the reason.
    ended: [AtomicCell<u64>; End::LABELS.len()],
    /// Those that the engine does not count.
    pub(super) limit_hits: LimitHits,
}

impl Tallies {
    /// Counts the end of a connection.
    pub(super) fn ended(&self, end: End) {
        if let Some(number) = end.number() {
            self.ended[number].fetch_add(1);
        }
        if end == End::TooMuchOutput {
            self.limit_hits.hit("output_bytes");
        }
    }

    /// Connections that ended for each reason, by its label.
    pub(super) fn endings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        End::LABELS.into_iter().zip(self.ended.iter().map(AtomicCell::load))
    }

    /// Together with what each reactor has in its book.
    pub(super) fn read<'a>(&self, books: impl Iterator<Item = &'a Book> + Clone) -> Counters {
        let ended = |label| {
            let endings = self.endings().filter(|&(it, _)| it == label);
            endings.map(|(_, count)| count).sum::<u64>()
        };
        let sum = |of: fn(&Book) -> &Count| books.clone().map(|book| of(book).read()).sum();
        Counters {
            connections: self.connections.load(),
            accepted: self.accepted.load(),
            refused: self.refused.load(),
            not_ttrpc: ended("not_ttrpc"),
            violations: ended("violation") + ended("broken_http"),
            slow_frames: ended("slow_frame"),
            stalled: ended("stalled") + ended("too_much_output"),
            requests: sum(|book| &book.requests),
            events: sum(|book| &book.events),
            merged: sum(|book| &book.merged),
        }
    }
}
