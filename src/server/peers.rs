//! The connections of one reactor, with their sockets and timers.

use std::io;
use std::mem;
use std::sync::Arc;

use slab::Slab;

use super::Shared;
use super::book::Book;
use super::conn::{Conn, Next};
use super::counters::Tally;
use super::outbox::Outbox;
use super::peer::{Peer, READ_BYTES};
use super::reactor::Readiness;
use super::socket::Socket;
use super::web::Guest;
use super::write_order::WriteOrder;
use crate::clock::Moment;
use crate::engine::Session;
use crate::shard::{Outcome, Sink, Ticket};
use crate::wheel::Wheel;

/// Buffers kept for connections that have something to say.
const SPARES: usize = 64;
/// Connections with a single watch that are written to together.
const ALONE: usize = 8;
/// Timers worked off in one pass.
const TIMERS: usize = 1024;

pub(super) struct Peers {
    shared: Arc<Shared>,
    reactor: usize,
    sink: Arc<dyn Sink>,
    book: Arc<Book>,
    peers: Slab<Box<Peer>>,
    /// Sessions whose connection is gone, in their grace.
    parted: Slab<Session>,
    /// Tells a connection from an earlier one in the same slot.
    lives: u32,
    /// Those to read from in the next pass, and those left of this one.
    ready: Vec<usize>,
    reading: Vec<usize>,
    /// Those to write to in this pass; those left of it, and of them who could take more.
    order: WriteOrder,
    writing: Vec<usize>,
    unfinished: Vec<usize>,
    wheel: Wheel<Timer>,
    due: Vec<Timer>,
    /// The wheel has more that is due.
    overdue: bool,
    buffer: Box<[u8]>,
    spares: Vec<Vec<u8>>,
    /// Those that others are to serve.
    pub(super) leaving: Vec<Guest>,
    draining: bool,
    /// Of the touched, those that have no more to say in this pass.
    alone: usize,
    /// Somebody was told of a change in this pass.
    has_told: bool,
}

#[derive(Clone, Copy)]
enum Timer {
    Peer(u64),
    Parted(usize),
}

impl Peers {
    pub(super) fn new(
        shared: Arc<Shared>,
        reactor: usize,
        outbox: Arc<Outbox>,
        now: Moment,
    ) -> Self {
        let book = shared.reactors[reactor].book.clone();
        let mut wheel = Wheel::new();
        wheel.advance(now, 0, &mut Vec::new());
        Self {
            shared,
            reactor,
            sink: outbox,
            book,
            peers: Slab::new(),
            parted: Slab::new(),
            lives: 0,
            ready: Vec::new(),
            reading: Vec::new(),
            order: WriteOrder::default(),
            writing: Vec::new(),
            unfinished: Vec::new(),
            wheel,
            due: Vec::new(),
            overdue: false,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            spares: Vec::with_capacity(SPARES),
            leaving: Vec::new(),
            draining: false,
            alone: 0,
            has_told: false,
        }
    }

