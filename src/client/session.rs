//! A session with a server that keeps itself alive: one thread that renews, reconnects and resumes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::connection::Connection;
use super::{Address, ClientError, Election, Lost};
use crate::clock::{Clock, Moment};
use crate::error::Code;
use crate::wire::message::Message;
use crate::wire::tenure_v1::connection as hello;
use crate::wire::tenure_v1::sessions as wire;

const CONNECTION: &str = "tenure.v1.Connection";
const SESSIONS: &str = "tenure.v1.Sessions";

/// What a closed connection means to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Nothing: it lives until its deadline. Never two acting leaders.
    #[default]
    Exclusive,
    /// Its end, at once: the shortest gap. Overlap is caught by the term alone.
    Fast,
}

/// How to open a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it lives without a renewal: 100 ms to 24 h, under `Exclusive` at least 500 ms.
    pub ttl: Duration,
    /// What a closed connection means to it.
    pub on_disconnect: OnDisconnect,
    /// Who this is, for people: shown in listings. At most 256 bytes, and may be empty.
    pub owner: String,
    /// How long to try for a connection, and to wait for the answer to a call.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            on_disconnect: OnDisconnect::Exclusive,
            owner: String::new(),
            patience: Duration::from_secs(5),
        }
    }
}

/// A session that a thread of its own, `tenure-session`, keeps alive: renewed three times in each TTL,
/// moved to another connection when its own is lost. When the last clone is dropped it is closed, and
/// its candidates leave.
///
/// It ends for good when the server says so, or is another server than before; then everything that was
/// done in its name is over. Open another one, as [`Contender`](super::Contender) does.
#[derive(Clone)]
pub struct Session {
    handle: Arc<Handle>,
}

struct Handle(Arc<Shared>);

pub(super) struct Shared {
    address: Address,
    options: Options,
    pub(super) clock: Clock,
    id: u64,
    key: Vec<u8>,
    ttl: Duration,
    server: Server,
    /// Until when this side may count on the session: [`LOST`] if not at all any more.
    deadline: AtomicCell<u64>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Terms that one renewal releases; a request has a bound.
const RELEASED_AT_A_TIME: usize = 64;

/// A deadline that has passed for ever.
const LOST: u64 = 0;

struct State {
    link: Option<Arc<Connection>>,
    /// Raised whenever the link is lost or found, or the session ends.
    turn: u64,
    lost: Option<Lost>,
    released: Vec<wire::Released>,
    /// Terms that the last renewal said were taken from this session, by election.
    taken: HashMap<String, u64>,
    /// Terms that somebody has proof of, by election.
    held: Vec<(Arc<str>, u64)>,
    /// The greatest term released, by election: no proof is given of it any more.
    let_go: HashMap<String, u64>,
    is_closed: bool,
}

impl State {
    /// What was taken without anybody here having proof of it is let go at once: who never knew that they
    /// led can't be acting, and a successor would wait for that for ever.
    fn take(&mut self, taken: HashMap<String, u64>) {
        for (election, &term) in &taken {
            let is_held = |it: &(Arc<str>, u64)| *it.0 == **election && it.1 <= term;
            if !self.held.iter().any(is_held) {
                self.release(election, term);
            }
        }
        self.taken = taken;
    }

    fn release(&mut self, election: &str, term: u64) {
        let known = self.let_go.entry(election.to_owned()).or_default();
        *known = term.max(*known);
        self.released.push(wire::Released { election: election.to_owned(), term });
    }
}

/// Which server this is, and which life of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    id: String,
    incarnation: String,
    is_durable: bool,
}

impl Server {
    /// True if `now` remembers what this one was told.
    fn is_continued_by(&self, now: &Server) -> bool {
        self.id == now.id && (self.is_durable || self.incarnation == now.incarnation)
    }
}

