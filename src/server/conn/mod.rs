//! One connection without its socket: bytes in, bytes out, and time is passed in.
//!
//! Methods come in four kinds. *Events* come from the socket (`feed`, `feed_end`, `broken`), from the
//! engine (`deliver`, `changed`), from the clock (`on_timer`) and from the server (`drain`). *Output*
//! is `pending` and `sent`. *Questions* say what the connection needs next: `wants_read`, `has_work`,
//! `deadline`, `next_step`. `take_session` ends its claim on its candidates.
//!
//! Requests that need no waiting are answered where they are read. The others live in `streams` until
//! the engine's sink brings their outcome, or their task has said its last.

mod calls;
mod ending;
mod input;
mod output;
mod quick;
mod streams;
mod tasks;
#[cfg(test)]
mod tests;
mod watches;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::ending::{End, Next, Violation};
pub(crate) use self::streams::Asked;

use self::ending::Phase;
use self::input::{Input, Piece};
use self::output::Output;
use self::streams::Streams;
use super::book::{Book, OK};
use super::counters::Tally;
use super::sniff::{Protocol, sniff};
use crate::clock::Moment;
use crate::engine::{Engine, Session};
use crate::error::Error;
use crate::service::{CacheRule, Caller, Latches, Method};
use crate::shard::Sink;
use crate::wire::envelope;
use crate::wire::frame::{Header, flag, kind};

