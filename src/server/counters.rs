//! What a server has counted since it started.

use crossbeam::atomic::AtomicCell;

use super::conn::End;

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
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) merged: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Tally) {
        self.requests += other.requests;
        self.events += other.events;
        self.merged += other.merged;
    }
}

/// The counters of a server while it runs.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) connections: AtomicCell<u64>,
    pub(super) accepted: AtomicCell<u64>,
    pub(super) refused: AtomicCell<u64>,
    not_ttrpc: AtomicCell<u64>,
    violations: AtomicCell<u64>,
    slow_frames: AtomicCell<u64>,
    stalled: AtomicCell<u64>,
    requests: AtomicCell<u64>,
    events: AtomicCell<u64>,
    merged: AtomicCell<u64>,
}

impl Tallies {
    /// Adds what a pass counted: once a pass, since the cells are shared.
    pub(super) fn add(&self, tally: Tally) {
        let cells = [&self.requests, &self.events, &self.merged];
        for (cell, count) in cells.into_iter().zip([tally.requests, tally.events, tally.merged]) {
            if count > 0 {
                cell.fetch_add(count);
            }
        }
    }

    /// Counts the end of a connection.
    pub(super) fn ended(&self, end: End) {
        match end {
            End::NotTtrpc(_) => &self.not_ttrpc,
            End::Violation(_) | End::BrokenHttp => &self.violations,
            End::SlowFrame => &self.slow_frames,
            End::Stalled | End::TooMuchOutput => &self.stalled,
            End::PeerClosed
            | End::HandedOver
            | End::Broken
            | End::Silent
            | End::Idle
            | End::Drained => return,
        }
        .fetch_add(1);
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            connections: self.connections.load(),
            accepted: self.accepted.load(),
            refused: self.refused.load(),
            not_ttrpc: self.not_ttrpc.load(),
            violations: self.violations.load(),
            slow_frames: self.slow_frames.load(),
            stalled: self.stalled.load(),
            requests: self.requests.load(),
            events: self.events.load(),
            merged: self.merged.load(),
        }
    }
}