impl Session {
    /// Opens a session with the server at `address`.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn open(address: &Address, options: Options) -> Result<Self, ClientError> {
        let clock = Clock::system();
        let link = Arc::new(connect(address, options.patience)?);
        let server = greet(&link, options.patience)?;
        let failover = match options.on_disconnect {
            OnDisconnect::Exclusive => wire::failover::EXCLUSIVE,
            OnDisconnect::Fast => wire::failover::FAST,
        };
        let request = wire::OpenRequest {
            ttl_micros: micros(options.ttl),
            failover,
            key: Vec::new(),
            owner: options.owner.clone(),
        };
        let sent = clock.now();
        let opened: wire::OpenResponse = call(&link, SESSIONS, "Open", &request, options.patience)?;
        let ttl = Duration::from_micros(opened.ttl_micros);
        let shared = Arc::new(Shared {
            address: address.clone(),
            id: opened.session,
            key: opened.key,
            ttl,
            server,
            deadline: AtomicCell::new((sent + ttl).nanos() - margin(ttl).as_nanos() as u64),
            state: Mutex::new(State {
                link: Some(link),
                turn: 0,
                lost: None,
                released: Vec::new(),
                taken: HashMap::new(),
                held: Vec::new(),
                let_go: HashMap::new(),
                is_closed: false,
            }),
            changed: Condvar::new(),
            options,
            clock,
        });
        let keeper = shared.clone();
        thread::Builder::new()
            .name("tenure-session".into())
            .spawn(move || keeper.keep())
            .map_err(|why| ClientError::Unreachable { address: address.clone(), why })?;
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    /// An election, to stand in with this session.
    pub fn election(&self, name: &str) -> Election {
        Election::new(self.clone(), name)
    }

    /// Its public id.
    pub fn id(&self) -> u64 {
        self.shared().id
    }

    /// How long the server lets it live without a renewal.
    pub fn ttl(&self) -> Duration {
        self.shared().ttl
    }

    /// How long this side may count on it: the deadline is reckoned from when the last renewal was
    /// *sent*, less a margin of 5% of the TTL and at least 50 ms, so it passes here before it passes at
    /// the server.
    pub fn remaining(&self) -> Duration {
        self.shared().remaining()
    }

    /// Why it is over, or `None` while it may be alive.
    pub fn lost(&self) -> Option<Lost> {
        self.shared().state().lost.clone()
    }

    /// True if there is a connection right now. Without one the session lives on until its deadline, and
    /// under [`OnDisconnect::Fast`] no longer than the server takes to notice.
    pub fn is_connected(&self) -> bool {
        self.shared().state().link.is_some()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} with {})", self.id(), self.shared().address)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = &self.0;
        let link = {
            let mut state = shared.state();
            state.is_closed = true;
            state.turn += 1;
            state.link.take()
        };
        shared.changed.notify_all();
        if let Some(link) = link {
            let request = wire::CloseRequest { session: shared.id };
            // A server that does not hear it ends the session at its deadline.
            let patience = shared.options.patience.min(Duration::from_secs(1));
            let _closed: Result<wire::CloseResponse, _> =
                call(&link, SESSIONS, "Close", &request, patience);
        }
    }
}

impl Shared {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn patience(&self) -> Duration {
        self.options.patience
    }

    pub(super) fn is_fast(&self) -> bool {
        self.options.on_disconnect == OnDisconnect::Fast
    }

    /// The deadline as this side reckons it.
    pub(super) fn deadline(&self) -> Moment {
        Moment::from_nanos(self.deadline.load())
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline() - self.clock.now()
    }

    /// Waits for a connection other than `former`, no longer than `patience`.
    pub(super) fn next_link(
        &self,
        former: Option<&Arc<Connection>>,
        patience: Duration,
    ) -> Result<Option<Arc<Connection>>, Lost> {
        let deadline = self.clock.now() + patience;
        let mut state = self.state();
        loop {
            if let Some(lost) = &state.lost {
                return Err(lost.clone());
            }
            let is_new = |link: &&Arc<Connection>| former.is_none_or(|it| !Arc::ptr_eq(it, link));
            if let Some(link) = state.link.as_ref().filter(is_new) {
                return Ok(Some(link.clone()));
            }
            let left = deadline - self.clock.now();
            if left.is_zero() || state.is_closed {
                return Ok(None);
            }
            state = self.wait(state, left);
        }
    }

    /// Takes note of a proof that is about to be given. False if the term has been let go already.
    pub(super) fn hold(&self, election: &Arc<str>, term: u64) -> bool {
        let mut state = self.state();
        let may = state.let_go.get(&**election).is_none_or(|&let_go| let_go < term);
        if may {
            state.held.push((election.clone(), term));
        }
        may
    }

