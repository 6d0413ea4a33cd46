//! What ttrpc's request and response frames carry (`proto/ttrpc/request.proto`), and whole frames.

use super::Malformed;
use super::field::Fields;
use super::frame::{self, flag, kind};
use super::put;

/// Field 5 of a request.
const METADATA: u32 = 5;
/// Field 2 of a response.
const PAYLOAD: u32 = 2;

/// A call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) payload: &'a [u8],
    /// How long the caller waits; 0 for as long as it takes.
    pub(crate) timeout_nano: i64,
    pub(crate) metadata: Metadata<'a>,
}

/// What a call says beside its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Metadata<'a> {
    /// To be sent.
    Pairs(&'a [(&'a str, &'a str)]),
    /// As received: the envelope that holds the pairs, which has been checked.
    Envelope(&'a [u8]),
}

impl Default for Metadata<'_> {
    fn default() -> Self {
        Metadata::Pairs(&[])
    }
}

impl<'a> Request<'a> {
    /// Decodes an envelope in one pass: every call comes through here.
    #[inline]
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::default();
        let mut fields = Fields::new(raw);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.service = value.text("service")?,
                2 => request.method = value.text("method")?,
                3 => request.payload = value.bytes("payload")?,
                4 => request.timeout_nano = value.varint("timeout_nano")? as i64,
                METADATA => {
                    pair(fields.inside(value, "metadata")?)?;
                    request.metadata = Metadata::Envelope(raw);
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// The keys and values, in their order.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        let (pairs, envelope): (&[_], &[_]) = match self.metadata {
            Metadata::Pairs(pairs) => (pairs, &[]),
            Metadata::Envelope(envelope) => (&[], envelope),
        };
        let received = Fields::new(envelope).values_of(METADATA);
        pairs.iter().copied().chain(received.filter_map(|raw| pair(Fields::new(raw)).ok()))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put::text(out, 1, self.service);
        put::text(out, 2, self.method);
        put::bytes(out, 3, self.payload);
        put::uint(out, 4, self.timeout_nano as u64);
        for (key, value) in self.metadata() {
            put::prefix(
                out,
                METADATA,
                put::bytes_len(1, key.len()) + put::bytes_len(2, value.len()),
            );
            put::text(out, 1, key);
            put::text(out, 2, value);
        }
    }
}

/// A `ttrpc.KeyValue`.
fn pair(mut fields: Fields<'_>) -> Result<(&str, &str), Malformed> {
    let (mut key, mut text) = ("", "");
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => key = value.text("metadata.key")?,
            2 => text = value.text("metadata.value")?,
            _ => {}
        }
    }
    Ok((key, text))
}

/// The answer to a call. OK is a `status` that is absent or has code 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: Option<Status<'a>>,
    pub(crate) payload: &'a [u8],
}

/// A `google.rpc.Status` without its details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status<'a> {
    pub(crate) code: i32,
    pub(crate) message: &'a str,
}

impl<'a> Response<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut response = Self::default();
        let mut fields = Fields::new(raw);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let status = response.status.get_or_insert_default();
                    status.merge(fields.inside(value, "status")?)?;
                }
                2 => response.payload = value.bytes("payload")?,
                _ => {}
            }
        }
        Ok(response)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(status) = self.status {
            put::prefix(out, 1, status.encoded_len());
            status.encode(out);
        }
        put::bytes(out, PAYLOAD, self.payload);
    }
}

impl<'a> Status<'a> {
    fn merge(&mut self, mut fields: Fields<'a>) -> Result<(), Malformed> {
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.code = value.varint("status.code")? as i32,
                2 => self.message = value.text("status.message")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        put::uint_len(1, self.code as u64) + put::bytes_len(2, self.message.len())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put::uint(out, 1, self.code as u64);
        put::text(out, 2, self.message);
    }
}

/// Appends a whole response frame with this payload.
#[inline]
pub(crate) fn put_response(out: &mut Vec<u8>, stream: u32, payload: &[u8]) {
    frame::begin(out, stream, kind::RESPONSE, put::bytes_len(PAYLOAD, payload.len()));
    put::bytes(out, PAYLOAD, payload);
}

/// Appends a whole response frame whose payload is what `body` appends: at least a byte.
#[inline]
pub(crate) fn put_response_of(out: &mut Vec<u8>, stream: u32, body: impl FnOnce(&mut Vec<u8>)) {
    frame::put(out, stream, kind::RESPONSE, 0, |out| put::nested(out, PAYLOAD, body));
}

/// Appends a whole response frame that has a status and no payload.
pub(crate) fn put_status(out: &mut Vec<u8>, stream: u32, code: i32, message: &str) {
    let response = Response { status: Some(Status { code, message }), payload: &[] };
    frame::put(out, stream, kind::RESPONSE, 0, |out| response.encode(out));
}

/// Appends a whole data frame that is one message of a stream, without an envelope.
#[inline]
pub(crate) fn put_data(out: &mut Vec<u8>, stream: u32, message: &[u8]) {
    frame::begin(out, stream, kind::DATA, message.len());
    out.extend_from_slice(message);
}

/// The same, of what `message` appends.
#[inline]
pub(crate) fn put_data_of(out: &mut Vec<u8>, stream: u32, message: impl FnOnce(&mut Vec<u8>)) {
    frame::put(out, stream, kind::DATA, 0, message);
}

/// Appends the frame that ends a stream with OK.
pub(crate) fn put_end(out: &mut Vec<u8>, stream: u32) {
    frame::put(out, stream, kind::DATA, flag::REMOTE_CLOSED | flag::NO_DATA, |_| {});
}

/// Appends a whole request frame.
pub(crate) fn put_request(out: &mut Vec<u8>, stream: u32, flags: u8, request: &Request<'_>) {
    frame::put(out, stream, kind::REQUEST, flags, |out| request.encode(out));
}
