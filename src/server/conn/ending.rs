//! How a connection ends: on time, in time, and with a reason.

use std::fmt;

use super::streams::{Due, Kind};
use super::{Conn, Protocol};
use crate::clock::Moment;
use crate::error::Error;
use crate::server::book::CANCELLED;

/// Where a connection stands in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing was received yet that tells what the peer speaks.
    Fresh,
    Open,
    /// Another part of the server speaks what the peer speaks; with all that was received.
    Leaving(Protocol, Vec<u8>),
    /// No more is read. The connection ends when the output has left.
    Flushing(End),
    /// The output has left and our side is closed. The peer has until then to close its own: to close
    /// first would throw away what it has not read yet.
    Lingering(End, Moment),
    Over(End),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    PeerClosed,
    Broken,
    NotTtrpc(Protocol),
    HandedOver,
    BrokenHttp,
    Silent,
    Violation(Violation),
    SlowFrame,
    Stalled,
    TooMuchOutput,
    Idle,
    Drained,
}

/// What a peer may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    FrameLength(u32),
    EvenStream(u32),
    StreamInUse(u32),
}

/// What to do with the socket after writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Keep,
    /// Close our side, and read on.
    HalfClose,
    /// Take it out, and let those serve it who speak what it speaks.
    HandOver,
    Close,
}

impl End {
    /// A word for each, in the order of their numbers.
    pub(crate) const LABELS: [&'static str; 11] = [
        "peer_closed",
        "broken",
        "not_ttrpc",
        "violation",
        "slow_frame",
        "stalled",
        "too_much_output",
        "idle",
        "drained",
        "broken_http",
        "silent",
    ];

    /// Its number; none where the connection goes on elsewhere.
    pub(crate) fn number(self) -> Option<usize> {
        Some(match self {
            End::HandedOver => return None,
            End::PeerClosed => 0,
            End::Broken => 1,
            End::NotTtrpc(_) => 2,
            End::Violation(_) => 3,
            End::SlowFrame => 4,
            End::Stalled => 5,
            End::TooMuchOutput => 6,
            End::Idle => 7,
            End::Drained => 8,
            End::BrokenHttp => 9,
            End::Silent => 10,
        })
    }

    /// True if what is pending will not be taken, or must not be sent.
    fn is_abrupt(self) -> bool {
        matches!(self, End::Broken | End::Stalled | End::TooMuchOutput)
    }

    /// True if the peer may still be sending, and should read what we had to say.
    fn lingers(self) -> bool {
        matches!(self, End::NotTtrpc(_) | End::Violation(_) | End::Idle | End::Drained)
    }
}

impl Conn {
    /// The peer closed its side. Whose connection is gone holds nothing any more; what was answered
    /// already is still sent.
    pub(crate) fn feed_end(&mut self) {
        match self.phase {
            Phase::Fresh | Phase::Open => self.finish(End::PeerClosed),
            // Whoever serves it will find it closed.
            Phase::Leaving(..) => {}
            Phase::Lingering(end, _) => self.phase = Phase::Over(end),
            Phase::Flushing(_) | Phase::Over(_) => {}
        }
    }

    /// The socket failed.
    pub(crate) fn broken(&mut self) {
        self.finish(End::Broken);
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.finish(End::Violation(violation));
    }

    /// Ends the connection, unless it is ending for an earlier reason.
    pub(super) fn finish(&mut self, end: End) {
        match self.phase {
            Phase::Fresh | Phase::Open | Phase::Leaving(..) => {
                self.phase = if end.is_abrupt() { Phase::Over(end) } else { Phase::Flushing(end) };
                self.streams.drop_tasks(|asked| self.book.answered(asked, CANCELLED));
            }
            Phase::Flushing(first) | Phase::Lingering(first, _) if end.is_abrupt() => {
                self.phase = Phase::Over(first);
            }
            Phase::Flushing(_) | Phase::Lingering(..) | Phase::Over(_) => {}
        }
    }