/// What a connection allows its peer.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// To finish a frame it has begun.
    pub(crate) frame_time: Duration,
    /// To take some of the output that waits for it.
    pub(crate) stall_time: Duration,
    /// To read a refusal and go.
    pub(crate) linger: Duration,
    /// Without a request, before the connection is closed.
    pub(crate) idle: Option<Duration>,
    pub(crate) cache_rules: Arc<[CacheRule]>,
    /// What clients are told of the settings.
    pub(crate) told: Arc<[(&'static str, String)]>,
    /// The latch sessions of the engine: the servers keep them.
    pub(crate) latches: Arc<Latches>,
    /// HTTP is served, though not here.
    pub(crate) hands_over: bool,
}

pub(crate) struct Conn {
    key: u64,
    sink: Arc<dyn Sink>,
    caller: Caller,
    terms: Arc<Terms>,
    bounds: Bounds,
    phase: Phase,
    draining: bool,
    input: Input,
    output: Output,
    streams: Streams,
    /// There is input that could be worked off but for want of room.
    backlog: bool,
    /// A change was answered since the last read began, which its own streams may have to tell of.
    stirred: bool,
    frame_since: Option<Moment>,
    stalled_since: Option<Moment>,
    /// The last request, or the beginning.
    asked: Moment,
    tally: Tally,
    book: Arc<Book>,
}

/// The engine's limits that a connection looks at all the time.
struct Bounds {
    frame: usize,
    pause: usize,
    output: usize,
    streams: usize,
}

impl Conn {
    /// A connection of `peer` whose tickets carry `key` to `sink`, and which counts in `book`.
    pub(crate) fn new(
        engine: Engine,
        (sink, key): (Arc<dyn Sink>, u64),
        peer: Box<str>,
        (terms, book): (Arc<Terms>, Arc<Book>),
        now: Moment,
    ) -> Self {
        let limits = engine.limits();
        let bounds = Bounds {
            frame: limits.frame_bytes,
            pause: limits.output_pause_bytes,
            output: limits.output_bytes,
            streams: limits.streams,
        };
        Self {
            key,
            sink,
            caller: Caller::new(
                engine,
                peer,
                terms.cache_rules.clone(),
                terms.told.clone(),
                terms.latches.clone(),
            ),
            terms,
            bounds,
            phase: Phase::Fresh,
            draining: false,
            input: Input::default(),
            output: Output::default(),
            streams: Streams::default(),
            backlog: false,
            stirred: false,
            frame_since: None,
            stalled_since: None,
            asked: now,
            tally: Tally::default(),
            book,
        }
    }

    /// The peer sent `bytes`. Without bytes: works off what there was no room for before.
    pub(crate) fn feed(&mut self, now: Moment, bytes: &[u8]) {
        match self.phase {
            Phase::Fresh => self.meet(now, bytes),
            Phase::Open => self.read(now, bytes),
            // Nothing is read meanwhile.
            Phase::Leaving(..) => {}
            // Whatever a peer still says to a connection that is over.
            Phase::Flushing(_) | Phase::Lingering(..) | Phase::Over(_) => {}
        }
    }

    /// What is to be served elsewhere, and all that was received of it: once.
    pub(crate) fn take_leave(&mut self) -> Option<(Protocol, Vec<u8>)> {
        match mem::replace(&mut self.phase, Phase::Over(End::HandedOver)) {
            Phase::Leaving(protocol, received) => Some((protocol, received)),
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// The first bytes: is it ttrpc?
    fn meet(&mut self, now: Moment, bytes: &[u8]) {
        let mut first = self.input.take();
        let held = first.len();
        first.extend_from_slice(&bytes[..bytes.len().min(16)]);
        let protocol = sniff(&first);
        protocol.inspect(|&protocol| self.book.met(protocol));
        match protocol {
            Some(Protocol::Ttrpc) => {
                self.phase = Phase::Open;
                self.read(now, bytes);
            }
            Some(protocol) if self.terms.hands_over && protocol.is_http() => {
                first.truncate(held);
                first.extend_from_slice(bytes);
                self.phase = Phase::Leaving(protocol, first);
            }
            Some(other) => {
                self.output.buffer().extend_from_slice(other.refusal());
                self.finish(End::NotTtrpc(other));
            }
            None => {
                self.input.hold(&first);
                self.time_frame(now, false);
            }
        }
    }

    fn read(&mut self, now: Moment, mut bytes: &[u8]) {
        let frames = self.input.frames;
        self.stirred = false;
        loop {
            if self.input.is_holding() {
                let held = self.input.take();
                let used = self.run(now, &held);
                self.input.put_back(held, used);
            }
            if !self.input.is_holding() {
                bytes = &bytes[self.run(now, bytes)..];
                break;
            }
            let is_over = !matches!(self.phase, Phase::Open);
            if is_over || self.backlog || !self.input.complete(&mut bytes) {
                break;
            }
        }
        self.input.hold(bytes);
        self.time_frame(now, self.input.frames != frames);
        self.speak(now);
        self.check_output();
    }

    /// Works on the frames in `bytes`, as far as they are whole and there is room. How many bytes were
    /// used.
    fn run(&mut self, now: Moment, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        self.backlog = false;
        while matches!(self.phase, Phase::Open) {
            if self.is_speech_paused() {
                self.backlog = !rest.is_empty();
                break;
            }
            match self.input.next(&mut rest, self.bounds.frame) {
                Piece::Frame(header, payload) => self.on_frame(now, header, payload),
                Piece::TooLong(header) => self.on_too_long(now, header),
                Piece::Absurd(header) => self.violate(Violation::FrameLength(header.length)),
                Piece::Short => break,
            }
        }
        bytes.len() - rest.len()
    }

    /// Notes since when the peer owes the rest of a frame. While nothing is read it owes nothing.
    fn time_frame(&mut self, now: Moment, finished_one: bool) {
        if self.backlog || !self.input.is_unfinished() {
            self.frame_since = None;
        } else if finished_one || self.frame_since.is_none() {
            self.frame_since = Some(now);
        }
    }

    /// True if output must leave before anything more is said, or another request is taken.
    #[inline]
    fn is_speech_paused(&self) -> bool {
        self.output.len() > self.bounds.pause
    }

    #[inline]
    fn on_frame(&mut self, now: Moment, header: Header, payload: &[u8]) {
        match header.kind {
            kind::REQUEST => {
                self.asked = now;
                self.on_request(now, header.stream, payload);
            }
            kind::DATA => self.on_data(header.stream, header.flags),
            _ => {}
        }
    }

    /// False, and the end of the connection, if no request may have this id.
    #[inline]
    fn is_new(&mut self, stream: u32) -> bool {
        if stream.is_multiple_of(2) {
            self.violate(Violation::EvenStream(stream));
        } else if self.streams.is_in_use(stream) {
            self.violate(Violation::StreamInUse(stream));
        } else {
            return true;
        }
        false
    }

    /// The peer's last word on a stream cancels it. Other data has no stream that would take it.
    fn on_data(&mut self, stream: u32, flags: u8) {
        const LAST_WORD: u8 = flag::REMOTE_CLOSED | flag::NO_DATA;
        if stream.is_multiple_of(2) {
            self.violate(Violation::EvenStream(stream));
        } else if flags & LAST_WORD == LAST_WORD && self.streams.speaks(stream) {
            self.take_out(stream, OK);
            envelope::put_end(self.output.buffer(), stream);
        }
    }

    /// A frame over the limit fails its stream; the connection goes on behind it.
    fn on_too_long(&mut self, now: Moment, header: Header) {
        let fails = match header.kind {
            kind::REQUEST => self.is_new(header.stream),
            kind::DATA => self.streams.speaks(header.stream),
            _ => false,
        };
        if fails {
            let unread = Asked { method: Method::UNKNOWN, since: now };
            let asked = self.streams.remove(header.stream).map_or(unread, |(asked, _)| asked);
            let advice = "send a smaller message, or raise the limit";
            let max = self.bounds.frame as u64;
            let error = Error::LimitReached { limit: "frame_bytes", max, advice };
            self.fail(asked, header.stream, &error);
        }
    }

    /// True if the engine owes the answer to a call, or may bring a stream news of one that was answered.
    pub(crate) fn owes(&self) -> bool {
        self.stirred || self.streams.calls() > 0
    }

    /// True if nothing but one watch or one call can bring it more to say.
    pub(crate) fn has_one_stream(&self) -> bool {
        self.streams.len() == 1
    }

    /// The bytes to write next.
    pub(crate) fn pending(&self) -> &[u8] {
        self.output.pending()
    }

    /// The socket took `count` of the pending bytes; 0 if it would take none.
    pub(crate) fn sent(&mut self, now: Moment, count: usize) {
        self.output.sent(count);
        self.speak(now);
        if self.output.is_empty() {
            self.stalled_since = None;
        } else if count > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(now);
        }
    }

    /// Lends the connection a buffer for its output.
    pub(crate) fn borrow_room(&mut self, spares: &mut Vec<Vec<u8>>) {
        self.output.borrow_room(spares);
    }

    /// Takes the buffer back if nothing is in it.
    pub(crate) fn return_room(&mut self, spares: &mut Vec<Vec<u8>>) {
        self.output.return_room(spares);
        self.caller.rest();
    }

    /// Bytes of input that wait to be used.
    #[cfg(feature = "internals")]
    pub(crate) fn held(&self) -> usize {
        self.input.held()
    }

    /// What was counted since the last time.
    pub(crate) fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }

    /// The session of this connection, if it made one. Whoever takes it decides when it ends.
    pub(crate) fn take_session(&mut self) -> Option<Session> {
        self.caller.take_session()
    }
}
