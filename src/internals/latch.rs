//! The messages of the latch.

use super::{Again, appended};
use crate::wire::Malformed;
use crate::wire::latch::reply::{Kind, Latch, ResponseHeader};
use crate::wire::latch::request::{CloseRequest, CreateRequest, HeaderRequest, LatchRequest};

/// The requests of the latch, by name.
pub const LATCH_REQUESTS: &[(&str, Again)] = &[
    ("CreateRequest", |raw| again(CreateRequest::decode(raw), |it, out| it.encode(out))),
    ("KeepAliveRequest", |raw| again(HeaderRequest::decode(raw), |it, out| it.encode(out))),
    ("CloseRequest", |raw| again(CloseRequest::decode(raw), |it, out| it.encode(out))),
    ("LatchRequest", |raw| again(LatchRequest::decode(raw), |it, out| it.encode(out))),
];

fn again<R>(
    decoded: Result<R, Malformed>,
    encode: impl FnOnce(&R, &mut Vec<u8>),
) -> Result<Vec<u8>, String> {
    let request = decoded.map_err(|malformed| malformed.to_string())?;
    Ok(appended(|out| encode(&request, out)))
}

/// A reply of the latch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's own
pub struct LatchReplyFacts {
    pub session_id: u64,
    pub stream_id: u64,
    pub response_id: u64,
    pub index: u64,
    /// `None` for a RESPONSE, true for an OPEN_STREAM, false for a CLOSE_STREAM.
    pub opens: Option<bool>,
    /// The message of an ERROR.
    pub failure: Option<String>,
    /// The id, the leader and the participants.
    pub latch: Option<(u64, String, Vec<String>)>,
}

/// Writes a reply, or a message of an Events stream.
pub fn encode_latch_reply(facts: &LatchReplyFacts, event: bool) -> Vec<u8> {
    let header = ResponseHeader {
        session_id: facts.session_id,
        stream_id: facts.stream_id,
        response_id: facts.response_id,
        index: facts.index,
        kind: match facts.opens {
            None => Kind::Response,
            Some(true) => Kind::OpenStream,
            Some(false) => Kind::CloseStream,
        },
        failure: facts.failure.as_deref(),
    };
    let Some((id, leader, participants)) = &facts.latch else {
        return appended(|out| header.put_reply(out));
    };
    let participants = participants.iter().map(String::as_str);
    let latch = Latch { id: *id, leader: Some(leader), participants };
    appended(
        |out| if event { latch.put_event(out, &header) } else { latch.put_reply(out, &header) },
    )
}