    /// Why the connection ends, once it does.
    pub(crate) fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Fresh | Phase::Open | Phase::Leaving(..) => None,
            Phase::Flushing(end) | Phase::Lingering(end, _) | Phase::Over(end) => Some(end),
        }
    }

    /// The connection is gone: nobody hears of what was under way.
    pub(crate) fn abandon(&mut self) {
        self.streams.drop_all(|asked| self.book.answered(asked, CANCELLED));
    }

    /// To be asked after writing.
    pub(crate) fn next_step(&mut self, now: Moment) -> Next {
        let is_alive = matches!(self.phase, Phase::Fresh | Phase::Open);
        if self.draining && is_alive && self.streams.calls() == 0 && !self.backlog {
            self.finish(End::Drained);
        }
        match self.phase {
            Phase::Flushing(end) if self.output.is_empty() && end.lingers() => {
                self.phase = Phase::Lingering(end, now + self.terms.linger);
                Next::HalfClose
            }
            Phase::Flushing(end) if self.output.is_empty() => {
                self.phase = Phase::Over(end);
                Next::Close
            }
            Phase::Over(_) => Next::Close,
            Phase::Leaving(..) => Next::HandOver,
            _ => Next::Keep,
        }
    }

    /// True if there is room for what the peer sends.
    pub(crate) fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Fresh | Phase::Open => !self.is_speech_paused(),
            Phase::Leaving(..) | Phase::Flushing(_) | Phase::Over(_) => false,
            Phase::Lingering(..) => true,
        }
    }

    /// True if there is work to do without anything new from the peer: `feed` it nothing.
    pub(crate) fn has_work(&self) -> bool {
        self.backlog && matches!(self.phase, Phase::Open) && !self.is_speech_paused()
    }

    /// When to call `on_timer`, unless something happens before.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let terms = &self.terms;
        let stalled = self.stalled_since.map(|since| since + terms.stall_time);
        let own = match self.phase {
            Phase::Fresh | Phase::Open => {
                let frame = self.frame_since.map(|since| since + terms.frame_time);
                let idle = terms.idle.map(|idle| self.asked + idle);
                [frame, idle, self.streams.next_deadline()].into_iter().flatten().min()
            }
            Phase::Lingering(_, until) => Some(until),
            Phase::Leaving(..) | Phase::Flushing(_) | Phase::Over(_) => None,
        };
        own.into_iter().chain(stalled).min()
    }

    /// Does what time asks for.
    pub(crate) fn on_timer(&mut self, now: Moment) {
        let is_due = |since: Option<Moment>, wait| since.is_some_and(|since| since + wait <= now);
        if is_due(self.stalled_since, self.terms.stall_time) {
            self.finish(End::Stalled);
        }
        match self.phase {
            Phase::Fresh | Phase::Open => {
                self.expire(now);
                if self.is_speech_paused() {
                    // Nothing is read now, so the peer owes nothing; its time begins again.
                    self.frame_since = self.frame_since.map(|_| now);
                }
                if is_due(self.frame_since, self.terms.frame_time) {
                    self.finish(End::SlowFrame);
                } else if self.terms.idle.is_some_and(|idle| self.asked + idle <= now) {
                    self.finish(End::Idle);
                }
            }
            Phase::Lingering(end, until) if until <= now => self.phase = Phase::Over(end),
            Phase::Leaving(..) | Phase::Flushing(_) | Phase::Lingering(..) | Phase::Over(_) => {}
        }
    }

    /// Fails the streams whose time has run out, and polls the tasks that waited for now. A call's
    /// outcome, when it comes, finds nobody.
    pub(super) fn expire(&mut self, now: Moment) {
        while let Some(due) = self.streams.take_due(now) {
            match due {
                Due::Task(about) => self.streams.let_speak(about),
                Due::Expired(stream, asked, kind) => {
                    let may_have_happened = match kind {
                        Kind::Call { .. } => true,
                        Kind::Watch(_) => false,
                        Kind::Task(errand) => errand.task.is_under_way(),
                    };
                    self.fail(asked, stream, &Error::DeadlineExceeded { may_have_happened });
                }
            }
        }
        self.speak(now);
        self.check_output();
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::PeerClosed => f.write_str("the peer closed it"),
            End::Broken => f.write_str("the socket failed"),
            End::NotTtrpc(protocol) => write!(f, "the peer speaks {protocol}, not ttrpc"),
            End::HandedOver => f.write_str("it is served as what it speaks"),
            End::BrokenHttp => f.write_str("the peer broke a rule of HTTP"),
            End::Silent => f.write_str("the peer fell silent"),
            End::Violation(violation) => violation.fmt(f),
            End::SlowFrame => f.write_str("the peer did not finish a frame in time"),
            End::Stalled => f.write_str("the peer took none of its output for too long"),
            End::TooMuchOutput => f.write_str("too much output waited for the peer"),
            End::Idle => f.write_str("the peer sent no request for too long"),
            End::Drained => f.write_str("the server drains"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::FrameLength(length) => {
                write!(f, "the peer announced a frame of {length} bytes")
            }
            Violation::EvenStream(stream) => {
                write!(f, "the peer used stream id {stream}; a client's ids are odd")
            }
            Violation::StreamInUse(stream) => {
                write!(f, "the peer used stream id {stream} again before it was answered")
            }
        }
    }
}
