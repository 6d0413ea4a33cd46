//! Requests of the transports that run on threads of their own: gRPC and HTTP.

use std::sync::OnceLock;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;

use super::Counters;
use super::book::Grid;
use crate::error::Error;
use crate::meter::{Count, LimitHits, nanos};
use crate::service::Method;

/// Who framed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Grpc,
    Http,
}

impl Transport {
    /// In the order of their numbers.
    pub(super) const ALL: [Transport; 2] = [Transport::Grpc, Transport::Http];

    pub(super) fn label(self) -> &'static str {
        match self {
            Transport::Grpc => "grpc",
            Transport::Http => "http",
        }
    }
}

/// Threads that count at the same time seldom share a lane.
const LANES: usize = 4;

static THREADS: AtomicCell<usize> = AtomicCell::new(0);

thread_local! {
    static LANE: usize = THREADS.fetch_add(1) % LANES;
}

/// Counts from any thread, without a line of memory that all of them fight over.
#[derive(Default)]
pub(crate) struct Requests {
    lanes: [[CachePadded<Lane>; LANES]; Transport::ALL.len()],
    pub(super) limit_hits: LimitHits,
}

#[derive(Default)]
pub(super) struct Lane {
    /// Made by the first request.
    pub(super) grid: OnceLock<Box<Grid>>,
    pub(super) bytes_read: Count,
    pub(super) bytes_written: Count,
    pub(super) events: Count,
    pub(super) merged: Count,
}

#[allow(dead_code, reason = "for the transports that run on threads of their own")]
impl Requests {
    /// A request was answered, or a stream has ended, with this code of gRPC's, after `elapsed`: for a stream
    /// that does not matter. A method that is not in the table counts as `unknown`, whatever its name.
    pub(crate) fn observe(
        &self,
        transport: Transport,
        (service, method): (&str, &str),
        code: i32,
        elapsed: Duration,
    ) {
        let grid = self.lane(transport).grid.get_or_init(Box::default);
        grid.add_shared(Method::of(service, method), code, nanos(elapsed));
    }

    /// A caller is told of this error: counts the limit that it names, if it names one.
    pub(crate) fn told(&self, error: &Error) {
        self.limit_hits.told(error);
    }

    /// So many bytes came in and went out.
    pub(crate) fn carried(&self, transport: Transport, read: u64, written: u64) {
        let lane = self.lane(transport);
        lane.bytes_read.add_shared(read);
        lane.bytes_written.add_shared(written);
    }

    /// Watches were told so many states, and skipped so many.
    pub(crate) fn announced(&self, transport: Transport, events: u64, merged: u64) {
        let lane = self.lane(transport);
        lane.events.add_shared(events);
        lane.merged.add_shared(merged);
    }

    fn lane(&self, transport: Transport) -> &Lane {
        &self.lanes[transport as usize][LANE.with(|lane| *lane)]
    }
}

impl Requests {
    /// What the reactors counted, and what was counted here.
    pub(super) fn added_to(&self, mut counters: Counters) -> Counters {
        for lane in self.lanes.iter().flatten() {
            counters.requests += lane.grid.get().map_or(0, |grid| grid.total());
            counters.events += lane.events.read();
            counters.merged += lane.merged.read();
        }
        counters
    }

    pub(super) fn lanes(&self, transport: Transport) -> impl Iterator<Item = &Lane> {
        self.lanes[transport as usize].iter().map(|lane| &**lane)
    }
}
