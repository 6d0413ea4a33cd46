//! ttrpc frames put together by hand, for peers that behave as no client would.

use std::io::{Read, Write};

use prost::Message;
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;

pub const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
pub const SESSIONS: &str = "tenure.v1.Sessions";
pub const REQUEST: u8 = 1;
pub const RESPONSE: u8 = 2;
pub const DATA: u8 = 3;

/// A frame as it was read.
#[derive(Debug)]
pub struct Frame {
    pub stream: u32,
    pub kind: u8,
    pub flags: u8,
    pub body: Vec<u8>,
}

pub fn put_frame(out: &mut Vec<u8>, stream: u32, kind: u8, flags: u8, body: &[u8]) {
    out.extend_from_slice(&u32::try_from(body.len()).expect("a frame").to_be_bytes());
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(body);
}

/// Any request.
pub fn put_call(
    out: &mut Vec<u8>,
    stream: u32,
    flags: u8,
    service: &str,
    method: &str,
    request: &impl Message,
) {
    let request = tenure_schema::ttrpc::Request {
        service: service.into(),
        method: method.into(),
        payload: request.encode_to_vec(),
        ..Default::default()
    };
    put_frame(out, stream, REQUEST, flags, &request.encode_to_vec());
}

/// A request about a candidate: Enter and its like.
pub fn put_change(out: &mut Vec<u8>, stream: u32, method: &str, election: &str, candidate: &str) {
    let id = Some(PrimitiveId { name: election.into() });
    let request = pb::EnterRequest { id, candidate: candidate.into() };
    put_call(out, stream, 0, ELECTION, method, &request);
}

pub fn put_watch(out: &mut Vec<u8>, stream: u32, election: &str) {
    let id = Some(PrimitiveId { name: election.into() });
    put_call(out, stream, 1, ELECTION, "Watch", &pb::WatchRequest { id });
}

/// The next frame, or `None` at the end of the connection.
pub fn read_frame(from: &mut impl Read) -> Option<Frame> {
    let mut header = [0; 10];
    from.read_exact(&mut header).ok()?;
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let mut body = vec![0; word(0) as usize];
    from.read_exact(&mut body).ok()?;
    Some(Frame { stream: word(4), kind: header[8], flags: header[9], body })
}

/// The term in a frame of a watch.
pub fn term(frame: &Frame) -> pb::Term {
    assert_eq!((frame.kind, frame.flags), (DATA, 0), "{frame:?}");
    pb::WatchResponse::decode(&*frame.body).expect("a term").term.expect("a term")
}

/// Sends `count` changes of one election and waits for all answers: a candidate comes and goes.
pub fn churn(socket: impl Read + Write, election: &str, candidate: &str, count: u32) {
    churn_by(socket, election, candidate, count, 500);
}

/// As above, with so many requests under way. One by one leaves little to merge.
pub fn churn_by(
    socket: impl Read + Write,
    election: &str,
    candidate: &str,
    count: u32,
    at_once: u32,
) {
    let mut socket = std::io::BufReader::new(socket);
    let mut sent = 0;
    while sent < count {
        let now = at_once.min(count - sent);
        let mut batch = Vec::new();
        for n in sent..sent + now {
            let method = if n % 2 == 0 { "Enter" } else { "Withdraw" };
            put_change(&mut batch, 2 * n + 1, method, election, candidate);
        }
        socket.get_mut().write_all(&batch).expect("requests are taken");
        for _ in 0..now {
            let frame = read_frame(&mut socket).expect("an answer");
            assert_eq!(frame.kind, RESPONSE);
        }
        sent += now;
    }
}