    /// Which reactor this is.
    pub(super) fn reactor(&self) -> usize {
        self.reactor
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// True if there is something to do without a new event.
    pub(super) fn have_work(&self) -> bool {
        !self.ready.is_empty() || self.order.has_unfinished() || self.overdue
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.wheel.next_deadline()
    }

    /// A new connection's slot.
    pub(super) fn add(&mut self, now: Moment, socket: Socket) -> usize {
        self.lives = self.lives.wrapping_add(1);
        let entry = self.peers.vacant_entry();
        let slot = entry.key();
        let key = u64::from(self.lives) << 32 | slot as u64;
        let (engine, terms) = (self.shared.engine.clone(), self.shared.terms.clone());
        let terms = (terms, self.book.clone());
        let peer = socket.to_string().into();
        let mut conn = Conn::new(engine, (self.sink.clone(), key), peer, terms, now);
        if self.draining {
            conn.drain();
        }
        entry.insert(Box::new(Peer::new(conn, socket, key)));
        self.touch(slot);
        slot
    }

    /// A socket that can't be served after all.
    pub(super) fn lose(&mut self, now: Moment, slot: usize, error: &io::Error) {
        self.shared.refused(now, &format_args!("its socket can't be polled: {error}"));
        self.peers[slot].conn.broken();
        self.touch(slot);
    }

    /// Notes what a socket has to say.
    pub(super) fn hear(&mut self, slot: usize, readiness: Readiness) {
        // An event may be older than the slot's present connection. Then it costs a read.
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.readable |= readiness.readable || readiness.broken;
        peer.ended |= readiness.ended;
        if readiness.broken && !peer.conn.wants_read() {
            // Nobody will read to the error.
            peer.conn.broken();
        }
        if readiness.writable && !mem::replace(&mut peer.writable, true) {
            self.touch(slot);
        }
        if readiness.readable || readiness.broken {
            self.make_ready(slot);
        }
    }

    /// Reads once from each connection that is ready.
    pub(super) fn read_ready(&mut self, now: Moment) {
        mem::swap(&mut self.ready, &mut self.reading);
        let (mut bytes, mut written) = (0, 0);
        let mut reading = mem::take(&mut self.reading);
        for slot in reading.drain(..) {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.is_ready = false;
                peer.conn.borrow_room(&mut self.spares);
                bytes += peer.read(now, &mut self.buffer);
                written += peer.write_early(now);
                peer.conn.return_room(&mut self.spares);
                self.part(slot, now);
                if !mem::replace(&mut self.peers[slot].is_touched, true) {
                    self.order.asked(slot);
                }
            }
        }
        self.reading = reading;
        self.book.bytes_read.add(bytes as u64);
        self.book.bytes_written.add(written as u64);
    }

    pub(super) fn deliver(&mut self, now: Moment, ticket: Ticket, outcome: Outcome) {
        let Some(slot) = self.addressed(ticket.to).map(|(slot, _)| slot) else { return };
        let peer = &mut self.peers[slot];
        peer.conn.borrow_room(&mut self.spares);
        peer.conn.deliver(now, ticket.about, outcome);
        peer.is_touched = true;
        self.order.answered(slot);
    }

    /// Lets a connection say what has changed. One that has a single stream has no more to say in this pass: so
    /// a few of them at a time are written to while what they are made of is still in the processor's cache.
    pub(super) fn changed(&mut self, now: Moment, ticket: Ticket) {
        let Some(slot) = self.addressed(ticket.to).map(|(slot, _)| slot) else { return };
        let peer = &mut self.peers[slot];
        let is_alone = peer.conn.has_one_stream();
        peer.conn.borrow_room(&mut self.spares);
        peer.conn.changed(now, ticket.about);
        self.touch(slot);
        self.alone += usize::from(is_alone);
        if self.alone == ALONE {
            self.flush_told(now);
        }
    }

    /// The same for many. A connection that several of them belong to says all of it in one write, before the
    /// next is looked at: its peer reads meanwhile.
    pub(super) fn all_changed(&mut self, now: Moment, tickets: &[Ticket]) {
        for of_one in tickets.chunk_by(|one, next| one.to == next.to) {
            of_one.iter().for_each(|&ticket| self.changed(now, ticket));
            if of_one.len() > 1 {
                self.flush_told(now);
            }
        }
    }

