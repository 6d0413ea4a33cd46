//! ttrpc, as Tenure speaks it.

use anyhow::{Result, ensure};

use super::proto::{Message, bytes, number};
use super::{Dialect, Heard, Kind, Request};

const HEADER: usize = 10;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const LONGEST: usize = 16 << 20;

const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
const ELECTIONS: &str = "tenure.v1.Elections";

#[derive(Debug, Default)]
pub struct Ttrpc {
    calls: u32,
}

impl Dialect for Ttrpc {
    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64 {
        let stream = (2 * self.calls).wrapping_add(1);
        self.calls = self.calls.wrapping_add(1);
        let at = out.len() + 4;
        out.extend_from_slice(&request.bytes);
        out[at..at + 4].copy_from_slice(&stream.to_be_bytes());
        stream.into()
    }

    fn next(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Result<Option<Heard>> {
        let Some(&[l0, l1, l2, l3, s0, s1, s2, s3, kind, _]) = input.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        ensure!(len <= LONGEST, "a frame of {len} bytes came");
        if input.len() < HEADER + len {
            return Ok(None);
        }
        let id = u32::from_be_bytes([s0, s1, s2, s3]).into();
        let (kind, body) = match kind {
            RESPONSE => answer(&input[HEADER..HEADER + len]),
            _ => (Kind::Notice, 0..len),
        };
        let body = body.start + HEADER..body.end + HEADER;
        Ok(Some(Heard { kind, id, body, len: HEADER + len }))
    }
}

/// Where the payload of an answer is; a status comes first, if there is one.
fn answer(envelope: &[u8]) -> (Kind, std::ops::Range<usize>) {
    let payload = bytes(envelope, 2);
    match number(bytes(envelope, 1), 1) as i32 {
        0 => (Kind::Answer, envelope.len() - payload.len()..envelope.len()),
        code => (Kind::Refused(code), 0..envelope.len()),
    }
}

fn frame(service: &str, method: &str, payload: &Message, flags: u8) -> Request {
    let envelope = Message::new().text(1, service).text(2, method).bytes(3, &payload.0);
    Request::new(framed(REQUEST, flags, &envelope))
}

fn framed(kind: u8, flags: u8, envelope: &Message) -> Vec<u8> {
    let mut bytes = (envelope.0.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 1, kind, flags]);
    bytes.extend_from_slice(&envelope.0);
    bytes
}

fn id(election: &str) -> Message {
    Message::new().message(1, Message::new().text(1, election))
}

pub fn get_term(election: &str) -> Request {
    frame(ELECTION, "GetTerm", &id(election), 0)
}

/// Its answer, as a server gives it in the first term.
pub fn term(leader: &str) -> Vec<u8> {
    let term = Message::new().uint(1, 1).text(2, leader);
    let payload = Message::new().message(1, term);
    framed(RESPONSE, 0, &Message::new().message(2, payload))
}

/// Enter, Withdraw or Anoint.
pub fn on_candidate(method: &str, election: &str, candidate: &str) -> Request {
    frame(ELECTION, method, &id(election).text(2, candidate), 0)
}

pub fn watch(election: &str) -> Request {
    frame(ELECTION, "Watch", &id(election), 1)
}

/// What a watch tells of a term with one who waits.
pub fn watched(leader: &str, waiting: &str) -> Vec<u8> {
    let term = Message::new().uint(1, 1000).text(2, leader).text(3, waiting);
    framed(3, 0, &Message::new().message(1, term))
}

/// Leaders only.
pub fn observe(election: &str) -> Request {
    frame(ELECTIONS, "Observe", &Message::new().text(1, election).uint(2, 1), 1)
}

/// Answered once it leads, where all use one name.
pub fn enter_and_wait(election: &str, candidate: &str) -> Request {
    let on = Message::new().text(2, election).text(3, candidate).uint(5, 1);
    frame(ELECTIONS, "Enter", &on, 0)
}

pub fn withdraw(election: &str, candidate: &str) -> Request {
    frame(ELECTIONS, "Withdraw", &Message::new().text(2, election).text(3, candidate), 0)
}

/// Whether the envelope of a frame asks to withdraw.
pub fn is_withdraw(envelope: &[u8]) -> bool {
    const METHOD: usize = 2 + ELECTIONS.len() + 2;
    envelope.get(METHOD..).is_some_and(|method| method.starts_with(b"Withdraw"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_a_refusal() {
        let mut wire = Ttrpc::default();
        let raw = term("node-a");
        let heard = wire.next(&raw, &mut Vec::new()).unwrap().unwrap();
        assert_eq!((heard.kind, heard.len), (Kind::Answer, raw.len()));
        assert_eq!(bytes(bytes(&raw[heard.body], 1), 2), b"node-a");
        assert_eq!(wire.next(&raw[..raw.len() - 1], &mut Vec::new()).unwrap(), None);

        let status = Message::new().uint(1, 8).text(2, "full");
        let raw = framed(RESPONSE, 0, &Message::new().message(1, status));
        let heard = wire.next(&raw, &mut Vec::new()).unwrap().unwrap();
        assert_eq!(heard.kind, Kind::Refused(8));
    }

    #[test]
    fn who_withdraws_is_known_by_the_method() {
        const HEADER: usize = 10;
        assert!(is_withdraw(&withdraw("e", "c").bytes[HEADER..]));
        assert!(!is_withdraw(&enter_and_wait("Withdraw", "c").bytes[HEADER..]));
    }

    #[test]
    fn streams_are_odd_and_rise() {
        let (mut wire, mut out) = (Ttrpc::default(), Vec::new());
        assert_eq!(wire.put(&get_term("e"), &mut out), 1);
        let at = out.len();
        assert_eq!(wire.put(&get_term("e"), &mut out), 3);
        assert_eq!(out[at + 4..at + 8], [0, 0, 0, 3]);
    }
}
