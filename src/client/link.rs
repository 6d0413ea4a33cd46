//! A connection that heals itself: a core that everybody shares, and what its driver does for it.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::core::{Core, Settings};
use super::socket::Socket;
use super::{Address, ClientError, thread};
use crate::clock::{Clock, Moment};

/// A connection to a server that is made again whenever it is lost, by a thread of its own,
/// `tenure-client`. It carries any number of sessions and observed elections; clones share it.
///
/// It is made with the first thing that needs one. When the last clone is dropped, and the last session
/// and observation with it, it is closed.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

struct Handle(Arc<Inner>);

/// What its users and its driver share. The driver calls [`turn`](Self::turn), and then waits for the
/// first of: its bell, the socket, the dialing, the end of the nap.
pub(super) struct Inner {
    pub(super) address: Address,
    /// How long one attempt to connect may take.
    pub(super) patience: Duration,
    clock: Clock,
    bell: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    core: Core,
    socket: Option<Line>,
    /// The driver sleeps until then if nothing comes; `None` while it is awake, and looks by itself.
    sleeps_until: Option<Moment>,
    is_dropped: bool,
    /// How long it still waits to be told that its sessions are closed.
    lingers_until: Option<Moment>,
}

/// A socket, and the number of the connection that it is for.
pub(super) type Line = (u64, Arc<Socket>);

/// What a driver does next.
pub(super) struct Turn {
    /// The number of the connection to make now.
    pub(super) dial: Option<u64>,
    pub(super) socket: Option<Line>,
    pub(super) wants_to_write: bool,
    pub(super) nap: Duration,
}

