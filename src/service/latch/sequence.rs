//! The requests of one latch session: in the order of their numbers, each once.
//!
//! No clock, no lock, no thread, no message: time is passed in, and what comes out says what to do. A
//! request *asks* until it is its turn; whoever waits is *called* when it is worth asking again. One
//! request runs at a time, so the next one sees all that it did.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::refusal::Refusal;
use super::stream::Response;
use super::streams::{Reader, Streams};
use crate::clock::Moment;
use crate::limits::{LATCH_REPLIES, LATCH_WAIT, LATCH_WAITING};

/// The order of a session's requests. `R` is a reply, as far as it is kept; `W` calls who waits.
#[derive(Debug)]
pub(super) struct Sequence<R, W> {
    /// The last request that has begun.
    last: u64,
    /// That one has not finished.
    running: bool,
    acknowledged: u64,
    /// The newest replies that are not acknowledged, in order.
    replies: VecDeque<Kept<R>>,
    streams: Streams<W>,
    waiting: BTreeMap<SeatKey, W>,
    /// Seats that there have been.
    seats: u64,
    ended: bool,
    /// It began with a server before this one, and no request has come here yet: it may have any number.
    resumed: bool,
    /// Who is to be called.
    calls: Vec<W>,
}

#[derive(Debug)]
struct Kept<R> {
    request: u64,
    command: Command,
    reply: R,
}

/// The commands: they have an order, and run once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Latch,
    Events,
}

/// A request's number, and its count among all that ever waited.
type SeatKey = (u64, u64);

/// The seat of a request that waits. To be given back with [`Sequence::leave`].
#[derive(Debug)]
pub(super) struct Seat {
    key: SeatKey,
    until: Moment,
}

/// What a request that asks is to do.
#[derive(Debug)]
pub(super) enum Turn<R> {
    /// It runs, now. [`Sequence::finish`] or [`Sequence::open`] is owed.
    Run,
    /// It ran before, and this was its reply.
    Again(R),
    /// It opened a stream before, to be read on from what was not acknowledged.
    Reattach(Reader),
    /// To ask again when it is called, and at this moment.
    Wait(Moment),
    Refuse(Refusal),
}

/// How a request stands to those that have run.
enum Standing<R> {
    Next,
    Ran(R),
    Opened(Reader),
    Early,
}

impl<R: Clone, W: Clone> Sequence<R, W> {
    /// Whether it is this command's turn. `seat` is its own, empty at first; `call` calls it.
    pub(super) fn ask(
        &mut self,
        command: Command,
        request: u64,
        seat: &mut Option<Seat>,
        now: Moment,
        call: &W,
    ) -> Turn<R> {
        let turn = match self.standing(command, request, call) {
            Ok(Standing::Early) => match self.wait(request, seat, now, call) {
                Ok(until) => return Turn::Wait(until),
                Err(refusal) => Turn::Refuse(refusal),
            },
            Ok(Standing::Next) => {
                if request > 0 {
                    (self.last, self.running, self.resumed) = (request, true, false);
                }
                Turn::Run
            }
            Ok(Standing::Ran(reply)) => Turn::Again(reply),
            Ok(Standing::Opened(reader)) => Turn::Reattach(reader),
            Err(refusal) => Turn::Refuse(refusal),
        };
        self.leave(seat);
        turn
    }

    /// Whether everything up to this request has run: `None` if so, or until when to wait.
    pub(super) fn ask_to_read(
        &mut self,
        request: u64,
        seat: &mut Option<Seat>,
        now: Moment,
        call: &W,
    ) -> Result<Option<Moment>, Refusal> {
        let wait = match () {
            () if self.ended => Err(Refusal::Ended),
            () if request > self.finished() => self.wait(request, seat, now, call).map(Some),
            () => Ok(None),
        };
        if !matches!(wait, Ok(Some(_))) {
            self.leave(seat);
        }
        wait
    }

    fn standing(
        &mut self,
        command: Command,
        request: u64,
        call: &W,
    ) -> Result<Standing<R>, Refusal> {
        let another = |was| Err(Refusal::AnotherCommand { request, was, asked: command });
        if self.ended {
            return Err(Refusal::Ended);
        }
        let is_next = request == self.last + 1 || (self.resumed && request > self.last);
        if request == 0 || (is_next && !self.running) {
            return Ok(Standing::Next);
        }
        if request > self.finished() {
            return Ok(Standing::Early);
        }
        if command == Command::Latch && self.streams.is_open(request) {
            return another(Command::Events);
        }
        if let Some((reader, former)) = self.streams.reattach(request, call.clone()) {
            self.calls.extend(former);
            return Ok(Standing::Opened(reader));
        }
        match self.replies.iter().find(|kept| kept.request == request) {
            Some(kept) if kept.command == command => Ok(Standing::Ran(kept.reply.clone())),
            Some(kept) => another(kept.command),
            None if request <= self.acknowledged => Err(Refusal::Acknowledged(request)),
            None => Err(Refusal::NotKept(request)),
        }
    }

