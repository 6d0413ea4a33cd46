//! How a server is set up.

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::conn::Terms;
use super::listener::Prebound;
#[cfg(feature = "web")]
use super::metrics::{DroppedLines, Shown};
#[cfg(feature = "web")]
use super::web::check_origin;
use crate::engine::Engine;
use crate::error::Error;
use crate::limits::Limits;
use crate::service::{CacheRule, Latches};

/// Where Atomix clients look.
const DEFAULT_ADDRESS: &str = "127.0.0.1:5678";

/// Some times what a wake-up takes where that is slow.
const ADAPTIVE_POLL: Duration = Duration::from_micros(200);

/// For a peer to read a refusal and go.
const LINGER: Duration = Duration::from_secs(1);

/// Settings of a [`Server`], then [`spawn`](Self::spawn).
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    pub(super) engine: Engine,
    pub(super) listen: Vec<String>,
    /// Sockets that somebody else has bound.
    pub(super) bound: Vec<Arc<Prebound>>,
    pub(super) admin_listen: Vec<String>,
    /// HTTP and gRPC are served too.
    web: bool,
    reactors: Option<NonZeroUsize>,
    frame_time: Duration,
    stall_time: Duration,
    connection_idle: Option<Duration>,
    cache_rules: Vec<CacheRule>,
    pub(super) settings: Settings,
    #[cfg(feature = "web")]
    pub(super) shown: Shown,
}

/// What the reactors look at.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) busy_poll: Duration,
    pub(super) adaptive_poll: Duration,
    pub(super) disconnect_grace: Duration,
    pub(super) silence: Duration,
    pub(super) http_write: bool,
    pub(super) http_origins: Vec<String>,
}

impl ServerBuilder {
    pub(super) fn new(engine: Engine) -> Self {
        const TEN_SECONDS: Duration = Duration::from_secs(10);
        Self {
            engine,
            listen: Vec::new(),
            bound: Vec::new(),
            admin_listen: Vec::new(),
            web: cfg!(feature = "web"),
            reactors: None,
            frame_time: TEN_SECONDS,
            stall_time: TEN_SECONDS,
            connection_idle: None,
            cache_rules: Vec::new(),
            settings: Settings {
                busy_poll: Duration::ZERO,
                adaptive_poll: ADAPTIVE_POLL,
                disconnect_grace: Duration::ZERO,
                silence: TEN_SECONDS,
                http_write: false,
                http_origins: Vec::new(),
            },
            #[cfg(feature = "web")]
            shown: Shown::default(),
        }
    }

    /// Adds an address: `host:port`, where port 0 takes a free one, or `unix:///path`. By default
    /// `127.0.0.1:5678`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// Serves who comes to a socket that listens already, such as one that a service manager opened. The
    /// default address is then not bound.
    pub fn tcp_listener(mut self, listener: TcpListener) -> Self {
        self.bound.push(Arc::new(Prebound::Tcp(listener)));
        self
    }

    /// As [`tcp_listener`](Self::tcp_listener). Its file is left to whoever made it.
    pub fn unix_listener(mut self, listener: UnixListener) -> Self {
        self.bound.push(Arc::new(Prebound::Unix(listener)));
        self
    }

    /// Threads that serve connections. By default one for every two cores.
    pub fn reactors(mut self, reactors: NonZeroUsize) -> Self {
        self.reactors = Some(reactors);
        self
    }

    /// How long a reactor polls without sleeping after it had something to do. It spends a core to
    /// save the time of waking up. By default it does not.
    pub fn busy_poll(mut self, busy_poll: Duration) -> Self {
        self.settings.busy_poll = busy_poll;
        self
    }

    /// How long a reactor that has told of a change looks for what comes next before it sleeps, at most: by
    /// default 200 us. It looks once that came within this time four times in a row, and others on its core go
    /// first. Zero: it never does.
    pub fn adaptive_poll(mut self, limit: Duration) -> Self {
        self.settings.adaptive_poll = limit;
        self
    }

    /// How long a connection's candidates stay after it has closed. By default they leave at once.
    pub fn disconnect_grace(mut self, grace: Duration) -> Self {
        self.settings.disconnect_grace = grace;
        self
    }

    /// Closes a connection that sends no request for this long. By default none.
    pub fn connection_idle(mut self, idle: Duration) -> Self {
        self.connection_idle = Some(idle);
        self
    }