/// How long to sleep at most: the system's timers stand still while a machine sleeps, ours don't.
const NAP: Duration = Duration::from_secs(1);
/// How long a dropped connection waits to be told that its sessions are closed.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    /// A connection to the server at `address`; each attempt to connect takes at most `patience`. Nothing
    /// is sent before there is something to say.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if the system gives no thread or no pipe.
    pub fn to(address: &Address, patience: Duration) -> Result<Self, ClientError> {
        thread::start(address, patience)
            .map_err(|why| ClientError::Unreachable { address: address.clone(), why })
    }

    /// One whose driver is woken by `bell`.
    pub(super) fn driven(
        settings: Settings,
        clock: Clock,
        bell: Box<dyn Fn() + Send + Sync>,
    ) -> (Self, Arc<Inner>) {
        let inner = Arc::new(Inner {
            address: settings.address.clone(),
            patience: settings.patience,
            clock,
            bell,
            state: Mutex::new(State {
                core: Core::new(settings),
                socket: None,
                sleeps_until: None,
                is_dropped: false,
                lingers_until: None,
            }),
        });
        (Self { handle: Arc::new(Handle(inner.clone())) }, inner)
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.handle.0.address
    }

    /// True while there is a connection, and the server has greeted.
    pub fn is_connected(&self) -> bool {
        self.handle.0.lock().core.is_up()
    }

    /// Why the server can't be reached, or `None` while it can, or was not tried yet. What is led is not
    /// lost by that: not before its deadline.
    pub fn trouble(&self) -> Option<String> {
        self.handle.0.lock().core.trouble().map(str::to_owned)
    }

    /// The server's id and incarnation, as it last said.
    pub fn server(&self) -> Option<(String, String)> {
        let state = self.handle.0.lock();
        state.core.server().map(|server| (server.id.clone(), server.incarnation.clone()))
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.handle.0.clock
    }

    /// Does something with the core, and sends what came of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core, Moment) -> T) -> T {
        self.handle.0.with(act)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(to {}", self.address())?;
        match self.trouble() {
            Some(trouble) => write!(f, ", {trouble})"),
            None => write!(f, ")"),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_dropped = true;
        (self.0.bell)();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Connection::with`].
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core, Moment) -> T) -> T {
        self.with_state(|state, now| act(&mut state.core, now))
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.lock();
        // Inside the lock, so that moments don't go back.
        let now = self.clock.now();
        let value = act(&mut state, now);
        state.flush(now);
        let wakers = state.core.take_wakers();
        let next = state.core.next_wake();
        let is_early = |until: Moment| next.is_some_and(|next| next < until);
        let is_due = !state.core.output().is_empty() || state.is_other_socket();
        let rings = state.sleeps_until.is_some_and(|until| is_due || is_early(until));
        drop(state);
        if rings {
            (self.bell)();
        }
        wakers.into_iter().for_each(Waker::wake);
        value
    }

    /// Does what is due; `None` when nobody needs it any more.
    pub(super) fn turn(&self) -> Option<Turn> {
        let mut state = self.lock();
        let now = self.clock.now();
        state.sleeps_until = None;
        state.core.tick(now);
        let dial = state.core.dial(now);
        state.flush(now);
        if state.is_other_socket() {
            state.socket = None;
        }
        let wakers = state.core.take_wakers();
        let turn = (!state.is_over(now)).then(|| {
            let nap = state.core.next_wake().map_or(NAP, |next| next - now).min(NAP);
            state.sleeps_until = Some(now + nap);
            let wants_to_write = !state.core.output().is_empty();
            Turn { dial, socket: state.socket.clone(), wants_to_write, nap }
        });
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        turn
    }

    /// What became of the connection that was to be made.
    pub(super) fn dialed(&self, epoch: u64, dialed: io::Result<Socket>) {
        self.with_state(|state, now| match dialed {
            Ok(socket) => {
                state.socket = Some((epoch, Arc::new(socket)));
                state.core.dialed(now, epoch);
            }
            Err(why) => state.core.dial_failed(now, epoch, &why),
        });
        (self.bell)();
    }

    /// Writes what waits; an error of the kind [`WouldBlock`](io::ErrorKind::WouldBlock) if not all of it
    /// goes out.
    #[cfg(feature = "tokio")]
    pub(super) fn write(&self) -> io::Result<()> {
        let is_written = self.with_state(|state, now| {
            state.flush(now);
            state.core.output().is_empty() || state.is_other_socket()
        });
        match is_written {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes what has come, unless there is nothing yet: then an error of the kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub(super) fn read(&self, (epoch, socket): &Line, buffer: &mut [u8]) -> io::Result<()> {
        let epoch = *epoch;
        let read = (&mut &**socket).read(buffer);
        self.with(|core, now| match read {
            Ok(0) => core.cut(now, epoch, "the server closed it"),
            Ok(count) => core.received(now, epoch, buffer.get(..count).unwrap_or_default()),
            Err(ref error) if is_nothing(error) => {}
            Err(ref error) => core.cut(now, epoch, &error.to_string()),
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// Held by a driver while it drives: without one, nothing that waits would ever end.
pub(super) struct Driven(pub(super) Arc<Inner>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.with_state(|state, now| {
            state.core.shut(now, "what drives this connection has ended");
            state.socket = None;
        });
    }
}

impl State {
    /// True once everybody has let go of it, and the server has heard what was to be said.
    fn is_over(&mut self, now: Moment) -> bool {
        if !self.is_dropped {
            return false;
        }
        let end = *self.lingers_until.get_or_insert(now + LINGER);
        !self.core.is_closing() || self.socket.is_none() || end <= now
    }

    /// True if the socket is of a connection that the core has given up.
    fn is_other_socket(&self) -> bool {
        self.socket.as_ref().is_some_and(|(epoch, _)| self.core.epoch() != Some(*epoch))
    }

    /// Writes what goes out at once.
    fn flush(&mut self, now: Moment) {
        while !self.core.output().is_empty() && !self.is_other_socket() {
            let Some((epoch, socket)) = &self.socket else { return };
            match socket.write(self.core.output()) {
                Ok(count) => drop(self.core.output().drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_nothing(&error) => return,
                Err(error) => {
                    let epoch = *epoch;
                    self.core.cut(now, epoch, &error.to_string());
                }
            }
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