    /// The last request that has finished.
    fn finished(&self) -> u64 {
        self.last - u64::from(self.running)
    }

    fn wait(
        &mut self,
        request: u64,
        seat: &mut Option<Seat>,
        now: Moment,
        call: &W,
    ) -> Result<Moment, Refusal> {
        let missing = self.last + u64::from(!self.running);
        match seat {
            Some(seat) if now < seat.until => Ok(seat.until),
            Some(_) if self.running => Err(Refusal::StillRunning(self.last)),
            Some(_) => Err(Refusal::Gap { request, missing }),
            None if self.waiting.len() >= LATCH_WAITING => Err(Refusal::TooManyWaiting { missing }),
            None => {
                self.seats += 1;
                let taken = Seat { key: (request, self.seats), until: now + LATCH_WAIT };
                self.waiting.insert(taken.key, call.clone());
                Ok(seat.insert(taken).until)
            }
        }
    }

    /// Whoever had this seat waits no more.
    pub(super) fn leave(&mut self, seat: &mut Option<Seat>) {
        if let Some(seat) = seat.take() {
            self.waiting.remove(&seat.key);
        }
    }

    /// The request whose turn it was has run, and this is its reply.
    pub(super) fn finish(&mut self, command: Command, request: u64, reply: R) {
        if request == 0 {
            return;
        }
        if request > self.acknowledged {
            self.replies.push_back(Kept { request, command, reply });
            if self.replies.len() > LATCH_REPLIES {
                self.replies.pop_front();
            }
        }
        self.go_on();
    }

    /// As `finish` for an Events request whose stream opens now: at this index, in the state with this
    /// revision.
    ///
    /// # Errors
    /// If the session has as many streams as it may. `finish` is owed then.
    pub(super) fn open(
        &mut self,
        request: u64,
        at: (u64, u64),
        call: &W,
    ) -> Result<Reader, Refusal> {
        let reader = self.streams.open(request, at, call.clone())?;
        if request > 0 {
            self.go_on();
        }
        Ok(reader)
    }

    /// Calls whoever may have waited for the request that has just finished.
    fn go_on(&mut self) {
        self.running = false;
        let may_go_on = self.waiting.range(..=(self.last + 1, u64::MAX));
        self.calls.extend(may_go_on.map(|(_, call)| call.clone()));
    }

    /// What comes next for this reader of a stream, where the newest state has this revision.
    pub(super) fn next(&mut self, reader: &mut Reader, revision: u64) -> Option<Response> {
        self.streams.next(reader, revision)
    }

    /// The reader has gone. Its stream stays for another, if it has a number to be found by.
    pub(super) fn detach(&mut self, reader: &Reader) {
        self.streams.detach(reader);
    }

    /// The client has all replies up to this request's, and reads these streams, of which it has the
    /// responses up to the one given. Other numbered streams up to this request are closed.
    pub(super) fn acknowledge(&mut self, request: u64, streams: impl Iterator<Item = (u64, u64)>) {
        self.acknowledged = self.acknowledged.max(request.min(self.last));
        while self.replies.front().is_some_and(|kept| kept.request <= self.acknowledged) {
            self.replies.pop_front();
        }
        self.streams.acknowledge(request, streams, &mut self.calls);
    }

    /// Requests are taken from any number on: which ones the server before this one took, nobody knows.
    pub(super) fn resume(&mut self) {
        self.resumed = true;
    }

    /// The session has ended: every stream is closed, and every request that waits is refused.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.replies.clear();
        self.streams.close_all(&mut self.calls);
        self.calls.extend(self.waiting.values().cloned());
    }

    /// Takes out who is to be called, after each change.
    pub(super) fn take_calls(&mut self) -> Vec<W> {
        std::mem::take(&mut self.calls)
    }
}

impl<R, W> Default for Sequence<R, W> {
    fn default() -> Self {
        Self {
            last: 0,
            running: false,
            acknowledged: 0,
            replies: VecDeque::new(),
            streams: Streams::default(),
            waiting: BTreeMap::new(),
            seats: 0,
            ended: false,
            resumed: false,
            calls: Vec::new(),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Latch => "Latch",
            Command::Events => "Events",
        })
    }
}
