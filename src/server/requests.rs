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

impl Requests {
    /// A request was answered, or a stream has ended, with this code of gRPC's, after `elapsed`: for a stream
    /// that does not matter.
    pub(crate) fn observe(
        &self,
        transport: Transport,
        method: Method,
        code: i32,
        elapsed: Duration,
    ) {
        let grid = self.lane(transport).grid.get_or_init(Box::default);
        grid.add_shared(method, code, nanos(elapsed));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::book::Answered;

    fn sums(requests: &Requests, transport: Transport) -> Answered {
        let mut sums = Answered::default();
        let grids = requests.lanes(transport).filter_map(|lane| lane.grid.get());
        grids.for_each(|grid| sums.add(grid));
        sums
    }

    #[test]
    fn threads_count_together_and_nobody_makes_series() {
        const SERVICE: &str = "atomix.runtime.election.v1.LeaderElection";
        let (requests, ms) = (Requests::default(), Duration::from_millis(1));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let requests = &requests;
                scope.spawn(move || {
                    for n in 0..100 {
                        let made_up = format!("Method{thread}x{n}");
                        requests.observe(Transport::Grpc, Method::of(SERVICE, &made_up), 12, ms);
                        requests.observe(Transport::Grpc, Method::of(SERVICE, "GetTerm"), 0, ms);
                        requests.observe(Transport::Grpc, Method::of(SERVICE, "Watch"), -7, ms);
                    }
                });
            }
        });
        let sums = sums(&requests, Transport::Grpc);
        let of = |method: Method, code: usize| sums.codes[method.number()][code];
        let watch = Method::of(SERVICE, "Watch");
        assert_eq!(
            (of(Method::UNKNOWN, 12), of(Method::GET_TERM, 0), of(watch, 2)),
            (800, 800, 800)
        );
        let all: u64 = sums.codes.as_flattened().iter().sum();
        assert_eq!(all, 2_400);
        let time = &sums.times[Method::GET_TERM.number()];
        assert_eq!((time.count(), time.sum), (800, 800_000_000));
        assert_eq!(sums.times[watch.number()].count(), 0, "streams have no time");
    }

    #[test]
    fn each_transport_counts_for_itself() {
        let requests = Requests::default();
        requests.observe(Transport::Http, Method::of("x", "y"), 5, Duration::ZERO);
        requests.carried(Transport::Http, 3, 4);
        let count = |transport| sums(&requests, transport).codes[Method::UNKNOWN.number()][5];
        assert_eq!((count(Transport::Http), count(Transport::Grpc)), (1, 0));
        let read =
            |transport| requests.lanes(transport).map(|it| it.bytes_read.read()).sum::<u64>();
        assert_eq!((read(Transport::Http), read(Transport::Grpc)), (3, 0));
    }
}
