//! The event loop: one thread that serves many connections. The only file that names mio.
//!
//! One pass: sleep until something happens; read each ready connection once, run what it asks, and write what
//! could be answered at once; hand out what the engine brought; then write once to each connection that has
//! something to say.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::adaptive_poll::AdaptivePoll;
use super::book::Book;
use super::door::Door;
use super::listener::Listener;
use super::outbox::{Item, Outbox};
use super::peers::Peers;
use super::socket::Socket;
use super::{Life, Shared};
use crate::clock::Moment;
use crate::engine::handing_over;

const EVENTS: usize = 1024;
/// Looks into the inbox in one pass.
const ROUNDS: usize = 3;
const BELL: Token = Token(usize::MAX);
/// The listeners' tokens are the last ones before the bell's.
const LISTENERS: usize = 1 << 31;

pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    door: Door,
    peers: Peers,
    book: Arc<Book>,
    /// Until then it polls without sleeping.
    awake_until: Moment,
    adaptive_poll: AdaptivePoll,
    life: Life,
}

/// What a reactor is made of before the server that it belongs to is.
pub(super) struct Parts {
    poll: Poll,
    pub(super) outbox: Arc<Outbox>,
}

impl Parts {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), BELL)?;
        let outbox = Arc::new(Outbox::new(move || {
            if let Err(error) = waker.wake() {
                tracing::error!(%error, "can't wake a reactor");
            }
        }));
        Ok(Self { poll, outbox })
    }
}

impl Reactor {
    pub(super) fn new(
        parts: Parts,
        shared: Arc<Shared>,
        index: usize,
        listeners: Vec<Listener>,
    ) -> io::Result<Self> {
        let Parts { poll, outbox } = parts;
        for (place, listener) in listeners.iter().enumerate() {
            let token = Token(LISTENERS + place);
            let fd = listener.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        let now = shared.engine.clock().now();
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            peers: Peers::new(shared.clone(), index, outbox.clone(), now),
            door: Door::new(listeners, shared.clone()),
            outbox,
            book: shared.reactors[index].book.clone(),
            awake_until: now,
            adaptive_poll: AdaptivePoll::new(shared.settings.adaptive_poll),
            shared,
            life: Life::Serving,
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    pub(super) fn run(mut self) {
        while self.goes_on() {
            let now = self.sleep();
            self.hear();
            self.admit(now);
            // Whatever a pass changes is handed to the log before anybody is woken for it: one commit keeps it.
            handing_over(|| {
                self.peers.read_ready(now);
                self.take_in(now);
            });
            self.shared.engine.hurry();
            self.peers.advance(now);
            self.peers.flush(now);
            self.hand_over(now);
        }
        if self.life == Life::Draining {
            self.end_drained();
        }
    }

    /// Nobody is to take it for stuck.
    fn end_drained(&self) {
        self.shared.reactors[self.peers.reactor()].has_drained.store(true);
        while let Some(item) = self.outbox.pop() {
            if let Item::Beat(felt) = item {
                let _nobody_waits_any_more = felt.try_send(());
            }
        }
    }

    /// A draining reactor ends with its last connection.
    fn goes_on(&self) -> bool {
        match self.life {
            Life::Serving => true,
            Life::Draining => !self.peers.is_empty(),
            Life::Stopped => false,
        }
    }

    /// Waits until something happens, or looks whether it has, and says when that was.
    fn sleep(&mut self) -> Moment {
        let before = self.shared.engine.clock().now();
        self.book.end_pass(before);
        if self.peers.has_told() {
            self.adaptive_poll.begin(before);
        }
        let only_looks = !self.has_work(before) && self.adaptive_poll.goes_on(before);
        if only_looks {
            thread::yield_now();
            self.poll(Some(Duration::ZERO));
        } else {
            self.poll(self.patience(before));
        }
        self.outbox.is_awake();
        let now = self.shared.engine.clock().now();
        self.book.begin_pass(now);
        if !self.events.is_empty() || self.outbox.len() > 0 {
            self.awake_until = now + self.shared.settings.busy_poll;
        }
        let has_found = self.events.iter().any(brings_something) || self.outbox.len() > 0;
        if only_looks {
            self.adaptive_poll.looked(before, now, has_found);
        }
        if has_found {
            self.adaptive_poll.heard(now);
        }
        now
    }

    fn poll(&mut self, patience: Option<Duration>) {
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                // Nothing that a server does makes this fail.
                tracing::error!(%error, "polling failed");
                self.life = Life::Stopped;
            }
            _ => {}
        }
    }

