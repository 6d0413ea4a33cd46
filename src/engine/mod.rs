//! The embedding API: an engine, elections, sessions, observers and watches.

#[cfg(test)]
mod by_sink;
mod directory;
mod election;
mod keeping;
mod leadership;
mod observer;
mod options;
mod order;
mod recent;
mod record;
#[cfg(feature = "durable")]
mod recover;
mod registry;
mod session;
mod sessions;
mod tallied;
mod timers;
mod watch;

use std::fmt;
use std::num::NonZeroUsize;
#[cfg(feature = "durable")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

pub(crate) use self::election::Act;
pub use self::election::Election;
pub use self::leadership::{Leadership, Lost};
pub use self::observer::Observer;
pub use self::options::{ChangeOptions, EnterOptions};
#[cfg(feature = "server")]
pub(crate) use self::recent::quick_hash;
pub use self::record::SessionInfo;
pub(crate) use self::session::EndFollower;
pub use self::session::{Failover, Session, SessionSettings};
pub(crate) use self::tallied::Tallied;
pub(crate) use self::watch::Follower;
#[cfg(feature = "server")]
pub(crate) use self::watch::Lookout;
pub use self::watch::Watch;
pub(crate) use crate::log::LatchMark;

use self::directory::Directory;
use self::keeping::{Reserved, What};
use self::registry::Registry;
use self::timers::Timers;
use crate::clock::{Clock, Moment};
use crate::election::Term;
use crate::error::Error;
use crate::id::SessionKind;
use crate::limits::{self, Limits};
#[cfg(feature = "server")]
pub(crate) use crate::log::handing_over;
use crate::log::{Log, MemoryLog};
use crate::meter::LimitHits;
use crate::random::random_hex;
use crate::shard::{Rules, Shard};

/// Elections in this process. Cloning is cheap and gives the same engine.
///
/// A change runs on the thread that asks for it. The engine starts one thread of its own,
/// `tenure-timers`, with the first session that has a deadline; with
/// [`manual_timers`](EngineBuilder::manual_timers) it starts none.
///
/// ```
/// let engine = tenure::Engine::builder().open()?;
/// let session = engine.session()?;
/// let election = engine.election("billing/cron")?;
/// let term = election.enter(&session, "node-a")?;
/// assert_eq!((term.number(), term.leader()), (1, Some("node-a")));
/// # Ok::<(), tenure::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    shards: Box<[Shard]>,
    rules: Arc<Rules>,
    sessions: Directory,
    timers: Timers,
    /// Ids that may be given to sessions.
    session_ids: Reserved,
    /// The index of the latch service.
    indexes: Reserved,
    server_id: Box<str>,
    incarnation: Box<str>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread holds the engine weakly; now it will find it gone.
        self.timers.wake();
    }
}

impl Engine {
    /// Settings first, then [`open`](EngineBuilder::open).
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// A session that lives until it is dropped.
    ///
    /// # Errors
    /// [`Error::LimitReached`] at [`Limits::sessions`].
    pub fn session(&self) -> Result<Session, Error> {
        Session::open(self, SessionKind::Owned)
    }

    /// A session that ends when it is not renewed for `ttl`, or is dropped. `failover` matters to
    /// who may succeed it before its deadline.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a TTL out of [`Failover::ttl_range`]; [`Error::LimitReached`].
    pub fn session_with_ttl(&self, ttl: Duration, failover: Failover) -> Result<Session, Error> {
        Session::open_with_ttl(self, ttl, failover)
    }

    /// Ends the sessions whose deadline has passed at `now`, for an engine with manual timers. Says
    /// when to come again, at the latest, if there is anything to come for.
    pub fn tick(&self, now: Moment) -> Option<Moment> {
        self.inner.timers.tick(self, now, false)
    }

    /// What was changed in [`handing_over`] is to be kept.
    #[cfg(feature = "server")]
    pub(crate) fn hurry(&self) {
        self.inner.rules.log.hurry();
    }

