//! gRPC over HTTP/2, as much of it as a closed loop needs. A hundred lines take less time per call than any
//! stack of crates, so that etcd is never held up by who asks.

use anyhow::{Result, ensure};

use super::{Dialect, Heard, Kind, Request, int};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER: usize = 9;
/// Before each gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const WIDEST: u32 = i32::MAX as u32;
/// When the connection's window is opened again.
const TAKEN: u32 = 1 << 28;
/// How many fields HPACK knows before any was sent.
const STATIC: usize = 61;

#[derive(Debug, Default)]
pub struct Grpc {
    calls: u32,
    /// Fields that the server remembers, the oldest first.
    sent: Vec<(&'static str, &'static str)>,
    taken: u32,
    /// The stream that a message came on last: an end without one is a refusal.
    answered: u32,
    /// The stream that takes more messages.
    open: Option<u32>,
}

impl Dialect for Grpc {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(PREFACE);
        // INITIAL_WINDOW_SIZE
        let window = [&[0, 4][..], &WIDEST.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &window, out);
        frame(WINDOW_UPDATE, 0, 0, &(WIDEST - 65_535).to_be_bytes(), out);
    }

    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64 {
        if let Some(stream) = self.open.filter(|_| request.stays_open) {
            put_message(stream, &request.bytes, false, out);
            return stream.into();
        }
        let stream = (2 * self.calls + 1) & WIDEST;
        self.calls = self.calls.wrapping_add(1);
        self.open = request.stays_open.then_some(stream).or(self.open);
        let mut fields = vec![0x83, 0x86]; // POST, http
        for field in [
            (":path", request.path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            self.field(field, &mut fields);
        }
        frame(HEADERS, END_HEADERS, stream, &fields, out);
        put_message(stream, &request.bytes, !request.stays_open, out);
        stream.into()
    }

    fn next(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Heard>> {
        let Some(&[l0, l1, l2, kind, flags]) = input.first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if input.len() < HEADER + len {
            return Ok(None);
        }
        let stream = int(input, 5).unwrap_or(0) as u32;
        let payload = &input[HEADER..HEADER + len];
        let nothing = Heard::nothing(HEADER + len);
        match kind {
            DATA if len > 0 => {
                self.take(len as u32, out);
                self.answered = stream;
                let said = int(payload, 1).unwrap_or(-1);
                ensure!(said as usize + PREFIX == len, "a message is not a frame of its own");
                let body = HEADER + PREFIX..HEADER + len;
                return Ok(Some(Heard { kind: Kind::Answer, id: stream.into(), body, ..nothing }));
            }
            HEADERS if flags & END_STREAM != 0 && self.answered != stream => {
                let kind = Kind::Refused(-1);
                return Ok(Some(Heard { kind, id: stream.into(), ..nothing }));
            }
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], out),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, out),
            RST_STREAM | GOAWAY => {
                return Ok(Some(Heard { kind: Kind::Refused(-2), id: stream.into(), ..nothing }));
            }
            _ => {}
        }
        Ok(Some(nothing))
    }
}

impl Grpc {
    /// One field: a number once it was sent before. None needs more than 31 of them.
    fn field(&mut self, field: (&'static str, &'static str), out: &mut Vec<u8>) {
        if let Some(at) = self.sent.iter().position(|sent| *sent == field) {
            out.push(0x80 | (STATIC + self.sent.len() - at) as u8);
            return;
        }
        out.push(0x40); // literal, to be remembered
        for text in [field.0, field.1] {
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        self.sent.push(field);
    }

    fn take(&mut self, len: u32, out: &mut Vec<u8>) {
        self.taken += len;
        if self.taken >= TAKEN {
            frame(WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes(), out);
            self.taken = 0;
        }
    }
}

/// A message on a stream that was opened.
fn put_message(stream: u32, message: &[u8], is_last: bool, out: &mut Vec<u8>) {
    let mut data = vec![0];
    data.extend_from_slice(&(message.len() as u32).to_be_bytes());
    data.extend_from_slice(message);
    frame(DATA, if is_last { END_STREAM } else { 0 }, stream, &data, out);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Request {
        Request { path: "/S/M", bytes: vec![7], stays_open: false }
    }

    #[test]
    fn a_second_call_says_its_headers_in_six_bytes() {
        let (mut wire, mut out) = (Grpc::default(), Vec::new());
        assert_eq!(wire.put(&call(), &mut out), 1);
        out.clear();
        assert_eq!(wire.put(&call(), &mut out), 3);
        assert_eq!(out[..15], [0, 0, 6, 1, 4, 0, 0, 0, 3, 0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);
        assert_eq!(out[15..], [0, 0, 6, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 1, 7]);
    }

    #[test]
    fn answers_refusals_and_what_the_connection_wants() {
        let (mut wire, mut out) = (Grpc::default(), Vec::new());
        let mut raw = Vec::new();
        put_message(1, b"hi", false, &mut raw);
        let heard = wire.next(&raw, &mut out).unwrap().unwrap();
        assert_eq!((heard.kind, heard.id, &raw[heard.body]), (Kind::Answer, 1, &b"hi"[..]));

        let mut trailers = Vec::new();
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[], &mut trailers);
        assert_eq!(wire.next(&trailers, &mut out).unwrap().unwrap().kind, Kind::Nothing);
        trailers[8] = 3;
        assert_eq!(wire.next(&trailers, &mut out).unwrap().unwrap().kind, Kind::Refused(-1));

        assert!(out.is_empty());
        let mut ping = Vec::new();
        frame(PING, 0, 0, &[1; 8], &mut ping);
        wire.next(&ping, &mut out).unwrap();
        assert_eq!(out[4], ACK);
    }
}
