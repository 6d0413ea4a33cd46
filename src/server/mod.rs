//! Serving an engine: over ttrpc here, over gRPC and HTTP in `web`.
//!
//! Reading order: `conn` (a connection without its socket), `outbox` (how the engine reaches it),
//! `reactor` (the loop), `peers` and `peer` (the loop's connections), `door`, `listener` and `socket`
//! (how they come in). No file but `reactor` names mio.

mod adaptive_poll;
mod book;
mod conn;
mod counters;
mod door;
mod listener;
#[cfg(feature = "internals")]
mod loose;
#[cfg(feature = "web")]
mod metrics;
mod outbox;
mod peer;
mod peers;
mod pulse;
mod reactor;
#[cfg(feature = "web")]
mod requests;
mod settings;
mod sniff;
mod socket;
mod throttle;
#[cfg_attr(not(feature = "web"), path = "web/absent.rs")]
mod web;
mod write_order;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{self, Receiver, RecvTimeoutError};

pub use self::counters::Counters;
#[cfg(feature = "internals")]
pub use self::loose::LooseConnection;
pub use self::pulse::Pulse;
pub use self::settings::ServerBuilder;

use self::book::Book;
use self::conn::{End, Terms};
use self::counters::Tallies;
use self::listener::Listener;
#[cfg(feature = "web")]
use self::metrics::{Shown, Start};
use self::outbox::{Item, Outbox};
use self::reactor::{Parts, Reactor};
#[cfg(feature = "web")]
use self::requests::Requests;
use self::settings::Settings;
use self::throttle::Throttle;
use self::web::{Entrance, Guest, Web};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::error::Error;

/// An engine, served by threads of its own: over ttrpc, and with the feature `web` over gRPC and HTTP on the
/// same addresses. Dropped, it stops.
///
/// ```
/// let engine = tenure::Engine::builder().open()?;
/// let server = tenure::Server::builder(engine).listen("127.0.0.1:0").spawn()?;
/// println!("listening on {}", server.addresses()[0]);
/// # Ok::<(), tenure::Error>(())
/// ```
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<String>,
    admin_addresses: Vec<String>,
    threads: Vec<JoinHandle<()>>,
    web: Option<Web>,
    /// Disconnected when the last reactor has ended.
    ended: Receiver<()>,
}

/// What the reactors share.
struct Shared {
    engine: Engine,
    settings: Settings,
    terms: Arc<Terms>,
    tallies: Tallies,
    reactors: Vec<Handle>,
    endings: Throttle,
    refusals: Throttle,
    /// It takes nothing new.
    draining: AtomicCell<bool>,
    /// Requests that other threads than the reactors answer.
    #[cfg(feature = "web")]
    requests: Requests,
    #[cfg(feature = "web")]
    start: Start,
    #[cfg(feature = "web")]
    shown: Shown,
    entrance: Entrance,
    /// Those who run the server have an address of their own.
    has_admin: bool,
}

/// Whether a server goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Serving,
    Draining,
    Stopped,
}

/// A reactor, as the others see it.
struct Handle {
    outbox: Arc<Outbox>,
    book: Arc<Book>,
    /// It has ended, after its last connection.
    has_drained: AtomicCell<bool>,
    /// Its connections.
    load: AtomicCell<usize>,
}

impl Server {
    /// Settings first, then [`spawn`](ServerBuilder::spawn).
    pub fn builder(engine: Engine) -> ServerBuilder {
        ServerBuilder::new(engine)
    }

    fn spawn(builder: ServerBuilder) -> Result<Self, Error> {
        let bind = |address: &String| Listener::bind(address, builder.settings.silence);
        let bound = builder.bound.iter().map(|it| Listener::of(it, builder.settings.silence));
        let listeners =
            bound.chain(builder.listen.iter().map(bind)).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().map(Listener::to_string).collect();
        let admin = builder.admin_listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let admin_addresses = admin.iter().map(Listener::to_string).collect();

        let parts = (0..builder.reactor_count()).map(|_| Parts::new().map_err(no_reactor));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let handle = |part: &Parts| Handle {
            outbox: part.outbox.clone(),
            book: Arc::default(),
            has_drained: AtomicCell::new(false),
            load: AtomicCell::new(0),
        };
        let (entrance, arrivals) = Entrance::open();
        let shared = Arc::new(Shared {
            entrance,
            has_admin: !builder.admin_listen.is_empty(),
            reactors: parts.iter().map(handle).collect(),
            terms: Arc::new(builder.terms()),
            #[cfg(feature = "web")]
            start: Start::now(builder.engine.clock()),
            #[cfg(feature = "web")]
            shown: builder.shown,
            #[cfg(feature = "web")]
            requests: Requests::default(),
            engine: builder.engine,
            settings: builder.settings,
            tallies: Tallies::default(),
            endings: Throttle::default(),
            refusals: Throttle::default(),
            draining: AtomicCell::new(false),
        });

        let (ending, ended) = channel::bounded(0);
        let threads = Vec::new();
        let mut server = Self { shared, addresses, admin_addresses, threads, web: None, ended };
        if server.shared.terms.hands_over {
            let web = Web::start(&server.shared, arrivals, admin, ending.clone());
            server.web = Some(web.map_err(no_reactor)?);
        }
        let mut listeners = Some(listeners);
        for (index, part) in parts.into_iter().enumerate() {
            let mine = listeners.take().unwrap_or_default();
            let reactor = Reactor::new(part, server.shared.clone(), index, mine);
            let thread = start(reactor.map_err(no_reactor)?, index, ending.clone());
            server.threads.push(thread.map_err(no_reactor)?);
        }
        Ok(server)
    }

