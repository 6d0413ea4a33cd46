//! How each system is spoken to. A connection's side of a protocol only splits and stamps bytes: what is said
//! and what it means is the questions' matter.

pub mod etcd;
pub mod grpc;
pub mod jute;
pub mod nats;
pub mod proto;
pub mod resp;
pub mod ttrpc;

use std::ops::Range;

use anyhow::Result;

/// A request without what makes it unique on its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Where the protocol has such a thing apart from the body: gRPC's path.
    pub path: &'static str,
    pub bytes: Vec<u8>,
    /// The stream stays open, and takes the next one of these on the same connection.
    pub stays_open: bool,
}

impl Request {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { path: "", bytes, stays_open: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of no interest to who asked.
    Nothing,
    /// To a request, and a good one.
    Answer,
    /// To a request, which was refused; the protocol's own code, or -1.
    Refused(i32),
    /// Said without being asked again: a watch's event, a message of a stream.
    Notice,
}

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub kind: Kind,
    /// Which request or stream it belongs to, where the protocol tells.
    pub id: u64,
    /// What it says, within the frame.
    pub body: Range<usize>,
    /// Of the whole frame.
    pub len: usize,
}

impl Heard {
    pub fn nothing(len: usize) -> Self {
        Self { kind: Kind::Nothing, id: 0, body: 0..0, len }
    }
}

/// One connection's side of a protocol.
pub trait Dialect {
    /// A connection's first words.
    fn greet(&mut self, _out: &mut Vec<u8>) {}

    /// Its first words were answered, if it waits for that.
    fn is_ready(&self) -> bool {
        true
    }

    /// Appends a request, and gives the id that its answer will have.
    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64;

    /// The first frame of what came, if it is there as a whole; may have something to say to it at once.
    fn next(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Heard>>;

    /// The last words. True if the other side is to end the connection then.
    fn part(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// Four bytes, big endian, from `at` on.
fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
