//! Bytes to frames.

use super::Answer;
use crate::client::ClientError;
use crate::wire::envelope::Response;
use crate::wire::frame::{HEADER_LEN, Header, flag, kind};

/// Bytes of a frame's body at most, as the protocol has it.
const FRAME_BYTES: u32 = 4 << 20;

/// What came and is not used yet.
#[derive(Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    used: usize,
}

/// A frame of a stream.
pub(super) struct Frame {
    pub(super) stream: u32,
    /// None follows on this stream.
    pub(super) ends: bool,
    is_response: bool,
    has_message: bool,
    body: Vec<u8>,
}

impl Input {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or why there will be none.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, String> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header = Header::decode(header);
        if header.length > FRAME_BYTES {
            return Err(format!("the server announced a frame of {} bytes", header.length));
        }
        let length = header.length as usize;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let is_response = header.kind == kind::RESPONSE;
        let frame = Frame {
            stream: header.stream,
            ends: is_response || header.flags & flag::REMOTE_CLOSED != 0,
            is_response,
            has_message: header.flags & flag::NO_DATA == 0,
            body: body.to_vec(),
        };
        self.used += HEADER_LEN + length;
        Ok(Some(frame))
    }
}

impl Frame {
    /// The one answer to a call.
    pub(super) fn answer(self) -> Answer {
        match self.is_response {
            true => response(&self.body),
            false => Err(ClientError::Protocol("a call was answered by a stream".into())),
        }
    }

    /// A message of a stream; `None` if it ends without one.
    pub(super) fn message(self) -> Option<Answer> {
        match self.is_response {
            true => Some(response(&self.body)),
            false => self.has_message.then_some(Ok(self.body)),
        }
    }
}

fn response(envelope: &[u8]) -> Answer {
    let response = Response::decode(envelope)?;
    match response.status.filter(|status| status.code != 0) {
        None => Ok(response.payload.to_vec()),
        Some(status) => {
            Err(ClientError::Refused { code: status.code, message: status.message.to_owned() })
        }
    }
}
