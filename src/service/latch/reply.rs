//! Replies and events, as they are said.

use super::failure::Failure;
use crate::election::Term;
use crate::service::Answer;
use crate::wire::latch::reply::{Kind, Latch, ResponseHeader};
use crate::wire::latch::request::RequestHeader;

/// What every reply to one request repeats of it.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) session: u64,
    pub(super) request: u64,
}

impl Said {
    pub(super) fn of(header: Option<&RequestHeader<'_>>) -> Self {
        header.map_or(Self { session: 0, request: 0 }, |header| Self {
            session: header.session_id,
            request: header.request_id,
        })
    }

    /// The reply to KeepAlive and Close: the session alone.
    pub(super) fn plainly(self, done: Result<(), Failure>) -> Answer<'static> {
        Answer::Bytes(self.plain(done))
    }

    pub(super) fn plain(self, done: Result<(), Failure>) -> Vec<u8> {
        let failure = done.err().map(|failure| failure.to_string());
        let header = ResponseHeader {
            session_id: self.session,
            failure: failure.as_deref(),
            ..ResponseHeader::default()
        };
        header_alone(&header)
    }

    /// The header of a command's reply.
    pub(super) fn command(self, index: u64, failure: Option<&str>) -> ResponseHeader<'_> {
        ResponseHeader {
            session_id: self.session,
            stream_id: self.session,
            response_id: 1,
            index,
            kind: Kind::Response,
            failure,
        }
    }

    /// The header of a Get's reply.
    pub(super) fn read(self, index: u64, failure: Option<&str>) -> ResponseHeader<'_> {
        ResponseHeader { session_id: self.session, index, failure, ..ResponseHeader::default() }
    }

    /// The header of an event.
    pub(super) fn event(self, response: u64, index: u64, kind: Kind) -> ResponseHeader<'static> {
        ResponseHeader {
            session_id: self.session,
            stream_id: self.request,
            response_id: response,
            index,
            kind,
            failure: None,
        }
    }

    /// The header of the only message of a stream that did not open.
    pub(super) fn no_event(self, index: u64, failure: &str) -> ResponseHeader<'_> {
        ResponseHeader { failure: Some(failure), ..self.event(0, index, Kind::Response) }
    }
}

pub(super) fn header_alone(header: &ResponseHeader<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    header.put_reply(&mut out);
    out
}

/// Appends the reply to Latch and Get. An election that nobody remembers is an empty latch.
pub(super) fn put_state(out: &mut Vec<u8>, header: &ResponseHeader<'_>, term: &Term) {
    let id = if term.is_forgotten() { 0 } else { term.number() };
    Latch { id, leader: term.leader(), participants: term.participants() }.put_reply(out, header);
}

/// Appends an event. It follows the name, so it shows a deleted election's last state.
pub(super) fn put_change(out: &mut Vec<u8>, header: &ResponseHeader<'_>, term: &Term) {
    let (id, leader) = (term.number(), term.leader());
    Latch { id, leader, participants: term.participants() }.put_event(out, header);
}