    /// This side has stopped acting in this election's terms up to `term`. The server is told at once.
    pub(super) fn release(&self, election: &Arc<str>, term: u64) {
        let mut state = self.state();
        if let Some(at) = state.held.iter().position(|it| it.0 == *election && it.1 == term) {
            state.held.swap_remove(at);
        }
        // Another proof of the same term is acted on still.
        if !state.held.iter().any(|(name, held)| name == election && *held <= term) {
            state.release(election, term);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// True if a renewal said that this term was taken from the session.
    pub(super) fn was_taken(&self, election: &str, term: u64) -> bool {
        self.state().taken.get(election).is_some_and(|&taken| taken >= term)
    }

    /// A call on this connection failed. If the connection is to blame, another one is looked for.
    pub(super) fn blame(&self, link: &Arc<Connection>, error: &ClientError) {
        if !error.is_connection_lost() {
            return;
        }
        link.close();
        let mut state = self.state();
        if state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            state.link = None;
            state.turn += 1;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Renews, reconnects and resumes until the session is over.
    fn keep(&self) {
        let mut failures = 0;
        let mut last_sent = self.clock.now();
        loop {
            let link = {
                let state = self.state();
                if state.is_closed || state.lost.is_some() {
                    return;
                }
                state.link.clone()
            };
            let Some(link) = link else {
                match self.resume() {
                    Ok(sent) => (failures, last_sent) = (0, sent),
                    Err(Some(lost)) => self.lose(lost),
                    Err(None) => {
                        failures += 1;
                        self.rest(jitter(failures));
                    }
                }
                continue;
            };
            let beat = last_sent + self.ttl / 3;
            if self.rest_until(beat) {
                let sent = self.clock.now();
                match self.renew(&link) {
                    Ok(()) => {
                        last_sent = sent;
                        self.extend(sent);
                    }
                    Err(error) => match over(&error) {
                        Some(lost) => self.lose(lost),
                        None if error.is_connection_lost() => self.blame(&link, &error),
                        // A server that refuses for a while, such as one that drains.
                        None => last_sent = sent,
                    },
                }
            }
        }
    }

    fn renew(&self, link: &Connection) -> Result<(), ClientError> {
        let released = {
            let mut state = self.state();
            let most = state.released.len().min(RELEASED_AT_A_TIME);
            state.released.drain(..most).collect()
        };
        let request = wire::KeepAliveRequest { session: self.id, released };
        // An answer that comes later than the next renewal is due is as bad as none.
        let patience = (self.ttl / 3).min(self.options.patience);
        let renewed: Result<wire::KeepAliveResponse, _> =
            call(link, SESSIONS, "KeepAlive", &request, patience);
        match renewed {
            Ok(renewed) => {
                let taken = renewed.lost.into_iter().map(|lost| (lost.election, lost.term));
                self.state().take(taken.collect());
                Ok(())
            }
            Err(error) => {
                // Said again with the next one: releasing twice is releasing once.
                self.state().released.extend(request.released);
                Err(error)
            }
        }
    }

    /// A new connection that the session is attached to: when that was asked for. `Err(None)` is to be
    /// tried again.
    fn resume(&self) -> Result<Moment, Option<Lost>> {
        let patience = self.options.patience.min(self.ttl / 3);
        let link = Arc::new(connect(&self.address, patience).map_err(|_| None)?);
        let server = greet(&link, patience).map_err(|_| None)?;
        if !self.server.is_continued_by(&server) {
            return Err(Some(Lost::ServerReplaced));
        }
        let request = wire::OpenRequest { key: self.key.clone(), ..Default::default() };
        let sent = self.clock.now();
        let resumed: Result<wire::OpenResponse, _> =
            call(&link, SESSIONS, "Open", &request, patience);
        resumed.map_err(|error| over(&error))?;
        self.extend(sent);
        let mut state = self.state();
        if state.is_closed {
            return Ok(sent);
        }
        state.link = Some(link);
        state.turn += 1;
        drop(state);
        self.changed.notify_all();
        Ok(sent)
    }

    /// Renewed by what was sent at `sent`.
    fn extend(&self, sent: Moment) {
        let deadline = (sent + self.ttl).nanos() - margin(self.ttl).as_nanos() as u64;
        // Never back, and never from the dead.
        let mut present = self.deadline.load();
        while present != LOST && present < deadline {
            match self.deadline.compare_exchange(present, deadline) {
                Ok(_) => return,
                Err(other) => present = other,
            }
        }
    }

    fn lose(&self, lost: Lost) {
        self.deadline.store(LOST);
        let mut state = self.state();
        state.lost.get_or_insert(lost);
        state.turn += 1;
        if let Some(link) = state.link.take() {
            link.close();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Rests until `then`: false if something else came up. Something to release is due at once.
    fn rest_until(&self, then: Moment) -> bool {
        let mut state = self.state();
        let turn = state.turn;
        loop {
            if state.turn != turn || state.is_closed {
                return false;
            }
            let left = then - self.clock.now();
            if left.is_zero() || !state.released.is_empty() {
                return true;
            }
            state = self.wait(state, left);
        }
    }

    fn rest(&self, time: Duration) {
        let state = self.state();
        if !state.is_closed {
            drop(self.wait(state, time));
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this side takes off the TTL, so that clocks that drift apart by 2% and a slow thread don't make
/// two leaders.
pub(super) fn margin(ttl: Duration) -> Duration {
    (ttl / 20).max(Duration::from_millis(50))
}

/// Full jitter: anything up to a bound that doubles with each failure, so that ten thousand clients of
/// a server that comes back don't come at once.
pub(super) fn jitter(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(20);
    const LAST: Duration = Duration::from_secs(1);
    let bound = (FIRST * 2_u32.pow(failures.min(10))).min(LAST);
    // Keyed anew each time: as random as a hash table needs it.
    let random = RandomState::new().hash_one(failures);
    Duration::from_nanos(random % bound.as_nanos() as u64)
}

/// What a refusal means to a session.
fn over(error: &ClientError) -> Option<Lost> {
    match error {
        ClientError::Refused { code, message }
            if [Code::FailedPrecondition, Code::NotFound, Code::PermissionDenied]
                .iter()
                .any(|it| it.number() == *code) =>
        {
            Some(Lost::Session { why: message.clone() })
        }
        _ => None,
    }
}

fn connect(address: &Address, patience: Duration) -> Result<Connection, ClientError> {
    Connection::open(address, patience)
        .map_err(|why| ClientError::Unreachable { address: address.clone(), why })
}

fn greet(link: &Connection, patience: Duration) -> Result<Server, ClientError> {
    let request = hello::HelloRequest {
        client_name: "tenure".into(),
        client_version: env!("CARGO_PKG_VERSION").into(),
    };
    let said: hello::HelloResponse = call(link, CONNECTION, "Hello", &request, patience)?;
    let hello::HelloResponse { server_id, incarnation, durable, .. } = said;
    Ok(Server { id: server_id, incarnation, is_durable: durable })
}

/// One call, in messages.
pub(super) fn call<Request: Message, Reply: Message>(
    link: &Connection,
    service: &str,
    method: &str,
    request: &Request,
    patience: Duration,
) -> Result<Reply, ClientError> {
    let reply = link.call_within(service, method, &request.encode(), patience)?;
    Reply::decode(&reply).map_err(ClientError::from)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t4_the_margin_covers_a_drift_of_two_percent() {
        for ttl in [500, 1_000, 3_000, 60_000, 86_400_000].map(Duration::from_millis) {
            let here = ttl - margin(ttl);
            // This clock is 2% slow: what it counts takes that much longer.
            assert!(here.mul_f64(1.02) < ttl, "{ttl:?}: {here:?}");
            assert!(margin(ttl) >= Duration::from_millis(50));
        }
    }

    #[test]
    fn c7_jitter_is_full_and_bounded() {
        let many = |failures| (0..1_000).map(move |_| jitter(failures));
        assert!(many(1).all(|it| it <= Duration::from_millis(40)));
        assert!(many(30).all(|it| it <= Duration::from_secs(1)));
        let early = many(30).filter(|it| *it < Duration::from_millis(500)).count();
        assert!((400..600).contains(&early), "evenly spread: {early} of 1,000 in the first half");
    }

    #[test]
    fn a_memory_server_is_another_one_after_a_restart() {
        let server = |id: &str, incarnation: &str, is_durable| Server {
            id: id.into(),
            incarnation: incarnation.into(),
            is_durable,
        };
        let memory = server("s", "1", false);
        assert!(memory.is_continued_by(&memory));
        assert!(!memory.is_continued_by(&server("s", "2", false)));
        let durable = server("s", "1", true);
        assert!(durable.is_continued_by(&server("s", "2", true)));
        assert!(!durable.is_continued_by(&server("t", "1", true)));
    }
}
