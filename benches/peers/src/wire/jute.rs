//! ZooKeeper's protocol: length, xid, operation, and records in jute.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Dialect, Heard, Kind, Request, int};

const PING: i32 = 11;
const CLOSE: i32 = -11;
/// Of a reply: length, xid, zxid and error.
const HEADER: usize = 20;
/// What the xid of a watch's event is, and of a ping.
const EVENT: i32 = -1;
const PONG: i32 = -2;
pub const NO_NODE: i32 = -101;
const LONGEST: usize = 16 << 20;

#[derive(Debug)]
pub struct Jute {
    timeout_millis: i32,
    calls: i32,
    is_ready: bool,
}

impl Default for Jute {
    fn default() -> Self {
        Self::with_timeout(30_000)
    }
}

impl Jute {
    /// The session's; the server allows from 2 to 20 of its ticks.
    pub fn with_timeout(millis: i32) -> Self {
        Self { timeout_millis: millis, calls: 0, is_ready: false }
    }

    /// What was asked for at first, and then what was given.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_millis.unsigned_abs().into())
    }
}

impl Dialect for Jute {
    fn greet(&mut self, out: &mut Vec<u8>) {
        let mut body = Record::new().int(0).long(0).int(self.timeout_millis).long(0);
        body = body.text(&"\0".repeat(16)).flag(false);
        out.extend_from_slice(&(body.0.len() as i32).to_be_bytes());
        out.extend_from_slice(&body.0);
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64 {
        self.calls = self.calls.wrapping_add(1) & i32::MAX;
        let at = out.len() + 4;
        out.extend_from_slice(&request.bytes);
        out[at..at + 4].copy_from_slice(&self.calls.to_be_bytes());
        self.calls as u64
    }

    fn next(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Result<Option<Heard>> {
        let Some(len) = int(input, 0) else { return Ok(None) };
        let len =
            4 + usize::try_from(len).ok().filter(|&len| len <= LONGEST).context("a length")?;
        if input.len() < len {
            return Ok(None);
        }
        if !self.is_ready {
            self.timeout_millis = int(input, 8).context("a reply is too short")?;
            ensure!(self.timeout_millis > 0, "no session was given");
            self.is_ready = true;
            return Ok(Some(Heard::nothing(len)));
        }
        let (xid, error) = int(input, 4).zip(int(input, 16)).context("a reply is too short")?;
        let kind = match (xid, error) {
            (PONG, _) => Kind::Nothing,
            (EVENT, _) => Kind::Notice,
            (_, 0) => Kind::Answer,
            (_, code) => Kind::Refused(code),
        };
        Ok(Some(Heard { kind, id: xid as u32 as u64, body: HEADER..len, len }))
    }

    fn part(&mut self, out: &mut Vec<u8>) -> bool {
        self.put(&operation(CLOSE, Record::new()), out);
        true
    }
}

/// A record under construction.
struct Record(Vec<u8>);

impl Record {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn int(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn flag(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut it = self.int(text.len() as i32);
        it.0.extend_from_slice(text.as_bytes());
        it
    }
}

fn operation(kind: i32, record: Record) -> Request {
    let mut bytes = (record.0.len() as i32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&record.0);
    Request::new(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Kept = 0,
    Ephemeral = 1,
    EphemeralInSequence = 3,
}

/// Anyone may do all with it.
pub fn create(path: &str, value: &str, node: Node) -> Request {
    let record = Record::new().text(path).text(value).int(1).int(31).text("world").text("anyone");
    operation(1, record.int(node as i32))
}

pub fn delete(path: &str) -> Request {
    operation(2, Record::new().text(path).int(-1))
}

pub fn exists(path: &str, watch: bool) -> Request {
    operation(3, Record::new().text(path).flag(watch))
}

pub fn get_data(path: &str, watch: bool) -> Request {
    operation(4, Record::new().text(path).flag(watch))
}

pub fn set_data(path: &str, value: &str) -> Request {
    operation(5, Record::new().text(path).text(value).int(-1))
}

pub fn get_children(path: &str) -> Request {
    operation(8, Record::new().text(path).flag(false))
}

/// Its xid is always the same.
pub fn ping() -> Vec<u8> {
    let mut bytes = operation(PING, Record::new()).bytes;
    bytes[4..8].copy_from_slice(&PONG.to_be_bytes());
    bytes
}

/// A reply's path: what `create` answers with.
pub fn path(body: &[u8]) -> Result<String> {
    let (text, _) = text(body)?;
    Ok(text.to_owned())
}

/// What `get_children` answers with.
pub fn children(body: &[u8]) -> Result<Vec<&str>> {
    let count = int(body, 0).context("no count of children")?;
    let mut rest = &body[4..];
    let mut names = Vec::new();
    for _ in 0..count {
        let (name, after) = text(rest)?;
        names.push(name);
        rest = after;
    }
    Ok(names)
}

fn text(body: &[u8]) -> Result<(&str, &[u8])> {
    let len = int(body, 0).and_then(|len| usize::try_from(len).ok()).context("no text")?;
    let (text, rest) = body[4..].split_at_checked(len).context("a text is cut off")?;
    Ok((std::str::from_utf8(text)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_stamped() {
        let (mut wire, mut out) = (Jute::default(), Vec::new());
        assert_eq!(wire.put(&exists("/a", true), &mut out), 1);
        assert_eq!(out, b"\0\0\0\x0f\0\0\0\x01\0\0\0\x03\0\0\0\x02/a\x01");
    }

    #[test]
    fn the_first_frame_opens_the_session() {
        let mut wire = Jute::default();
        let hello = [&20i32.to_be_bytes()[..], &[0; 4], &4000i32.to_be_bytes(), &[0; 12]].concat();
        assert_eq!(wire.next(&hello, &mut Vec::new()).unwrap(), Some(Heard::nothing(24)));
        assert!(wire.is_ready());
        let reply = [&16i32.to_be_bytes()[..], &[0, 0, 0, 9], &[0; 8], &(-101i32).to_be_bytes()];
        let heard = wire.next(&reply.concat(), &mut Vec::new()).unwrap().unwrap();
        assert_eq!((heard.kind, heard.id, heard.len), (Kind::Refused(NO_NODE), 9, 20));
    }

    #[test]
    fn names_of_children() {
        assert_eq!(children(b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02bc").unwrap(), ["a", "bc"]);
        assert!(children(b"\0\0\0\x02\0\0\0\x01a").is_err());
    }
}