    /// Does what is due, up to a bound.
    pub(super) fn advance(&mut self, now: Moment) {
        let mut due = mem::take(&mut self.due);
        self.overdue = self.wheel.advance(now, TIMERS, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Parted(place) => {
                    self.parted.remove(place).end_disconnected();
                }
                Timer::Peer(key) => {
                    let Some(slot) = self.addressed(key).map(|(slot, _)| slot) else { continue };
                    let peer = &mut self.peers[slot];
                    peer.timer = None;
                    peer.conn.borrow_room(&mut self.spares);
                    peer.conn.on_timer(now);
                    self.touch(slot);
                }
            }
        }
        self.due = due;
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.peers[slot].conn.drain();
            self.touch(slot);
        }
    }

    /// Writes once to each connection that something happened to, and sees what it needs next. Who could take
    /// more waits for the next pass.
    pub(super) fn flush(&mut self, now: Moment) {
        let mut writing = mem::take(&mut self.writing);
        self.order.take(&mut writing);
        self.write_to(now, writing);
    }

    /// The same in the middle of a pass, for those who hear of others.
    fn flush_told(&mut self, now: Moment) {
        let mut writing = mem::take(&mut self.writing);
        self.order.take_told(&mut writing);
        self.write_to(now, writing);
    }

    fn write_to(&mut self, now: Moment, mut writing: Vec<usize>) {
        let (mut tally, mut bytes) = (Tally::default(), 0);
        for slot in writing.drain(..) {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            if !mem::replace(&mut peer.is_touched, false) {
                continue;
            }
            bytes += peer.write(now);
            peer.conn.return_room(&mut self.spares);
            tally.add(peer.conn.take_tally());
            if peer.can_write() {
                self.unfinished.push(slot);
            }
            self.settle(slot, now);
        }
        // Only now: who stands in two of the lists is written to once.
        for slot in self.unfinished.drain(..) {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.is_touched = true;
                self.order.unfinished(slot);
            }
        }
        self.writing = writing;
        self.alone = 0;
        self.has_told |= tally.tells();
        self.book.bytes_written.add(bytes as u64);
        self.book.add(tally);
    }

    /// Whether anybody was told of a change since this was asked last.
    pub(super) fn has_told(&mut self) -> bool {
        mem::take(&mut self.has_told)
    }

    fn settle(&mut self, slot: usize, now: Moment) {
        let peer = &mut self.peers[slot];
        match peer.conn.next_step(now) {
            Next::Keep => {}
            Next::HalfClose => {
                peer.readable = true;
                if peer.socket.close_our_side().is_err() {
                    peer.conn.broken();
                    return self.remove(slot, now);
                }
            }
            Next::HandOver => return self.hand_over(slot),
            Next::Close => return self.remove(slot, now),
        }
        if peer.readable && peer.conn.wants_read() || peer.conn.has_work() {
            self.make_ready(slot);
        }
        self.part(slot, now);
        self.set_timer(slot);
    }

    /// Sets a timer if none comes early enough. One that comes too early finds nothing to do.
    fn set_timer(&mut self, slot: usize) {
        let peer = &mut self.peers[slot];
        let Some(deadline) = peer.conn.deadline() else { return };
        if let Some((timer, at)) = peer.timer {
            if at <= deadline {
                return;
            }
            self.wheel.cancel(timer);
        }
        peer.timer = Some((self.wheel.insert(deadline, Timer::Peer(peer.key)), deadline));
    }

    /// Ends the session of a connection that is ending, or lets it wait for its grace to pass.
    fn part(&mut self, slot: usize, now: Moment) {
        let conn = &mut self.peers[slot].conn;
        if conn.end().is_none() {
            return;
        }
        let Some(session) = conn.take_session() else { return };
        let grace = self.shared.settings.disconnect_grace;
        if grace.is_zero() || self.draining {
            session.end_disconnected();
        } else {
            let place = self.parted.insert(session);
            self.wheel.insert(now + grace, Timer::Parted(place));
        }
    }

    fn remove(&mut self, slot: usize, now: Moment) {
        self.part(slot, now);
        let mut peer = self.peers.remove(slot);
        peer.conn.abandon();
        if let Some((timer, _)) = peer.timer {
            self.wheel.cancel(timer);
        }
        if let Some(end) = peer.conn.end() {
            self.shared.reactors[self.reactor].load.fetch_sub(1);
            self.shared.ended(now, end, &peer.socket);
        }
    }

    /// It stays counted as a connection of the server's, but is none of this reactor's.
    fn hand_over(&mut self, slot: usize) {
        let mut peer = self.peers.remove(slot);
        if let Some((timer, _)) = peer.timer {
            self.wheel.cancel(timer);
        }
        self.shared.reactors[self.reactor].load.fetch_sub(1);
        if let Some((protocol, received)) = peer.conn.take_leave() {
            self.leaving.push(Guest { socket: peer.socket, protocol, received });
        }
    }

    /// The connection that a ticket or timer means, if it is still there.
    fn addressed(&mut self, key: u64) -> Option<(usize, &mut Peer)> {
        let slot = key as u32 as usize;
        let peer = self.peers.get_mut(slot)?;
        (peer.key == key).then_some((slot, peer))
    }

    fn touch(&mut self, slot: usize) {
        let peer = &mut self.peers[slot];
        if !mem::replace(&mut peer.is_touched, true) {
            self.order.told(slot);
        }
    }

    fn make_ready(&mut self, slot: usize) {
        let peer = &mut self.peers[slot];
        if !mem::replace(&mut peer.is_ready, true) {
            self.ready.push(slot);
        }
    }
}
