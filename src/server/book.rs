//! What one reactor counts, and what it takes from reading a request to having its answer ready.
//!
//! The reactor alone writes here. A request that is answered in the pass that read it takes as long as the
//! pass: the clock is read once for all of them, when the pass is over. One that waited for the engine
//! takes from the pass that read it to the pass that answers it.

use super::conn::Asked;
use super::counters::Tally;
use super::sniff::Protocol;
use crate::clock::Moment;
use crate::error::Error;
use crate::meter::{Count, Distribution, Histogram, LimitHits, TIMES};
use crate::service::{METHODS, Method};

/// gRPC's codes by their numbers.
pub(super) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(crate) const OK: i32 = 0;
/// The caller has cancelled, or is gone.
pub(crate) const CANCELLED: i32 = 1;
const UNKNOWN: usize = 2;

/// A code's place among [`CODES`].
fn place(code: i32) -> usize {
    usize::try_from(code).ok().filter(|&code| code < CODES.len()).unwrap_or(UNKNOWN)
}

/// Answered requests by method and code, and how long each method took.
pub(super) struct Grid {
    answered: [[Count; CODES.len()]; METHODS],
    times: [Histogram; METHODS],
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            answered: std::array::from_fn(|_| Default::default()),
            times: std::array::from_fn(|_| Histogram::of(&TIMES)),
        }
    }
}

impl Grid {
    /// How many were answered.
    pub(super) fn total(&self) -> u64 {
        self.answered.as_flattened().iter().map(Count::read).sum()
    }

    /// From any thread. Streams have no time: they last as long as their readers like.
    pub(super) fn add_shared(&self, method: Method, code: i32, nanos: u64) {
        self.answered[method.number()][place(code)].add_shared(1);
        if !method.streams() {
            self.times[method.number()].add_shared(nanos);
        }
    }
}

/// What several grids come to together.
pub(super) struct Answered {
    pub(super) codes: [[u64; CODES.len()]; METHODS],
    pub(super) times: Vec<Distribution>,
}

impl Default for Answered {
    fn default() -> Self {
        let times = vec![Distribution::of(&TIMES); METHODS];
        Self { codes: [[0; CODES.len()]; METHODS], times }
    }
}

impl Answered {
    pub(super) fn add(&mut self, grid: &Grid) {
        let cells = self.codes.as_flattened_mut().iter_mut();
        cells.zip(grid.answered.as_flattened()).for_each(|(sum, count)| *sum += count.read());
        let times = self.times.iter_mut().zip(&grid.times);
        times.for_each(|(sum, histogram)| sum.add(&histogram.read()));
    }
}

#[derive(Default)]
pub(crate) struct Book {
    pub(super) grid: Grid,
    /// Answered in the pass that read them, which is not over, by method; and those methods, one bit each.
    in_pass: InPass,
    methods_in_pass: Count,
    /// Nanoseconds of when the pass began.
    pass_began: Count,
    pub(super) requests: Count,
    pub(super) events: Count,
    pub(super) merged: Count,
    pub(super) bytes_read: Count,
    pub(super) bytes_written: Count,
    /// Limits that clients are told of and the engine does not count.
    pub(super) limit_hits: LimitHits,
    pub(super) met: [Count; Protocol::ALL.len()],
}

struct InPass([Count; METHODS]);

impl Default for InPass {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Book {
    /// A pass is over, and the next one begins when the sleep between them ends.
    #[inline]
    pub(super) fn end_pass(&self, now: Moment) {
        let mut methods = self.methods_in_pass.take();
        if methods == 0 {
            return;
        }
        let took = now.nanos().saturating_sub(self.pass_began.read());
        while methods != 0 {
            let method = methods.trailing_zeros() as usize;
            methods &= methods - 1;
            self.grid.times[method].add(took, self.in_pass.0[method].take());
        }
    }

    #[inline]
    pub(super) fn begin_pass(&self, now: Moment) {
        self.pass_began.take();
        self.pass_began.add(now.nanos());
    }

    /// Adds what the connections counted by themselves.
    pub(super) fn add(&self, tally: Tally) {
        self.requests.add(tally.requests());
        self.events.add(tally.events);
        self.merged.add(tally.merged);
        if tally.reads > 0 {
            self.grid.answered[Method::GET_TERM.number()][OK as usize].add(tally.reads);
            self.note_in_pass(Method::GET_TERM, tally.reads);
        }
    }

    /// A request is refused, or a stream ends with an error.
    pub(super) fn failed(&self, asked: Asked, error: &Error) {
        self.answered(asked, error.code().number());
        self.limit_hits.told(error);
    }

    /// A request has its answer, or a stream its end.
    pub(super) fn answered(&self, asked: Asked, code: i32) {
        let method = asked.method;
        self.grid.answered[method.number()][place(code)].add(1);
        if method.streams() {
            return;
        }
        let waited = self.pass_began.read().saturating_sub(asked.since.nanos());
        if waited == 0 {
            self.note_in_pass(method, 1);
        } else {
            self.grid.times[method.number()].add(waited, 1);
        }
    }

    fn note_in_pass(&self, method: Method, times: u64) {
        let bit = 1 << method.number();
        let methods = self.methods_in_pass.read();
        if methods & bit == 0 {
            self.methods_in_pass.add(bit);
        }
        self.in_pass.0[method.number()].add(times);
    }

    /// A connection's first bytes told what it speaks.
    pub(super) fn met(&self, protocol: Protocol) {
        self.met[protocol as usize].add(1);
    }
}