    /// Whether it has something to do, or is to poll, without anything new.
    fn has_work(&self, now: Moment) -> bool {
        now < self.awake_until || self.peers.have_work() || self.door.has_work(now)
    }

    /// How long it may sleep; `None` until something happens. It sleeps only with the bell down.
    fn patience(&self, now: Moment) -> Option<Duration> {
        if self.has_work(now) || !self.outbox.may_sleep() {
            return Some(Duration::ZERO);
        }
        let next = self.peers.next_deadline().into_iter().chain(self.door.next_try()).min()?;
        // Up to a whole millisecond, so that it does not wake just before the time.
        Some((next - now) + Duration::from_millis(1))
    }

    /// Notes what the sockets have to say.
    fn hear(&mut self) {
        for event in &self.events {
            match event.token() {
                BELL => {}
                Token(listener) if listener >= LISTENERS => self.door.knock(),
                Token(slot) => self.peers.hear(slot, readiness(event)),
            }
        }
    }

    /// Accepts who waits at the door, and finds each a reactor.
    fn admit(&mut self, now: Moment) {
        while let Some(socket) = self.door.open(now) {
            let index = self.shared.least_loaded();
            if index == self.peers.reactor() {
                self.adopt(now, socket);
            } else {
                self.shared.send(index, Item::Arrival(socket));
            }
        }
    }

    /// Gives up the connections that speak HTTP.
    fn hand_over(&mut self, now: Moment) {
        for guest in self.peers.leaving.drain(..) {
            let fd = guest.socket.as_raw_fd();
            if let Err(error) = self.poll.registry().deregister(&mut SourceFd(&fd)) {
                tracing::warn!(%error, "a socket can't be handed over");
            }
            self.shared.receive(now, guest);
        }
    }

    fn adopt(&mut self, now: Moment, socket: Socket) {
        let fd = socket.as_raw_fd();
        let slot = self.peers.add(now, socket);
        if let Err(error) = register(self.poll.registry(), fd, slot) {
            self.peers.lose(now, slot, &error);
        }
    }

    /// Takes in what came to the inbox until now, and a few times what that brings about: so that a hand-over
    /// is told in the pass that makes it, and a pass ends.
    fn take_in(&mut self, now: Moment) {
        for _ in 0..ROUNDS {
            let waiting = self.outbox.len();
            if waiting == 0 {
                break;
            }
            for _ in 0..waiting {
                let Some(item) = self.outbox.pop() else { break };
                self.take(now, item);
            }
        }
    }

    fn take(&mut self, now: Moment, item: Item) {
        match item {
            Item::Reply(ticket, outcome) => self.peers.deliver(now, ticket, outcome),
            Item::Changed(ticket) => self.peers.changed(now, ticket),
            Item::AllChanged(tickets) => self.peers.all_changed(now, &tickets),
            Item::Arrival(socket) => self.adopt(now, socket),
            // There is room for one from each reactor.
            Item::Beat(felt) => drop(felt.try_send(())),
            Item::Drain => self.drain(),
            Item::Stop => self.life = Life::Stopped,
        }
    }

    fn drain(&mut self) {
        self.life = Life::Draining;
        self.door.close();
        self.peers.drain();
    }
}

/// What a socket has to say. Edges: each is told once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer has closed its side: reading goes on to the end.
    pub(super) ended: bool,
    /// Both sides are gone.
    pub(super) broken: bool,
}

/// Not that there is room again for what we have to say, nor a bell that rang before.
fn brings_something(event: &Event) -> bool {
    event.token() != BELL && (event.is_readable() || event.is_read_closed() || event.is_error())
}

fn readiness(event: &Event) -> Readiness {
    Readiness {
        readable: event.is_readable() || event.is_read_closed(),
        writable: event.is_writable(),
        ended: event.is_read_closed(),
        broken: event.is_error() || event.is_write_closed(),
    }
}

fn register(registry: &Registry, fd: i32, slot: usize) -> io::Result<()> {
    registry.register(&mut SourceFd(&fd), Token(slot), Interest::READABLE | Interest::WRITABLE)
}
