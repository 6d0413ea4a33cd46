//! The only place that reads a clock. Time is nanoseconds on a clock that runs while the machine
//! sleeps, so that a leader who wakes up late knows it.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

/// A point in time: nanoseconds on the engine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` after the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this moment; zero if `earlier` is the later one.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;

    fn sub(self, earlier: Moment) -> Duration {
        self.since(earlier)
    }
}

/// Where time comes from: the system, or a test that turns it by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicCell<u64>>),
}

impl Clock {
    /// The machine's clock that runs during sleep: `CLOCK_BOOTTIME` on Linux, on macOS
    /// `CLOCK_MONOTONIC`, which is its continuous clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`advance`](Self::advance). Clones share the time.
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(AtomicCell::new(0))))
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(nanos) => Moment(nanos.load()),
        }
    }

    /// Microseconds since the Unix epoch, for people: it may jump, and nothing may depend on it. A
    /// manual clock's begin with its zero.
    pub(crate) fn wall_micros(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
                now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
            }
            Source::Manual(nanos) => nanos.load() / 1_000,
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system's clock, which nobody can move.
    pub fn advance(&self, step: Duration) {
        match &self.0 {
            Source::System => panic!("only a manual clock can be advanced"),
            Source::Manual(nanos) => {
                nanos.fetch_add(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const SYSTEM: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SYSTEM: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

fn system_now() -> Moment {
    let now = rustix::time::clock_gettime(SYSTEM);
    Moment(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}