    /// The addresses as bound: `host:port` or `unix:///path`.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The addresses for metrics, probes and changes by HTTP, if they have their own.
    pub fn admin_addresses(&self) -> &[String] {
        &self.admin_addresses
    }

    /// What it has counted until now.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// What it has counted, and where it stands, as Prometheus' text format has it: for those who serve it
    /// at an address of their own. `docs/metrics.md` says what each number means.
    ///
    /// ```
    /// let engine = tenure::Engine::builder().open()?;
    /// let server = tenure::Server::builder(engine).listen("127.0.0.1:0").spawn()?;
    /// assert!(server.metrics().contains("\ntenure_ready 1\n"));
    /// # Ok::<(), tenure::Error>(())
    /// ```
    #[cfg(feature = "web")]
    pub fn metrics(&self) -> String {
        self.shared.metrics()
    }

    /// Stops listening, ends watches with UNAVAILABLE, finishes what is under way and closes the
    /// connections; whatever is left after `within` is cut off. True if nothing was.
    pub fn drain(&self, within: Duration) -> bool {
        self.shared.draining.store(true);
        self.shared.tell_all(|| Item::Drain);
        self.tell_web(Life::Draining);
        let is_done = self.ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected);
        self.shared.tell_all(|| Item::Stop);
        self.tell_web(Life::Stopped);
        is_done
    }

    fn tell_web(&self, life: Life) {
        if let Some(web) = &self.web {
            web.tell(life);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.tell_all(|| Item::Stop);
        self.tell_web(Life::Stopped);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reactor had panicked");
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

fn start(
    reactor: Reactor,
    index: usize,
    ending: channel::Sender<()>,
) -> io::Result<JoinHandle<()>> {
    let shared = reactor.shared();
    thread::Builder::new().name(format!("tenure-{index}")).spawn(move || {
        // Without this one, some connections would never be served again, and some never accepted.
        if catch_unwind(AssertUnwindSafe(|| reactor.run())).is_err() {
            tracing::error!("a reactor panicked; the server stops");
            shared.tell_all(|| Item::Stop);
        }
        drop(ending);
    })
}

fn no_reactor(error: io::Error) -> Error {
    let why = format!("a reactor can't be started: {error}");
    Error::InvalidSetting { setting: "reactors", why }
}

impl Shared {
    fn counters(&self) -> Counters {
        let counters = self.tallies.read(self.books());
        #[cfg(feature = "web")]
        let counters = self.requests.added_to(counters);
        counters
    }

    fn books(&self) -> impl Iterator<Item = &Book> + Clone {
        self.reactors.iter().map(|reactor| &*reactor.book)
    }

    fn send(&self, reactor: usize, item: Item) {
        self.reactors[reactor].outbox.push(item);
    }

    fn tell_all(&self, item: impl Fn() -> Item) {
        self.reactors.iter().for_each(|reactor| reactor.outbox.push(item()));
    }

    /// The reactor with the fewest connections, which gets one more.
    fn least_loaded(&self) -> usize {
        let loads = self.reactors.iter().map(|reactor| reactor.load.load());
        let (index, _) = loads.enumerate().min_by_key(|&(_, load)| load).expect("there is one");
        self.reactors[index].load.fetch_add(1);
        index
    }

    /// Counts a connection in, unless it is one too many.
    fn let_in(&self, now: Moment) -> bool {
        let max = self.engine.limits().connections as u64;
        if self.tallies.connections.fetch_add(1) >= max {
            self.tallies.connections.fetch_sub(1);
            self.tallies.limit_hits.hit("connections");
            self.refused(now, &format_args!("limit reached: connections ({max})"));
            return false;
        }
        self.tallies.accepted.fetch_add(1);
        true
    }

    fn refused(&self, now: Moment, why: &fmt::Arguments<'_>) {
        self.tallies.refused.fetch_add(1);
        if let Some(kept_back) = self.refusals.pass(now) {
            tracing::warn!(%why, kept_back, "a connection was refused");
        }
    }

    /// A connection that speaks HTTP, from a reactor.
    fn receive(&self, now: Moment, guest: Guest) {
        if let Err(guest) = self.entrance.admit(guest) {
            let Guest { socket, protocol, received } = guest;
            let said = received.len();
            tracing::debug!(peer = %socket, %protocol, said, "nobody serves it any more");
            self.ended(now, End::Drained, &socket);
        }
    }

    fn ended(&self, now: Moment, end: End, peer: &dyn fmt::Display) {
        // Why it ended before that it did, so that who sees it gone finds the reason counted.
        self.tallies.ended(end);
        self.tallies.connections.fetch_sub(1);
        if matches!(end, End::PeerClosed | End::Broken | End::Silent | End::Idle | End::Drained) {
            tracing::debug!(%peer, reason = %end, "a connection ended");
        } else if let Some(kept_back) = self.endings.pass(now) {
            tracing::warn!(%peer, reason = %end, kept_back, "a connection was closed");
        }
    }
}
