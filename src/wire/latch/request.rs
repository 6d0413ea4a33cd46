//! What a latch is asked.

use super::HEADER;
use crate::wire::Malformed;
use crate::wire::field::{Fields, Value};
use crate::wire::put;

/// The streams of a header.
const STREAMS: u32 = 5;

/// What every request says first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestHeader<'a> {
    pub(crate) name: Option<Name<'a>>,
    pub(crate) session_id: u64,
    pub(crate) request_id: u64,
    pub(crate) index: u64,
    /// The request, which has been checked: its streams are read when they are asked for.
    request: &'a [u8],
}

/// The latch that a request is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
}

/// How far a stream has been received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamHeader {
    pub(crate) stream_id: u64,
    pub(crate) response_id: u64,
}

/// KeepAlive, Get, Events: a header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderRequest<'a> {
    pub(crate) header: Option<RequestHeader<'a>>,
}

/// Create: a header, and how long the session is to live without a word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CreateRequest<'a> {
    pub(crate) header: Option<RequestHeader<'a>>,
    pub(crate) timeout: Option<Timeout>,
}

/// A `google.protobuf.Duration`, as it came: it may be negative, or out of every range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeout {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

/// Close: a header, and whether the latch itself is to go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseRequest<'a> {
    pub(crate) header: Option<RequestHeader<'a>>,
    pub(crate) delete: bool,
}

/// Latch: a header, and who joins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LatchRequest<'a> {
    pub(crate) header: Option<RequestHeader<'a>>,
    pub(crate) participant_id: &'a str,
}

impl<'a> HeaderRequest<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        decode(raw, |_, _, _| Ok(())).map(|header| Self { header })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_header(out, self.header.as_ref());
    }
}

impl<'a> CreateRequest<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut timeout: Option<Timeout> = None;
        let header = decode(raw, |number, value, fields| match number {
            2 => timeout.get_or_insert_default().merge(fields.inside(value, "timeout")?),
            _ => Ok(()),
        })?;
        Ok(Self { header, timeout })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_header(out, self.header.as_ref());
        if let Some(Timeout { seconds, nanos }) = self.timeout {
            let (seconds, nanos) = (seconds.cast_unsigned(), i64::from(nanos).cast_unsigned());
            put::prefix(out, 2, put::uint_len(1, seconds) + put::uint_len(2, nanos));
            put::uint(out, 1, seconds);
            put::uint(out, 2, nanos);
        }
    }
}

impl Timeout {
    fn merge(&mut self, mut fields: Fields<'_>) -> Result<(), Malformed> {
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.seconds = value.varint("timeout.seconds")?.cast_signed(),
                // Too wide a value is cut to its low bits, as protobuf has it.
                2 => self.nanos = value.varint("timeout.nanos")? as i32,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> CloseRequest<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut delete = false;
        let header = decode(raw, |number, value, _| {
            if number == 2 {
                delete = value.varint("delete")? != 0;
            }
            Ok(())
        })?;
        Ok(Self { header, delete })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_header(out, self.header.as_ref());
        put::uint(out, 2, u64::from(self.delete));
    }
}

impl<'a> LatchRequest<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut participant_id = "";
        let header = decode(raw, |number, value, _| {
            if number == 2 {
                participant_id = value.text("participant_id")?;
            }
            Ok(())
        })?;
        Ok(Self { header, participant_id })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_header(out, self.header.as_ref());
        put::text(out, 2, self.participant_id);
    }
}

/// The header of the request `raw`; each other field goes to `take`.
fn decode<'a>(
    raw: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>, &Fields<'a>) -> Result<(), Malformed>,
) -> Result<Option<RequestHeader<'a>>, Malformed> {
    let mut header: Option<RequestHeader<'a>> = None;
    let mut fields = Fields::new(raw);
    while let Some((number, value)) = fields.next()? {
        if number == HEADER {
            // It may come in pieces, which merge.
            let header = header.get_or_insert_default();
            header.request = raw;
            header.merge(fields.inside(value, "header")?)?;
        } else {
            take(number, value, &fields)?;
        }
    }
    Ok(header)
}

impl<'a> RequestHeader<'a> {
    /// The streams that the client still reads, in their order.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamHeader> + Clone + use<'a> {
        let headers = Fields::new(self.request).values_of(HEADER);
        let streams = headers.flat_map(|header| Fields::new(header).values_of(STREAMS));
        streams.filter_map(|stream| StreamHeader::decode(Fields::new(stream)).ok())
    }

    fn merge(&mut self, mut fields: Fields<'a>) -> Result<(), Malformed> {
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let name = self.name.get_or_insert_default();
                    name.merge(fields.inside(value, "header.name")?)?;
                }
                2 => self.session_id = value.varint("header.session_id")?,
                3 => self.request_id = value.varint("header.request_id")?,
                4 => self.index = value.varint("header.index")?,
                STREAMS => drop(StreamHeader::decode(fields.inside(value, "header.streams")?)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>) {
        if let Some(Name { name, namespace }) = self.name {
            let len = put::bytes_len(1, name.len()) + put::bytes_len(2, namespace.len());
            put::prefix(out, 1, len);
            put::text(out, 1, name);
            put::text(out, 2, namespace);
        }
        put::uint(out, 2, self.session_id);
        put::uint(out, 3, self.request_id);
        put::uint(out, 4, self.index);
        for StreamHeader { stream_id, response_id } in self.streams() {
            put::prefix(out, STREAMS, put::uint_len(1, stream_id) + put::uint_len(2, response_id));
            put::uint(out, 1, stream_id);
            put::uint(out, 2, response_id);
        }
    }
}

impl<'a> Name<'a> {
    fn merge(&mut self, mut fields: Fields<'a>) -> Result<(), Malformed> {
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.name = value.text("header.name.name")?,
                2 => self.namespace = value.text("header.name.namespace")?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl StreamHeader {
    fn decode(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        let mut stream = Self::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => stream.stream_id = value.varint("header.streams.stream_id")?,
                2 => stream.response_id = value.varint("header.streams.response_id")?,
                _ => {}
            }
        }
        Ok(stream)
    }
}

fn put_header(out: &mut Vec<u8>, header: Option<&RequestHeader<'_>>) {
    let Some(header) = header else { return };
    let mut inner = Vec::new();
    header.put(&mut inner);
    put::item(out, HEADER, &inner);
}