    /// How long a TCP peer's host may be silent before its connection counts as closed: by default
    /// 10 s. Seen of the host, by its kernel's answers; a stopped process does not fall silent. Zero: it may
    /// be silent for ever.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.settings.silence = silence;
        self
    }

    /// How long a peer may take to finish a frame it has begun: by default 10 s.
    pub fn frame_time(mut self, time: Duration) -> Self {
        self.frame_time = time;
        self
    }

    /// How long a peer may leave its output unread before its connection is closed: by default 10 s.
    pub fn stall_time(mut self, time: Duration) -> Self {
        self.stall_time = time;
        self
    }

    /// Tells clients of matching elections that they may cache. By default none may.
    pub fn cache_rule(mut self, rule: CacheRule) -> Self {
        self.cache_rules.push(rule);
        self
    }

    /// Adds an address of their own for metrics, probes and changes by HTTP, which are then not served with
    /// the rest. By default there is none.
    #[cfg(feature = "web")]
    pub fn admin_listen(mut self, address: impl Into<String>) -> Self {
        self.admin_listen.push(address.into());
        self
    }

    /// Takes changes over HTTP too: anoint, promote, demote, evict, delete, and the end of a session. By
    /// default none. No page of another origin may ask for any.
    #[cfg(feature = "web")]
    pub fn http_write(mut self, is_on: bool) -> Self {
        self.settings.http_write = is_on;
        self
    }

    /// An origin (`https://admin.example`) whose pages may ask for changes over HTTP, and whose name the
    /// server answers to. By default its own addresses alone.
    #[cfg(feature = "web")]
    pub fn http_origin(mut self, origin: impl Into<String>) -> Self {
        self.settings.http_origins.push(origin.into());
        self
    }

    /// Speaks ttrpc alone: whoever comes with HTTP or gRPC is sent away, and the runtime that serves them
    /// is not started.
    #[cfg(feature = "web")]
    pub fn ttrpc_only(mut self) -> Self {
        self.web = false;
        self
    }

    /// Shows each election whose name matches this glob (`*` stands for any text, `?` for one character) by
    /// itself among the metrics: the first 1,000, and how many more there are. One that is named without
    /// either is shown also while nobody knows it. By default none is.
    ///
    /// The first look for a glob with `*` or `?` puts all names in order, as
    /// [`Engine::list_elections`] does; each look then walks the names that begin as the glob does.
    #[cfg(feature = "web")]
    pub fn metrics_election(mut self, glob: impl Into<String>) -> Self {
        self.shown.elections.push(glob.into());
        self
    }

    /// Shows among the metrics how many log lines were dropped, as `count` has it: a number that only rises.
    #[cfg(feature = "web")]
    pub fn log_lines_dropped(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.shown.log_lines_dropped = Some(DroppedLines(Arc::new(count)));
        self
    }

    /// Whether the settings make sense, and the engine's bounds together; nothing is bound.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for bounds that contradict each other, and for an origin that no browser
    /// would name.
    pub fn check(&self) -> Result<(), Error> {
        check_bounds(self.engine.limits())?;
        #[cfg(feature = "web")]
        self.settings.http_origins.iter().try_for_each(|origin| check_origin(origin))?;
        Ok(())
    }

    /// Binds the addresses and starts the threads.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::InvalidSetting`] for an address that can't be bound or a
    /// socket that does not listen, or if the system refuses a thread or a descriptor.
    pub fn spawn(mut self) -> Result<Server, Error> {
        self.check()?;
        if self.listen.is_empty() && self.bound.is_empty() {
            self.listen.push(DEFAULT_ADDRESS.to_owned());
        }
        Server::spawn(self)
    }

    pub(super) fn reactor_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.reactors.map_or_else(|| (cores() / 2).max(1), NonZeroUsize::get)
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            frame_time: self.frame_time,
            stall_time: self.stall_time,
            linger: LINGER,
            idle: self.connection_idle,
            cache_rules: Arc::from(self.cache_rules.as_slice()),
            told: self.told(),
            latches: Latches::of(&self.engine),
            hands_over: self.web,
        }
    }

    /// The settings as clients are told of them, by the names of their flags.
    fn told(&self) -> Arc<[(&'static str, String)]> {
        let time = |time: Duration| format!("{time:?}");
        Arc::from([
            ("reactors", self.reactor_count().to_string()),
            ("busy-poll", time(self.settings.busy_poll)),
            ("adaptive-poll", time(self.settings.adaptive_poll)),
            ("disconnect-grace", time(self.settings.disconnect_grace)),
            ("connection-idle", time(self.connection_idle.unwrap_or_default())),
            ("silence", time(self.settings.silence)),
            ("frame-time", time(self.frame_time)),
            ("stall-time", time(self.stall_time)),
        ])
    }
}

/// What one bound lets in has to fit the others, or a peer meets them where it can do nothing about them.
fn check_bounds(limits: &Limits) -> Result<(), Error> {
    let wrong = |setting, why| Err(Error::InvalidSetting { setting, why });
    let (full, frame) = (limits.full_state(), limits.frame_bytes);
    if full > frame {
        return wrong(
            "frame_bytes",
            format!(
                "a full election is told in up to {full} bytes, and a frame holds {frame}; raise it, or \
                 lower candidates, candidate_bytes or election_metadata_bytes"
            ),
        );
    }
    let (least, output) = (limits.least_output(), limits.output_bytes);
    if least > output {
        return wrong(
            "output_bytes",
            format!(
                "{output} closes a connection for one frame after the pause; give {least} or more, which \
                 is output_pause_bytes and frame_bytes together"
            ),
        );
    }
    Ok(())
}
