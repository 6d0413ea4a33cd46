//! Test a failover in microseconds: an engine whose time passes only when a test says so.
//!
//! ```
//! use std::time::Duration;
//! use tenure::testkit::TestEngine;
//! use tenure::Failover;
//!
//! let kit = TestEngine::new();
//! let jobs = kit.election("jobs")?;
//! let ttl = Duration::from_secs(10);
//! let [a, b] = [(); 2].map(|()| kit.session_with_ttl(ttl, Failover::Exclusive).unwrap());
//!
//! let leads = jobs.lead(&a, "a")?;
//! jobs.enter(&b, "b")?;
//! kit.advance(ttl / 2);
//! b.renew()?; // and a does not
//! assert!(leads.is_valid(), "its deadline has not passed");
//!
//! kit.advance(ttl / 2);
//! assert!(!leads.is_valid(), "it knows by itself");
//! kit.advance(Duration::from_millis(10)); // as in the real engine, others know a little later
//! assert!(jobs.term().is_led_by("b"));
//! # Ok::<(), tenure::Error>(())
//! ```

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use crate::clock::Clock;
use crate::engine::{Engine, EngineBuilder, Session};
use crate::error::Error;

/// An engine in memory, with one shard, a clock that stands still and timers that run when it is moved.
/// It is used as the [`Engine`] that it derefs to.
#[derive(Debug)]
pub struct TestEngine {
    engine: Engine,
    clock: Clock,
    connections: AtomicCell<u64>,
}

impl TestEngine {
    /// An engine with default limits.
    pub fn new() -> Self {
        Self::with(Engine::builder()).expect("the default settings are valid")
    }

    /// An engine with these settings, but for its clock, its timers and its shards.
    ///
    /// # Errors
    /// As [`EngineBuilder::open`].
    pub fn with(settings: EngineBuilder) -> Result<Self, Error> {
        let clock = Clock::manual();
        let settings = settings.clock(clock.clone()).manual_timers().shards(NonZeroUsize::MIN);
        Ok(Self { engine: settings.open()?, clock, connections: AtomicCell::new(0) })
    }

    /// Lets time pass. What is due in between happens in order, each thing at its own time or, as in the
    /// real engine, up to two milliseconds later.
    pub fn advance(&self, time: Duration) {
        let end = self.clock.now() + time;
        loop {
            let now = self.clock.now();
            let next = self.engine.tick(now);
            if now >= end {
                return;
            }
            let step = next.map_or(end, |next| next.min(end)) - now;
            // A timer may be due at once: time passes all the same.
            self.clock.advance(step.max(Duration::from_micros(1)).min(end - now));
        }
    }

    /// Ends a session as if it had not been renewed in time, without letting time pass for others.
    /// Nothing if it has ended.
    pub fn expire_now(&self, session: &Session) {
        session.end_expired();
    }

    /// Attaches a session to a connection that can be cut. A session is attached to one at most.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub fn connect(&self, session: &Session) -> Result<Connection, Error> {
        let number = self.connections.fetch_add(1) + 1;
        session.attach(number, "testkit")?;
        Ok(Connection { session: session.clone_handle(), number })
    }

    /// Cuts a connection: a session under [`Failover::Fast`](crate::Failover::Fast) ends, one under
    /// [`Failover::Exclusive`](crate::Failover::Exclusive) lives on until its deadline. So it is if the
    /// connection is dropped. Nothing if the session has moved to another one.
    pub fn cut_connection(&self, connection: Connection) {
        drop(connection);
    }
}

impl Default for TestEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// What a session is attached to, as over a network. Dropping it cuts it.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    number: u64,
}

impl Connection {
    /// True if the session lives and is attached here.
    pub fn is_up(&self) -> bool {
        self.session.ended().is_none() && self.session.is_attached_to(self.number)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.detach(self.number);
    }
}