    /// A connection's own session: it lives until it is dropped.
    pub(crate) fn connection_session(&self) -> Result<Session, Error> {
        Session::open(self, SessionKind::Connection)
    }

    /// The election of this name, known or not yet. The handle follows the name, also across
    /// a deletion.
    ///
    /// # Errors
    /// [`Error::InvalidName`]; [`Error::LimitReached`] at [`Limits::elections`].
    pub fn election(&self, name: &str) -> Result<Election, Error> {
        Election::check_name(name, self.limits())?;
        let cell = self.inner.registry.find_or_add(name, self.limits(), &self.inner.rules.unknown);
        let cell = cell.inspect_err(|error| self.inner.rules.limit_hits.refused(error))?;
        Ok(Election::new(self.clone(), cell))
    }

    /// The election of this name if anybody has named it before. Never creates one.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Election>, Error> {
        Election::check_name(name, self.limits())?;
        let cell = self.inner.registry.find(name);
        Ok(cell.map(|cell| Election::new(self.clone(), cell)))
    }

    /// Who leads the election of this name now. An unknown name reads as term 0 with no leader, and
    /// stays unknown. To read often, hold an [`Observer`].
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn term(&self, name: &str) -> Result<Arc<Term>, Error> {
        // A name that is known was checked when it came.
        match recent::read(&self.inner.registry, name) {
            Some(term) if !term.is_forgotten() => Ok(term),
            Some(_) => Ok(self.unknown().clone()),
            None => {
                Election::check_name(name, self.limits())?;
                Ok(self.unknown().clone())
            }
        }
    }

    /// The first `most` elections whose name begins with `prefix` and comes behind `after`, in the order
    /// of their names' bytes, with their terms. Those that nobody ever entered, or that were deleted, are
    /// not there.
    ///
    /// The first listing puts all names in order, which takes up to two seconds for a million; from then on
    /// a page takes microseconds, and each new name is put in its place, for about 20 bytes of memory.
    pub fn list_elections(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Vec<(Box<str>, Arc<Term>)> {
        self.inner.registry.list(prefix, after, most)
    }

    /// The bounds this engine was built with.
    pub fn limits(&self) -> &Limits {
        &self.inner.rules.limits
    }

    /// The clock this engine counts on.
    pub fn clock(&self) -> &Clock {
        &self.inner.rules.clock
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.inner.shards.len()
    }

    /// Elections that are known or have a handle.
    pub fn elections(&self) -> usize {
        self.inner.registry.len()
    }

    /// Sessions that live.
    pub fn sessions(&self) -> usize {
        self.inner.sessions.len()
    }

    /// Commands that wait, in all shards.
    pub fn waiting(&self) -> usize {
        self.inner.shards.iter().map(Shard::waiting).sum()
    }

    pub(crate) fn unknown(&self) -> &Arc<Term> {
        &self.inner.rules.unknown
    }

    fn is(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("shards", &self.inner.shards.len())
            .field("elections", &self.elections())
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Engine`].
#[derive(Clone)]
pub struct EngineBuilder {
    shards: Option<NonZeroUsize>,
    limits: Limits,
    clock: Clock,
    log: Arc<dyn Log>,
    manual_timers: bool,
    #[cfg(feature = "durable")]
    keep: Option<recover::Keep>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            shards: None,
            limits: Limits::default(),
            clock: Clock::default(),
            log: Arc::new(MemoryLog),
            manual_timers: false,
            #[cfg(feature = "durable")]
            keep: None,
        }
    }
}

impl EngineBuilder {
    /// Into how many shards the elections are spread: 1 to 64. By default four for each core, so
    /// that two changes at once seldom meet.
    pub fn shards(mut self, shards: NonZeroUsize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Other bounds than the documented ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock than the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sessions expire only when [`Engine::tick`] is called.
    pub fn manual_timers(mut self) -> Self {
        self.manual_timers = true;
        self
    }

    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn log(mut self, log: Arc<dyn Log>) -> Self {
        self.log = log;
        self
    }

    /// Keeps all that it tells in this directory, which is made if there is none: a change is on the
    /// disk before anybody sees it. One engine at a time uses it.
    #[cfg(feature = "durable")]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.keep.get_or_insert_default().path = path.into();
        self
    }

    /// The data directory must hold something already: so that a volume that is not mounted is not
    /// taken for a new one.
    #[cfg(feature = "durable")]
    pub fn must_exist(mut self) -> Self {
        self.keep.get_or_insert_default().must_exist = true;
        self
    }

    /// No election that is not known begins at or below this term: for when the disk was lost, and the
    /// terms that it held are known to be lower.
    #[cfg(feature = "durable")]
    pub fn min_term(mut self, term: u64) -> Self {
        self.keep.get_or_insert_default().min_term = term;
        self
    }

    /// Called once if nothing can be kept any more: the disk failed, or what it holds is damaged. From
    /// then on every change fails with [`Error::Storage`], and reads tell what was kept last. A service
    /// had better end, and say so.
    #[cfg(feature = "durable")]
    pub fn on_storage_failure(mut self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.keep.get_or_insert_default().on_failure = Some(Arc::new(tell));
        self
    }

    /// Opens the engine. Without a data directory it is in memory: what it knows is gone with the process.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of its range; [`Error::NoRandomness`];
    /// [`Error::Storage`] and [`Error::StorageFull`] for a data directory that can't be used.
    pub fn open(self) -> Result<Engine, Error> {
        #[cfg(feature = "durable")]
        if let Some(keep) = self.keep.clone() {
            return recover::open(self, keep);
        }
        self.open_with(None, 0)
    }

    /// Opens the engine over a store that is open, and lets `around` have a hand in its log.
    #[cfg(all(feature = "durable", feature = "internals"))]
    pub(crate) fn open_at(
        mut self,
        place: Box<dyn crate::log::durable::place::Place>,
        store: crate::log::durable::store::Store,
        around: impl FnOnce(Arc<crate::log::durable::DurableLog>) -> Arc<dyn Log>,
    ) -> Result<Engine, Error> {
        self.check()?;
        let keep = self.keep.take().unwrap_or_default();
        recover::open_at(self, keep, place, store, around)
    }

    /// How many shards; fails for a setting that can't be used.
    fn check(&self) -> Result<usize, Error> {
        let shards = self.shards.map_or_else(default_shards, NonZeroUsize::get);
        if shards > limits::SHARDS {
            let why = format!("{shards} is too many; give 1 to {}", limits::SHARDS);
            return Err(Error::InvalidSetting { setting: "shards", why });
        }
        self.limits.check()?;
        Ok(shards)
    }

    fn open_with(self, server_id: Option<Box<str>>, floor: u64) -> Result<Engine, Error> {
        let shards = self.check()?;
        let rules = Arc::new(Rules {
            log: self.log,
            limits: self.limits,
            clock: self.clock,
            floor: AtomicCell::new(floor),
            unknown: Arc::new(Term::unknown()),
            limit_hits: LimitHits::default(),
        });
        let inner = Inner {
            registry: Registry::new(shards),
            shards: (0..shards).map(|index| Shard::new(index, rules.clone())).collect(),
            rules,
            sessions: Directory::default(),
            timers: Timers::new(self.manual_timers),
            session_ids: Reserved::new(SESSION_IDS, What::SessionIds),
            indexes: Reserved::new(INDEXES, What::Index),
            server_id: server_id.map_or_else(random_hex, Ok)?,
            incarnation: random_hex()?,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }
}

/// Session ids that are skipped by a restart, at most.
const SESSION_IDS: u64 = 1 << 20;
/// The same of the latch's index.
const INDEXES: u64 = 1 << 32;

fn default_shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (4 * cores).min(limits::SHARDS)
}
